# SPDX-License-Identifier: LGPL-2.1-or-later
"""all daemons are killed: the path carries on, busy or idle, as long as NATs remember it; started again, they keep it"""

import socket

import probe
from errors import LabError
from host import start_together
from topology import WIDE4, Sites
from wireguard import Key, join, wait_joined

BUSY, IDLE = "wg0", "wg1"
OUR_KEEPALIVE = "25"
THEIR_KEEPALIVE = "7"  # the user's own, on a's busy link

# How long the NATs remember a silent flow, in seconds: just longer than our keepalive.
MEMORY = 27
FLOW_PORT = {"a": 40001, "b": 40002}


def run(lab):
    sites = Sites(lab)
    hosts = (sites.a, sites.b)
    for router in sites.routers.values():
        for name in ("udp_timeout", "udp_timeout_stream"):
            router.sysctl("net.netfilter.nf_conntrack_" + name, MEMORY)
    pairs = [_join(lab, sites, BUSY, 0), _join(lab, sites, IDLE, 1)]
    busy, idle = pairs[0][0], pairs[1][0]
    busy.host.run("wg", "set", BUSY, "peer", pairs[0][1].key.public, "persistent-keepalive", THEIR_KEEPALIVE)
    sites.configure()
    start_together(*hosts)
    for pair in pairs:
        wait_joined(*pair)
    _check_keepalives(pairs)
    _renew(sites, pairs[0])
    _check_keepalives(pairs)
    endpoints = [link.show("endpoints") for pair in pairs for link in pair]

    pinger = probe.Pinger(sites.a, pairs[0][1].addresses[0], interval=0.01)
    for host in hosts:
        host.agent.kill()
        host.broker.kill()
    lab.say("all daemons are killed")
    _outlive_a_silent_flow(lab, sites, idle, pairs[1][1].addresses[0])

    for host in hosts:
        host.start_icewire()
        lab.say(f"the daemons on {host.name} are there again")
    for pair in pairs:
        for peer in wait_joined(*pair):
            if peer["counters"]["sessions"]:
                raise LabError(f"the path was not kept, there is a new session: {peer}")
    echoes = pinger.stop()
    lab.say(f"the busy path: {echoes}")
    if not echoes.sent or echoes.lost:
        raise LabError(f"the busy path suffered: {echoes}")
    if endpoints != [link.show("endpoints") for pair in pairs for link in pair]:
        raise LabError(f"the paths are not the same: {endpoints} before")
    _check_keepalives(pairs)


def _join(lab, sites, name, number):
    links = [host.add_link(name, Key(lab), [f"10.66.{number}.{i}/24"], 51820 + number)
             for i, host in ((1, sites.a), (2, sites.b))]
    join(*links)
    return links


def _renew(sites, pair):
    """Another path is found beside the one in use."""
    peer = pair[1].key.public
    before = sites.a.peer(peer)["counters"]["paths"]
    sites.a.ctl("reconnect", pair[0].name, peer)
    sites.a.wait_peer(peer, "another path is found", lambda p: p["counters"]["paths"] > before)
    wait_joined(*pair)


def _check_keepalives(pairs):
    for pair in pairs:
        for link in pair:
            expected = [THEIR_KEEPALIVE if link is pairs[0][0] else OUR_KEEPALIVE]
            # Whoever has learned the endpoint from the other side's packet is connected before it sets it.
            link.host.lab.wait_until(lambda link=link, expected=expected: _keepalives(link) == expected, timeout=10, what=
                                     lambda link=link, expected=expected: f"{link.host.name}: the keepalive on {link.name} is "
                                                                          f"{expected}; it is {_keepalives(link)}")


def _keepalives(link):
    return list(link.show("persistent-keepalive").values())


def _outlive_a_silent_flow(lab, sites, link, destination):
    """A flow of our own, silent from a moment on at which the idle path is silent already, is forgotten by both NATs;
    the idle path, which only keepalives have passed meanwhile, is not."""
    _ping(sites.a, destination)
    # The answer to the last ping is acknowledged (Keepalive-Timeout in WireGuard's paper); then there is nothing to say.
    sent = _sent(link)
    lab.wait_until(lambda: _sent(link) > sent, "WireGuard acknowledges the last ping", interval=0.1)
    for one, other in ("ab", "ba", "ab"):
        sites.hosts[one].call(_send, FLOW_PORT[one], (WIDE4[other] + ".2", FLOW_PORT[other]))
    if not all(_remembers(r) for r in sites.routers.values()):
        raise LabError("the NATs do not show the flow")
    lab.wait_until(lambda: not any(_remembers(r) for r in sites.routers.values()), "the NATs forget a silent flow",
                   interval=0.2)
    lab.say("the NATs have forgotten a flow that was silent meanwhile")
    _ping(sites.a, destination)


def _ping(host, destination):
    echoes = probe.ping(host, destination, 5)
    if echoes.lost:
        raise LabError(f"the idle path suffered: {echoes}")


def _sent(link):
    return int(next(iter(link.show("transfer").values())).split()[1])


def _send(port, destination):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("", port))
        s.sendto(b"flow", destination)


def _remembers(router):
    return f"sport={FLOW_PORT['a']} " in router.run("cat", "/proc/net/nf_conntrack")
