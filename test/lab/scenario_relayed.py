# SPDX-License-Identifier: LGPL-2.1-or-later
"""two hosts behind symmetric NATs connect by the relay, which carries every packet, and icewired says why"""

from errors import LabError
from topology import Sites


def run(lab):
    sites = Sites(lab, kinds=("symmetric", "symmetric"))
    sites.add_links()
    sites.configure()
    for host in (sites.a, sites.b):
        host.start_icewire()
    for host, peer in zip((sites.a, sites.b), sites.wait_connected(paths=("relayed",))):
        if peer["reason"] != "no-direct-pair" or "relayed" not in host.ctl("status"):
            raise LabError(f"{host.name} does not say that its path is relayed, and why: {peer}")
        lab.say(f"{host.name}: {peer['reasonText']}")
    sites.ping()
    lab.say("%d bytes passed by the relay" % sites.prove_relayed())
