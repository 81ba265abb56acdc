# SPDX-License-Identifier: LGPL-2.1-or-later
"""two links on one host behind a NAT, each with its own port, and a peer elsewhere on each: both direct, by their ports"""

import probe
from errors import LabError
from host import frozen, start_together
from topology import WIDE4, Sites
from wireguard import Key, join, wait_joined


def run(lab):
    sites = Sites(lab, kinds=("port-restricted", None))
    a, others = sites.a, {"wg0": sites.b, "wg1": sites.add_host("c")}
    links = []
    for number, (name, other) in enumerate(others.items()):
        port = 51820 + number
        one = a.add_link(name, Key(lab), [f"10.66.{number}.1/24"], port)
        two = other.add_link("wg0", Key(lab), [f"10.66.{number}.2/24"])
        join(one, two)
        links.append((one, two))
    sites.configure()
    hosts = (a, *others.values())
    start_together(*hosts)
    for one, two in links:
        ours, theirs = wait_joined(one, two)
        seen, expected = theirs["endpoint"], f"{WIDE4['a']}.2:{one.port}"
        if seen != expected or theirs["remote"]["address"] != expected or ours["link"] != one.name:
            raise LabError(f"{two.host.name} should see a at {expected}: {theirs}")
        lab.say(f"{two.host.name} reaches a at {seen}")
    with frozen(*hosts):
        for one, two in links:
            if probe.ping(a, two.addresses[0]).lost or probe.ping(two.host, one.addresses[0]).lost:
                raise LabError(f"pings between {one.name} and {two.host.name} were lost")
