# SPDX-License-Identifier: LGPL-2.1-or-later
"""the host wakes from sleep, as logind says on the bus: the path is verified at once, and carries on without loss meanwhile"""

import dbus
import probe
from errors import LabError
from host import start_together
from topology import TUNNEL4, Sites


def run(lab):
    sites = Sites(lab)
    sites.add_links()
    sites.configure()
    start_together(sites.a, sites.b)
    sites.wait_connected()
    # The bus comes later than icewired, which waits for it.
    dbus.start_bus(sites.a)
    logind = dbus.Client(sites.a, "org.freedesktop.login1")
    key = sites.keys["b"].public
    before = sites.a.peer(key)["counters"]["paths"]
    pinger = probe.Pinger(sites.a, TUNNEL4["b"], interval=0.01)

    def resumed():
        logind.signal("/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForSleep", False)
        return "The host has slept" in sites.a.agent.output()

    # It may not have subscribed yet.
    lab.wait_until(resumed, "icewired hears that the host has woken", interval=0.2)
    sites.a.wait_peer(key, "another path is found", lambda p: p["counters"]["paths"] > before)
    sites.wait_connected()
    sites.a.wait_rendezvous("mqtts://", "up")
    echoes = pinger.stop()
    lab.say(f"{echoes}")
    if not echoes.sent or echoes.lost:
        raise LabError(f"the path suffered: {echoes}")
    sites.prove_direct()
