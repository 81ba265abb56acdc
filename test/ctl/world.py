# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a made-up icewired knows: hosts in different situations. Times are relative to now, in the middle of what is shown of
them."""

import base64
import hashlib
import time

SECOND = 1000000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
FUTURE = 4102444800 * SECOND  # what is to come is "now"

COUNTERS = {name: 0 for name in (
    "sessions", "paths", "envelopesSent", "envelopesReceived", "envelopesFlooded", "envelopesRefused", "messagesMalformed",
    "messagesAccepted", "messagesAcceptedAnew", "messagesAnswered", "messagesDuplicate", "messagesStale",
    "messagesFlooded", "messagesWrongRole")}

TEXTS = {
    "peer_silent": "Nothing came from the peer: it is offline, does not run icewire, uses another rendezvous, or one side "
                   "has a wrong public key of the other.",
    "no_direct_pair": "Only a relay connects the two: a NAT chooses its ports by destination, or UDP between them is "
                      "blocked. Forward WireGuard's port on one side for a direct path.",
    "only_tcp": "Only TCP connects the two, which icewired has to carry: something on the way blocks UDP. Open UDP for a "
                "better path.",
    "negotiating": "A path is being looked for.",
    "relay_refused": "No pair of addresses works, and the TURN server refuses to relay: check TURNUser=, the password, the "
                     "server's certificate and its limits.",
    "policy_here": "This host's policy for the peer wants it so: see Policy= in icewire.conf, or change it with icewirectl "
                   "policy.",
}


def now():
    return time.time_ns() // 1000


def key(name):
    """A public key, always the same for a name."""
    return base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()


def candidate(kind, address, transport="udp"):
    return {"type": kind, "transport": transport, "address": address}


def peer(name, state="connected", path="direct", reason="none", link="wg0", **more):
    p = {"link": link, "publicKey": key(name), "state": state, "path": path, "reason": reason, "policy": "auto",
         "policyTemporary": False, "allowedIPs": [], "rxBytes": 0, "txBytes": 0, "counters": dict(COUNTERS)}
    if reason in TEXTS:
        p["reasonText"] = TEXTS[reason]
    p.update(more)
    return p


def direct(i, **more):
    remote = candidate("srflx", f"203.0.113.{i}:51820")
    return peer(f"direct {i}", local=candidate("srflx", "198.51.100.7:51820"), remote=remote, endpoint=remote["address"],
                transport="udp", allowedIPs=[f"10.0.0.{i}/32", f"fd00::{i:x}/128"], pathSinceUSec=now() - 90 * MINUTE,
                roundTripTimeUSec=12345, lastHandshakeUSec=now() - 90 * SECOND, rxBytes=123456789, txBytes=4096, **more)


def relayed(i, **more):
    return peer(f"relayed {i}", path="relayed", reason="no_direct_pair", local=candidate("relay", "192.0.2.5:49160"),
                remote=candidate("srflx", f"203.0.113.{i}:4500"), endpoint=f"127.128.0.{i}:1", transport="tls",
                allowedIPs=[f"10.0.0.{i}/32"], pathSinceUSec=now() - 50 * HOUR, roundTripTimeUSec=64000,
                lastHandshakeUSec=now() + HOUR, rxBytes=1000, txBytes=1 << 31, **more)


def proxied(i, **more):
    return peer(f"proxied {i}", path="proxied", reason="only_tcp",
                local=candidate("host", "[2001:db8:1:2:3:4:5:6]:50000", "tcp_active"),
                remote=candidate("host", f"[2001:db8:ffff:ffff:ffff:ffff:ffff:{i:x}]:443", "tcp_passive"),
                endpoint=f"127.128.0.{i}:1", transport="tcp", allowedIPs=[f"10.0.0.{i}/32"],
                pathSinceUSec=now() - 90 * SECOND, lastHandshakeUSec=now() - 3 * HOUR - 30 * MINUTE, **more)


def silent(i, **more):
    return peer(f"silent {i}", state="waiting", path="none", reason="peer_silent", allowedIPs=[f"10.0.0.{i}/32"],
                reasonDetail="9 greetings were sent.", txBytes=148, **more)


def link(name="wg0", **more):
    return {"name": name, "kind": "kernel", "ifindex": 7, "publicKey": key("this host"), "listenPort": 51820, "peers": 0,
            "connected": 0, **more}


def rendezvous(name, state="up", **more):
    return {"name": name, "state": state, "sent": 10, "received": 20, **more}


def mapping(kind="endpoint_independent", mapped="198.51.100.7:51820", **more):
    servers = [{"address": f"192.0.2.{i}:3478", "mapped": mapped, "roundTripTimeUSec": 4321} if mapped else
               {"address": f"192.0.2.{i}:3478", "error": "no answer"} for i in (1, 2)]
    m = {"link": "wg0", "local": "10.9.0.2:51820", "kind": kind, "hairpin": "no", "servers": servers}
    if mapped:
        m.update(mapped=mapped, portKept=mapped.endswith(":51820"))
    m.update(more)
    return m


def details(p):
    """All about a peer: a session that carries its path, and one that has just begun."""
    local, remote = [candidate("host", "10.9.0.2:51820"),
                     {**candidate("srflx", "198.51.100.7:51820"), "priority": 1694498815, "related": "10.9.0.2:51820"}], []
    begun = {"id": "00112233aabbccdd", "state": "gathering", "controlling": True, "inUse": False, "shared": True,
             "startedUSec": FUTURE, "local": local, "localComplete": False, "remote": remote, "remoteComplete": False}
    sessions = [begun]
    if "local" in p:
        sessions.append({**begun, "state": "ready", "inUse": True, "startedUSec": p["pathSinceUSec"], "localComplete": True,
                         "remote": [p["remote"]], "remoteComplete": True,
                         "selected": {"local": p["local"], "remote": p["remote"]}})
    network = {"ipv4": "endpoint_independent", "ipv6": "absent", "policy": "auto"}
    return {"peer": p, "here": network, "there": {**network, "ipv4": "varies"}, "sessions": sessions, "changes": []}


MQTT = "mqtts://rendezvous.example:8883"


class World:
    """What icewired would answer."""

    def __init__(self, peers=(), links=None, mappings=None, **description):
        self.peers = list(peers)
        self.links = [link()] if links is None else links
        self.description = {"version": "0.1.0", "broker": "ready", "redirect": "ebpf",
                            "rendezvous": [rendezvous(MQTT), rendezvous("multicast")],
                            "mappings": [mapping()] if mappings is None else mappings, **description}
        self.servers = [{"kind": "stun", "name": "stun.example:3478", "addresses": ["192.0.2.1", "192.0.2.2"]},
                        {"kind": "turn_tls", "name": "turn.example:5349", "addresses": ["192.0.2.5"], "relay": "ok"}]
        self.history = []
        self.events = []

    def methods(self):
        def diagnose(_):
            return {**self.description, "ipv6Address": True, "ipv6Answered": False, "servers": self.servers,
                    "pending": 0}

        def nothing(_):
            return {}

        def describe_peers(parameters):
            return {"peers": [details(p) for p in self.peers
                              if all(p[field] == parameters.get(name, p[field])
                                     for name, field in (("link", "link"), ("peer", "publicKey")))]}

        return {"DescribePeers": describe_peers, "Describe": lambda _: self.description, "ListLinks": lambda _: {"links": self.links},
                "ListPeers": lambda _: {"peers": self.peers}, "GetHistory": lambda _: {"peers": self.history},
                "Diagnose": diagnose, "Watch": lambda _: list(self.events), "Reconnect": nothing, "SetPolicy": nothing,
                "Reload": lambda _: {"problems": 0}}


def ten_peers():
    return [*(direct(i) for i in range(1, 8)), relayed(8), proxied(9), silent(10)]


def ten():
    """An ordinary day."""
    return World(ten_peers())


def many():
    """More than a screen can hold, on three links."""
    return World([*(direct(i) for i in range(1, 31)), *(relayed(i) for i in range(31, 36)),
                  *(silent(i, link="wg1") for i in range(36, 39))],
                 links=[link(), link("wg1", listenPort=51821), link("wg2", listenPort=0)],
                 mappings=[mapping(), mapping(link="wg1", kind="varies", mapped="198.51.100.7:1025")],
                 rendezvous=[rendezvous(MQTT), rendezvous("multicast"), rendezvous("mqtt://192.0.2.77:1883", "down",
                                                                                 error="connection refused")])


def trouble():
    """All that can go wrong."""
    return World([silent(1), peer("refused", state="failed", path="none", reason="relay_refused",
                                  reasonDetail="turn.example says 401"), peer("looking", state="negotiating", path="none",
                                                                              reason="negotiating"),
                  peer("off", state="failed", path="none", reason="policy_here", policy="off", policyTemporary=True)],
                 mappings=[mapping(kind="unknown", mapped=None)], broker="lost", redirect="proxy",
                 redirectReason="Redirect=proxy in icewire.conf",
                 rendezvous=[rendezvous(MQTT, "down", error="the certificate is not valid for rendezvous.example"),
                             rendezvous("multicast", "connecting")])


def empty():
    """Just installed."""
    return World(links=[], mappings=[], rendezvous=[])


def hostile():
    """Somebody else's words, where people look."""
    evil = "\033[2J\u202eevil\r\n\x9b31m"
    return World([peer("evil", link="wg" + evil, reasonText=evil, reasonDetail=evil, endpoint=evil, path="none",
                       state="waiting", reason="peer_silent", allowedIPs=[evil])],
                 links=[link("wg" + evil, publicKey=evil)], version=evil, redirectReason=evil,
                 rendezvous=[rendezvous(evil, "down", error=evil)], mappings=[mapping(mapped=evil, link=evil, local=evil)])
