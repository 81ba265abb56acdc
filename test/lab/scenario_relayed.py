# SPDX-License-Identifier: LGPL-2.1-or-later
"""two hosts behind symmetric NATs connect by the relay, which carries every packet, and icewired says why"""

from errors import LabError
from services import Coturn
from topology import SERVER4, Sites

# What a mapping depends on shows when two servers at different addresses are asked.
SECOND4 = "192.0.2.11"


def run(lab):
    sites = Sites(lab, kinds=("symmetric", "symmetric"))
    sites.server.address("eth0", SECOND4 + "/24")
    Coturn(sites.server, [SECOND4], name="coturn-2")
    sites.add_links()
    sites.configure(ICE={"STUNServers": f"{SERVER4}:3478 {SECOND4}:3478"})
    for host in (sites.a, sites.b):
        host.start_icewire()
    sites.wait_connected(paths=("relayed",))
    for host, other in ((sites.a, "b"), (sites.b, "a")):
        peer = host.wait_peer(sites.keys[other].public, "relayed, for mapping-varies",
                              lambda p: p["path"] == "relayed" and p["reason"] == "mapping-varies")
        status = host.ctl("status")
        if "relayed" not in status or peer["reasonText"] not in status:
            raise LabError(f"{host.name} does not say that its path is relayed, and why: {status}")
        lab.say(f"{host.name}: {peer['reasonText']} ({peer['reasonDetail']})")
    sites.ping()
    sites.wait_measured()
    lab.say("%d bytes passed by the relay" % sites.prove_relayed())
