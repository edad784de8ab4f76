"""Sends and captures raw frames of a network device, by AF_PACKET, which Node does not have.

packets.py send DEVICE        reads a frame in hex a line from stdin and sends them in that order
packets.py capture DEVICE     prints "ready", then every frame that arrives, in hex
packets.py sent DEVICE        the same of every frame that leaves
packets.py probe DEVICE SPY   tells which frames of a guest's device pass the vif's filter. Reads batches from stdin: the number of
                              frames, then each frame after its length, all as 32 bits in network order. What passes comes out
                              of SPY, in a copy. The last frame of a batch has to pass, and differs from all before. Answers each
                              batch with a byte a frame: 1 when it passed.
"""

import os
import socket
import struct
import sys

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_STATISTICS, PACKET_AUXDATA, PACKET_OUTGOING = 263, 6, 8, 4
TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID = 1 << 4, 1 << 6
# How long the probe waits for a frame, in seconds.
PATIENCE = 10


def sender(device):
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    packets.bind((device, 0))
    # A veth pair keeps the order of the frames that one CPU sends.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return packets


def receiver(device):
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    packets.bind((device, ETH_P_ALL))
    packets.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    return packets


def receive(packets, leaving=False):
    """The next frame that arrives, or that leaves, with the tag that the kernel has taken off."""
    while True:
        frame, control, _, address = packets.recvmsg(65536, 256)
        if (address[2] == PACKET_OUTGOING) != leaving:
            continue
        for level, kind, data in control:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", data[:20])
                if status & TP_STATUS_VLAN_VALID:
                    tpid = tpid if status & TP_STATUS_VLAN_TPID_VALID else 0x8100
                    frame = frame[:12] + struct.pack(">HH", tpid, tci) + frame[12:]
        return frame


def send(device):
    packets = sender(device)
    for line in sys.stdin:
        packets.send(bytes.fromhex(line))


def capture(device, leaving=False):
    packets = receiver(device)
    print("ready", flush=True)
    while True:
        print(receive(packets, leaving).hex(), flush=True)


def exactly(count):
    data = sys.stdin.buffer.read(count)
    if len(data) < count:
        sys.exit(0)
    return data


def number():
    return struct.unpack(">I", exactly(4))[0]


def probe(device, spy_device):
    out = sender(device)
    spy = receiver(spy_device)
    spy.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    spy.settimeout(PATIENCE)
    while True:
        frames = [exactly(number()) for _ in range(number())]
        for frame in frames:
            out.send(frame)
        passed = set()
        while frames[-1] not in passed:
            passed.add(receive(spy))
        _, lost = struct.unpack("II", spy.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        if lost:
            sys.exit(f"{lost} frames found no room in the socket's buffer")
        sys.stdout.buffer.write(bytes(frame in passed for frame in frames))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sent = lambda device: capture(device, leaving=True)
    {"send": send, "capture": capture, "sent": sent, "probe": probe}[sys.argv[1]](*sys.argv[2:])
