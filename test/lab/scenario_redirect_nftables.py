# SPDX-License-Identifier: LGPL-2.1-or-later
"""without eBPF, an nftables table makes the path through both NATs direct; the redirect can change below a path in use"""

import probe
from errors import LabError
from topology import TUNNEL4, connected_sites


def run(lab):
    sites = connected_sites(lab, settings={"ICE": {"Redirect": "nftables"}})
    for host in (sites.a, sites.b):
        why = host.wait_redirect("nftables")
        lab.say(f"{host.name}: nftables, not eBPF: {why}")
        if host.attached() or len(host.nft_tables()) != 1:
            raise LabError(f"{host.name}: programs {host.attached()}, tables {host.nft_tables()}")
    lab.say("direct: %d bytes there, %d back, %d relayed" % sites.prove_direct())
    sites.ping(family=6)
    pinger = probe.Pinger(sites.a, TUNNEL4["b"], interval=0.02)
    for redirect in ("ebpf", "nftables"):
        sites.configure(ICE={"Redirect": redirect})
        for host in (sites.a, sites.b):
            host.ctl("reload")
            host.wait_redirect(redirect)
            expected = (True, 0) if redirect == "ebpf" else (False, 1)
            if (bool(host.attached()), len(host.nft_tables())) != expected:
                raise LabError(f"{redirect} on {host.name}: programs {host.attached()}, tables {host.nft_tables()}")
            sites.wait_connected()
    echoes = pinger.stop()
    if not echoes.sent or echoes.lost:
        raise LabError(f"the path suffered from a change of the redirect: {echoes}")
    # What is negotiated now goes by the new one.
    sites.a.ctl("reconnect")
    sites.wait_connected()
    sites.prove_direct()
