"""Connects sockets and says where they ended up: a line of JSON for each line of JSON.

A line is a list of [IP version of the socket, protocol, address, port]. The answer has for each of them what was refused
as {"error": NAME}, or the peer as the socket is told and as the kernel's own list of sockets has it, as
{"told": [address, port], "real": [address, port]}. No packet is sent: connect() of a datagram socket sends none, nor
does that of a TCP socket in repair mode.
"""

import errno
import ipaddress
import json
import os
import socket
import struct
import sys

TCP_REPAIR = 19
KINDS = {"UDP": socket.SOCK_DGRAM, "TCP": socket.SOCK_STREAM}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def plain(address):
    address = ipaddress.ip_address(address)
    return str(getattr(address, "ipv4_mapped", None) or address)


def peers(version, protocol):
    """The real peers of this namespace's sockets, by inode."""
    found = {}
    with open(f"/proc/thread-self/net/{protocol.lower()}{'6' if version == 6 else ''}", encoding="ascii") as table:
        next(table)
        for line in table:
            fields = line.split()
            address, port = fields[2].split(":")
            words = [int(address[i : i + 8], 16) for i in range(0, len(address), 8)]
            packed = struct.pack(f"={len(words)}I", *words)
            found[int(fields[9])] = [plain(packed), int(port, 16)]
    return found


def ask(wanted):
    answers, opened = [], []
    for version, protocol, address, port in wanted:
        sock = socket.socket(FAMILIES[version], KINDS[protocol])
        opened.append(sock)
        if protocol == "TCP":
            sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        try:
            sock.connect((address, port))
            answers.append({"told": [plain(sock.getpeername()[0]), sock.getpeername()[1]]})
        except OSError as error:
            answers.append({"error": errno.errorcode[error.errno]})
    tables = {}
    for (version, protocol, _, _), sock, answer in zip(wanted, opened, answers):
        if "error" not in answer:
            key = (version, protocol)
            if key not in tables:
                tables[key] = peers(*key)
            answer["real"] = tables[key][os.fstat(sock.fileno()).st_ino]
    for sock in opened:
        sock.close()
    return answers


for line in sys.stdin:
    print(json.dumps(ask(json.loads(line))), flush=True)
