# SPDX-License-Identifier: LGPL-2.1-or-later
"""icewired is killed and started again: it finds its peer and reconnects by itself, and so does the other side"""

import probe
from topology import TUNNEL4, connected_sites


def run(lab):
    sites = connected_sites(lab)
    for victim in (sites.a, sites.b):
        lab.say(f"icewired on {victim.name} is killed")
        victim.agent.kill()
        victim.start_agent().wait_ready()
        lab.wait_until(lambda: probe.ping(sites.a, TUNNEL4["b"], 1, linger=1).received, "pings pass again")
        sites.wait_connected()
        sites.ping()
        sites.prove_direct()
    lab.say("icewired on a is stopped, cleanly, and started")
    sites.a.agent.stop()
    sites.a.start_agent().wait_ready()
    lab.wait_until(lambda: probe.ping(sites.a, TUNNEL4["b"], 1, linger=1).received, "pings pass again")
    sites.wait_connected()
    sites.prove_direct()
