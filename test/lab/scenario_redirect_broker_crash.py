# SPDX-License-Identifier: LGPL-2.1-or-later
"""a broker that is killed leaves nothing in the kernel, the next one puts it there once, and one that stops leaves none"""

import probe
from errors import LabError
from topology import TUNNEL4, connected_sites

IN_FORCE = {"ebpf": ([("eth0", "egress"), ("eth0", "ingress")], 0), "nftables": ([], 1)}
NOTHING = ([], 0)


def run(lab):
    sites = connected_sites(lab, settings={"ICE": {"Redirect": "ebpf"}})
    pinger = probe.Pinger(sites.a, TUNNEL4["b"], interval=0.02)
    for redirect in ("ebpf", "nftables"):
        sites.configure(ICE={"Redirect": redirect})
        sites.a.ctl("reload")
        sites.a.wait_redirect(redirect)
        _crash(lab, sites, redirect)
    sites.a.stop_icewire()
    _expect(sites.a, NOTHING, "after an orderly stop")
    lab.say("nothing is left of nftables after an orderly stop")
    sites.configure(ICE={"Redirect": "ebpf"})
    sites.a.start_icewire()
    sites.a.wait_redirect("ebpf")
    sites.wait_connected()
    for host in (sites.a, sites.b):
        _expect(host, IN_FORCE["ebpf"], "before an orderly stop")
        host.stop_icewire()
        _expect(host, NOTHING, "after an orderly stop")
    lab.say("nothing is left of eBPF after an orderly stop")
    echoes = pinger.stop()
    if not echoes.sent or echoes.lost:
        raise LabError(f"the path suffered: {echoes}")


def _crash(lab, sites, redirect):
    host, key = sites.a, sites.keys["b"].public
    before = host.peer(key)
    for _ in range(2):
        _expect(host, IN_FORCE[redirect], "while it runs")
        host.broker.kill()
        _expect(host, NOTHING, "after the crash")
        lab.say(f"nothing is left of {redirect} after a crash")
        lab.wait_until(lambda: host.varlink("Describe")["broker"] != "ready", "icewired notices that the broker is gone")
        host.start_broker().wait_ready()
        lab.wait_until(lambda: host.varlink("Describe")["broker"] == "ready", "icewired is connected to the new broker")
        host.wait_redirect(redirect)
        lab.wait_until(lambda: _found(host) == IN_FORCE[redirect], f"{redirect} is there again, once")
    after = host.peer(key)
    for name in ("state", "path", "endpoint"):
        if before[name] != after[name]:
            raise LabError(f"the path is not the same: {name} was {before[name]} and is {after[name]}")
    for name in ("sessions", "paths"):
        if before["counters"][name] != after["counters"][name]:
            raise LabError(f"the path was not kept: {before}, then {after}")


def _found(host):
    return host.attached(), len(host.nft_tables())


def _expect(host, expected, when):
    if _found(host) != expected:
        raise LabError(f"{host.name}: expected (programs, tables) {expected} {when}, found {_found(host)}")
