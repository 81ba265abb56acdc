# SPDX-License-Identifier: LGPL-2.1-or-later
"""a static endpoint that works is left alone; when it stops to work under traffic, the relay takes over"""

import time

from errors import LabError
from host import start_together
from probe import until_reply
from topology import TUNNEL4, WIDE4, Sites

STATIC = WIDE4["b"] + ".2:51820"
# Nothing was negotiated, so nobody can probe that path: only WireGuard's silence tells.
PATIENCE = 90


def run(lab):
    sites = Sites(lab, kinds=(None, None))
    sites.add_links()
    link = sites.a.links["wg0"]
    peer = sites.keys["b"].public
    link.host.run("wg", "set", "wg0", "peer", peer, "endpoint", STATIC)
    sites.ping()
    sites.configure()
    start_together(sites.a, sites.b)
    sites.wait_connected(("direct",))
    lab.always(lambda: True, "", 3)
    sites.ping()
    for host in (sites.a, sites.b):
        if host.peers()[0]["counters"]["sessions"]:
            raise LabError(f"{host.name} has negotiated: {host.peers()}")
    if link.show("endpoints")[peer] != STATIC or link.show("persistent-keepalive")[peer] != "off":
        raise LabError(f"{link.show('endpoints')} and {link.show('persistent-keepalive')} are not what was configured")
    lab.say("the static endpoint was left alone")
    sites.cut()
    start = time.monotonic()
    reply = sites.a.call(until_reply, TUNNEL4["b"], 0.05, PATIENCE, timeout=PATIENCE + 30)
    if reply is None:
        raise LabError(f"nobody took over within {PATIENCE} s")
    lab.say(f"the relay took over after {reply - start:.1f} s")
    sites.wait_connected(("relayed",))
