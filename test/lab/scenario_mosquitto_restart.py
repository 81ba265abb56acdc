# SPDX-License-Identifier: LGPL-2.1-or-later
"""mosquitto goes away and comes back: the path carries on without loss, the rendezvous reconnects, and is of use again"""

import probe
from errors import LabError
from topology import TUNNEL4, connected_sites


def run(lab):
    sites = connected_sites(lab)
    pinger = probe.Pinger(sites.a, TUNNEL4["b"], interval=0.02)
    sites.mosquitto.stop()
    for host in (sites.a, sites.b):
        down = host.wait_rendezvous("mqtts://", "down")
        if not down.get("error"):
            raise LabError(f"the rendezvous is down, but nobody says why: {down}")
    sites.mosquitto.start()
    for host in (sites.a, sites.b):
        host.wait_rendezvous("mqtts://", "up", timeout=120)
    echoes = pinger.stop()
    if echoes.lost:
        raise LabError(f"the path suffered: {echoes}")
    # A daemon that starts now finds its peer through the mosquitto that came back.
    sites.b.agent.stop()
    sites.b.remove_link("wg0")
    link = sites.b.add_link("wg0", sites.keys["b"], [TUNNEL4["b"] + "/24"])
    link.add_peer(sites.keys["a"].public, [TUNNEL4["a"] + "/32"])
    sites.b.start_agent().wait_ready()
    sites.wait_connected()
    lab.wait_until(lambda: probe.ping(sites.a, TUNNEL4["b"], 1, linger=1).received, "pings pass again")
    sites.prove_direct()
