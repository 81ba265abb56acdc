# SPDX-License-Identifier: LGPL-2.1-or-later
"""WireGuard links, set up as an administrator would: with ip and wg. icewire has no part in it."""

import os
import socket

from errors import LabError


class Key:
    """A key pair. The private half never is on a command line, nor in a log."""

    def __init__(self, lab):
        self._private = lab.run("wg", "genkey")
        self.public = lab.run("wg", "pubkey", stdin=self._private).strip()

    def give_private(self):
        return self._private

    def __repr__(self):
        return f"Key({self.public})"


def kernel_has_wireguard(namespace):
    wanted = os.environ.get("ICEWIRE_LAB_WIREGUARD", "")
    if wanted == "userspace":
        return False
    works = namespace.run("ip", "link", "add", "wgprobe", "type", "wireguard", check=False).returncode == 0
    if works:
        namespace.ip("link", "delete", "wgprobe")
    elif wanted == "kernel":
        raise LabError("ICEWIRE_LAB_WIREGUARD=kernel, but this kernel has no WireGuard")
    return works


def _accepts(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        return s.connect_ex(path) == 0


class Link:
    """A WireGuard link on a host: the kernel's, or wireguard-go where the kernel has none."""

    def __init__(self, host, name, key, addresses, port):
        self.host = host
        self.name = name
        self.key = key
        self.port = port
        self.addresses = [a.partition("/")[0] for a in addresses]
        self.process = None
        if kernel_has_wireguard(host):
            self.kind = "kernel"
            host.ip("link", "add", name, "type", "wireguard")
        else:
            self.kind = "userspace"
            self._start_userspace()
        self.configure(port)
        host.address(name, *addresses)
        host.ip("link", "set", name, "mtu", "1420", "up")

    def _start_userspace(self):
        self.process = self.host.start(f"wireguard-{self.name}", ["wireguard-go", "-f", self.name],
                                       env={"LOG_LEVEL": "error"})
        path = self.host.path(f"/run/wireguard/{self.name}.sock")
        # Not before it listens: wg(8) removes a socket that is there and does not.
        self.host.lab.wait_until(lambda: _accepts(path), f"{self.host.name}: wireguard-go made {self.name}")

    def configure(self, port):
        self.host.run("wg", "set", self.name, "listen-port", str(port), "private-key", "/dev/stdin",
                      stdin=self.key.give_private())

    def add_peer(self, public_key, allowed_ips, preshared_key=None, endpoint=None):
        argv = ["wg", "set", self.name, "peer", public_key, "allowed-ips", ",".join(allowed_ips)]
        if endpoint:
            argv += ["endpoint", endpoint]
        if preshared_key:
            argv += ["preshared-key", "/dev/stdin"]
        self.host.run(*argv, stdin=preshared_key)

    def add_peer_link(self, other, **options):
        """As add_peer(): by the other link's key and addresses."""
        allowed = [f"{a}/{128 if ':' in a else 32}" for a in other.addresses]
        self.add_peer(other.key.public, allowed, **options)

    def remove_peer(self, public_key):
        self.host.run("wg", "set", self.name, "peer", public_key, "remove")

    def show(self, what):
        """`wg show NAME WHAT` as a dictionary by public key."""
        text = self.host.run("wg", "show", self.name, what)
        return dict(line.split("\t", 1) for line in text.splitlines())

    def remove(self):
        if self.process:
            self.process.expected_to_live = False
        self.host.ip("link", "delete", self.name)
        if self.process:
            self.process.popen.wait(30)


def join(one, other):
    """Makes two links each other's peers."""
    one.add_peer_link(other)
    other.add_peer_link(one)


def wait_joined(one, other, paths=("direct",), timeout=60):
    """Until two links on hosts with icewire are connected; returns the peers: other as one sees it, and vice versa."""
    return (one.host.wait_connected(other.key.public, paths, timeout),
            other.host.wait_connected(one.key.public, paths, timeout))


def preshared_key(lab):
    return lab.run("wg", "genpsk")
