# SPDX-License-Identifier: LGPL-2.1-or-later
"""links and peers that come, go and come back while the daemons run are followed"""

import probe
from topology import TUNNEL4, TUNNEL6, Sites


def run(lab):
    sites = Sites(lab)
    sites.configure()
    for host in (sites.a, sites.b):
        host.start_icewire()
    lab.say("the links come after the daemons")
    sites.add_links()
    sites.wait_connected()
    sites.prove_direct()

    key = sites.keys["b"].public
    lab.say("the peer is removed on a")
    sites.a.links["wg0"].remove_peer(key)
    lab.wait_until(lambda: not sites.a.peers(), "a knows the peer no longer")
    lab.say("and comes back")
    sites.a.links["wg0"].add_peer(key, [TUNNEL4["b"] + "/32", TUNNEL6["b"] + "/128"])
    _connects_again(lab, sites)

    lab.say("the link is removed on b")
    sites.b.remove_link("wg0")
    lab.wait_until(lambda: not sites.b.peers(), "b has no peers")
    lab.wait_until(lambda: not sites.b.varlink("ListLinks")["links"], "b has no links")
    lab.say("and comes back, on another port")
    link = sites.b.add_link("wg0", sites.keys["b"], [TUNNEL4["b"] + "/24", TUNNEL6["b"] + "/64"], port=40000)
    link.add_peer(sites.keys["a"].public, [TUNNEL4["a"] + "/32", TUNNEL6["a"] + "/128"])
    _connects_again(lab, sites)


def _connects_again(lab, sites):
    lab.wait_until(lambda: probe.ping(sites.a, TUNNEL4["b"], 1, linger=1).received, "pings pass again")
    sites.wait_connected()
    sites.prove_direct()
