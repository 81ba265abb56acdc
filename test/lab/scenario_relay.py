# SPDX-License-Identifier: LGPL-2.1-or-later
"""between two symmetric NATs, which nothing direct gets through, the TURN server relays, and icewired says why"""

from errors import LabError
from topology import Sites


def run(lab):
    sites = Sites(lab, kinds=("symmetric", "symmetric"))
    sites.add_links()
    sites.configure()
    for host in (sites.a, sites.b):
        host.start_icewire()
    for peer in sites.wait_connected(paths=("relayed",)):
        if peer["reason"] != "no-direct-pair":
            raise LabError(f"the reason is not that there is no direct pair: {peer}")
    sites.ping()
    lab.say("%d bytes passed by the relay" % sites.prove_relayed())
