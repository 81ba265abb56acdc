# SPDX-License-Identifier: LGPL-2.1-or-later
"""STUN servers that are silent, unreachable or unknown do not hold up the path: the one that answers is enough"""

from errors import LabError
from host import start_together
from topology import NO_TURN, SERVER4, Sites

SILENT, UNREACHABLE, UNKNOWN = "198.18.0.1", "192.0.2.99", "nowhere.example"


def run(lab):
    sites = Sites(lab)
    sites.internet.ip("route", "add", "blackhole", SILENT)
    sites.add_links()
    servers = " ".join(f"{server}:3478" for server in (SILENT, UNREACHABLE, UNKNOWN, SERVER4))
    sites.configure(ICE={"STUNServers": servers, **NO_TURN})
    start_together(sites.a, sites.b)
    for host, peer in zip((sites.a, sites.b), sites.wait_connected()):
        if peer["local"]["type"] != "srflx":
            raise LabError(f"{host.name}'s end should be what a STUN server has told: {peer}")
        # Said once all have answered, or have had their time.
        lab.wait_until(lambda host=host: "mapping of " in host.agent.output(), f"{host.name} gives up the silent server")
        log = host.agent.output()
        if log.index("Path is direct") > log.index("mapping of "):
            raise LabError(f"{host.name} waited for the servers that do not answer before it found a path")
    sites.prove_direct()
