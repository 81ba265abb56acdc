# SPDX-License-Identifier: LGPL-2.1-or-later
"""what comes by a proxy while WireGuard's traffic is to go directly leaves its endpoint alone, and is answered directly"""

import json
import os
import select
import socket
import sys

import probe
import varlink
from errors import LabError
from host import BROKER_SOCKET, Host
from topology import TUNNEL4
from wireguard import Key, join

PORT = 51820
A, B = "192.0.2.1", "192.0.2.2"
RELAY, INSIDE = (A, 7002), ("127.128.0.1", 7001)  # the two sides of a's proxy
DIRECT = f"{B}:{PORT}"
NOBODY, NOBODYS_MAC = "192.0.2.9", "02:00:00:00:00:09"
TIMES = 20


def run(lab):
    a, b = Host(lab, "a"), Host(lab, "b")
    a.connect("eth0", b, "eth0")
    for host, address in ((a, A), (b, B)):
        host.address("eth0", address + "/24")
        host.add_link("wg0", Key(lab), [TUNNEL4[host.name] + "/24"], PORT)
    ours, theirs = a.links["wg0"], b.links["wg0"]
    join(ours, theirs)
    a.sysctl("net.ipv4.conf.all.rp_filter", 1)
    a.start_broker().wait_ready()
    proxy = _start_proxy(a, "both")
    _by_the_proxy(b, ours.key.public)
    _expect_endpoint(ours, theirs, "%s:%d" % INSIDE)
    proxy.kill()
    _start_proxy(a, "in")  # what goes out has to go directly from now on

    with varlink.Connection(a.path(BROKER_SOCKET)) as broker:
        ifindex = json.loads(a.run("ip", "-json", "link", "show", "eth0"))[0]["ifindex"]
        found = broker.call("org.icewire.Broker.SetRedirect", {"mode": "ebpf", "uplinks": [ifindex], "relays": []})
        if found["kind"] != "ebpf":
            raise LabError(f"no redirect by eBPF: {found}")
        lab.wait_until(lambda: _knows_port(a), "the broker knows the link's port")
        a.run("wg", "set", "wg0", "peer", theirs.key.public, "endpoint", DIRECT)
        _move(broker, 60)
        _expect_loopback(a, True)
        for _ in range(TIMES):
            _by_the_proxy(b, ours.key.public)
            _expect_endpoint(ours, theirs, DIRECT)
        lab.say(f"{TIMES} pings came by the proxy, were answered directly, and took nothing with them ({ours.kind} WireGuard)")
        _expect_initiation(lab, a)
        moved = _move(broker, 0)
        if moved < TIMES:
            raise LabError(f"{moved} packets were moved")
    _expect_loopback(a, False)
    # And so it would be without a move: the answer is taken back to where nothing leaves.
    if probe.ping(b, TUNNEL4["a"], 1, linger=0.2).lost:
        raise LabError("the direct path does not carry anything")
    b.run("wg", "set", "wg0", "peer", ours.key.public, "endpoint", "%s:%d" % RELAY)
    if probe.ping(b, TUNNEL4["a"], 1, linger=1).received:
        raise LabError("a ping was answered although its source was not moved")
    _expect_endpoint(ours, theirs, "%s:%d" % INSIDE)


def _by_the_proxy(b, key):
    """One ping from b, whose WireGuard has the direct endpoint again as soon as it is answered."""
    b.run("wg", "set", "wg0", "peer", key, "endpoint", "%s:%d" % RELAY)
    echoes = probe.ping(b, TUNNEL4["a"], 1, linger=20)
    if echoes.lost:
        raise LabError(f"by the proxy: {echoes}")


def _expect_endpoint(link, other, endpoint):
    found = link.show("endpoints")[other.key.public]
    if found != endpoint:
        raise LabError(f"{link.host.name}: the endpoint is {found}, not {endpoint}")


def _expect_loopback(host, attached):
    if (("lo", "ingress") in host.attached()) != attached:
        raise LabError(f"the programs are at {host.attached()}")


def _knows_port(host):
    link = varlink.call(host.path(BROKER_SOCKET), "org.icewire.Broker.ReadLink", {"name": "wg0"})["link"]
    return link["listenPort"] == PORT


def _move(broker, seconds):
    return broker.call("org.icewire.Broker.MoveSource", {"link": "wg0", "from": "%s:%d" % INSIDE, "to": DIRECT,
                                                         "seconds": seconds})["packets"]


def _expect_initiation(lab, host):
    """A peer that does not answer is wanted: who watches hears of it."""
    # Without one the packet waits for its neighbour's, and does not leave.
    host.ip("neighbour", "add", NOBODY, "lladdr", NOBODYS_MAC, "dev", "eth0")
    with varlink.Connection(host.path(BROKER_SOCKET)) as watcher:
        watcher.send("org.icewire.Broker.WatchLinks", more=True)
        stranger = Key(lab).public
        host.run("wg", "set", "wg0", "peer", stranger, "allowed-ips", "10.77.0.1/32", "endpoint", NOBODY + ":9",
                 "persistent-keepalive", "1")
        while True:
            told = watcher.receive()
            if told["event"] == "initiation" and told["endpoint"] == NOBODY + ":9":
                break
        host.links["wg0"].remove_peer(stranger)


# The proxy: this file as a program.


def _start_proxy(host, way):
    proxy = host.start("proxy", [sys.executable, "-B", os.path.realpath(__file__), way])
    host.lab.wait_until(lambda: "%s:%d" % RELAY in host.run("ss", "--numeric", "--udp", "--all"), "the proxy has its sockets")
    return proxy


def _proxy(way):
    inside, outside = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    inside.bind(INSIDE)
    outside.bind(RELAY)
    while True:
        for one in select.select([inside, outside], [], [])[0]:
            packet = one.recv(65536)
            if one is outside:
                inside.sendto(packet, ("127.0.0.1", PORT))
            elif way == "both":
                outside.sendto(packet, (B, PORT))


if __name__ == "__main__":
    _proxy(sys.argv[1])
