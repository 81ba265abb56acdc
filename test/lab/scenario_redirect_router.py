# SPDX-License-Identifier: LGPL-2.1-or-later
"""a host that is a router for others leaves their STUN, and their packets from its ICE ports and to its W, as they are"""

import itertools
import os
import select
import socket
import struct

import stun
from errors import LabError
from host import start_together
from namespace import Call, Namespace
from sandbox import WORK
from topology import SERVER4, WIDE4, Sites

W = 51820
SO_RCVBUFFORCE = 33  # of asm-generic/socket.h
# The client's addresses behind a: one that is routed, and one that a translates.
ROUTED, TRANSLATED = "198.18.0.2", "198.18.1.2"


NAT = f"""table inet nat {{
        chain translate {{ type nat hook postrouting priority srcnat
                oifname "eth0" ip saddr {TRANSLATED} masquerade
        }}
}}
"""


def run(lab):
    sites = Sites(lab, kinds=(None, "port-restricted"))
    client = _add_client(lab, sites)
    sites.add_links()
    sites.a.nft(NAT)
    for redirect in ("ebpf", "auto"):
        sites.configure(ICE={"Redirect": redirect})
        sniffer, ready = _sniffer(sites, redirect)
        lab.wait_until(lambda path=ready: os.path.exists(path), "the sniffer listens")
        start_together(sites.a, sites.b)
        sites.wait_connected()
        lab.say(f"Redirect={redirect}: a has {sites.a.redirect()}")
        ports, payloads = _ports(sites.a), _payloads(sniffer.result())
        lab.say(f"{redirect}: a's ICE ports are {ports}")
        for source, destination in ((client, sites.server), (sites.server, client)):
            n = _carry(source, destination, ports, payloads)
            lab.say(f"{redirect}: {n} packets from {source.name} to {destination.name} arrived as they were")
        _client_asks(client, ports)
        sites.wait_connected()
        sites.prove_direct()
        for host in (sites.a, sites.b):
            host.stop_icewire()
            host.remove_link("wg0")
        sites.add_links()


def _add_client(lab, sites):
    client = Namespace(lab, "client")
    client.connect("eth0", sites.a, "lan")
    for address in (ROUTED, TRANSLATED):
        gateway = address[:-1] + "1"
        sites.a.address("lan", gateway + "/24")
        client.address("eth0", address + "/24")
    client.route("0.0.0.0/0", "via", ROUTED[:-1] + "1")
    sites.a.forwarding()
    sites.internet.route("198.18.0.0/24", "via", WIDE4["a"] + ".2")
    return client


# What a redirect goes by: ports of a's sockets, ufrags of its sessions, transaction IDs of its requests.

def _ports(host):
    ports = sorted(host.ice_ports())
    if not ports:
        raise LabError("a's icewired has no socket: there is nothing to mix up")
    return ports


def _sniffer(sites, redirect):
    ready = os.path.join(WORK, "sniffer-" + redirect)
    return Call(sites.internet, _sniff, "to-a", ready), ready


def _sniff(interface, ready):
    """Until STUN from a's W to both a server and a peer has been seen: (the session's ufrag, transaction IDs)."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as s:
        s.bind((interface, 0x0800))
        with open(ready, "w", encoding="ascii"):
            pass
        ufrag, transactions = None, []
        while not ufrag or len(transactions) < 2:
            packet = s.recv(65536)
            header = (packet[0] & 0xf) * 4
            if packet[9] != socket.IPPROTO_UDP or packet[header:header + 2] != struct.pack("!H", W):
                continue
            found = stun.parse(packet[header + 8:])
            if not found or found[0] != stun.REQUEST:
                continue
            transactions.append(found[1])
            if stun.USERNAME in found[2]:
                ufrag = found[2][stun.USERNAME].rpartition(b":")[2]
    return ufrag, transactions


def _payloads(sniffed):
    ufrag, transactions = sniffed
    return [stun.message(stun.REQUEST, username=ufrag + b":other"),
            stun.message(stun.REQUEST),
            *(stun.message(stun.RESPONSE, t) for t in transactions[:4]),
            struct.pack("<I", 1) + os.urandom(144),  # as long as WireGuard's first message
            b"no protocol at all"]


# What passes through a: the UDP header, the checksum in it and the payload are to arrive as they were sent.

def _carry(source, destination, ports, payloads):
    addresses = {"client": ROUTED, "server": SERVER4}
    here, there = addresses[source.name], addresses[destination.name]
    datagrams = []
    for (sport, dport), payload in itertools.product(_port_pairs(ports), payloads):
        datagrams += [_datagram(here, there, sport, dport, payload, checksum) for checksum in (True, False)]
    ready = os.path.join(WORK, f"catcher-{source.name}-{os.urandom(4).hex()}")
    catcher = Call(destination, _catch, here, len(datagrams), ready)
    source.lab.wait_until(lambda: os.path.exists(ready), "the catcher listens")
    source.call(_throw, there, datagrams)
    caught = catcher.result()
    if sorted(caught) != sorted(datagrams):
        missing = [d.hex() for d in datagrams if d not in caught]
        foreign = [d.hex() for d in caught if d not in datagrams]
        raise LabError(f"of {len(datagrams)} datagrams from {source.name} to {destination.name}, {len(caught)} arrived; "
                       f"missing {missing[:4]}, not sent so {foreign[:4]}")
    return len(datagrams)


def _port_pairs(ports):
    yield W, W
    for port in ports:
        yield from ((port, W), (W, port), (port, 1000), (1000, port))


def _datagram(source, destination, sport, dport, payload, checksum):
    length = 8 + len(payload)
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!HH", socket.IPPROTO_UDP, length)
    total = _checksum(pseudo + struct.pack("!HHHH", sport, dport, length, 0) + payload) if checksum else 0
    return struct.pack("!HHHH", sport, dport, length, total) + payload


def _checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total >> 16) + (total & 0xffff)
    return ~total & 0xffff or 0xffff


def _throw(destination, datagrams):
    # Raw: the kernel neither fills in nor looks at the checksum.
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as s:
        for datagram in datagrams:
            s.sendto(datagram, (destination, 0))


def _catch(source, n, ready):
    """The first n datagrams from `source`, or those that came until nothing has come for a second."""
    caught = []
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as s:
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)
        with open(ready, "w", encoding="ascii"):
            pass
        while len(caught) < n and select.select([s], [], [], 1 if caught else 10)[0]:
            packet, (address, _) = s.recvfrom(65536)
            if address == source:
                caught.append(packet[(packet[0] & 0xf) * 4:])
    return caught


def _client_asks(client, ports):
    """A STUN client behind a gets its answers, from whichever port it asks."""
    for port in (W, *ports):
        found = client.call(stun.ask, (ROUTED, port), (SERVER4, 3478))
        if found != (ROUTED, port):
            raise LabError(f"a STUN client at {ROUTED}:{port} is seen at {found}")
        found = client.call(stun.ask, (TRANSLATED, port), (SERVER4, 3478))
        if not found or found[0] != WIDE4["a"] + ".2":
            raise LabError(f"a STUN client at {TRANSLATED}:{port}, translated by a, is seen at {found}")
