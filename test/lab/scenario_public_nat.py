# SPDX-License-Identifier: LGPL-2.1-or-later
"""a host on the internet and a host behind a port-restricted NAT connect directly, both ways round"""

from topology import TUNNEL4, connected_sites
import probe
from errors import LabError


def run(lab):
    sites = connected_sites(lab, kinds=(None, "port-restricted"))
    lab.say("direct: %d bytes there, %d back, %d relayed" % sites.prove_direct())
    back = probe.ping(sites.b, TUNNEL4["a"])
    if back.lost:
        raise LabError(f"{back.lost} of {back.sent} pings from b to a were lost")
