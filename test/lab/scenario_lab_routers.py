# SPDX-License-Identifier: LGPL-2.1-or-later
"""the lab's own routers map and filter UDP as their names say (no icewire in this)"""

import os
import select
import signal
import socket

from errors import LabError
from namespace import Call, Namespace
from router import Router
from sandbox import WORK
from topology import Internet

# By IP version: the server's two addresses, its router's, the network between that and the router, and the LAN's.
SERVER = {4: ("192.0.2.10", "192.0.2.66"), 6: ("2001:db8:2::10", "2001:db8:2::66")}
GATEWAY = {4: "192.0.2.1", 6: "2001:db8:2::1"}
WIDE = {4: ("198.51.100.1", "198.51.100.2"), 6: ("2001:db8:a::1", "2001:db8:a::2")}
LAN = {4: ("10.1.0.1/24", "10.1.0.2/24"), 6: ("2001:db8:a:1::1/64", "2001:db8:a:1::2/64")}

# By kind: (same mapping for every destination, lets in from: the same address and port, another port, another address)
EXPECTED = {
    "none": (True, (True, True, True)),
    "firewall": (True, (True, False, False)),
    "full-cone": (True, (True, True, True)),
    "address-restricted": (True, (True, True, False)),
    "port-restricted": (True, (True, False, False)),
    "symmetric": (False, (True, False, False)),
    "udp-blocked": None,
    "tcp-443": None,
}
EXPECTED6 = {"none": EXPECTED["none"], "firewall": EXPECTED["firewall"], "udp-blocked": None}

PORT, SECOND_PORT = 5000, 5001  # of the hosts


def _bound(address, port):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, port))
    return s


def _observe(server, ready):
    """On the server: sockets on two ports and a second address; answers the port that each packet came from, and sends
    unasked from the second port and address to whoever wrote to the first."""
    main, port, address = _bound(server[0], 1000), _bound(server[0], 1001), _bound(server[1], 1000)
    with open(ready, "w", encoding="ascii"):
        pass
    while True:
        for s in select.select([main, port, address], [], [])[0]:
            data, source = s.recvfrom(100)
            s.sendto(b"%d" % source[1], source)
            if data == b"knock":
                for other, name in ((port, b"port"), (address, b"address")):
                    other.sendto(name, source)
                s.sendto(b"end", source)


def _ask(s, destination, data=b"?"):
    """The answers until nothing more comes; the network has no delay, so 0.3 s mean never."""
    s.sendto(data, destination)
    answers = []
    while select.select([s], [], [], 0.3)[0]:
        answers.append(s.recv(100))
        if answers[-1] != b"end" and data != b"knock":
            break
    return answers


def _probe(own, server):
    """On the host: (mapping is the same, what was let in), or None if nothing came back."""
    with _bound(own, PORT) as s:
        knocked = _ask(s, (server[0], 1000), b"knock")
        if not knocked:
            return None
        again = _ask(s, (server[1], 1000))
    return knocked[0] == again[0], (True, b"port" in knocked, b"address" in knocked)


def _start_server(lab, name, families):
    internet = Internet(lab)
    server = Namespace(lab, "server")
    internet.attach(server, "eth0", [GATEWAY[f] for f in families], [SERVER[f][0] for f in families])
    for family in families:
        server.address("eth0", SERVER[family][1] + ("/24" if family == 4 else "/64"))
    observers = []
    for family in families:
        ready = os.path.join(WORK, f"observer-{name}-{family}")
        observers.append(Call(server, _observe, SERVER[family], ready))
        lab.wait_until(lambda path=ready: os.path.exists(path), "the observer is ready")
    return internet, observers


def _check(kind, expected, found):
    if found != expected:
        raise LabError(f"{kind}: expected {expected}, found {found}")


def _check_kind(lab, kind, families):
    internet, observers = _start_server(lab, kind, families)
    host, router = Namespace(lab, "host"), Router(lab, "router", kind)
    internet.attach(router, "wan", [WIDE[f][0] for f in families], [WIDE[f][1] for f in families])
    host.connect("eth0", router, "lan")
    for family in families:
        router.address("lan", LAN[family][0])
        host.address("eth0", LAN[family][1])
        gateway = LAN[family][0].partition("/")[0]
        host.route("0.0.0.0/0" if family == 4 else "::/0", "via", gateway)
        internet.route("10.1.0.0/24" if family == 4 else "2001:db8:a:1::/64", "via", WIDE[family][1])
        found = host.call(_probe, LAN[family][1].partition("/")[0], SERVER[family])
        _check(f"{kind}, IPv{family}", (EXPECTED if family == 4 else EXPECTED6)[kind], found)
        lab.say(f"{kind}, IPv{family}: {found}")
    _end(observers)


def _end(observers):
    for observer in observers:
        observer.signal(signal.SIGKILL)


# Two hosts behind one router, or behind a router each behind one

def _expose(own, port, server, ready):
    """On a host: opens a mapping, and answers whoever writes to it with the port that it came from."""
    with _bound(own, port) as s:
        _ask(s, server)
        with open(ready, "w", encoding="ascii"):
            pass
        while True:
            _, source = s.recvfrom(100)
            s.sendto(b"%s:%d" % (source[0].encode(), source[1]), source)


def _reach(own, port, server, destinations):
    """On another host: what is answered from each of them."""
    with _bound(own, port) as s:
        _ask(s, server)
        return [(_ask(s, destination) or [None])[0] for destination in destinations]


def _behind(router, host, interface, network):
    host.connect("eth0", router, interface)
    router.address(interface, network + ".1/24")
    host.address("eth0", network + ".2/24")
    host.route("0.0.0.0/0", "via", network + ".1")
    return network + ".2"


def _check_hairpin(lab, hairpin, carrier):
    name = ("one carrier" if carrier else "one NAT") + (" with hairpin" if hairpin else "")
    internet, observers = _start_server(lab, name, (4,))
    outside = WIDE[4][1]
    top = Router(lab, "top", "port-restricted")
    internet.attach(top, "wan", [WIDE[4][0]], [outside])
    hosts = [Namespace(lab, "one"), Namespace(lab, "two")]
    addresses = []
    for i, host in enumerate(hosts):
        router, interface = top, f"lan{i + 1}"
        if carrier:
            router, interface = Router(lab, f"home{i}", "port-restricted"), "lan"
            router.connect("wan", top, f"lan{i + 1}")
            top.address(f"lan{i + 1}", f"100.64.{i}.1/24")
            router.address("wan", f"100.64.{i}.2/24")
            router.route("0.0.0.0/0", "via", f"100.64.{i}.1")
        addresses.append(_behind(router, host, interface, f"10.2.{i}"))
    if hairpin:
        top.hairpin(outside)
    mapping = hosts[0].call(_probe, addresses[0], SERVER[4])
    _check(name, EXPECTED["port-restricted"], mapping)
    server, ready = (SERVER[4][0], 1000), os.path.join(WORK, "exposed-" + name)
    # A router of its own lets in only whom its host has written to.
    exposed = Call(hosts[1], _expose_to, addresses[1], server, (outside, PORT), ready)
    lab.wait_until(lambda: os.path.exists(ready), "the second host has a mapping")
    found = hosts[0].call(_reach, addresses[0], PORT, server, [(outside, SECOND_PORT), (addresses[1], SECOND_PORT)])
    exposed.signal(signal.SIGKILL)
    _check(name, [f"{outside}:{PORT}".encode() if hairpin else None, None], found)
    lab.say(f"{name}: by its mapping and by its address on the other LAN: {found}")
    _end(observers)


def _expose_to(own, server, other, ready):
    with _bound(own, SECOND_PORT) as s:
        s.sendto(b"punch", other)
    _expose(own, SECOND_PORT, server, ready)


def run(lab):
    for kind in EXPECTED:
        _check_kind(lab, kind, (4, 6) if kind in EXPECTED6 else (4,))
    for carrier in (False, True):
        for hairpin in (False, True):
            _check_hairpin(lab, hairpin, carrier)
