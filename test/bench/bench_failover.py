#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench failover [--runs N] [--rested]: a direct path between two NATs is cut silently under 200 pings a second; from then
to the first ping that is answered by the relay. Then the cut ends: how long until the path is direct again, and how many
pings were lost by that, which none should be. --rested: the negotiation that found the direct path is over by then."""

import argparse
import json
import os
import random
import sys

import bench
from host import start_together
from outage import BEFORE, DIRECT_AGAIN, NOTICED, cut_and_mend
from topology import Sites

REST = 75  # seconds after which a direct path does without its negotiation


def measure(lab, rested):
    sites = Sites(lab)
    sites.add_links()
    sites.configure()
    start_together(sites.a, sites.b)
    sites.wait_connected(("direct",))
    if rested:
        lab.always(lambda: True, "", REST)
    # At any moment between two readings of the link.
    outage = cut_and_mend(lab, sites, (NOTICED if rested else BEFORE) + random.random())
    return {"seconds": outage.seconds, "direct_again": outage.direct_again, "lost_on_return": outage.lost_on_return}


def main():
    parser = argparse.ArgumentParser(prog="tools/bench failover")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rested", action="store_true")
    parser.add_argument("--build", default=os.path.join(bench.SOURCE, "build", "release"))
    args = parser.parse_args()
    results = []
    for i in range(args.runs):
        logs = os.path.join(bench.SOURCE, "build", "bench", f"failover-{i + 1}")
        result = bench.run_once(__file__, args.build, logs, int(args.rested))
        if result:
            results.append(result)
        print(f"run {i + 1} of {args.runs}: " + ("{seconds:.3f} s, direct again after {direct_again:.1f} s, {lost_on_return} "
                                                 "lost then".format(**result) if result else "failed"), flush=True)
    seconds = [r["seconds"] for r in results]
    late = sum(r["direct_again"] > DIRECT_AGAIN for r in results)
    summary = {"p50_s": bench.rounded(bench.percentile(seconds, 50)), "p95_s": bench.rounded(bench.percentile(seconds, 95)),
               "failed": args.runs - len(results) + late, "lost_on_return": sum(r["lost_on_return"] for r in results),
               "direct_again_max_s": bench.rounded(max((r["direct_again"] for r in results), default=None)),
               "runs": args.runs}
    print(json.dumps(summary), flush=True)
    return 1 if summary["failed"] or summary["lost_on_return"] else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        _, _, build_, logs_, rested_ = sys.argv
        sys.exit(bench.inside(build_, logs_, lambda lab: measure(lab, int(rested_))))
    bench.main(main)
