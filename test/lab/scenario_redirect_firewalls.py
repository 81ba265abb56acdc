# SPDX-License-Identifier: LGPL-2.1-or-later
"""whatever stateful firewalls the two hosts have, W open or closed, they connect directly, by eBPF and by nftables"""

import firewall
import probe
from errors import LabError
from host import frozen, start_together
from topology import NO_TURN, Network
from wireguard import Key, join, wait_joined


class Machine:
    """A host with a firewall, and its address in the tunnel."""

    def __init__(self, host, kind, number):
        self.host = host
        self.kind = kind
        self.inside = f"10.66.0.{number}"

    def __str__(self):
        return f"{self.host.name} ({self.kind})"


def run(lab):
    network = Network(lab)
    west = [Machine(network.add_host(f"a{i}"), kind, 1 + i) for i, kind in enumerate(firewall.KINDS)]
    east = [Machine(network.add_host(f"b{i}"), kind, 11 + i) for i, kind in enumerate(firewall.KINDS)]
    # Nobody knows from which port this one will come: where W is open, it is let in and finds ICE unasked.
    stranger = Machine(network.add_host_behind("c", "symmetric"), "open", 21)
    pairs = [(a, b) for a in west for b in east] + [(stranger, b) for b in east if b.kind != "established"]
    # Another port each time: to the firewalls' memory these are other flows.
    for redirect, port in (("ebpf", 51820), ("nftables", 51821)):
        _connect_all(lab, network, [*west, *east, stranger], pairs, redirect, port)


def _connect_all(lab, network, machines, pairs, redirect, port):
    network.configure(ICE={"Redirect": redirect, **NO_TURN})
    for m in machines:
        firewall.install(m.host, m.kind, port)
        m.host.add_link("wg0", Key(lab), [m.inside + "/24"], port)
        if m.host.name in network.addresses:
            firewall.prove(m.host, network.addresses[m.host.name][0], port, m.kind, network.server)
    for a, b in pairs:
        join(a.host.links["wg0"], b.host.links["wg0"])
    hosts = [m.host for m in machines]
    start_together(*hosts)
    for host in hosts:
        host.wait_redirect(redirect)
    for a, b in pairs:
        wait_joined(a.host.links["wg0"], b.host.links["wg0"])
        lab.say(f"{redirect}: {a} and {b} are connected")
    _stays_up(lab, pairs, redirect)
    for host in hosts:
        host.stop_icewire()
        host.remove_link("wg0")


def _stays_up(lab, pairs, redirect):
    before = _states(pairs)
    pingers = [probe.Pinger(a.host, b.inside, interval=0.1) for a, b in pairs]
    a, b = pairs[0]
    probe.ping(b.host, a.inside, count=100, interval=0.1)
    for (a, b), pinger in zip(pairs, pingers):
        echoes = pinger.stop()
        if not echoes.sent or echoes.lost:
            raise LabError(f"{redirect}: {a} to {b}: {echoes}")
    lab.say(f"{redirect}: no ping was lost, {echoes.sent} or so from each")
    if _states(pairs) != before:
        raise LabError(f"{redirect}: paths changed: {before}, then {_states(pairs)}")
    with frozen(*{m.host for pair in pairs for m in pair}):
        for a, b in pairs:
            if probe.ping(b.host, a.inside, count=2).lost:
                raise LabError(f"{redirect}: {b} to {a} does not work without the daemons")


def _states(pairs):
    """By pair: what would be different if anything had happened to its path."""
    states = {}
    for one, other in pairs + [(b, a) for a, b in pairs]:
        peer = one.host.peer(other.host.links["wg0"].key.public)
        states[one.host.name, other.host.name] = (peer["path"], peer["endpoint"], peer["counters"]["sessions"])
    return states
