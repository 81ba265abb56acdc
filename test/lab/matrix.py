# SPDX-License-Identifier: LGPL-2.1-or-later
"""The NAT matrix: hosts behind every kind of NAT and firewall, in pairs, and by which path each pair connects.

One internet has all hosts; each kind is there twice, so that it can meet itself. A pair is a link of its own on each of
its two hosts, with a port of its own, made when its turn comes and removed afterwards: no NAT remembers it, and several
pairs that have no host in common run at once. All hosts have the same configuration. On the server's first address are
mosquitto at TLS's port and coturn at its own, on its second a coturn with TLS at port 443."""

import base64
import ipaddress
import json
import os
import re
import time

import probe
from errors import LabError
from host import Host, start_together
from lab import SOURCE
from namespace import Call, Namespace
from router import Router
from services import MQTT_NAME, Authority, Coturn, Mosquitto
from topology import LARGE, MQTT_CA_FILE, SERVER4, SERVER6, Network
from wireguard import Key

TURN_NAME = "turn.example"
SECOND_NAME, SECOND_PORT = "turn443.example", 3479
SECOND4, SECOND6 = "192.0.2.11", "2001:db8:2::11"

DOCUMENT = os.path.join(SOURCE, "docs", "NAT-TABLE.md")

# Kinds of sites, in the table's order, with what people call them.
KINDS = {
    "none": "no NAT",
    "full-cone": "full-cone NAT",
    "address-restricted": "address-restricted NAT",
    "port-restricted": "port-restricted NAT",
    "symmetric": "symmetric NAT",
    "carrier": "NAT behind a carrier's NAT",
    "firewall": "stateful firewall",
    "udp-blocked": "no UDP at all",
    "tcp-443": "only TCP to port 443",
    "ipv6": "IPv6 only, firewall",
}

# Two hosts behind one router; each LAN is apart from the other, but for the first.
SHARED = {
    "one-lan": "one LAN behind one NAT",
    "one-nat": "two LANs behind one NAT",
    "one-nat-hairpin": "two LANs behind one NAT with hairpin",
    "one-carrier": "two NATs behind one carrier's NAT",
    "one-carrier-hairpin": "two NATs behind one carrier's NAT with hairpin",
}

# What of them lets in whoever its host has written to, at whatever port: the port that a symmetric NAT chooses is none that
# anybody could have been told.
LENIENT = ("none", "full-cone", "address-restricted")
NO_UDP = ("udp-blocked", "tcp-443")


def expected(pair):
    """The best path that ICE can find for a pair: "direct", "relayed", or "proxied": direct, but by TCP."""
    if pair[0] in SHARED:
        return "relayed" if pair[0] in ("one-nat", "one-carrier") else "direct"
    if ("ipv6" in pair) != (pair == ("ipv6", "ipv6")):
        return "relayed"
    if "udp-blocked" in pair and "none" in pair:
        return "proxied"
    if any(kind in NO_UDP for kind in pair):
        return "relayed"
    if "symmetric" in pair:
        return "direct" if pair[0] in LENIENT or pair[1] in LENIENT else "relayed"
    return "direct"


def all_pairs():
    kinds = list(KINDS)
    pairs = [(a, b) for i, a in enumerate(kinds) for b in kinds[i:]]
    return pairs + [(kind, kind) for kind in SHARED]


class Site:
    """A host, and what it looks like from the internet."""

    def __init__(self, host, outside):
        self.host = host
        self.outside = outside  # addresses


class Matrix(Network):
    """kinds: those of the sites that are wanted, SHARED ones as well."""

    def __init__(self, lab, kinds):
        super().__init__(lab, families=(4, 6))
        self._n = 0
        self.sites = {}  # two of each kind
        for kind in kinds:
            self.sites[kind] = self._shared(kind) if kind in SHARED else (self._site(kind), self._site(kind))
        self._count()

    def _add_server(self):
        self.server = Namespace(self.lab, "server")
        self.internet.attach(self.server, "eth0", ["192.0.2.1", "2001:db8:2::1"], [SERVER4, SERVER6])
        self.server.address("eth0", SECOND4 + "/24", SECOND6 + "/64")
        self.authority = Authority(self.lab)
        self.mosquitto = Mosquitto(self.server, self.authority, tls_port=443, tls_addresses=(SERVER4, SERVER6))
        self.coturn = Coturn(self.server, [SERVER4, SERVER6])
        self.coturn_443 = Coturn(self.server, [SECOND4, SECOND6], name="coturn-443", port=SECOND_PORT, tls_port=443,
                                 certificate=self.authority.issue(SECOND_NAME), password=self.coturn.password)

    def _count(self):
        """Large packets, by source and destination: one set for all pairs, and for each IP version."""
        self.internet.nft("".join(
            f"table inet flows {{\n set by_{ip} {{ typeof {ip} saddr . {ip} daddr; size 65535; flags dynamic; counter\n }}\n"
            f" chain count_{ip} {{ type filter hook forward priority 10\n"
            f"  meta length > {LARGE} meta l4proto udp update @by_{ip} {{ {ip} saddr . {ip} daddr }}\n }}\n}}\n"
            for ip in ("ip", "ip6")))

    def flows(self):
        """UDP packets that were large and passed the internet, by (source, destination)."""
        found = {}
        for ip in ("ip", "ip6"):
            listing = json.loads(self.internet.run("nft", "--json", "list", "set", "inet", "flows", "by_" + ip))
            for entry in listing["nftables"]:
                for element in entry.get("set", {}).get("elem", []):
                    element = element["elem"]
                    found[tuple(element["val"]["concat"])] = element["counter"]["packets"]
        return found

    # Sites

    def _uplink(self, machine, interface="wan", six=False):
        """A cable to the internet; returns the addresses at the machine's end."""
        n, self._n = self._n, self._n + 1
        base = ipaddress.IPv4Address("203.0.113.0") + 4 * n if n < 63 else None
        if base is None:
            raise LabError("too many sites")
        own, theirs = ([f"2001:db8:d:{n:x}::1"], [f"2001:db8:d:{n:x}::2"]) if six else ([str(base + 1)], [str(base + 2)])
        self.internet.attach(machine, interface, own, theirs, length4=30)
        return theirs

    def _host(self, name):
        host = self.hosts[name] = Host(self.lab, name)
        return host

    def _lan(self, router, interface, host, network):
        """network: the first three numbers of its addresses, or the first four of IPv6 ones."""
        host.connect("eth0", router, interface)
        one, two, every = ("::1/64", "::2/64", "::/0") if ":" in network else (".1/24", ".2/24", "0.0.0.0/0")
        router.address(interface, network + one)
        host.address("eth0", network + two)
        host.route(every, "via", (network + one).partition("/")[0])

    def _site(self, kind):
        n = self._n
        host = self._host(f"h{n}")
        if kind == "none":
            return Site(host, self._uplink(host, "eth0"))
        router = Router(self.lab, f"r{n}", {"carrier": "port-restricted", "ipv6": "firewall"}.get(kind, kind))
        network = f"2001:db8:e:{n:x}" if kind == "ipv6" else f"10.1.{n}"
        if kind == "carrier":
            outside = self._behind_carrier(router, self._carrier(n), 1)
        else:
            outside = self._uplink(router, six=kind == "ipv6")
        self._lan(router, "lan", host, network)
        if kind == "firewall":
            self.internet.route(network + ".0/24", "via", outside[0])
            return Site(host, [network + ".2"])
        if kind == "ipv6":
            self.internet.route(network + "::/64", "via", outside[0])
            return Site(host, [network + "::2"])
        return Site(host, outside)

    def _carrier(self, n):
        carrier = Router(self.lab, f"c{n}", "port-restricted")
        carrier.outside = self._uplink(carrier)
        return carrier

    @staticmethod
    def _behind_carrier(router, carrier, number):
        """A subscriber's router, in the addresses of RFC 6598."""
        port = f"lan{number}"
        router.connect("wan", carrier, port)
        carrier.address(port, f"100.64.{number}.1/24")
        router.address("wan", f"100.64.{number}.2/24")
        router.route("0.0.0.0/0", "via", f"100.64.{number}.1")
        return carrier.outside

    def _shared(self, kind):
        n = self._n
        hosts = [self._host(f"h{n}{letter}") for letter in "ab"]
        if kind.startswith("one-carrier"):
            top = self._carrier(n)
            outside = top.outside
            for i, host in enumerate(hosts):
                router = Router(self.lab, f"r{n}{'ab'[i]}", "port-restricted")
                self._behind_carrier(router, top, i + 1)
                self._lan(router, "lan", host, f"10.2.{2 * n + i}")
        else:
            top = Router(self.lab, f"r{n}", "port-restricted")
            outside = self._uplink(top)
            if kind == "one-lan":
                self._one_lan(top, hosts)
            else:
                for i, host in enumerate(hosts):
                    self._lan(top, f"lan{i + 1}", host, f"10.2.{2 * n + i}")
        if kind.endswith("-hairpin"):
            top.hairpin(outside[0])
        return tuple(Site(host, outside) for host in hosts)

    @staticmethod
    def _one_lan(router, hosts):
        router.switch("lan")
        router.address("lan", "192.168.1.1/24")
        for i, host in enumerate(hosts):
            router.plug_in(host, "lan")
            host.address("eth0", f"192.168.1.{i + 2}/24")
            host.route("0.0.0.0/0", "via", "192.168.1.1")

    # icewire's side

    def start(self):
        """The same configuration everywhere."""
        turn = [f"turn:{TURN_NAME}:3478?transport=udp", f"turns:{SECOND_NAME}:443"]
        for host in self.hosts.values():
            host.name_address(TURN_NAME, SERVER4, SERVER6)
            host.name_address(SECOND_NAME, SECOND4, SECOND6)
            self.configure_host(host, Rendezvous={"MQTT": f"mqtts://{MQTT_NAME}:443", "Multicast": "no"},
                                ICE={"STUNServers": f"{TURN_NAME}:3478 {SECOND_NAME}:{SECOND_PORT}",
                                     "TURNServers": " ".join(turn), "TURNCAFile": MQTT_CA_FILE})
        start_together(*self.hosts.values())
        for host in self.hosts.values():
            host.wait_rendezvous("mqtts://", "up")


class Meeting:
    """A pair whose turn it is: step() until done. controlling: which of the two makes the offers."""

    TIMEOUT = 60  # seconds until it has failed

    def __init__(self, matrix, pair, controlling, number):
        self.matrix, self.pair, self.lab = matrix, pair, matrix.lab
        one, two = matrix.sites[pair[0]], matrix.sites[pair[1]]
        self.sites = (one[0], two[1])
        self.name = f"wg{number}"
        self.paths = self.found = None
        self.seconds = {}  # until the first ping is answered: "ping"; until it has its path: "path"
        self.detour = False  # it was connected by another path first
        self._controlling = controlling
        self._number = number
        self._steps = self._run()

    def step(self):
        """True: done."""
        return next(self._steps, True)

    def hosts(self):
        return {site.host for site in self.sites}

    def _run(self):
        keys = sorted((Key(self.lab), Key(self.lab)), key=lambda k: base64.b64decode(k.public))
        if self._controlling:
            keys.reverse()  # the smaller key makes the offers
        tunnel = [f"10.66.{self._number}.1", f"10.66.{self._number}.2"]
        links = [site.host.add_link(self.name, key, [], port=40000 + 2 * self._number + i)
                 for i, (site, key) in enumerate(zip(self.sites, keys))]
        for i, link in enumerate(links):
            link.add_peer(keys[1 - i].public, [tunnel[1 - i] + "/32"])
        first = Call(self.sites[0].host, probe.until_reply, tunnel[1], 0.02, self.TIMEOUT)
        try:
            for i, link in enumerate(links):
                self._start = time.monotonic()
                link.host.address(self.name, tunnel[i] + "/24")
            yield from self._meet(keys, first, tunnel[1])
        finally:
            for link in links:
                link.host.remove_link(self.name)

    def _meet(self, keys, first, destination):
        yield from self._wait_for_paths(keys)
        while not first.ready():
            yield False
        reply = first.result()
        if reply is None:
            raise LabError(f"{self}: {self._describe()}, but no ping is answered")
        self.seconds["ping"] = reply - self._start
        yield from self._prove(destination)

    def __str__(self):
        return " and ".join(name + "*" * (i == self._controlling) for i, name in enumerate(self.pair))

    def _describe(self):
        return " / ".join(f"{p.get('state', 'unknown')}, {p.get('path', '-')}, {p.get('reason', '-')}" for p in self.found)

    def _wait_for_paths(self, keys):
        """Until both sides have a path as good as is expected."""
        while True:
            self.found = [self.sites[i].host.peer(keys[1 - i].public) for i in (0, 1)]
            took = time.monotonic() - self._start
            connected = all(p and p["state"] == "connected" for p in self.found)
            if connected:
                self.paths = [p["path"] for p in self.found]
                if set(self.paths) == {expected(self.pair)}:
                    self.seconds["path"] = took
                    return
                self.detour = True
            if took > self.TIMEOUT:
                raise LabError(f"{self}: expected {expected(self.pair)}, found {self._describe()}")
            yield False

    def _prove(self, destination):
        """Large packets, all answered, and which way they go."""
        before = self.matrix.flows()
        call = Call(self.sites[0].host, probe.echo, destination, 0.02, 5, LARGE, 5)
        while not call.ready():
            yield False
        echoes = call.result()
        after = self.matrix.flows()
        passed = {flow: n - before.get(flow, 0) for flow, n in after.items()}
        own = [set(site.outside) for site in self.sites]
        between = sum(n for (s, d), n in passed.items() if (s in own[0] and d in own[1]) or (s in own[1] and d in own[0]))
        servers = {SERVER4, SERVER6, SECOND4, SECOND6}
        relayed = sum(n for (s, d), n in passed.items() if (s in servers and d in own[0] | own[1]) or
                      (d in servers and s in own[0] | own[1]))
        if echoes.lost:
            raise LabError(f"{self}: {self._describe()}, but {echoes.lost} of {echoes.sent} pings are lost")
        if "relayed" in self.paths and between:
            raise LabError(f"{self}: {self._describe()}, but {between} large packets passed beside the relay")
        # One side may learn of a direct path before the other.
        if set(self.paths) == {"direct"} and relayed:
            raise LabError(f"{self}: {self._describe()}, but {relayed} large packets passed by the relay")


def meet_all(matrix, pairs, at_once=3):
    """All of them, each side controlling once, as many at once as have no host in common; returns the meetings that are
    over. Raises at the end, with all that went wrong."""
    waiting = [(pair, controlling) for pair in pairs for controlling in (0, 1) if not controlling or pair[0] != pair[1]]
    waiting = [Meeting(matrix, *which, number) for number, which in enumerate(waiting, 1)]
    meetings, running, wrong = list(waiting), [], []
    while waiting or running:
        for meeting in list(waiting):
            busy = set().union(*(m.hosts() for m in running))
            if len(running) < at_once and not busy & meeting.hosts():
                waiting.remove(meeting)
                running.append(meeting)
        for meeting in list(running):
            try:
                over = meeting.step()
            except LabError as e:
                wrong.append(str(e))
                matrix.lab.say(f"WRONG: {e}")
                over = True
            if over:
                running.remove(meeting)
                _tell(matrix.lab, meeting)
        matrix.lab.check_processes()
        time.sleep(0.02)
    if wrong:
        raise LabError("; ".join(wrong))
    return meetings


def _tell(lab, meeting):
    if "ping" in meeting.seconds:
        lab.say(f"{meeting}: {' / '.join(meeting.paths)}; " +
                f"ping after {meeting.seconds['ping']:.2f} s" +
                (f", this path after {meeting.seconds['path']:.2f} s" if meeting.detour else ""))


# The table

HEAD = """# Which path two hosts get

Made by `test/lab/run --update nat_matrix`, which connects every pair with the real daemons, coturn and mosquitto; all hosts
have the same configuration, with a TURN server at UDP port 3478 and one by TLS at port 443. A path is **direct** wherever ICE
can find one, *proxied* if it is direct but by TCP, and relayed elsewhere. In parentheses: the seconds from when both have the
other as a peer to the first answered ping through the tunnel, the worse of two runs where one side and then the other makes
the offers, in a network that adds no delay; and, where another path came first, until the one named was there. The table is
that of the day it was made; the test compares the paths with it, not the times.

"""


def _cell(meetings):
    """Of one pair."""
    kinds = {kind for m in meetings for kind in m.paths}
    name = "**direct**" if kinds == {"direct"} else " / ".join(sorted(kinds))
    ping = max(m.seconds["ping"] for m in meetings)
    detours = [m.seconds["path"] for m in meetings if m.detour]
    return f"{name} ({ping:.1f}, {max(detours):.1f})" if detours else f"{name} ({ping:.1f})"


def table(meetings):
    """As Markdown."""
    cells = {m.pair: _cell([o for o in meetings if o.pair == m.pair]) for m in meetings}
    kinds = [k for k in KINDS if any(k in pair for pair in cells)]
    lines = ["| | " + " | ".join(KINDS[k] for k in kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    for i, row in enumerate(kinds):
        line = [cells.get((row, column), "?") if j >= i else "" for j, column in enumerate(kinds)]
        lines.append(f"| {KINDS[row]} | " + " | ".join(line) + " |")
    lines += ["", "| two hosts behind | |", "|---|---|"]
    lines += [f"| {SHARED[k]} | {cells[(k, k)]} |" for k in SHARED if (k, k) in cells]
    return HEAD + "\n".join(lines) + "\n"


def paths_of(text):
    """What a table says: the kind of path by pair."""
    found, names = {}, {name: kind for kind, name in {**KINDS, **SHARED}.items()}
    columns = []
    for line in text.splitlines():
        cells = [re.sub(r"[*]|\(.*\)", "", c).strip() for c in line.strip().strip("|").split("|")]
        if not line.startswith("|") or set(line) <= set("|-"):
            continue
        if cells[0] == "":
            columns = [names[c] for c in cells[1:]]
        elif cells[0] in names and names[cells[0]] in SHARED:
            found[(names[cells[0]],) * 2] = cells[1]
        elif cells[0] in names:
            found.update({(names[cells[0]], column): c for column, c in zip(columns, cells[1:]) if c})
    return found


def compare(meetings, update):
    """With the table in docs/. update: writes it instead."""
    text = table(meetings)
    with open(os.path.join(meetings[0].lab.logs, "NAT-TABLE.md"), "w", encoding="utf-8") as f:
        f.write(text)
    if update:
        with open(DOCUMENT, "w", encoding="utf-8") as f:
            f.write(text)
    with open(DOCUMENT, encoding="utf-8") as f:
        documented = paths_of(f.read())
    wrong = [f"{pair}: {path}, but docs/NAT-TABLE.md says {documented.get(pair, 'nothing')}"
             for pair, path in paths_of(text).items() if path not in ("?", documented.get(pair))]
    if wrong:
        raise LabError("; ".join(wrong) + "; to write it anew: test/lab/run --update nat_matrix")
