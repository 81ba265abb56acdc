# SPDX-License-Identifier: LGPL-2.1-or-later
"""a peer with a wrong public key does not connect, and icewired says why; the right key then does"""

import probe
from errors import LabError
from topology import TUNNEL4, TUNNEL6, Sites
from wireguard import Key


def run(lab):
    sites = Sites(lab)
    wrong = Key(lab).public
    # a is right about b, but b expects another a.
    sites.add_links(keys_believed=(wrong, sites.keys["b"].public))
    sites.configure()
    for host in (sites.a, sites.b):
        host.start_icewire()
    for host, key in ((sites.a, sites.keys["b"].public), (sites.b, wrong)):
        host.wait_rendezvous("mqtts://", "up")
        peer = host.wait_peer(key, "the reason peer-silent", lambda p: p["reason"] == "peer-silent")
        if peer["state"] not in ("waiting", "failed") or peer["path"] != "none" or peer.get("endpoint"):
            raise LabError(f"{host.name}: {peer}")
        if "key" not in (peer.get("reasonText") or "") or "key" not in host.ctl("status"):
            raise LabError(f"{host.name} does not say that a public key may be wrong: {peer}")
    if probe.ping(sites.a, TUNNEL4["b"], 3, linger=1).received:
        raise LabError("a ping passed")
    lab.say("b learns a's real key")
    sites.b.links["wg0"].remove_peer(wrong)
    sites.b.links["wg0"].add_peer(sites.keys["a"].public, [TUNNEL4["a"] + "/32", TUNNEL6["a"] + "/128"])
    sites.wait_connected()
    sites.prove_direct()
