# SPDX-License-Identifier: LGPL-2.1-or-later
"""icewire-broker is killed and started again: the path carries on, and icewired works with the new one"""

import probe
from errors import LabError
from topology import TUNNEL4, connected_sites


def run(lab):
    sites = connected_sites(lab)
    pinger = probe.Pinger(sites.a, TUNNEL4["b"], interval=0.02)
    sites.a.broker.kill()
    lab.wait_until(lambda: sites.a.varlink("Describe")["broker"] != "ready", "icewired notices that the broker is gone")
    sites.a.start_broker().wait_ready()
    lab.wait_until(lambda: sites.a.varlink("Describe")["broker"] == "ready", "icewired is connected to the new broker")
    sites.wait_connected()
    echoes = pinger.stop()
    if echoes.lost:
        raise LabError(f"the path suffered: {echoes}")
    # New work needs the new broker.
    sites.a.ctl("reconnect")
    sites.b.agent.kill()
    sites.b.start_agent().wait_ready()
    lab.wait_until(lambda: probe.ping(sites.a, TUNNEL4["b"], 1, linger=1).received, "pings pass again")
    sites.wait_connected()
    sites.prove_direct()
