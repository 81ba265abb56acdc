# SPDX-License-Identifier: LGPL-2.1-or-later
"""two hosts behind stateful firewalls in an IPv6-only internet connect directly"""

from topology import connected_sites


def run(lab):
    sites = connected_sites(lab, kinds=("firewall", "firewall"), families=(6,))
    lab.say("direct: %d bytes there, %d back, %d relayed" % sites.prove_direct())
    sites.ping(family=6)
