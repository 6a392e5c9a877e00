"""tunnel.py NETNS DEVICE NETNS DEVICE: two tun devices, each in its network namespace, as the ends of one link.

Carries packets until its standard input ends; says "ready" when both devices are there.
"""

import ctypes
import fcntl
import os
import select
import struct
import sys

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000

libc = ctypes.CDLL(None, use_errno=True)


def open_tun(netns, device):
    with open(f"/run/netns/{netns}") as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    return tun


one = open_tun(*sys.argv[1:3])
other = open_tun(*sys.argv[3:5])
print("ready", flush=True)
while True:
    readable, _, _ = select.select([one, other, sys.stdin], [], [])
    if sys.stdin in readable:
        break
    for source, target in ((one, other), (other, one)):
        if source in readable:
            packet = os.read(source, 65536)
            try:
                os.write(target, packet)
            except OSError:
                pass  # A device that is down takes none.
