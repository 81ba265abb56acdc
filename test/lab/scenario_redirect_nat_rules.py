# SPDX-License-Identifier: LGPL-2.1-or-later
"""a host with NAT rules of its own connects directly, by eBPF and by nftables; so it does when they come while it runs"""

import probe
from errors import LabError
from host import start_together
from topology import NO_TURN, Sites
from wireguard import Key, join, wait_joined

# As Docker has them, and the link that comes before them.
BRIDGE = ("link", "add", "docker0", "type", "bridge")
RULES = """table inet docker {
        chain c { type nat hook postrouting priority srcnat
                oifname eth0 masquerade
        }
}
"""


def run(lab):
    sites = Sites(lab)
    sites.a.nft(RULES)
    for redirect, kind in (("ebpf", "ebpf"), ("auto", "nftables")):
        _connect(lab, sites, redirect, kind)
    _rules_come_and_go(lab, sites)


def _connect(lab, sites, redirect, kind):
    """Both sites behind their routers, with rules on a from the start."""
    sites.add_links()
    sites.configure(ICE={"Redirect": redirect, **NO_TURN})
    start_together(sites.a, sites.b)
    _wait_limit(lab, sites.a, kind)
    _wait_no_limit(lab, sites.b)
    sites.wait_connected()
    sites.prove_direct()
    for host in (sites.a, sites.b):
        host.stop_icewire()
        host.remove_link("wg0")


def _rules_come_and_go(lab, sites):
    """Below a path in use. A peer that comes later comes from a port that nobody expects: it asks first."""
    one, two = (sites.add_host(name).add_link("wg0", Key(lab), [f"10.66.0.{number}/24"])
                for number, name in ((1, "ebpf"), (2, "auto")))
    late = sites.add_host_behind("late", "symmetric").add_link("wg0", Key(lab), ["10.66.0.3/24"])
    join(one, two)
    for link, redirect in ((one, "ebpf"), (two, "auto"), (late, "auto")):
        sites.configure_host(link.host, ICE={"Redirect": redirect, **NO_TURN})
    start_together(one.host, two.host, late.host)
    before = _fixed(wait_joined(one, two))
    for link in (one, two):
        _wait_no_limit(lab, link.host)
    pinger = probe.Pinger(one.host, "10.66.0.2", interval=0.02)
    for link in (one, two):
        link.host.ip(*BRIDGE)
        link.host.nft(RULES)
    for link, kind in ((one, "ebpf"), (two, "nftables")):
        _wait_limit(lab, link.host, kind)
    for link in (one, two):
        join(link, late)
    for link in (one, two):
        wait_joined(link, late)
    for link in (one, two):
        link.host.nft("delete table inet docker\n")
        link.host.ip("link", "delete", "docker0")
    for link in (one, two):
        _wait_no_limit(lab, link.host)
    echoes, after = pinger.stop(), _fixed(wait_joined(one, two))
    if not echoes.sent or echoes.lost or before != after:
        raise LabError(f"the path was not left alone: {echoes}; {before}, then {after}")


def _fixed(peers):
    return [(p["path"], p["endpoint"], p["counters"]["sessions"]) for p in peers]


def _wait_limit(lab, host, kind):
    def is_so():
        found, reason = host.redirect()
        return found == kind and "NAT rules" in (reason or "")

    lab.wait_until(is_so, lambda: f"{host.name} has {kind} because of its NAT rules; it has {host.redirect()}")
    lab.say(f"{host.name}: {kind}: {host.redirect()[1]}")


def _wait_no_limit(lab, host):
    lab.wait_until(lambda: host.redirect() == ("ebpf", None),
                   lambda: f"{host.name} has eBPF without a limit; it has {host.redirect()}")
