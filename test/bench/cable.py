# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hosts on one cable, each with a WireGuard link, and which programs of the redirect are at the cable's ends."""

import json

from errors import LabError
from host import Host, start_together
from topology import TUNNEL4
from wireguard import Key
import probe

PORT = 51820  # of WireGuard, on both
ADDRESS = {"a": "192.168.1.1", "b": "192.168.1.2"}
# Another one of b, which is no candidate, and which nothing but a load is sent to (RFC 2544).
LOAD_ADDRESS = "198.18.0.1"

PROGRAMS = ["icewire_egress", "icewire_ingress"]
NAME_MAX = 15  # of what the kernel keeps of a map's name


class Cable:
    def __init__(self, lab):
        self.lab = lab
        self.a, self.b = Host(lab, "a"), Host(lab, "b")
        self.hosts = (self.a, self.b)
        self.keys = {host.name: Key(lab) for host in self.hosts}
        self._programs = {host.name: {} for host in self.hosts}  # by name, those attached last
        self.a.connect("eth0", self.b, "eth0")
        for host in self.hosts:
            host.address("eth0", ADDRESS[host.name] + "/24")
            host.add_link("wg0", self.keys[host.name], [TUNNEL4[host.name] + "/24"], PORT)
        self.b.address("lo", LOAD_ADDRESS + "/32")
        self.a.route(LOAD_ADDRESS + "/32", "via", ADDRESS["b"])

    def _with_others(self):
        return (self.a, "b"), (self.b, "a")

    def add_peers(self):
        """Each host's peer, as if for the first time, without an endpoint."""
        for host, other in self._with_others():
            host.links["wg0"].remove_peer(self.keys[other].public)
            host.links["wg0"].add_peer(self.keys[other].public, [TUNNEL4[other] + "/32"])

    def endpoints(self):
        """What WireGuard has as the other's endpoint, on both."""
        return [host.links["wg0"].show("endpoints")[self.keys[other].public] for host, other in self._with_others()]

    def static_endpoints(self):
        """What an administrator would have given it."""
        return [f"{ADDRESS[other]}:{PORT}" for _, other in self._with_others()]

    def set_endpoints(self, endpoints):
        for (host, other), endpoint in zip(self._with_others(), endpoints):
            host.run("wg", "set", "wg0", "peer", self.keys[other].public, "endpoint", endpoint)

    # icewire

    def _configure(self, redirect):
        for host in self.hosts:
            host.configure(ICE={"Redirect": redirect})

    def start(self, redirect, path):
        """Both daemons on both hosts, until the tunnel is carried by such a path."""
        self._configure(redirect)
        start_together(*self.hosts)
        self._wait_in_force(redirect)
        for host, other in self._with_others():
            host.wait_connected(self.keys[other].public, (path,))
        echoes = probe.ping(self.a, TUNNEL4["b"])
        if echoes.lost:
            raise LabError(f"{echoes.lost} of {echoes.sent} pings through the tunnel were lost")

    def stop(self):
        for host in self.hosts:
            host.stop_icewire()
        self._check_programs(attached=False)

    def attach_anew(self):
        """The programs, which somebody may have taken over, while the daemons run. And the two negotiate: with no socket that
        shares WireGuard's port the programs look at nothing."""
        for redirect in ("proxy", "ebpf"):
            self._configure(redirect)
            for host in self.hosts:
                host.ctl("reload")
            self._wait_in_force(redirect)
        before = [self._paths(host) for host in self.hosts]
        self.a.ctl("reconnect")
        for host, paths in zip(self.hosts, before):
            self.lab.wait_until(lambda h=host, n=paths: self._paths(h) > n, f"{host.name}: another path is in use")
            self.lab.wait_until(lambda h=host: self._shares(h), f"{host.name}: a socket shares WireGuard's port")
            self.lab.wait_until(lambda h=host: not self._moves(h), f"{host.name}: the switch of paths is over")

    def _wait_in_force(self, redirect):
        for host in self.hosts:
            self.lab.wait_until(lambda h=host: h.varlink("Describe").get("redirect") == redirect,
                                lambda h=host: f"{h.name}: redirect {redirect}; {json.dumps(h.varlink('Describe'))}")
        self._check_programs(attached=redirect == "ebpf")

    # The programs

    @staticmethod
    def _bpftool(host, *argv):
        return json.loads(host.run("bpftool", "-j", *argv))

    def _attached(self, host):
        """What is attached to the cable's end, by name; the kernel's own list of programs has every other machine's."""
        return {p["name"]: p for p in self._bpftool(host, "net", "show", "dev", "eth0")[0]["tc"]}

    def _check_programs(self, attached):
        for host in self.hosts:
            found = sorted(self._attached(host))
            if found != (PROGRAMS if attached else []):
                raise LabError(f"{host.name}: the programs at eth0 are {found}")

    def _entries(self, host, program, name):
        """How many a map of the host's program has, which need not be attached any more."""
        self._programs[host.name].update(self._attached(host))
        program = self._bpftool(host, "prog", "show", "id", str(self._programs[host.name][program]["prog_id"]))
        for i in program["map_ids"]:
            if self._bpftool(host, "map", "show", "id", str(i))["name"] == name[:NAME_MAX]:
                return len(self._bpftool(host, "map", "dump", "id", str(i)))
        raise LabError(f"{host.name}: no map {name}")

    @staticmethod
    def _paths(host):
        return min(peer["counters"]["paths"] for peer in host.peers())

    def _shares(self, host):
        return self._entries(host, "icewire_egress", "redirect_sockets") > 0

    def _moves(self, host):
        """A switch of paths is not over: the programs look at more packets than in all the time that follows."""
        return self._entries(host, "icewire_ingress", "redirect_moves") > 0

    def check_shared(self):
        """The programs have looked at more than the port until now."""
        for host in self.hosts:
            if not self._shares(host):
                raise LabError(f"{host.name}: no socket shares WireGuard's port any more")

    def hooks(self):
        """IDs of the links that attach a's program on the way out, and b's on the way in."""
        return [str(self._attached(host)[name]["link_id"]) for host, name in zip(self.hosts, PROGRAMS)]

    def all_hooks(self):
        """As toggle-hooks wants them: of all programs, each behind its network namespace."""
        return [word for host in self.hosts for program in self._attached(host).values()
                for word in (netns(host), str(program["link_id"]))]


def netns(host):
    return f"/proc/{host.holder}/ns/net"
