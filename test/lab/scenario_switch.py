# SPDX-License-Identifier: LGPL-2.1-or-later
"""relayed hosts become direct by themselves, or when somebody asks, and ICE starts anew: under traffic, and nothing is lost"""

import switch
from errors import LabError


def run(lab):
    sites = switch.relayed_sites(lab)
    _check(lab, "ICE starts anew, by the relay", switch.restart(lab, sites, ("relayed",)))
    sites.prove_relayed()
    _check(lab, "UDP between the sites is let through, and nobody says so", switch.wait_for_upgrade(lab, sites))
    sites.prove_direct()
    _check(lab, "ICE starts anew, directly", switch.restart(lab, sites, ("direct",)))
    sites.prove_direct()


def _check(lab, what, result):
    lab.say(f"{what}: {result}")
    if result.lost or result.reordered:
        raise LabError(f"{what}: {result.lost} of {result.sent} pings were lost, {result.reordered} overtaken")
