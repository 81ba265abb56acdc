# SPDX-License-Identifier: LGPL-2.1-or-later
"""a host behind a firewall without UDP has its relay over TCP and proxies; the other sends to it by itself"""

from topology import SERVER4, Sites
from turn import expect_relay_state, expect_transport, prove_owner


def run(lab):
    sites = Sites(lab, kinds=("udp-blocked", "port-restricted"))
    sites.add_links()
    sites.configure_host(sites.a, ICE={"TURNServers": f"turn:{SERVER4}:3478?transport=tcp"})
    sites.configure_host(sites.b, ICE={"TURNServers": None})
    for host in (sites.a, sites.b):
        host.start_icewire()
    a, b = sites.wait_connected(paths=("relayed",))
    expect_transport(sites.a, a, "tcp")
    expect_transport(sites.b, b, "udp")
    prove_owner(sites, "a", "b")
    sites.wait_measured()
    expect_relay_state(sites.a, SERVER4, "ok")
