"""Puts another program into a link behind the back of its owner: replace-program.py LINK_ID PINNED_PROGRAM"""

import ctypes
import os
import platform
import sys

BPF_OBJ_GET, BPF_LINK_UPDATE, BPF_LINK_GET_FD_BY_ID = 7, 29, 30
SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, *words):
    attributes = b"".join(value.to_bytes(size, sys.byteorder) for size, value in words)
    result = libc.syscall(SYS_BPF, command, attributes, len(attributes))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


path = ctypes.create_string_buffer(sys.argv[2].encode())
program = bpf(BPF_OBJ_GET, (8, ctypes.addressof(path)), (4, 0), (4, 0))
link = bpf(BPF_LINK_GET_FD_BY_ID, (4, int(sys.argv[1])), (4, 0), (4, 0))
bpf(BPF_LINK_UPDATE, (4, link), (4, program), (4, 0), (4, 0))
