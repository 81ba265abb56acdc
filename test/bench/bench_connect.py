#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench connect [--runs N] [--no-idle]: from the start of both daemons on two hosts behind two port-restricted NATs to the
first answered ping through the tunnel; then what `bench idle` measures."""

import argparse
import json
import os
import sys

import bench
import bench_idle
from host import start_together
from probe import Pinger
from topology import TUNNEL4, Sites

TIMEOUT = 60  # seconds until a run has failed


def measure(lab):
    sites = Sites(lab)
    sites.add_links()
    sites.configure()
    # Every 10 ms, from before the start; what finds no way out is lost.
    pinger = Pinger(sites.a, TUNNEL4["b"], interval=0.01, until_first=True)
    start = start_together(sites.a, sites.b)
    took = pinger.first_reply(TIMEOUT) - start
    peers = sites.wait_connected()
    sites.prove_direct()
    return {"seconds": took, "path": peers[0]["path"]}


def main():
    parser = argparse.ArgumentParser(prog="tools/bench connect")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--no-idle", action="store_true")
    parser.add_argument("--build", default=os.path.join(bench.SOURCE, "build", "release"))
    args = parser.parse_args()
    seconds = []
    for i in range(args.runs):
        result = bench.run_once(__file__, args.build, os.path.join(bench.SOURCE, "build", "bench", f"connect-{i + 1}"))
        if result:
            seconds.append(result["seconds"])
        print(f"run {i + 1} of {args.runs}: " + (f"{result['seconds']:.3f} s, {result['path']}" if result else "failed"),
              flush=True)
    summary = {"p50_s": bench.rounded(bench.percentile(seconds, 50)), "p95_s": bench.rounded(bench.percentile(seconds, 95)),
               "runs": args.runs, "failed": args.runs - len(seconds)}
    if not args.no_idle:
        summary["idle"] = bench_idle.measure_all(args.build)
    print(json.dumps(summary), flush=True)
    return 1 if summary["failed"] else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        sys.exit(bench.inside(*sys.argv[2:], measure))
    bench.main(main)
