# SPDX-License-Identifier: LGPL-2.1-or-later
"""a host behind a firewall without UDP has its relay over TLS, and nothing of it is readable on the way"""

from errors import LabError
from topology import Sites
from turn import ADDRESS4, TlsServer, expect_relay_state, expect_transport, prove_owner


def run(lab):
    sites = Sites(lab, kinds=("udp-blocked", "port-restricted"))
    server = TlsServer(sites)
    sites.add_links()
    sites.internet.count("by_tls", f"ip daddr {ADDRESS4} tcp dport 5349")
    sites.internet.count("in_plain", f"ip daddr {ADDRESS4} th dport 3478")
    sites.configure_host(sites.a, ICE=server.settings(sites.a))
    sites.configure_host(sites.b, ICE={"TURNServers": None})
    for host in (sites.a, sites.b):
        host.start_icewire()
    a, _ = sites.wait_connected(paths=("relayed",))
    expect_transport(sites.a, a, "tls")
    prove_owner(sites, "a", "b")
    expect_relay_state(sites.a, server.name, "ok")
    lab.say(sites.a.ctl("diagnose"))
    passed = sites.internet.counted()
    if not passed["by_tls"] or passed["in_plain"]:
        raise LabError(f"bytes to the TURN server by TLS and in plain: {passed['by_tls']}, {passed['in_plain']}")
