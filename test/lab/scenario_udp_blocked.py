# SPDX-License-Identifier: LGPL-2.1-or-later
"""a host behind a firewall that lets no UDP out connects by a TURN server over TCP"""

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
