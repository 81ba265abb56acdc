#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench idle [--seconds N] [--peers N…]: what both daemons of a host cost while nothing happens: CPU time, wake-ups and
memory, with 1 and with 100 connected peers. The peers are as many links of one other host, where one icewired looks after
them all."""

import argparse
import json
import os
import sys
import time

import bench
from host import start_together
from topology import Sites
from wireguard import Key

SETTLE = 75  # seconds after the last peer has connected, until what came of that is over: a direct path does without ICE then


def _add_peers(lab, sites, n):
    """n links on b, each a peer of a's one link."""
    hub = sites.a.add_link("wg0", sites.keys["a"], ["10.66.255.254/16"])
    for i in range(n):
        key = sites.keys["b"] if i == 0 else Key(lab)
        address = f"10.66.{i // 250}.{i % 250 + 1}"
        link = sites.b.add_link(f"wg{i}", key, [f"{address}/32"], port=51820 + i)
        link.add_peer(sites.keys["a"].public, ["10.66.255.254/32"])
        hub.add_peer(key.public, [f"{address}/32"])
        if i % 20 == 19:
            print(f"{i + 1} links", flush=True)


def _sample(processes):
    return {name: (p.cpu(), p.wakeups(), time.monotonic()) for name, p in processes.items()}


def measure(lab, n, seconds):
    sites = Sites(lab, kinds=("port-restricted", "port-restricted") if n == 1 else (None, None))
    _add_peers(lab, sites, n)
    sites.configure()
    start = time.monotonic()
    start_together(sites.a, sites.b)
    lab.wait_until(lambda: sum(p["state"] == "connected" for p in sites.a.peers()) == n,
                   lambda: f"{n} peers connected; there are {sum(p['state'] == 'connected' for p in sites.a.peers())}", 180, 0.5)
    print(f"{n} connected after {time.monotonic() - start:.1f} s", flush=True)
    processes = {"icewired": sites.a.agent, "icewire-broker": sites.a.broker}
    lab.always(lambda: True, "", SETTLE)
    for host in (sites.a, sites.b):
        host.peers()  # a reading of the links, as each handshake brings one
    lab.always(lambda: True, "", 20)
    before = _sample(processes)
    lab.always(lambda: True, "", seconds)
    after = _sample(processes)
    result = {}
    for name, process in processes.items():
        cpu, wakeups, duration = (b - a for a, b in zip(before[name], after[name]))
        result[name] = {"cpu_percent": bench.rounded(100 * cpu / duration), "rss_kib": process.resident() // 1024,
                        "wakeups_per_minute": bench.rounded(60 * wakeups / duration, 1)}
    return result


def measure_all(build, seconds=60, counts=(1, 100)):
    """By number of peers; None: that run failed."""
    result = {}
    for n in counts:
        print(f"idle for {seconds} s with {n} connected peer{'s' if n > 1 else ''}", flush=True)
        result[str(n)] = bench.run_once(__file__, build, os.path.join(bench.SOURCE, "build", "bench", f"idle-{n}"), n, seconds)
    return result


def main():
    parser = argparse.ArgumentParser(prog="tools/bench idle")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--peers", type=int, nargs="*", default=[1, 100])
    parser.add_argument("--build", default=os.path.join(bench.SOURCE, "build", "release"))
    args = parser.parse_args()
    result = measure_all(args.build, args.seconds, args.peers)
    print(json.dumps({"idle": result}), flush=True)
    return 0 if all(result.values()) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        _, _, build_, logs_, n_, seconds_ = sys.argv
        sys.exit(bench.inside(build_, logs_, lambda lab: measure(lab, int(n_), int(seconds_))))
    bench.main(main)
