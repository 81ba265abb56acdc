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

OUTSIDE, OTHER = "192.0.2.10", "192.0.2.66"

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


def _bound(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, port))
    return s


def _observe(ready):
    """On the server: sockets on two ports and a second address; answers the port that each packet came from, and sends
    unasked from the second port and address to whoever wrote to the first."""
    main, port, address = _bound(OUTSIDE, 1000), _bound(OUTSIDE, 1001), _bound(OTHER, 1000)
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


def _probe():
    """On the host: (mapping is the same, what was let in), or None if nothing came back."""
    with _bound("10.1.0.2", 5000) as s:
        knocked = _ask(s, (OUTSIDE, 1000), b"knock")
        if not knocked:
            return None
        again = _ask(s, (OTHER, 1000))
    return knocked[0] == again[0], (True, b"port" in knocked, b"address" in knocked)


def run(lab):
    for kind, expected in EXPECTED.items():
        internet = Internet(lab)
        server = Namespace(lab, "server")
        internet.attach(server, "eth0", ["192.0.2.1"], [OUTSIDE])
        server.address("eth0", OTHER + "/24")
        host, router = Namespace(lab, "host"), Router(lab, "router", kind)
        internet.attach(router, "wan", ["198.51.100.1"], ["198.51.100.2"])
        internet.route("10.1.0.0/24", "via", "198.51.100.2")
        host.connect("eth0", router, "lan")
        router.address("lan", "10.1.0.1/24")
        host.address("eth0", "10.1.0.2/24")
        host.route("0.0.0.0/0", "via", "10.1.0.1")
        ready = os.path.join(WORK, "observer-" + kind)
        observer = Call(server, _observe, ready)
        lab.wait_until(lambda path=ready: os.path.exists(path), "the observer is ready")
        found = host.call(_probe)
        observer.signal(signal.SIGKILL)
        if found != expected:
            raise LabError(f"{kind}: expected {expected}, found {found}")
        lab.say(f"{kind}: {found}")
