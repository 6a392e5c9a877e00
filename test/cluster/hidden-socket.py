"""hidden-socket.py CGROUP ADDRESS PORT: connects a datagram socket in a new network namespace, and leaves the namespace.

Then says by a line which descriptor it has of the namespace; for each line on stdin, the error that the socket has
met, 0 for none.
"""

import ctypes
import os
import socket
import subprocess
import sys

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def check(result, call):
    if result != 0:
        raise OSError(ctypes.get_errno(), call)


cgroup, address, port = sys.argv[1:]
with open(f"{cgroup}/cgroup.procs", "w") as procs:
    procs.write(str(os.getpid()))
home = os.open("/proc/self/ns/net", os.O_RDONLY)
check(libc.unshare(CLONE_NEWNET), "unshare")
hidden = os.open("/proc/self/ns/net", os.O_RDONLY)
for command in ("ip link set lo up", "ip route add default dev lo"):
    subprocess.run(command.split(), check=True)
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect((address, int(port)))
check(libc.setns(home, CLONE_NEWNET), "setns")
print(hidden, flush=True)
for line in sys.stdin:
    print(client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), flush=True)
