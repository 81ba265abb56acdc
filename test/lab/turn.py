# SPDX-License-Identifier: LGPL-2.1-or-later
"""A TURN server of a scenario's own, by TLS, beside the one that every lab has; and what a relayed path is."""

import json

from errors import LabError
from host import frozen
from services import TURN_USER, Coturn
from topology import SERVER4

NAME = "turn.example"
ADDRESS4 = "192.0.2.12"
CA_FILE = "/etc/icewire/turn-ca.crt"
PASSWORD_FILE = "/etc/icewire/tls.password"


class TlsServer:
    """coturn at an address of its own with a certificate for `certified`, known to the hosts as `name`."""

    def __init__(self, sites, name=NAME, address=ADDRESS4, port=5349, certified=None):
        self.name, self.address, self.port = name, address, port
        six = ":" in address
        sites.server.address("eth0", f"{address}/{64 if six else 24}")
        # libnice asks for IPv4 relays everywhere.
        self.coturn = Coturn(sites.server, [address], name="coturn-" + name, tls_port=port,
                             relays=[SERVER4] if six else (), certificate=sites.authority.issue(certified or name))
        self._sites = sites

    @property
    def url(self):
        return f"turns:{self.name}:{self.port}"

    def settings(self, host):
        """Of [ICE], with the files that they name."""
        host.name_address(self.name, self.address)
        host.write(CA_FILE, self._sites.authority.certificate)
        host.write_secret(PASSWORD_FILE, self.coturn.password)
        return {"TURNServers": self.url, "TURNUser": TURN_USER, "TURNPasswordFile": PASSWORD_FILE,
                "TURNCAFile": CA_FILE}


def endpoint(host, public_key):
    return host.peer(public_key).get("endpoint", "")


def expect_transport(host, peer, transport):
    if peer.get("transport") != transport:
        raise LabError(f"{host.name}: the path goes by {peer.get('transport')}, not {transport}: {json.dumps(peer)}")


def prove_owner(sites, owner, other):
    """The owner of the allocation proxies, and on the other side there is WireGuard alone: it carries on while the
    daemons do nothing. Both are names."""
    own = endpoint(sites.hosts[owner], sites.keys[other].public)
    theirs = endpoint(sites.hosts[other], sites.keys[owner].public)
    if not own.startswith("127."):
        raise LabError(f"{owner} has the relay, but its WireGuard sends to {own}")
    if theirs.startswith("127."):
        raise LabError(f"{other} needs no proxy to reach a relay, but its WireGuard sends to {theirs}")
    with frozen(sites.hosts[other]):
        sites.ping(count=20)
    sites.lab.say(f"{owner} proxies (endpoint {own}), {other} sends to the relay at {theirs} by itself")


def diagnosed(host, name):
    """What icewirectl diagnose says of the TURN server whose name begins so."""
    found = json.loads(host.ctl("--json=short", "diagnose"))
    return next(s for s in found["servers"] if s["name"].startswith(name) and s["kind"] != "stun")


def expect_relay_state(host, name, state, text=""):
    """Returns what is said of it. A diagnosis that is a second old is told again, so it is asked a few times."""
    def state_is():
        server = diagnosed(host, name)
        return server if server.get("relay") == state and text in server.get("relayError", "") else None

    return host.lab.wait_until(state_is, lambda: f"{host.name}: the diagnosis of {name} is {state} ({text}); it is "
                                                 f"{diagnosed(host, name)}", timeout=10, interval=0.2)
