# SPDX-License-Identifier: LGPL-2.1-or-later
"""the rendezvous is away: the path carries on without loss; who roams in that time is connected when the rendezvous is back"""

import probe
from errors import LabError
from roam import WIDE, Roaming
from topology import TUNNEL4

AWAY = 60  # seconds; an hour is for test/unit/test-events.c, which has a clock of its own


def run(lab):
    sites = Roaming(lab)
    sites.connect(Rendezvous={"Multicast": "no"})
    key = sites.keys["b"].public
    before = sites.a.peer(key)
    sites.mosquitto.stop()
    for host in (sites.a, sites.b):
        host.wait_rendezvous("mqtts://", "down")
    pinger = probe.Pinger(sites.a, TUNNEL4["b"], interval=0.02)
    lab.always(lambda: sites.a.peer(key)["state"] == "connected", lambda: f"the path is lost: {sites.a.peer(key)}", AWAY)
    echoes = pinger.stop()
    after = sites.a.peer(key)
    if echoes.lost or any(after[k] != before[k] for k in ("endpoint", "path", "reason")):
        raise LabError(f"the path suffered: {echoes}, {before} before, {after} after")
    lab.say(f"{AWAY} s without rendezvous: {echoes}")

    sites.replace_uplink()
    if probe.ping(sites.a, TUNNEL4["b"], 20).received:
        raise LabError("pings pass although a has roamed, b's NAT lets in nobody, and nobody can tell b")
    sites.mosquitto.start()
    sites.wait_seen_at(WIDE[1], timeout=120)
    lab.say("the rendezvous is back, and the path as well")
    lab.wait_until(lambda: probe.ping(sites.a, TUNNEL4["b"], 1, linger=1).received, "pings pass again")
