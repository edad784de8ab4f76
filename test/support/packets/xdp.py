"""Holds an XDP program that passes everything at an interface, in generic mode, until SIGINT: xdp.py INTERFACE"""

import ctypes
import os
import signal
import socket
import struct
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)
libc = ctypes.CDLL(None, use_errno=True)
PROG_LOAD, LINK_CREATE = 5, 28
PROG_TYPE_XDP, ATTACH_XDP, SKB_MODE = 6, 37, 2


def bpf(command, attributes):
    data = ctypes.create_string_buffer(attributes, len(attributes))
    answer = libc.syscall(321, command, data, len(attributes))
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer


# r0 = XDP_PASS; exit
code = struct.pack('<BBhi', 0xB7, 0, 0, 2) + struct.pack('<BBhi', 0x95, 0, 0, 0)
instructions = ctypes.create_string_buffer(code, len(code))
name = ctypes.create_string_buffer(b'GPL')
head = struct.pack('<IIQQ', PROG_TYPE_XDP, 2, ctypes.addressof(instructions), ctypes.addressof(name))
program = bpf(PROG_LOAD, head + bytes(48))
bpf(LINK_CREATE, struct.pack('<IIII', program, socket.if_nametoindex(sys.argv[1]), ATTACH_XDP, SKB_MODE) + bytes(16))
print('attached', flush=True)
signal.pause()
