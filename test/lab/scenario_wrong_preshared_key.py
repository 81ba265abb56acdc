# SPDX-License-Identifier: LGPL-2.1-or-later
"""peers with different preshared keys do not connect, and icewired says why; equal ones do"""

import probe
from errors import LabError
from topology import TUNNEL4, TUNNEL6, Sites
from wireguard import preshared_key


def run(lab):
    sites = Sites(lab)
    right, wrong = preshared_key(lab), preshared_key(lab)
    sites.add_links(preshared_keys=(right, wrong))
    sites.configure()
    for host in (sites.a, sites.b):
        host.start_icewire()
    for host, other in ((sites.a, "b"), (sites.b, "a")):
        peer = host.wait_peer(sites.keys[other].public, "the reason envelope-refused",
                              lambda p: p["reason"] == "envelope-refused")
        if peer["state"] not in ("waiting", "failed") or peer["path"] != "none" or peer.get("endpoint"):
            raise LabError(f"{host.name}: {peer}")
        if "preshared" not in (peer.get("reasonText") or "") or "preshared" not in host.ctl("status"):
            raise LabError(f"{host.name} does not say that the preshared keys may differ: {peer}")
    if probe.ping(sites.a, TUNNEL4["b"], 3, linger=1).received:
        raise LabError("a ping passed")
    lab.say("b gets a's preshared key")
    sites.b.links["wg0"].add_peer(sites.keys["a"].public, [TUNNEL4["a"] + "/32", TUNNEL6["a"] + "/128"], right)
    # The next attempt may be a minute away: nothing tells that a preshared key has changed.
    sites.wait_connected(timeout=150)
    sites.prove_direct()
