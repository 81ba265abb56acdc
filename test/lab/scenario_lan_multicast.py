# SPDX-License-Identifier: LGPL-2.1-or-later
"""two hosts on one LAN, with no server and no configuration at all, find each other by multicast"""

import probe
from errors import LabError
from host import Host, start_together
from topology import TUNNEL4, TUNNEL6
from wireguard import Key


def run(lab):
    a, b = Host(lab, "a"), Host(lab, "b")
    a.connect("eth0", b, "eth0")
    a.address("eth0", "192.168.1.1/24")
    b.address("eth0", "192.168.1.2/24")
    keys = {"a": Key(lab), "b": Key(lab)}
    for host, other in ((a, "b"), (b, "a")):
        link = host.add_link("wg0", keys[host.name], [TUNNEL4[host.name] + "/24", TUNNEL6[host.name] + "/64"])
        link.add_peer(keys[other].public, [TUNNEL4[other] + "/32", TUNNEL6[other] + "/128"])
    start_together(a, b)
    peer = a.wait_connected(keys["b"].public, ("direct",))
    b.wait_connected(keys["a"].public, ("direct",))
    if not peer["remote"]["address"].startswith(("192.168.1.2:", "[fe80")):
        raise LabError(f"not b's address on the LAN: {peer}")
    for address in (TUNNEL4["b"], TUNNEL6["b"]):
        echoes = probe.ping(a, address)
        if echoes.lost:
            raise LabError(f"{echoes.lost} of {echoes.sent} pings to {address} were lost")
    if [r["name"] for r in a.rendezvous() if r["state"] == "up"] != ["multicast"]:
        raise LabError(f"expected multicast alone to be up, found {a.rendezvous()}")
