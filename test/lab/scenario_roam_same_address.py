# SPDX-License-Identifier: LGPL-2.1-or-later
"""a host's uplink is replaced by one where it gets the same address, behind another NAT: that is noticed, and direct again"""

from roam import WIDE, Roaming
from scenario_roam import roam
from topology import LAN4


def run(lab):
    # Many a NAT gives its first client 192.168.1.2, at home and at work.
    sites = Roaming(lab, lan=LAN4["a"])
    sites.connect()
    sites.ping()
    roam(sites, WIDE[1])
