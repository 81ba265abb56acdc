#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench roam [--runs N] [--rest SECONDS] [--peer KIND]: how long no ping is answered, at 200/s, when a host's uplink goes and
another one comes, behind another NAT; the peer is behind a NAT as well, or behind a router of another kind."""

import argparse
import json
import os
import sys

import bench
from host import CONNECTED
from roam import Roaming


def measure(lab, peer, rest):
    sites = Roaming(lab, kinds=("port-restricted", None if peer == "public" else peer))
    sites.connect(CONNECTED)
    sites.ping()
    lab.always(lambda: True, "", float(rest))
    seconds, echoes = sites.roam()
    path = sites.wait_connected(CONNECTED)[0]["path"]
    return {"seconds": seconds, "sent": echoes.sent, "lost": echoes.lost, "path": path}


def main():
    parser = argparse.ArgumentParser(prog="tools/bench roam")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rest", type=float, default=0, help="before it roams; after 60 s the path is WireGuard's alone")
    parser.add_argument("--peer", default="port-restricted", help="a kind of router, or public")
    parser.add_argument("--build", default=os.path.join(bench.SOURCE, "build", "release"))
    args = parser.parse_args()
    seconds = []
    for i in range(args.runs):
        result = bench.run_once(__file__, args.build, os.path.join(bench.SOURCE, "build", "bench", f"roam-{i + 1}"), args.peer,
                                args.rest)
        if result and result["seconds"] is not None:
            seconds.append(result["seconds"])
            print(f"run {i + 1} of {args.runs}: {result['seconds']:.3f} s, {result['lost']} of {result['sent']} pings lost, "
                  f"then {result['path']}", flush=True)
        else:
            print(f"run {i + 1} of {args.runs}: failed", flush=True)
    summary = {"p50_s": bench.rounded(bench.percentile(seconds, 50)), "p95_s": bench.rounded(bench.percentile(seconds, 95)),
               "failed": args.runs - len(seconds), "runs": args.runs}
    print(json.dumps(summary), flush=True)
    return 1 if summary["failed"] else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        sys.exit(bench.inside(sys.argv[2], sys.argv[3], lambda lab: measure(lab, *sys.argv[4:])))
    bench.main(main)
