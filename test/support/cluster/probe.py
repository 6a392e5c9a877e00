"""probe.py echo ADDRESS | probe.py udp ADDRESS PORT TTL: sends one packet and prints what came of it, as JSON.

What Node.js has no sockets for. An error is printed only if it reached the socket that sent the packet: the kernel finds
it by the packet that the error quotes. No answer within the time is {}.
"""

import errno
import ipaddress
import json
import os
import select
import socket
import struct
import sys

PATIENCE = 1.0
IP_RECVERR = 11
IPV6_RECVERR = 25

mode, address = sys.argv[1:3]
v6 = ipaddress.ip_address(address).version == 6
family = socket.AF_INET6 if v6 else socket.AF_INET


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo():
    request, reply = (128, 129) if v6 else (8, 0)
    sock = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)
    rest = struct.pack("!HH", os.getpid() & 0xFFFF, 1) + os.urandom(56)
    head = struct.pack("!BBH", request, 0, 0)
    # The kernel sums up ICMPv6 itself.
    if not v6:
        head = struct.pack("!BBH", request, 0, checksum(head + rest))
    sock.sendto(head + rest, (address, 0))
    while select.select([sock], [], [], PATIENCE)[0]:
        data, source = sock.recvfrom(2048)
        message = data if v6 else data[(data[0] & 15) * 4 :]
        if message[0] == reply and message[4:] == rest:
            right = v6 or checksum(message) == 0
            return {"reply": True, "from": source[0], "checksum": right}
    return {}


def udp(port, ttl):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if v6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    sock.connect((address, port))
    sock.send(b"probe")
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLERR)
    events = poll.poll(PATIENCE * 1000)
    if not events:
        return {}
    if not events[0][1] & select.POLLERR:
        return {"answer": True, "from": address}
    _, ancillary, _, asked = sock.recvmsg(512, 512, socket.MSG_ERRQUEUE)
    data = ancillary[0][2]
    # struct sock_extended_err, and the address of who sent the error.
    number, _, kind, code, _, _, _ = struct.unpack("=IBBBBII", data[:16])
    offender = data[24:40] if v6 else data[20:24]
    return {
        "error": errno.errorcode[number],
        "type": kind,
        "code": code,
        "from": str(ipaddress.ip_address(offender)),
        "about": f"{asked[0]} {asked[1]}",
    }


print(json.dumps(echo() if mode == "echo" else udp(int(sys.argv[3]), int(sys.argv[4]))))
