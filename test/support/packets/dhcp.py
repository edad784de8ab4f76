"""A DHCP client on a raw socket that checks the UDP checksum of answers itself, as old dhclient and the BSDs do.

dhcp.py lease DEVICE           discovers and requests; prints the address, or "none" when no answer had a checksum that it takes
dhcp.py renew DEVICE           the same, and then asks for it again by unicast

A line for each answer: "offer" or "ack", its address, and its checksum: "none", "whole" or "wrong". Wrong ones are dropped.
"""
import os
import socket
import struct
import sys
import time

# In seconds; and how many wrong checksums in a row are enough.
PATIENCE, AGAIN = 8, 0.25
ENOUGH = 3
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5


def fold(data):
    total = sum(struct.unpack(f"!{len(data + bytes(len(data) % 2)) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(packet, datagram):
    return packet[12:20] + struct.pack("!BBH", 0, 17, len(datagram))


class Client:
    def __init__(self, device):
        self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.raw.bind((device, 0x0800))
        self.raw.settimeout(AGAIN)
        self.mac = self.raw.getsockname()[4]
        self.xid = os.urandom(4)
        self.server = b"\xff" * 6
        self.wrong = 0

    def send(self, kind, options=b"", source="0.0.0.0", target="255.255.255.255", to=b"\xff" * 6):
        ip = socket.inet_aton
        message = struct.pack("!BBBB4sHH", 1, 1, 6, 0, self.xid, 0, 0) + ip(source) + bytes(12)
        message += self.mac + bytes(202) + b"\x63\x82\x53\x63" + bytes([53, 1, kind]) + options + b"\xff"
        datagram = struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0) + ip(source) + ip(target)
        whole = 0xFFFF ^ fold(pseudo(head, datagram) + datagram)
        datagram = datagram[:6] + struct.pack("!H", whole or 0xFFFF) + datagram[8:]
        head = head[:10] + struct.pack("!H", 0xFFFF ^ fold(head)) + head[12:]
        self.raw.send(to + self.mac + b"\x08\x00" + head + datagram)

    def answer(self):
        """The message of the next answer to this client, with its address; None when none came in time."""
        end = time.monotonic() + AGAIN
        while time.monotonic() < end:
            try:
                frame = self.raw.recv(2048)
            except TimeoutError:
                return None
            packet = frame[14:]
            datagram = packet[(packet[0] & 15) * 4 : struct.unpack("!H", packet[2:4])[0]]
            if packet[9] != 17 or struct.unpack("!HH", datagram[:4]) != (67, 68) or datagram[12:16] != self.xid:
                continue
            kind = datagram[datagram.index(b"\x63\x82\x53\x63") + 6]
            address = socket.inet_ntoa(datagram[24:28])
            check = "whole" if fold(pseudo(packet, datagram) + datagram) == 0xFFFF else "wrong"
            check = "none" if datagram[6:8] == b"\0\0" else check
            print({OFFER: "offer", ACK: "ack"}.get(kind, f"kind {kind}"), address, check, flush=True)
            if check == "wrong":
                self.wrong += 1
                continue
            self.server = frame[6:12]
            identity = datagram[datagram.index(b"\x36\x04") + 2 :][:4]
            return kind, address, identity
        return None

    def ask(self, wanted, kind, **how):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.wrong < ENOUGH:
            self.send(kind, **how)
            found = self.answer()
            if found and found[0] == wanted:
                return found
        print("none")
        sys.exit()


def main(mode, device):
    client = Client(device)
    _, address, server = client.ask(OFFER, DISCOVER)
    wanted = b"\x32\x04" + socket.inet_aton(address)
    client.ask(ACK, REQUEST, options=wanted + b"\x36\x04" + server)
    if mode == "renew":
        client.ask(ACK, REQUEST, source=address, target=socket.inet_ntoa(server), to=client.server)
    print(address)


main(*sys.argv[1:])
