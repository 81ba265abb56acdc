# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two sites, of which one has a second uplink, behind another NAT, that takes the first one's place."""

import time

import probe
from host import start_together
from router import Router
from topology import TUNNEL4, Sites

# The second uplink: the wide area network, and the LAN behind its NAT.
WIDE = ("198.51.100.65", "198.51.100.66")
LAN = "172.16.7"


class Roaming(Sites):
    """a's eth0 is behind one NAT, its eth1 behind another one, and down at first."""

    def __init__(self, lab, kinds=("port-restricted", "port-restricted"), second="port-restricted", **options):
        super().__init__(lab, kinds=kinds, **options)
        router = self.second = Router(lab, "nat-2", second)
        self.internet.attach(router, "wan", WIDE[:1], WIDE[1:], length4=30)
        self.a.connect("eth1", router, "lan")
        router.address("lan", LAN + ".1/24")
        self.a.ip("link", "set", "eth1", "down")

    def connect(self, **settings):
        """Until the two have a direct path, with icewire on both."""
        self.add_links()
        self.configure(**settings)
        start_together(self.a, self.b)
        self.wait_connected()

    def replace_uplink(self, back=False):
        """As when a cable is pulled and a wireless network joined: the one is gone before the other has an address.
        back: from eth1 to eth0. Returns the time.monotonic() of it."""
        old, new, network = ("eth1", "eth0", "10.1.0") if back else ("eth0", "eth1", LAN)
        at = time.monotonic()
        self.a.run("ip", "-batch", "-", stdin=f"link set {old} down\naddress flush dev {old}\nlink set {new} up\n"
                   f"address add {network}.2/24 dev {new}\nroute add default via {network}.1 dev {new}\n")
        return at

    def roam(self, back=False, interval=0.005, timeout=30):
        """Replaces the uplink while pings run. Returns after how many seconds a ping was answered again (None: not within
        the timeout), and what came of all."""
        pinger = probe.Pinger(self.a, TUNNEL4["b"], interval=interval)
        at = self.replace_uplink(back)
        answered = self.a.call(probe.until_reply, TUNNEL4["b"], interval, timeout, timeout=timeout + 30)
        return answered and answered - at, pinger.stop()
