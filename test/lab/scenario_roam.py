# SPDX-License-Identifier: LGPL-2.1-or-later
"""a host's uplink is replaced by one behind another NAT, and back, and by one with the same addresses: direct again at once"""

import probe
from errors import LabError
from roam import WIDE, Roaming
from topology import LAN4, TUNNEL4, WIDE4


def run(lab):
    _there_and_back(lab)
    _same_addresses(lab)


def _roam(sites, outside, **how):
    seconds, echoes = sites.roam(**how)
    if seconds is None:
        raise LabError(f"no ping is answered any more: {echoes}")
    sites.wait_seen_at(outside)
    sites.lab.say(f"answered again after {seconds:.2f} s; {echoes.lost} of {echoes.sent} pings lost; direct, at {outside}")
    # What is new carries everything, both ways.
    for host, other in ((sites.a, "b"), (sites.b, "a")):
        back = probe.ping(host, TUNNEL4[other])
        if back.lost:
            raise LabError(f"{back.lost} of {back.sent} pings to {other} were lost")


def _there_and_back(lab):
    sites = Roaming(lab)
    sites.connect()
    sites.ping()
    _roam(sites, WIDE[1])
    _roam(sites, WIDE4["a"] + ".2", back=True)
    for host in (sites.a, sites.b):
        host.stop_icewire()


def _same_addresses(lab):
    """Many a NAT gives its first client 192.168.1.2, at home and at work."""
    sites = Roaming(lab, lan=LAN4["a"])
    sites.connect()
    sites.ping()
    _roam(sites, WIDE[1])
