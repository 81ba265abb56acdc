# SPDX-License-Identifier: LGPL-2.1-or-later
"""Firewalls on the hosts themselves, as distributions set them up: what was not asked for is dropped."""

import json
import socket

from errors import LabError

# What comes in beside ICMP and what was asked for.
KINDS = {
    "open": None,
    "established": "",
    "established-and-port": "udp dport {port} accept",
}

RULES = """
table inet firewall {{
        counter dropped {{ }}
        chain input {{ type filter hook input priority filter
                iifname "lo" accept
                meta l4proto {{ icmp, ipv6-icmp }} accept
                ct state established,related accept
                {rule}
                counter name dropped drop
        }}
}}
"""


def install(host, kind, port):
    """In place of the one before; port: WireGuard's."""
    host.nft("add table inet firewall\ndelete table inet firewall\n")
    if KINDS[kind] is not None:
        host.nft(RULES.format(rule=KINDS[kind].format(port=port)))


def prove(host, address, port, kind, other):
    """Raises unless the firewall treats what `other` sends unasked, to WireGuard's port and to another one, as it
    should."""
    if KINDS[kind] is None:
        return
    other.call(_send, address, (port, 9))
    dropped, expected = _dropped(host), 1 if KINDS[kind] else 2
    if dropped != expected:
        raise LabError(f"{host.name}: the firewall {kind} dropped {dropped} of 2 packets, not {expected}")


def _send(address, ports):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for port in ports:
            s.sendto(b"unasked", (address, port))


def _dropped(host):
    listing = json.loads(host.run("nft", "--json", "list", "counter", "inet", "firewall", "dropped"))["nftables"]
    return next(entry["counter"]["packets"] for entry in listing if "counter" in entry)
