#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench tcp [--pairs N] [--measure ice-tcp|turn-tcp|turn-tls|udp|turn-udp]: TCP in the tunnel by paths that icewired carries over
TCP: to the peer (RFC 6544), and to a TURN server in the clear and by TLS; and both over UDP, for comparison. Each beside
WireGuard alone, in pairs of moments, by turns; medians. Where the kernel has no WireGuard the tunnel is one of wireguard-go."""

import argparse
import json
import os
import statistics
import sys

import bench
from bench_redirect import Proxied, Stream, _alone, _by_path, _rounded
from errors import LabError
from host import start_together
from topology import NO_TURN, SERVER4, WIDE4, Sites
from turn import TlsServer

PORT = 51820
# What is not WireGuard's own is dropped, on both hosts: so that ICE has TCP alone, and WireGuard alone its own port.
ONLY_WIREGUARD = f"""table inet only_wireguard {{
 chain out {{ type filter hook output priority 0
  oifname eth0 meta l4proto udp udp sport != {PORT} drop
 }}
}}"""


class Pair:
    """Two hosts on the internet, as bench_redirect.py's classes want them."""

    def __init__(self, lab):
        self.lab = lab
        self.sites = Sites(lab, kinds=(None, None))
        self.sites.add_links()
        self.a, self.b = self.hosts = self.sites.a, self.sites.b

    def _with_others(self):
        return (self.a, "b"), (self.b, "a")

    def endpoints(self):
        return [host.links["wg0"].show("endpoints")[self.sites.keys[other].public] for host, other in self._with_others()]

    def static_endpoints(self):
        return [f"{WIDE4[other]}.2:{PORT}" for _, other in self._with_others()]

    def set_endpoints(self, endpoints):
        for (host, other), endpoint in zip(self._with_others(), endpoints):
            host.run("wg", "set", "wg0", "peer", self.sites.keys[other].public, "endpoint", endpoint)


def _ice_tcp(sites):
    for host in sites.hosts.values():
        host.nft(ONLY_WIREGUARD)
    sites.configure(ICE={**NO_TURN, "TCP": "yes", "Redirect": "proxy"})
    return "proxied", "tcp"


def _udp(sites):
    sites.configure(ICE={**NO_TURN, "TCP": "no", "Redirect": "proxy"})
    return "proxied", "udp"


def _relay(sites, settings):
    """a has the relay, to b it is a plain endpoint."""
    sites.configure_host(sites.a, ICE=settings, Peer={"Policy": "relay"})
    sites.configure_host(sites.b, ICE=NO_TURN)


def _turn_tcp(sites):
    _relay(sites, {"TURNServers": f"turn:{SERVER4}:3478?transport=tcp"})
    return "relayed", "tcp"


def _turn_tls(sites):
    _relay(sites, TlsServer(sites).settings(sites.a))
    return "relayed", "tls"


def _turn_udp(sites):
    _relay(sites, {"TURNServers": f"turn:{SERVER4}:3478"})
    return "relayed", "udp"


MEASURES = {"ice-tcp": _ice_tcp, "turn-tcp": _turn_tcp, "turn-tls": _turn_tls, "udp": _udp, "turn-udp": _turn_udp}


def measure(lab, what, pairs):
    pair = Pair(lab)
    path, transport = MEASURES[what](pair.sites)
    start_together(*pair.hosts)
    peer, _ = pair.sites.wait_connected(("relayed", path))
    if peer["transport"] != transport:
        raise LabError(f"the path should go by {transport}: {peer}")
    pair.sites.ping()
    carried, stream = Proxied(pair), Stream(pair)
    stream.hold()
    results = []
    for i in range(pairs):
        speed = {by_path: _by_path(carried, stream) if by_path else _alone(pair, carried, stream)
                 for by_path in bench.alternated(i, True, False)}
        results.append((speed[True], speed[False]))
    stream.end()
    return {"ratio": [one / alone for one, alone in results], "mbit_per_s": [one for one, _ in results],
            "alone_mbit_per_s": [alone for _, alone in results]}


def main():
    parser = argparse.ArgumentParser(prog="tools/bench tcp")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--build", default=os.path.join(bench.SOURCE, "build", "release"))
    parser.add_argument("--measure", choices=MEASURES, action="append")
    args = parser.parse_args()
    medians, quartiles, failed = {}, {}, False
    for what in args.measure or MEASURES:
        results = bench.run_once(__file__, args.build, os.path.join(bench.SOURCE, "build", "bench", what), what, args.pairs)
        failed = failed or not results
        for name, values in (results or {}).items():
            name = what.replace("-", "_") + "_" + name
            medians[name], quartiles[name] = _rounded(statistics.median(values)), \
                [_rounded(bench.percentile(values, percent)) for percent in (25, 75)]
            print(f"{name}: {medians[name]}, half of them from {quartiles[name][0]} to {quartiles[name][1]}", flush=True)
    print(json.dumps({**medians, "pairs": args.pairs, "quartiles": quartiles}), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        _, _, build_, logs_, what_, pairs_ = sys.argv
        sys.exit(bench.inside(build_, logs_, lambda lab: measure(lab, what_, int(pairs_))))
    sys.exit(main())
