# SPDX-License-Identifier: LGPL-2.1-or-later
"""Redirect=proxy: both NATs are crossed, but through icewired, which says so; and nothing is put into the kernel"""

import probe
from errors import LabError
from host import frozen
from topology import TUNNEL4, connected_sites


def run(lab):
    sites = connected_sites(lab, settings={"ICE": {"Redirect": "proxy"}}, paths=("proxied",))
    sites.prove_direct(proxied=True)
    sites.wait_measured()
    for host, peer in zip((sites.a, sites.b), sites.wait_connected(("proxied",))):
        kind, why = host.redirect()
        lab.say(f"{host.name}: {kind}: {why}")
        if kind != "proxy" or not why or peer["reason"] != "no-redirect":
            raise LabError(f"{host.name}: redirect {kind}, because {why}; the peer's reason is {peer['reason']}")
        if host.attached() or host.nft_tables():
            raise LabError(f"{host.name}: programs {host.attached()}, tables {host.nft_tables()}")
        status = host.ctl("status")
        if "proxied" not in status or "Redirect=proxy" not in status:
            raise LabError(f"icewirectl status does not say why the path is not direct: {status}")
    with frozen(sites.a, sites.b):
        if probe.ping(sites.a, TUNNEL4["b"], 3, linger=0.5).received:
            raise LabError("pings passed while icewired could not carry them")
    sites.ping()
