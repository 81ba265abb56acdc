# SPDX-License-Identifier: LGPL-2.1-or-later
"""TURN servers that are reached by IPv6, over UDP, TCP and TLS, relay for a host that wants nothing else"""

from services import TURN_USER
from topology import SERVER6, TURN_PASSWORD_FILE, Sites
from turn import TlsServer, expect_relay_state, expect_transport

ADDRESS6 = "2001:db8:2::12"


def run(lab):
    sites = Sites(lab, families=(4, 6))
    server = TlsServer(sites, address=ADDRESS6)
    sites.add_links()
    plain = {"TURNUser": TURN_USER, "TURNPasswordFile": TURN_PASSWORD_FILE}
    sites.configure_host(sites.b, ICE={"TURNServers": None})
    sites.b.start_icewire()
    for transport, settings in (("udp", {"TURNServers": f"turn:[{SERVER6}]", **plain}),
                                ("tcp", {"TURNServers": f"turn:[{SERVER6}]:3478?transport=tcp", **plain}),
                                ("tls", server.settings(sites.a))):
        sites.configure_host(sites.a, ICE=settings, Peer={"Policy": "relay"})
        sites.a.start_icewire()
        a = sites.a.wait_connected(sites.keys["b"].public, paths=("relayed",))
        expect_transport(sites.a, a, transport)
        expect_relay_state(sites.a, server.name if transport == "tls" else f"[{SERVER6}]", "ok")
        sites.ping(count=20)
        lab.say(f"by {transport}: {a['local']['address']}")
        sites.a.stop_icewire()
