# SPDX-License-Identifier: LGPL-2.1-or-later
"""icewired is killed while it carries the path: started again, it finds its peer and reconnects, as does the other side"""

import probe
from topology import TUNNEL4, connected_sites


def run(lab):
    # A direct path would not notice: see scenario_survival.
    sites = connected_sites(lab, settings={"ICE": {"Redirect": "proxy"}}, paths=("proxied",))
    for victim in (sites.a, sites.b):
        lab.say(f"icewired on {victim.name} is killed")
        victim.agent.kill()
        victim.start_agent().wait_ready()
        lab.wait_until(lambda: probe.ping(sites.a, TUNNEL4["b"], 1, linger=1).received, "pings pass again")
        sites.wait_connected(("proxied",))
        sites.ping()
        sites.prove_direct(proxied=True)
    lab.say("icewired on a is stopped, cleanly, and started")
    sites.a.agent.stop()
    sites.a.start_agent().wait_ready()
    lab.wait_until(lambda: probe.ping(sites.a, TUNNEL4["b"], 1, linger=1).received, "pings pass again")
    sites.wait_connected(("proxied",))
    sites.prove_direct(proxied=True)
