"""Sends and receives Ethernet frames with or without a VLAN tag, for kernels that know no VLAN devices.

frames.py send INTERFACE VLAN TEXT   broadcasts one frame; VLAN - means untagged
frames.py receive INTERFACE          prints "VLAN TEXT" for each frame that comes, after a line "listening"
"""
import socket
import struct
import sys

ETH_LOCAL = 0x88B5  # IEEE 802: for local experiments
SOL_PACKET, PACKET_AUXDATA, VLAN_VALID = 263, 8, 0x10


def send(interface, vlan, text):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind((interface, 0))
    tag = b"" if vlan == "-" else struct.pack("!HH", 0x8100, int(vlan))
    header = b"\xff" * 6 + raw.getsockname()[4] + tag + struct.pack("!H", ETH_LOCAL)
    raw.send((header + text.encode() + b"\0").ljust(64, b"\0"))


def receive(interface):
    # ETH_P_ALL, because a frame whose tag the kernel has not stripped has protocol 0x8100.
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raw.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    raw.bind((interface, 3))
    print("listening", flush=True)
    while True:
        frame, ancillary, _, address = raw.recvmsg(2048, 256)
        if address[2] == socket.PACKET_OUTGOING:
            continue
        vlan = "-"
        # The kernel strips the tag off the frame and reports it in tpacket_auxdata.
        for level, kind, data in ancillary:
            if level == SOL_PACKET and kind == PACKET_AUXDATA:
                status, _, _, _, _, tci = struct.unpack("=IIIHHH", data[:18])
                if status & VLAN_VALID:
                    vlan = str(tci & 0xFFF)
        (protocol,) = struct.unpack("!H", frame[12:14])
        payload = frame[14:]
        if protocol == 0x8100:
            tci, protocol = struct.unpack("!HH", frame[14:18])
            vlan, payload = str(tci & 0xFFF), frame[18:]
        if protocol == ETH_LOCAL:
            print(vlan, payload.split(b"\0")[0].decode(), flush=True)


if sys.argv[1] == "send":
    send(*sys.argv[2:])
else:
    receive(*sys.argv[2:])
