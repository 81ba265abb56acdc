# SPDX-License-Identifier: LGPL-2.1-or-later
"""two hosts behind one NAT connect directly by their addresses on the LAN, nothing of it leaves the LAN"""

import probe
from errors import LabError
from host import Host, frozen, start_together
from router import Router
from topology import LARGE, Network
from wireguard import Key, join, wait_joined


def run(lab):
    network = Network(lab)
    nat = Router(lab, "nat", "port-restricted")
    network.internet.attach(nat, "wan", ["203.0.113.1"], ["203.0.113.2"])
    nat.switch("lan")
    nat.address("lan", "192.168.1.1/24")
    links = []
    for number, name in enumerate("ab"):
        host = network.hosts[name] = Host(lab, name)
        nat.plug_in(host, "lan")
        host.address("eth0", f"192.168.1.{2 + number}/24")
        host.route("0.0.0.0/0", "via", "192.168.1.1")
        links.append(host.add_link("wg0", Key(lab), [f"10.66.0.{number + 1}/24"]))
    join(*links)
    # The server is the only way to each other: the paths are to be found, not the rendezvous.
    network.configure(Rendezvous={"Multicast": "no"})
    network.internet.count("large", f"udp length > {LARGE}")
    hosts = [link.host for link in links]
    start_together(*hosts)
    for number, peer in enumerate(wait_joined(*links)):
        expected = f"192.168.1.{3 - number}:51820"
        if peer["remote"]["address"] != expected or peer["remote"]["type"] != "host" or peer["local"]["type"] != "host":
            raise LabError(f"{hosts[number].name}'s peer should be at {expected}: {peer}")
    with frozen(*hosts):
        echoes = probe.ping(hosts[0], links[1].addresses[0], 10, size=LARGE)
    if echoes.lost or network.internet.counted()["large"]:
        raise LabError(f"{echoes}; {network.internet.counted()['large']} bytes left the LAN")
