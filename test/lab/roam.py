# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two sites, of which one has a second uplink, behind another NAT, that takes the first one's place."""

import time

import probe
from host import start_together
from router import Router
from topology import LAN4, TUNNEL4, Sites

# The second uplink: the wide area network, and the LAN behind its NAT.
WIDE = ("198.51.100.65", "198.51.100.66")
LAN = "172.16.7"


class Roaming(Sites):
    """a's eth0 is behind one NAT, its eth1 behind another one, and down at first. lan: that of the second one."""

    def __init__(self, lab, kinds=("port-restricted", "port-restricted"), second="port-restricted", lan=LAN, **options):
        super().__init__(lab, kinds=kinds, **options)
        self.networks = {"eth0": LAN4["a"], "eth1": lan}
        router = self.second = Router(lab, "nat-2", second)
        self.internet.attach(router, "wan", WIDE[:1], WIDE[1:], length4=30)
        self.a.connect("eth1", router, "lan")
        router.address("lan", lan + ".1/24")
        self.a.ip("link", "set", "eth1", "down")

    def connect(self, paths=("direct",), **settings):
        """Until the two have a path, with icewire on both."""
        self.add_links()
        self.configure(**settings)
        start_together(self.a, self.b)
        self.wait_connected(paths)

    def replace_uplink(self, back=False):
        """As when a cable is pulled and a wireless network joined: the one is gone before the other has an address.
        back: from eth1 to eth0. Returns the time.monotonic() of it."""
        old, new = ("eth1", "eth0") if back else ("eth0", "eth1")
        at = time.monotonic()
        self.a.run("ip", "-batch", "-", stdin=f"link set {old} down\naddress flush dev {old}\n" + self._up(new))
        return at

    def add_uplink(self, metric):
        """eth1 beside eth0."""
        self.a.run("ip", "-batch", "-", stdin=self._up("eth1", f"metric {metric}"))

    def _up(self, interface, metric=""):
        network = self.networks[interface]
        return (f"link set {interface} up\naddress add {network}.2/24 dev {interface}\n"
                f"route add default via {network}.1 dev {interface} {metric}\n")

    def prefer(self, interface, metric):
        """Another default route, of a metric that none has."""
        self.a.ip("route", "add", "default", "via", self.networks[interface] + ".1", "dev", interface, "metric", str(metric))

    def wait_seen_at(self, address, timeout=60):
        """Until b sees a there, by a direct path."""
        self.b.wait_peer(self.keys["a"].public, f"direct, at {address}", timeout=timeout, condition=lambda p:
                         p["state"] == "connected" and p["path"] == "direct" and p["endpoint"].startswith(address + ":"))
        self.wait_connected()

    def roam(self, back=False, interval=0.005, timeout=30):
        """Replaces the uplink while pings run. Returns after how many seconds a ping was answered again (None: not within
        the timeout), and what came of all."""
        pinger = probe.Pinger(self.a, TUNNEL4["b"], interval=interval)
        at = self.replace_uplink(back)
        answered = self.a.call(probe.until_reply, TUNNEL4["b"], interval, timeout, timeout=timeout + 30)
        return answered and answered - at, pinger.stop()
