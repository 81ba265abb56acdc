# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes a WireGuard device whole, in one message of generic netlink, as programs on wgctrl do (wg(8) needs several commands
for that). The numbers are those of linux/genetlink.h and linux/wireguard.h."""

import base64
import ipaddress
import os
import socket
import struct
import time

NETLINK_GENERIC = 16
NLMSG_ERROR = 2
REQUEST, ACK = 1, 4
NESTED = 1 << 15

GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 16, 3, 1, 2

WG_CMD_SET_DEVICE = 1
DEVICE_IFNAME, DEVICE_PRIVATE_KEY, DEVICE_FLAGS, DEVICE_LISTEN_PORT, DEVICE_PEERS = 2, 3, 5, 6, 8
PEER_PUBLIC_KEY, PEER_PRESHARED_KEY, PEER_FLAGS, PEER_KEEPALIVE, PEER_ALLOWEDIPS = 1, 2, 3, 5, 9
ALLOWEDIP_FAMILY, ALLOWEDIP_ADDRESS, ALLOWEDIP_LENGTH = 1, 2, 3
DEVICE_REPLACE_PEERS, PEER_REPLACE_ALLOWEDIPS = 1, 2


def replace_peers(name, private_key, port, public_key, preshared_key, allowed_ips, keepalive=None):
    """The device has this one peer from now on, and that no endpoint. Keys in base64; keepalive in seconds, None: is not written.
    Raises OSError if the kernel refuses."""
    peer = (_attribute(PEER_PUBLIC_KEY, base64.b64decode(public_key)) +
            _attribute(PEER_PRESHARED_KEY, base64.b64decode(preshared_key)) + _number(PEER_FLAGS, "I", PEER_REPLACE_ALLOWEDIPS))
    if keepalive is not None:
        peer += _number(PEER_KEEPALIVE, "H", keepalive)
    peer += _nested(PEER_ALLOWEDIPS, b"".join(_nested(0, _allowed_ip(ip)) for ip in allowed_ips))
    body = (_attribute(DEVICE_IFNAME, name.encode() + b"\0") +
            _attribute(DEVICE_PRIVATE_KEY, base64.b64decode(private_key)) + _number(DEVICE_LISTEN_PORT, "H", port) +
            _number(DEVICE_FLAGS, "I", DEVICE_REPLACE_PEERS) + _nested(DEVICE_PEERS, _nested(0, peer)))
    _set_device(body)


def replace_and_remove(delay, name, *arguments):
    """As replace_peers(); and after so many seconds that peer is taken out."""
    replace_peers(name, *arguments)
    time.sleep(delay)
    _set_device(_attribute(DEVICE_IFNAME, name.encode() + b"\0") + _number(DEVICE_FLAGS, "I", DEVICE_REPLACE_PEERS))


def _set_device(body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as s:
        s.bind((0, 0))
        _request(s, _family(s), WG_CMD_SET_DEVICE, body, ACK)


def _allowed_ip(text):
    network = ipaddress.ip_network(text)
    return (_number(ALLOWEDIP_FAMILY, "H", socket.AF_INET if network.version == 4 else socket.AF_INET6) +
            _attribute(ALLOWEDIP_ADDRESS, network.network_address.packed) + _number(ALLOWEDIP_LENGTH, "B", network.prefixlen))


def _family(s):
    """The number that generic netlink has for WireGuard."""
    answer = _request(s, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, _attribute(CTRL_ATTR_FAMILY_NAME, b"wireguard\0"))
    while answer:
        size, kind = struct.unpack("=HH", answer[:4])
        if kind == CTRL_ATTR_FAMILY_ID:
            return struct.unpack("=H", answer[4:6])[0]
        answer = answer[(size + 3) & ~3:]
    raise OSError("no such family")


def _request(s, family, command, body, flags=0):
    """Returns the attributes of the answer; none, if it is an acknowledgement."""
    size = 16 + 4 + len(body)
    s.send(struct.pack("=IHHII", size, family, REQUEST | flags, 1, 0) + struct.pack("=BBH", command, 1, 0) + body)
    answer = s.recv(65536)
    if struct.unpack("=H", answer[4:6])[0] == NLMSG_ERROR:
        error = -struct.unpack("=i", answer[16:20])[0]
        if error:
            raise OSError(error, os.strerror(error))
        return b""
    return answer[20:]


def _attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _number(kind, layout, value):
    return _attribute(kind, struct.pack("=" + layout, value))


def _nested(kind, data):
    return _attribute(kind | NESTED, data)
