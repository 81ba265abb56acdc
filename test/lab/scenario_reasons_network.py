# SPDX-License-Identifier: LGPL-2.1-or-later
"""no common IP version, a peer that has gone, and handshakes that a firewall drops are named as the reason"""

from errors import LabError
from host import start_together
from topology import NO_TURN, SERVER4, SERVER6, Sites


def run(lab):
    sites = Sites(lab, kinds=(None, None), families=(4, 6))
    sites.add_links()
    lab.say("a has only IPv6, b only IPv4, and there is no relay")
    sites.a.ip("-4", "address", "flush", "dev", "eth0")
    sites.b.ip("-6", "address", "flush", "dev", "eth0", "scope", "global")
    sites.configure(ICE={"STUNServers": f"{SERVER4}:3478 [{SERVER6}]:3478", "Redirect": "proxy", **NO_TURN})
    start_together(sites.a, sites.b)
    for peer in _expect(sites, "no-common-family", "no-common-family"):
        if "IPv4 absent" not in peer["reasonDetail"] or "IPv6 absent" not in peer["reasonDetail"]:
            raise LabError(f"the evidence is not told: {peer}")
    lab.say("a gets IPv4, but a firewall drops WireGuard's handshakes, and nothing else")
    for host in (sites.a, sites.b):
        # Message type 1, with its reserved zeros.
        host.nft("table inet picky {\n chain input { type filter hook input priority 0\n"
                 " udp dport 51820 @th,64,32 0x01000000 drop\n }\n}\n")
    sites.a.address("eth0", "198.51.100.2/30")
    sites.a.route("0.0.0.0/0", "via", "198.51.100.1")
    _expect(sites, "no-handshake", "no-handshake")
    for host in (sites.a, sites.b):
        host.nft("delete table inet picky\n")
    sites.wait_connected(paths=("proxied",), timeout=90)
    sites.ping()
    lab.say("b says goodbye")
    sites.b.stop_icewire()
    peer = sites.a.wait_peer(sites.keys["b"].public, "the reason peer-offline", lambda p: p["reason"] == "peer-offline")
    if "goodbye" not in peer["reasonDetail"]:
        raise LabError(f"the evidence is not told: {peer}")


def _expect(sites, reason_a, reason_b):
    """Both sides name these."""
    peers = []
    for host, other, reason in ((sites.a, "b", reason_a), (sites.b, "a", reason_b)):
        peer = host.wait_peer(sites.keys[other].public, f"the reason {reason}", lambda p, r=reason: p["reason"] == r,
                              timeout=120)
        host.lab.say(f"{host.name}: {reason}: {peer['reasonText']} ({peer.get('reasonDetail')})")
        peers.append(peer)
    return peers
