# SPDX-License-Identifier: LGPL-2.1-or-later
"""a host behind a firewall that lets no UDP out connects by a TURN server over TCP, and both sides say why"""

from topology import SERVER4, Sites


def run(lab):
    sites = Sites(lab, kinds=("udp-blocked", "port-restricted"))
    sites.add_links()
    turn = {"TURNServers": f"turn:{SERVER4}:3478?transport=tcp"}
    sites.configure_host(sites.a, ICE=turn)
    sites.configure_host(sites.b)
    for host in (sites.a, sites.b):
        host.start_icewire()
    sites.wait_connected(paths=("relayed", "proxied"))
    sites.ping(count=20)
    for host, other, reason in ((sites.a, "b", "udp-blocked-here"), (sites.b, "a", "udp-blocked-there")):
        peer = host.wait_peer(sites.keys[other].public, f"the reason {reason}", lambda p, r=reason: p["reason"] == r)
        lab.say(f"{host.name}: {peer['reasonText']} ({peer['reasonDetail']})")
