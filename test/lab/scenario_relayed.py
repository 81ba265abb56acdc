# SPDX-License-Identifier: LGPL-2.1-or-later
"""two hosts behind symmetric NATs connect by the relay, which carries every packet, and icewired says why"""

from errors import LabError
from topology import LARGE, TUNNEL4, Sites
import probe

PINGS = 20


def run(lab):
    sites = Sites(lab, kinds=("symmetric", "symmetric"))
    sites.add_links()
    sites.configure()
    for host in (sites.a, sites.b):
        host.start_icewire()
    for host, peer in zip((sites.a, sites.b), sites.wait_connected(paths=("relayed",))):
        if "relay" not in (peer.get("reasonText") or "").lower() or "relayed" not in host.ctl("status"):
            raise LabError(f"{host.name} does not say that its path is relayed, and why: {peer}")
        lab.say(f"{host.name}: {peer['reason']}: {peer['reasonText']}")
    before = sites.internet.counted()
    echoes = probe.ping(sites.a, TUNNEL4["b"], PINGS, size=LARGE)
    passed = {name: n - before[name] for name, n in sites.internet.counted().items()}
    lab.say(f"{echoes.received} of {echoes.sent} pings answered; bytes that passed: {passed}")
    if echoes.lost or min(passed["relay4_in"], passed["relay4_out"]) < PINGS * LARGE:
        raise LabError(f"{echoes.lost} pings lost; bytes that passed the internet's router: {passed}")
    if passed["direct4_ab"] or passed["direct4_ba"]:
        raise LabError(f"packets passed from site to site, between symmetric NATs: {passed}")
