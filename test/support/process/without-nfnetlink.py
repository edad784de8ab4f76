"""Runs a program for which the kernel has no nfnetlink: socket(AF_NETLINK, ..., NETLINK_NETFILTER) fails with EPROTONOSUPPORT."""
import ctypes
import os
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
NR_SOCKET = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
AF_NETLINK, NETLINK_NETFILTER, EPROTONOSUPPORT = 16, 12, 93
# The offsets of nr, args[0] and args[2] in struct seccomp_data.
NR, FIRST, THIRD = 0, 16, 32
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38

program = [
    (LOAD, 0, 0, NR),
    (EQUAL, 0, 5, NR_SOCKET),
    (LOAD, 0, 0, FIRST),
    (EQUAL, 0, 3, AF_NETLINK),
    (LOAD, 0, 0, THIRD),
    (EQUAL, 0, 1, NETLINK_NETFILTER),
    (RETURN, 0, 0, ERRNO | EPROTONOSUPPORT),
    (RETURN, 0, 0, ALLOW),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]


loaded = Program(len(program), ctypes.addressof(code))
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(loaded)) == 0
os.execvp(sys.argv[1], sys.argv[1:])
