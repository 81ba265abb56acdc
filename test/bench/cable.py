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
        self.a.connect("eth0", self.b, "eth0")
        for host in self.hosts:
            host.address("eth0", ADDRESS[host.name] + "/24")
            host.add_link("wg0", self.keys[host.name], [TUNNEL4[host.name] + "/24"], PORT)
        self.b.address("lo", LOAD_ADDRESS + "/32")
        self.a.route(LOAD_ADDRESS + "/32", "via", ADDRESS["b"])

    def _with_others(self):
        return (self.a, "b"), (self.b, "a")

    def add_peers(self, endpoints):
        """Each host's peer, as if for the first time: with the other's address as its endpoint, or without any."""
        for host, other in self._with_others():
            link, public_key = host.links["wg0"], self.keys[other].public
            link.remove_peer(public_key)
            link.add_peer(public_key, [TUNNEL4[other] + "/32"], endpoint=f"{ADDRESS[other]}:{PORT}" if endpoints else None)

    def wait_tunnel(self):
        self.lab.wait_until(lambda: probe.ping(self.a, TUNNEL4["b"], 1, linger=0.5).received, "a ping through the tunnel")

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
        self.wait_tunnel()

    def stop(self):
        for host in self.hosts:
            host.stop_icewire()
        self._check_programs(attached=False)

    def switch(self, redirect):
        """Another data path while the daemons run; ebpf: until WireGuard's port is shared. A tunnel that was direct may stay so
        without it."""
        self._configure(redirect)
        for host in self.hosts:
            host.ctl("reload")
        self._wait_in_force(redirect)
        if redirect == "ebpf":
            for host in self.hosts:
                self.lab.wait_until(lambda h=host: self._shares(h), f"{host.name}: a socket shares WireGuard's port")

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

    def _shares(self, host):
        """Before that no port is flagged as WireGuard's, and the programs have nothing to look at."""
        program = self._bpftool(host, "prog", "show", "id", str(self._attached(host)["icewire_egress"]["prog_id"]))
        for i in program["map_ids"]:
            if self._bpftool(host, "map", "show", "id", str(i))["name"] == "redirect_sockets"[:NAME_MAX]:
                return len(self._bpftool(host, "map", "dump", "id", str(i))) > 0
        raise LabError(f"{host.name}: the programs have no map of sockets")

    def hooks(self):
        """IDs of the links that attach a's program on the way out, and b's on the way in."""
        return [str(self._attached(host)[name]["link_id"])
                for host, name in ((self.a, "icewire_egress"), (self.b, "icewire_ingress"))]
