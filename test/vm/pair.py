# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two hosts of managers.py, "a" and "b", each behind a NAT; WireGuard between them is for a case to configure."""

import time

from errors import LabError
from machine import Machine
from patience import patient
from probe import Pinger, until_reply
from topology import LAN4, TUNNEL4, TUNNEL6, Sites
from wireguard_set import replace_and_remove, replace_peers

LINK, PORT = "wg0", 51820
NETWORKS = [f"10.{i}.0.0/16" for i in range(100, 130)]  # that are behind the other host, if any were
MANAGERS = ("systemd-networkd.socket", "systemd-networkd.service", f"wg-quick@{LINK}.service", "NetworkManager.service")
INTERVAL = 0.01  # seconds between pings
QUIET = 3  # seconds for which pings are watched before anything happens, and after it has
BROKEN = 60  # seconds after which a path that has no answer is given up
GAP_MAX = 1.0  # seconds for which a path may be broken by what somebody does to its configuration


class MachineSites(Sites):
    host_type = Machine


class Pair:
    """sites: the lab's; hosts: the two machines, booted and with icewire running."""

    def __init__(self, lab):
        self.lab = lab
        self.sites = MachineSites(lab)
        self.hosts = (self.sites.a, self.sites.b)
        self._problems = []
        self._preshared = lab.run("wg", "genpsk").strip()
        self.sites.configure(Agent={"LogLevel": "info"}, Rendezvous={"MQTTPasswordFile": None}, ICE={"TURNPasswordFile": None})
        start = time.monotonic()
        for host in self.hosts:
            host.write("/etc/systemd/network/10-eth0.network", uplink(host.name))
            host.begin_boot()
        for host in self.hosts:
            host.booted()
        lab.say(f"two machines have booted, in {time.monotonic() - start:.1f} s")
        for host in self.hosts:
            host.wait_redirect("ebpf")
        lab.say("icewire runs on both")

    def other(self, host):
        return self.hosts[1] if host is self.hosts[0] else self.hosts[0]

    def key(self, host):
        return self.sites.keys[host.name]

    def settings(self, host):
        """What a link's configuration consists of, by name."""
        other = self.other(host)
        return {"private": self.key(host).give_private().strip(), "public": self.key(other).public, "port": PORT,
                "preshared": self._preshared, "address": TUNNEL4[host.name], "other": TUNNEL4[other.name],
                "allowed": [f"{TUNNEL4[other.name]}/32", f"{TUNNEL6[other.name]}/128", *NETWORKS]}

    # Links, where it does not matter who makes them

    def add_links(self):
        for host in self.hosts:
            host.ip("link", "add", LINK, "type", "wireguard")
            host.address(LINK, self.settings(host)["address"] + "/24")
            host.ip("link", "set", LINK, "up")
            self.write_netlink(host)

    def remove_links(self):
        for host in self.hosts:
            host.ip("link", "delete", LINK)

    def _netlink(self, host):
        s = self.settings(host)
        return LINK, s["private"], s["port"], s["public"], s["preshared"], s["allowed"]

    def write_netlink(self, host, keepalive=None):
        host.call(replace_peers, *self._netlink(host), keepalive)

    def write_and_remove(self, host, keepalive, delay):
        """Writes the other one, and takes it out after so many seconds."""
        host.call(replace_and_remove, delay, *self._netlink(host), keepalive)

    # Paths

    def wait_direct(self):
        """Until both are connected by a direct path, through the redirect; proves that by what passes the internet."""
        peers = self.sites.wait_connected()
        for host in self.hosts:
            host.wait_redirect("ebpf")
        passed = self.sites.prove_direct(proxied=True)
        self.lab.say(f"direct: {passed[0]} bytes from a to b, {passed[1]} back, {passed[2]} by the relay")
        return peers

    def disturb(self, what, action, limit=GAP_MAX):
        """Does something under 100 pings a second, and says for how long none was answered, beside how it was before."""
        before = self._watch(None)
        after = self._watch(action)
        self.lab.say(f"{what}: {after.longest_gap:.2f} s without an answer, {after.lost} of {after.sent} pings lost "
                     f"(before: {before.longest_gap:.2f} s, {before.lost} of {before.sent})")
        if after.longest_gap > limit + before.longest_gap:
            self._problems.append(f"{what}: the path was broken for {after.longest_gap:.2f} s; before that the longest gap was "
                                  f"{before.longest_gap:.2f} s")

    def replace(self, what, action):
        """The same with what cannot but break the path, since it makes the link anew: it is a direct one again."""
        self.disturb(what, action, limit=patient(BROKEN))
        self.wait_direct()

    def _watch(self, action):
        """The Echoes of the time in which something was done, and until it has no effect any more."""
        source, destination = self.sites.a, TUNNEL4["b"]
        pinger = Pinger(source, destination, interval=INTERVAL)
        try:
            if action:
                self.lab.always(lambda: True, "", 0.5)
                action()
            self.lab.always(lambda: True, "", QUIET)
            broken = source.call(until_reply, destination, 0.05, patient(BROKEN), timeout=2 * BROKEN) is None
        finally:
            echoes = pinger.stop()
        if broken:
            raise LabError(f"nothing comes through, for {patient(BROKEN)} s")
        return echoes

    def expect(self, host, what, expected):
        """What somebody has written of the other one is in force: `wg show wg0 WHAT`."""
        key = self.key(self.other(host)).public
        shown = dict(line.split("\t", 1) for line in host.run("wg", "show", LINK, what).splitlines())
        if shown.get(key) != expected:
            raise LabError(f"{host.name}: {what} should be {expected}, and is {shown.get(key)}")

    def expect_configuration(self, host, keepalive):
        """The link has what `settings` says, and nothing else but an endpoint: `wg showconf wg0`."""
        s = self.settings(host)
        expected = {"PrivateKey": s["private"], "ListenPort": str(s["port"]), "PublicKey": s["public"],
                    "PresharedKey": s["preshared"], "AllowedIPs": sorted(s["allowed"]), "PersistentKeepalive": keepalive}
        lines = [line.split(" = ", 1) for line in host.run("wg", "showconf", LINK).splitlines() if " = " in line]
        shown = {name: sorted(value.split(", ")) if name == "AllowedIPs" else value for name, value in lines}
        shown.pop("Endpoint", None)
        if shown != expected or len(lines) > len(expected) + 1:
            different = [name for name in shown.keys() | expected.keys() if shown.get(name) != expected.get(name)]
            raise LabError(f"{host.name}: the configuration is another one: {', '.join(sorted(different)) or 'more peers'}")

    def is_clean(self):
        return not any(host.run("ip", "link", "show", LINK, check=False).returncode == 0 for host in self.hosts)

    def reset(self):
        """After a case that has failed, so that the next one can show something."""
        self._problems = []
        for host in self.hosts:
            host.systemctl("stop", *MANAGERS, check=False)
            host.run("ip", "link", "delete", LINK, check=False)
            host.start_icewire()

    def clean_up(self):
        """What a case ends with: the links are gone, and icewire has seen that. Raises if a path was broken for too long."""
        if not self.is_clean():
            raise LabError(f"a host still has {LINK}")
        for host in self.hosts:
            host.wait_gone(self.key(self.other(host)).public)
        problems, self._problems = self._problems, []
        if problems:
            raise LabError("; ".join(problems))


def uplink(name):
    """The host's own interface, for systemd-networkd: as the lab has set it up."""
    return f"[Match]\nName=eth0\n\n[Network]\nAddress={LAN4[name]}.2/24\nGateway={LAN4[name]}.1\n"
