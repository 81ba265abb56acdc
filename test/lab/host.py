# SPDX-License-Identifier: LGPL-2.1-or-later
"""A host that runs icewire: with its own /run and /etc, the user icewire, and both daemons under the rights that their
units give them."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

import syscalls
import varlink
from errors import LabError
from namespace import Namespace
from sandbox import WORK
from wireguard import Link

USER = "icewire"
UID = 990

BROKER_SOCKET = "/run/icewire-broker/org.icewire.Broker"
AGENT_SOCKET = "/run/icewire/org.icewire.Agent"

# As in units/icewire-broker.service and units/icewired.service. The broker may read and write WireGuard devices, and load
# eBPF programs before it gives up what that takes.
BROKER_RIGHTS = ("net_admin", "bpf", "perfmon", "setpcap")
AGENT_RIGHTS = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
                "--no-new-privs", "--"]

CONNECTED = ("direct", "proxied", "relayed")


class Host(Namespace):
    def __init__(self, lab, name):
        super().__init__(lab, name)
        self.links = {}
        self.broker = None
        self.agent = None
        self._files = os.path.join(WORK, "hosts", name)
        self._make_private()
        lab.hosts.append(self)

    def _make_private(self):
        """/run empty, /etc a copy without this machine's name servers, with our user."""
        etc = os.path.join(self._files, "etc")
        os.makedirs(self._files)
        subprocess.run(["cp", "-a", "/etc", etc], check=True)
        for name in ("resolv.conf", "hosts"):
            if os.path.lexists(os.path.join(etc, name)):
                os.unlink(os.path.join(etc, name))
        self._add_name(etc, "passwd", f"{USER}:x:{UID}:{UID}:icewire:/nonexistent:/usr/sbin/nologin\n")
        self._add_name(etc, "group", f"{USER}:x:{UID}:\n")
        self._append(etc, "hosts", "127.0.0.1 localhost\n::1 localhost\n")
        self._append(etc, "hostname", f"{self.name}\n", mode="w")
        self.run("mount", "--bind", etc, "/etc")
        self.run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run")
        self.run("install", "-d", "-m", "0755", "/run/icewire-broker")
        self.run("install", "-d", "-m", "0755", "-o", USER, "-g", USER, "/run/icewire")
        self.run("install", "-d", "-m", "0755", "/etc/icewire", "/etc/icewire/icewire.conf.d")

    @classmethod
    def _add_name(cls, etc, name, line):
        """In place of the one that this machine has, where icewire is installed."""
        with open(os.path.join(etc, name), encoding="utf-8") as f:
            others = [other for other in f if not other.startswith(USER + ":")]
        cls._append(etc, name, "".join([*others, line]), mode="w")

    @staticmethod
    def _append(etc, name, text, mode="a"):
        with open(os.path.join(etc, name), mode, encoding="utf-8") as f:
            f.write(text)

    # Files

    def write(self, path, text, mode=0o644, group=None):
        """Writes a file of this host; mode and group before the text."""
        outside = self.path(path)
        fd = os.open(outside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(fd, "w", encoding="utf-8") as f:
            os.fchmod(fd, mode)
            if group is not None:
                os.fchown(fd, -1, group)
            f.write(text)

    def name_address(self, name, *addresses):
        """Makes a name resolve here, by /etc/hosts."""
        with open(self.path("/etc/hosts"), "a", encoding="utf-8") as f:
            f.writelines(f"{address} {name}\n" for address in addresses)

    def configure(self, **sections):
        """Writes icewire.conf: configure(ICE={"STUNServers": "host:port"}, …). A list becomes one line per value."""
        text = ""
        sections.setdefault("Agent", {}).setdefault("LogLevel", os.environ.get("ICEWIRE_LAB_LOG_LEVEL", "debug"))
        for section, settings in sections.items():
            text += f"[{section}]\n"
            for key, value in settings.items():
                for one in value if isinstance(value, (list, tuple)) else [value]:
                    text += f"{key}={one}\n"
        self.write("/etc/icewire/icewire.conf", text)

    def write_secret(self, path, text):
        """A file that root and the user icewire can read."""
        self.write(path, text, mode=0o640, group=UID)

    # WireGuard

    def add_link(self, name, key, addresses, port=51820):
        self.links[name] = Link(self, name, key, addresses, port)
        return self.links[name]

    def remove_link(self, name):
        self.links.pop(name).remove()

    # The daemons

    def start_broker(self, rights=BROKER_RIGHTS):
        if not self.lab.has_icewire:
            raise LabError(f"{self.lab.build} has no icewire: build it first")
        bounding = ",".join(["-all"] + ["+" + right for right in rights])
        argv = ["setpriv", "--inh-caps=-all", f"--bounding-set={bounding}", "--no-new-privs", "--"]
        self.broker = self.start("broker", argv + self.filtered("icewire-broker"), notify=True)
        return self.broker

    def start_agent(self):
        self.agent = self.start("icewired", AGENT_RIGHTS + self.filtered("icewired"), notify=True)
        return self.agent

    def filtered(self, name):
        """The daemon, under its unit's filter of system calls."""
        program = self.lab.binary("syscalls.py")
        if not os.path.exists(program):
            shutil.copy(syscalls.__file__, program)
        return syscalls.under_filter(self.lab.binary("icewire"), program, name + ".service", [self.lab.binary(name)])

    def start_icewire(self):
        """Both, each when the one before is ready, as their units order it."""
        self.start_broker().wait_ready()
        self.start_agent().wait_ready()

    def stop_icewire(self):
        for process in (self.agent, self.broker):
            if process:
                process.stop()
        self.agent = self.broker = None

    def ctl(self, *argv, check=True):
        """Runs icewirectl; check as in run()."""
        return self.run(self.lab.binary("icewirectl"), *argv, check=check)

    def varlink(self, method, parameters=None):
        """Calls a method of org.icewire.Agent."""
        return varlink.call(self.path(AGENT_SOCKET), "org.icewire.Agent." + method, parameters)

    def peers(self):
        """What icewired knows of its peers; none while it is not there."""
        try:
            peers = self.varlink("ListPeers")["peers"]
        except varlink.VarlinkError:
            return []
        for peer in peers:
            # Varlink's enums have "peer_silent" where the command line says "peer-silent".
            peer["reason"] = peer["reason"].replace("_", "-")
        return peers

    def peer(self, public_key):
        """One peer; an empty dictionary if it is unknown."""
        return next((p for p in self.peers() if p["publicKey"] == public_key), {})

    def rendezvous(self):
        try:
            return self.varlink("Describe")["rendezvous"]
        except varlink.VarlinkError:
            return []

    # What shares WireGuard's port

    def redirect(self):
        """Which redirect is in force, and why not a better one (None: there is none)."""
        try:
            answer = self.varlink("Describe")
        except varlink.VarlinkError:
            return None, None
        return answer.get("redirect"), answer.get("redirectReason")

    def wait_redirect(self, kind):
        """Until this redirect is in force; returns why it is not a better one."""
        self.lab.wait_until(lambda: self.redirect()[0] == kind,
                            lambda: f"{self.name}: the redirect is {kind}; it is {self.redirect()}")
        return self.redirect()[1]

    def attached(self):
        """The programs at this host's interfaces: (interface, "ingress" or "egress"), whether by tcx or clsact."""
        listing = json.loads(self.run("bpftool", "--json", "net", "show"))
        programs = [program for part in listing for program in part.get("tc", [])]
        return sorted((program["devname"], program["kind"].rpartition("/")[2]) for program in programs)

    def nft_tables(self):
        listing = json.loads(self.run("nft", "--json", "list", "tables"))["nftables"]
        return [entry["table"]["name"] for entry in listing if "table" in entry]

    def ice_ports(self):
        """The ports of icewired's own UDP sockets outside of loopback."""
        ports = set()
        for line in self.run("ss", "--no-header", "--numeric", "--udp", "--all", "--processes").splitlines():
            local = line.split()[3]
            if f"pid={self.agent.pid}," in line and not local.startswith(("127.", "[::1]")):
                ports.add(int(local.rpartition(":")[2]))
        return ports

    def wait_peer(self, public_key, what, condition, timeout=60):
        """Until condition(peer) is true; returns the peer."""
        def state():
            p = self.peer(public_key)
            return f"{self.name}: {what}; the peer is {json.dumps(p) if p else 'unknown'}"

        return self.lab.wait_until(lambda: _which(self.peer(public_key), condition), state, timeout)

    def wait_gone(self, public_key):
        """Until icewired knows no such peer."""
        self.lab.wait_until(lambda: not self.peer(public_key), f"{self.name} knows the peer no longer")

    def wait_connected(self, public_key, paths=CONNECTED, timeout=60):
        return self.wait_peer(public_key, f"connected by a path that is one of {', '.join(paths)}",
                              lambda p: p["state"] == "connected" and p["path"] in paths, timeout)

    def wait_rendezvous(self, prefix, state, timeout=60):
        """Until the rendezvous whose name begins so is in this state; returns it."""
        return self.lab.wait_until(
            lambda: next((r for r in self.rendezvous() if r["name"].startswith(prefix) and r["state"] == state), None),
            lambda: f"{self.name}: rendezvous {prefix}… is {state}; there are {json.dumps(self.rendezvous())}", timeout)

    def dump(self):
        if not self.agent or not self.agent.alive():
            return
        text = ""
        for argv in (["status"], ["--json=short", "peers"]):
            try:
                done = self.ctl(*argv, check=False)
                text += f"$ icewirectl {' '.join(argv)}\n{done.stdout}{done.stderr}\n"
            except subprocess.TimeoutExpired:
                text += f"$ icewirectl {' '.join(argv)}: no answer\n"
        with open(os.path.join(self.lab.logs, self.name + ".icewirectl"), "w", encoding="utf-8") as f:
            f.write(text)


def _which(peer, condition):
    return peer if peer and condition(peer) else None


@contextlib.contextmanager
def frozen(*hosts):
    """While this lasts, the daemons on these hosts are there but do nothing."""
    daemons = [p for host in hosts for p in (host.agent, host.broker) if p and p.alive()]
    for process in daemons:
        process.signal(signal.SIGSTOP)
    try:
        for process in daemons:
            process.lab.wait_until(process.stopped, f"{process.name} stops")
        yield
    finally:
        for process in daemons:
            process.signal(signal.SIGCONT)


def start_together(*hosts):
    """Starts icewire on several hosts at the same time; returns the time.monotonic() before the first process."""
    start = time.monotonic()
    for host in hosts:
        host.start_broker()
    for host in hosts:
        host.broker.wait_ready()
        host.start_agent()
    for host in hosts:
        host.agent.wait_ready()
    return start
