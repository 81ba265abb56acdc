# SPDX-License-Identifier: LGPL-2.1-or-later
"""The networks of the scenarios, on addresses reserved for documentation (RFC 5737, RFC 3849):

    server 192.0.2.10          mosquitto, coturn
        |
    internet ---- 198.51.100.0/24 ---- nat-a ---- 10.1.0.0/24 ---- a
        |
        +-------- 203.0.113.0/24 ----- nat-b ---- 192.168.1.0/24 - b

A host on no NAT is attached to the internet itself; further ones get 198.51.100.128/30 and so on. IPv6 is routed, in
2001:db8:2::/48, :a::/48, :b::/48 and :c::/48. In the tunnel: a is 10.66.0.1 and fd66::1, b is 10.66.0.2 and fd66::2."""

import json

from errors import LabError
from host import Host, frozen, start_together
from namespace import Namespace
from router import Router
from services import MQTT_NAME, MQTT_USER, TURN_USER, Authority, Coturn, Mosquitto
from wireguard import Key
import probe

SERVER4, SERVER6 = "192.0.2.10", "2001:db8:2::10"

# By the site's name: the wide area network (its first address is the internet's router, its second the site's), and
# the LAN behind the site's router.
WIDE4 = {"a": "198.51.100", "b": "203.0.113"}
WIDE6 = {"a": "2001:db8:a", "b": "2001:db8:b"}
LAN4 = {"a": "10.1.0", "b": "192.168.1"}
TUNNEL4 = {"a": "10.66.0.1", "b": "10.66.0.2"}
TUNNEL6 = {"a": "fd66::1", "b": "fd66::2"}

MQTT_PASSWORD_FILE = "/etc/icewire/mqtt.password"
MQTT_CA_FILE = "/etc/icewire/ca.crt"
TURN_PASSWORD_FILE = "/etc/icewire/turn.password"

# Settings of [ICE] for a host that only a direct path can connect.
NO_TURN = {"TURNServers": None, "TURNUser": None, "TURNPasswordFile": None}

# A ping of this size is told from STUN by its length when it passes the internet's router.
LARGE = 1000


class Internet(Router):
    """The router in the middle: it counts what the sites send to each other and to the server."""

    def __init__(self, lab):
        super().__init__(lab, "internet")
        self._counters = []

    def attach(self, machine, interface, own, theirs, length4=24):
        """A cable to a machine's interface; own and theirs: lists of addresses without prefix length."""
        machine.connect(interface, self, "to-" + machine.name)
        for mine, other in zip(own, theirs):
            length = 64 if ":" in mine else length4
            self.address("to-" + machine.name, f"{mine}/{length}")
            machine.address(interface, f"{other}/{length}")
            machine.route("::/0" if ":" in mine else "0.0.0.0/0", "via", mine)

    def count(self, name, expression):
        """Counts forwarded packets that an nftables expression matches."""
        if not self._counters:
            self.nft("table inet count {\n chain forward { type filter hook forward priority 10\n }\n}\n")
        self._counters.append(name)
        self.nft(f"add counter inet count {name}\nadd rule inet count forward {expression} counter name {name}\n")

    def counted(self):
        """Bytes by counter: not packets, since what was sent by segmentation offload passes as one."""
        listing = json.loads(self.run("nft", "--json", "list", "counters", "table", "inet", "count"))
        return {c["counter"]["name"]: c["counter"]["bytes"] for c in listing["nftables"] if "counter" in c}


class Network:
    """The internet, and the server with mosquitto and coturn on it.
    families: the IP versions that exist outside of the tunnel. server: whether there is one."""

    host_type = Host

    def __init__(self, lab, families=(4,), server=True):
        self.lab = lab
        self.families = families
        self.internet = Internet(lab)
        self.server = self.authority = self.mosquitto = self.coturn = None
        self.hosts = {}
        self.addresses = {}  # of those that add_host() has added
        self._n_attached = 0
        if server:
            self._add_server()

    def add_host(self, name):
        """A host on the internet itself."""
        host = self.hosts[name] = self.host_type(self.lab, name)
        n, self._n_attached = self._n_attached, self._n_attached + 1
        self.addresses[name] = self._family(f"198.51.100.{130 + 4 * n}", f"2001:db8:c:{n:x}::2")
        self.internet.attach(host, "eth0", self._family(f"198.51.100.{129 + 4 * n}", f"2001:db8:c:{n:x}::1"),
                             self.addresses[name], length4=30)
        return host

    def add_host_behind(self, name, kind):
        """A host behind a router of its own (see router.KINDS); IPv4 only."""
        router = Router(self.lab, "nat-" + name, kind)
        self.internet.attach(router, "wan", ["203.0.113.253"], ["203.0.113.254"], length4=30)
        host = self.hosts[name] = self.host_type(self.lab, name)
        host.connect("eth0", router, "lan")
        router.address("lan", "10.2.0.1/24")
        host.address("eth0", "10.2.0.2/24")
        host.route("0.0.0.0/0", "via", "10.2.0.1")
        return host

    def _family(self, four, six):
        return [a for family, a in ((4, four), (6, six)) if family in self.families]

    def _add_server(self):
        lab = self.lab
        lab.say("mosquitto and coturn on " + " and ".join(self._family(SERVER4, SERVER6)))
        self.server = Namespace(lab, "server")
        self.internet.attach(self.server, "eth0", self._family("192.0.2.1", "2001:db8:2::1"),
                             self._family(SERVER4, SERVER6))
        self.authority = Authority(lab)
        self.mosquitto = Mosquitto(self.server, self.authority)
        self.coturn = Coturn(self.server, self._family(SERVER4, SERVER6))

    # icewire's side

    def configure(self, **sections):
        """All hosts use the server for everything; sections changes or adds settings."""
        for host in self.hosts.values():
            self.configure_host(host, **sections)

    def configure_host(self, host, **sections):
        """A setting that is None is left out."""
        address = self._family(SERVER4, f"[{SERVER6}]")[0]
        host.name_address(MQTT_NAME, *self._family(SERVER4, SERVER6))
        host.write_secret(MQTT_PASSWORD_FILE, self.mosquitto.password)
        host.write_secret(TURN_PASSWORD_FILE, self.coturn.password)
        host.write(MQTT_CA_FILE, self.authority.certificate)
        settings = {
            "Rendezvous": {"MQTT": f"mqtts://{MQTT_NAME}:8883", "MQTTUser": MQTT_USER,
                           "MQTTPasswordFile": MQTT_PASSWORD_FILE, "MQTTCAFile": MQTT_CA_FILE},
            "ICE": {"STUNServers": f"{address}:3478", "TURNServers": f"turn:{address}:3478?transport=udp",
                    "TURNUser": TURN_USER, "TURNPasswordFile": TURN_PASSWORD_FILE},
        }
        for section, changes in sections.items():
            merged = {**settings.get(section, {}), **changes}
            settings[section] = {key: value for key, value in merged.items() if value is not None}
        host.configure(**settings)


class Sites(Network):
    """Two sites, "a" and "b", on the internet, each with a host and a WireGuard link without any endpoint.
    kinds: what the router of each is (see router.KINDS), or None: the host is on the internet itself."""

    def __init__(self, lab, kinds=("port-restricted", "port-restricted"), families=(4,), server=True):
        super().__init__(lab, families, server)
        self.routers, self.keys = {}, {}
        for name, kind in zip("ab", kinds):
            self._add_site(name, kind)
        self.a, self.b = self.hosts["a"], self.hosts["b"]
        self._count()

    def _add_site(self, name, kind):
        outside = self._family(WIDE4[name] + ".1", WIDE6[name] + "::1")
        site = self._family(WIDE4[name] + ".2", WIDE6[name] + "::2")
        host = self.host_type(self.lab, name)
        self.hosts[name] = host
        self.keys[name] = Key(self.lab)
        if kind is None:
            self.lab.say(f"host {name} on the internet: {' and '.join(site)}")
            self.internet.attach(host, "eth0", outside, site, length4=30)
            return
        self.lab.say(f"host {name} behind a {kind} router: {' and '.join(site)}")
        router = Router(self.lab, "nat-" + name, kind)
        self.routers[name] = router
        self.internet.attach(router, "wan", outside, site, length4=30)
        host.connect("eth0", router, "lan")
        if 4 in self.families:
            router.address("lan", LAN4[name] + ".1/24")
            host.address("eth0", LAN4[name] + ".2/24")
            host.route("0.0.0.0/0", "via", LAN4[name] + ".1")
            if kind in ("none", "firewall"):
                self.internet.route(LAN4[name] + ".0/24", "via", WIDE4[name] + ".2")
        if 6 in self.families:
            router.address("lan", WIDE6[name] + ":1::1/64")
            host.address("eth0", WIDE6[name] + ":1::2/64")
            host.route("::/0", "via", WIDE6[name] + ":1::1")
            self.internet.route(WIDE6[name] + ":1::/64", "via", WIDE6[name] + "::2")

    def _count(self):
        large = f"udp length > {LARGE}"
        between = {4: ("ip", WIDE4["a"] + ".0/24", WIDE4["b"] + ".0/24", SERVER4),
                   6: ("ip6", WIDE6["a"] + "::/48", WIDE6["b"] + "::/48", SERVER6)}
        for family in self.families:
            ip, a, b, server = between[family]
            self.internet.count(f"direct{family}_ab", f"{ip} saddr {a} {ip} daddr {b} {large}")
            self.internet.count(f"direct{family}_ba", f"{ip} saddr {b} {ip} daddr {a} {large}")
            self.internet.count(f"relay{family}_in", f"{ip} daddr {server} {large}")
            self.internet.count(f"relay{family}_out", f"{ip} saddr {server} {large}")

    def cut(self):
        """From now on, what goes from site to site is lost, and nobody is told. The way by the server is open."""
        self.internet.nft("table inet cut {\n chain forward { type filter hook forward priority 20\n" + "".join(
            f"  {ip} saddr {one} {ip} daddr {other} meta l4proto udp drop\n" for ip, sites in
            (("ip", [WIDE4[n] + ".0/24" for n in "ab"]), ("ip6", [WIDE6[n] + "::/48" for n in "ab"]))
            for one, other in (sites, sites[::-1])) + " }\n}\n")

    def mend(self):
        self.internet.run("nft", "delete", "table", "inet", "cut")

    # icewire's side

    def add_links(self, preshared_keys=(None, None), keys_believed=None):
        """A link on each host, which knows the other by public key. keys_believed: (a's key as b has it, b's as a)."""
        believed = keys_believed or (self.keys["a"].public, self.keys["b"].public)
        for name, other, public_key, preshared_key in (("a", "b", believed[1], preshared_keys[0]),
                                                       ("b", "a", believed[0], preshared_keys[1])):
            link = self.hosts[name].add_link("wg0", self.keys[name], [TUNNEL4[name] + "/24", TUNNEL6[name] + "/64"])
            link.add_peer(public_key, [TUNNEL4[other] + "/32", TUNNEL6[other] + "/128"], preshared_key)
        self.lab.say(f"a WireGuard link on each host, {self.a.links['wg0'].kind} WireGuard, no endpoints")

    def wait_connected(self, paths=("direct",), timeout=60):
        """Both sides; returns both peers."""
        return (self.a.wait_connected(self.keys["b"].public, paths, timeout),
                self.b.wait_connected(self.keys["a"].public, paths, timeout))

    def wait_measured(self):
        """Until both sides know the round-trip time of their path, and icewirectl shows it; returns both, in seconds."""
        return [self._wait_measured(self.hosts[name], self.keys[other].public) for name, other in ("ab", "ba")]

    def _wait_measured(self, host, public_key):
        peer = host.wait_peer(public_key, "its round-trip time is known",
                              lambda p: 0 < p.get("roundTripTimeUSec", 0) < 1000000)
        shown = [line for line in host.ctl("peer", public_key).splitlines() if "Round trip:" in line]
        if not shown:
            raise LabError(f"{host.name}: icewirectl does not show the round-trip time of {peer['roundTripTimeUSec']} us")
        self.lab.say(f"{host.name}: {shown[0].strip()}")
        return peer["roundTripTimeUSec"] / 1e6

    def ping(self, count=10, family=4):
        """a pings b through the tunnel; raises unless every ping is answered."""
        echoes = probe.ping(self.a, (TUNNEL4 if family == 4 else TUNNEL6)["b"], count)
        if echoes.lost:
            lost = [str(n) for n in range(echoes.sent) if n not in echoes.replied_at]
            raise LabError(f"{echoes.lost} of {echoes.sent} pings through the tunnel were lost: number {', '.join(lost)}")
        return echoes

    def _ping_and_count(self, count):
        """Pings with large packets. Returns how many were lost, and how many bytes passed (a to b, b to a, relayed)."""
        before = self.internet.counted()
        echoes = probe.ping(self.a, TUNNEL4["b"], count, size=LARGE)
        after = self.internet.counted()
        passed = {name: after[name] - before[name] for name in after}
        return (echoes.lost, sum(n for name, n in passed.items() if name.startswith("direct") and name.endswith("_ab")),
                sum(n for name, n in passed.items() if name.startswith("direct") and name.endswith("_ba")),
                sum(n for name, n in passed.items() if name.startswith("relay")))

    def prove_direct(self, count=20, proxied=False):
        """Raises unless large pings pass the internet's router from site to site, both ways, and none to or from the
        server, and the daemons (unless the path is proxied) have no part in it. Returns how many bytes passed (a to b,
        b to a, relayed)."""
        with frozen(*(() if proxied else (self.a, self.b))):
            lost, there, back, relayed = self._ping_and_count(count)
        if lost or there < count * LARGE or back < count * LARGE or relayed:
            raise LabError(f"{count} pings of {LARGE} bytes, {lost} lost; {there} bytes passed from a to b, {back} from b "
                           f"to a, {relayed} by the relay")
        return there, back, relayed

    def prove_relayed(self, count=20):
        """Raises unless large pings pass by the server, and none from site to site. Only UDP is counted. Returns how
        many bytes were relayed."""
        lost, there, back, relayed = self._ping_and_count(count)
        if lost or there or back or relayed < 2 * count * LARGE:
            raise LabError(f"{count} pings of {LARGE} bytes, {lost} lost; {there} bytes passed from a to b, {back} from b "
                           f"to a, {relayed} by the relay")
        return relayed


def connected_sites(lab, settings=None, paths=("direct",), **options):
    """What most scenarios begin with: two sites, links, daemons, and a path. settings: as configure() takes them;
    options: as Sites takes them."""
    sites = Sites(lab, **options)
    sites.add_links()
    sites.configure(**(settings or {}))
    start_together(sites.a, sites.b)
    sites.wait_connected(paths)
    sites.ping()
    return sites
