# SPDX-License-Identifier: LGPL-2.1-or-later
"""two uplinks swap their metrics, no address changes, then one goes: the path is by the one that the default route leads to"""

import probe
from errors import LabError
from roam import WIDE, Roaming
from topology import TUNNEL4, WIDE4


def run(lab):
    sites = Roaming(lab)
    sites.prefer("eth0", 200)
    sites.a.ip("route", "delete", "default", "metric", "0")  # which nothing beats
    sites.add_uplink(metric=500)
    sites.connect()
    sites.wait_seen_at(WIDE4["a"] + ".2")
    before = sites.a.peer(sites.keys["b"].public)["counters"]["sessions"]
    sites.prove_direct()
    for interface, metric, outside in (("eth1", 100, WIDE[1]), ("eth0", 50, WIDE4["a"] + ".2")):
        sites.prefer(interface, metric)
        _expect(sites, outside)
    lab.say(f"{sites.a.peer(sites.keys['b'].public)['counters']['sessions'] - before} sessions for two changes")
    sites.a.ip("link", "set", "eth0", "down")
    _expect(sites, WIDE[1])


def _expect(sites, outside):
    sites.wait_seen_at(outside)
    sites.lab.say(f"direct, at {outside}")
    echoes = probe.ping(sites.a, TUNNEL4["b"])
    if echoes.lost:
        raise LabError(f"{echoes.lost} of {echoes.sent} pings were lost")
