# SPDX-License-Identifier: LGPL-2.1-or-later
"""Just enough STUN (RFC 8489) for attackers and for checks; IPv4 only."""

import ipaddress
import os
import select
import socket
import struct

REQUEST, RESPONSE = 0x0001, 0x0101
USERNAME, XOR_MAPPED_ADDRESS = 0x0006, 0x0020
COOKIE = 0x2112A442


def message(kind, transaction=None, username=None):
    """A message, with the transaction ID and the user name as bytes."""
    attributes = b""
    if username:
        attributes += struct.pack("!HH", USERNAME, len(username)) + username + bytes(-len(username) % 4)
    return struct.pack("!HHI", kind, len(attributes), COOKIE) + (transaction or os.urandom(12)) + attributes


def parse(data):
    """(kind, transaction ID, attributes by type), or None: this is not STUN."""
    if len(data) < 20:
        return None
    kind, length, cookie = struct.unpack("!HHI", data[:8])
    if kind & 0xc000 or cookie != COOKIE or length + 20 != len(data):
        return None
    attributes, rest = {}, data[20:]
    while len(rest) >= 4:
        attribute, size = struct.unpack("!HH", rest[:4])
        attributes.setdefault(attribute, rest[4:4 + size])
        rest = rest[4 + size + -size % 4:]
    return kind, data[8:20], attributes


def ask(local, server, timeout=10):
    """As a client bound to `local`: (address, port) as the server sees it; None if no answer comes."""
    request = message(REQUEST)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(local)
        s.sendto(request, server)
        while select.select([s], [], [], timeout)[0]:
            found = parse(s.recv(1500))
            if found and found[0] == RESPONSE and found[1] == request[8:20]:
                return _address(found[2][XOR_MAPPED_ADDRESS])
    return None


def _address(value):
    port, address = struct.unpack("!2xHI", value)
    return str(ipaddress.IPv4Address(address ^ COOKIE)), port ^ COOKIE >> 16
