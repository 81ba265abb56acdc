# SPDX-License-Identifier: LGPL-2.1-or-later
"""a host's uplink is replaced by one behind another NAT, and back: direct again at once, pings are lost only meanwhile"""

import probe
from errors import LabError
from roam import WIDE, Roaming
from topology import TUNNEL4, WIDE4


def run(lab):
    sites = Roaming(lab)
    sites.connect()
    sites.ping()
    roam(sites, WIDE[1])
    roam(sites, WIDE4["a"] + ".2", back=True)


def roam(sites, outside, **how):
    seconds, echoes = sites.roam(**how)
    if seconds is None:
        raise LabError(f"no ping is answered any more: {echoes}")
    sites.wait_seen_at(outside)
    sites.lab.say(f"answered again after {seconds:.2f} s; {echoes.lost} of {echoes.sent} pings lost; direct, at {outside}")
    # What is new carries everything, both ways.
    for host, other in ((sites.a, "b"), (sites.b, "a")):
        echoes = probe.ping(host, TUNNEL4[other])
        if echoes.lost:
            raise LabError(f"{echoes.lost} of {echoes.sent} pings to {other} were lost")
