# SPDX-License-Identifier: LGPL-2.1-or-later
"""a TURN server that is no longer configured is left at once and gets its allocation back, over UDP, TCP and TLS

The last one gets it when icewired stops, over UDP and over TLS."""

from errors import LabError
from probe import Pinger
from services import TURN_USER
from topology import SERVER4, TUNNEL4, TURN_PASSWORD_FILE, Sites
from turn import TlsServer


def run(lab):
    sites = Sites(lab, kinds=("symmetric", "symmetric"))
    server = TlsServer(sites)
    plain = {"TURNUser": TURN_USER, "TURNPasswordFile": TURN_PASSWORD_FILE}
    sites.add_links()
    sites.configure_host(sites.b, ICE={"TURNServers": None})
    steps = (("udp", {"TURNServers": f"turn:{SERVER4}", **plain}, sites.coturn),
             ("tcp", {"TURNServers": f"turn:{SERVER4}?transport=tcp", **plain}, sites.coturn),
             ("tls", server.settings(sites.a), server.coturn),
             ("udp", {"TURNServers": f"turn:{SERVER4}", **plain}, sites.coturn))
    for i, (transport, settings, coturn) in enumerate(steps):
        sites.configure_host(sites.a, ICE=settings)
        if i == 0:
            for host in (sites.a, sites.b):
                host.start_icewire()
            _wait(sites, transport)
            continue
        pinger = Pinger(sites.a, TUNNEL4["b"], interval=0.02)
        sites.a.ctl("reload")
        _wait(sites, transport)
        _expect_freed(lab, steps[i - 1][2], left=1 if coturn is steps[i - 1][2] else 0)
        echoes = pinger.stop()
        lab.say(f"from {steps[i - 1][0]} to {transport}: {echoes.lost} of {echoes.sent} pings lost, longest gap "
                f"{echoes.longest_gap:.2f} s")
        if echoes.lost > echoes.sent // 10:
            raise LabError(f"{echoes.lost} of {echoes.sent} pings were lost on the way to {transport}")
    sites.a.stop_icewire()
    _expect_freed(lab, sites.coturn, left=0)
    sites.configure_host(sites.a, ICE=server.settings(sites.a))
    sites.a.start_icewire()
    _wait(sites, "tls")
    sites.a.stop_icewire()
    _expect_freed(lab, server.coturn, left=0)


def _wait(sites, transport):
    sites.a.wait_peer(sites.keys["b"].public, f"relayed by {transport}",
                      lambda p: p["state"] == "connected" and p["path"] == "relayed" and p["transport"] == transport)


def _expect_freed(lab, coturn, left):
    """All allocations but so many have been given back; the server itself would keep them for ten minutes."""
    def held():
        return [session for session, state in coturn.sessions().items() if state == "allocated"]

    lab.wait_until(lambda: len(held()) == left,
                   lambda: f"{left} allocations are left; the server has {len(held())} of {coturn.sessions()}",
                   timeout=30)
