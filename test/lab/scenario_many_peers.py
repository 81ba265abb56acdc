# SPDX-License-Identifier: LGPL-2.1-or-later
"""50 peers on one link, and so on one port: every path is direct"""

import probe
from errors import LabError
from host import frozen, start_together
from topology import Network
from wireguard import Key, join

PEERS = 50
TUNNEL_A = "10.66.0.1"


def run(lab):
    network = Network(lab)
    a, b = network.add_host("a"), network.add_host("b")
    hub = a.add_link("wg0", Key(lab), [TUNNEL_A + "/16"])
    spokes = []
    for i in range(PEERS):
        spoke = b.add_link(f"wg{i}", Key(lab), [f"10.66.1.{i + 1}/32"], port=51820 + i)
        join(hub, spoke)
        spokes.append(spoke)
    _route_by_source(b, spokes)
    lab.say(f"{PEERS} links on b, each a peer of the one on a, {hub.kind} WireGuard")
    network.configure()
    start_together(a, b)
    for host in (a, b):
        lab.wait_until(lambda host=host: _direct(host) == PEERS, interval=0.2, timeout=120,
                       what=lambda host=host: f"all of {host.name}'s peers are direct; {_direct(host)} are")
    ports = {p["remote"]["address"].rpartition(":")[2] for p in b.peers()}
    if ports != {str(hub.port)}:
        raise LabError(f"b should see a at one port, {hub.port}, but sees {ports}")
    lab.say("all are direct")
    with frozen(a, b):
        lost = [s.name for s in spokes if probe.ping(a, s.addresses[0], 1).lost]
    if lost:
        raise LabError(f"pings to {', '.join(lost)} were lost")


def _direct(host):
    return sum(p["state"] == "connected" and p["path"] == "direct" for p in host.peers())


def _route_by_source(host, links):
    """a's address in the tunnel is reached through each link: by the one that has the sender's address."""
    batch = ""
    for i, link in enumerate(links):
        batch += (f"rule add from {link.addresses[0]} lookup {1000 + i}\n"
                  f"route add {TUNNEL_A} dev {link.name} table {1000 + i}\n")
    host.run("ip", "-batch", "-", stdin=batch)
