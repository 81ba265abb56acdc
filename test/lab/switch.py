# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two sites change from one path that works to another while there is traffic both ways: what became of it."""

import dataclasses
import time

from host import start_together
from probe import Pinger
from topology import TUNNEL4, Sites

INTERVAL = 0.005
# Traffic before the switch, and after both sides have the new path: seconds.
BEFORE, AFTER = 1, 5


@dataclasses.dataclass
class Switch:
    sent: int
    lost: int
    reordered: int
    seconds: float  # until both sides have the new path
    lost_at: list  # when those were sent that are lost: seconds, as above


def relayed_sites(lab, **options):
    """Two sites that find no way but by the relay, until sites.mend()."""
    sites = Sites(lab, **options)
    sites.cut()
    sites.add_links()
    sites.configure()
    start_together(sites.a, sites.b)
    sites.wait_connected(("relayed",))
    sites.ping()
    return sites


def upgrade(lab, sites):
    """The way from site to site opens, and somebody asks for another path."""
    sites.mend()
    return _switch(lab, sites, ("direct",), lambda: _reconnect(sites.a))


def wait_for_upgrade(lab, sites):
    """The same, and nobody asks: it is tried now and then."""
    return _switch(lab, sites, ("direct",), sites.mend, timeout=90)


def restart(lab, sites, paths):
    """ICE starts anew, and finds what there was."""
    return _switch(lab, sites, paths, lambda: _reconnect(sites.a))


def _reconnect(host):
    host.ctl("reconnect")


def _paths(sites):
    """How many paths each side has had, and which it has; None while it has none."""
    peers = [host.peers()[0] for host in (sites.a, sites.b)]
    return [(p["counters"]["paths"], p["path"] if p["state"] == "connected" else None) for p in peers]


def _switch(lab, sites, paths, begin, timeout=60):
    before = _paths(sites)
    pinger = Pinger(sites.a, TUNNEL4["b"], interval=INTERVAL)
    lab.always(lambda: True, "", BEFORE)
    started = time.monotonic()
    begin()

    def switched():
        return all(n > m and path in paths for (n, path), (m, _) in zip(_paths(sites), before))

    lab.wait_until(switched, lambda: f"both sides have another path that is {paths}; they have {_paths(sites)}", timeout,
                   interval=0.1)
    seconds = time.monotonic() - started
    lab.always(lambda: True, "", AFTER)
    echoes = pinger.stop()
    lost_at = [round(sent - started, 3) for n, sent in enumerate(echoes.sent_at) if n not in echoes.replied_at]
    return Switch(echoes.sent, echoes.lost, echoes.reordered, seconds, lost_at)
