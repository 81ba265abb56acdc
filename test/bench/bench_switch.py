#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench switch [--runs N]: what is lost of 200 pings a second, or overtaken, while two hosts behind NATs change from one path
that works to another: ICE starts anew on the relayed path, the relayed path becomes a direct one, and ICE starts anew on
that. Fails if any is."""

import argparse
import dataclasses
import json
import os
import sys

import bench
import switch

KINDS = ("restart_relayed", "upgrade", "restart_direct")


def measure(lab):
    sites = switch.relayed_sites(lab)
    result = {"restart_relayed": switch.restart(lab, sites, ("relayed",)), "upgrade": switch.upgrade(lab, sites)}
    sites.prove_direct()
    result["restart_direct"] = switch.restart(lab, sites, ("direct",))
    sites.prove_direct()
    return {kind: dataclasses.asdict(one) for kind, one in result.items()}


def add_up(results):
    return {key: sum(r[key] for r in results) for key in ("lost", "sent", "reordered")}


def main():
    parser = argparse.ArgumentParser(prog="tools/bench switch")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--build", default=os.path.join(bench.SOURCE, "build", "release"))
    args = parser.parse_args()
    results = []
    for i in range(args.runs):
        result = bench.run_once(__file__, args.build, os.path.join(bench.SOURCE, "build", "bench", f"switch-{i + 1}"))
        if result:
            results.append(result)
        print(f"run {i + 1} of {args.runs}: " + (", ".join(
            f"{kind} {result[kind]['lost']} lost and {result[kind]['reordered']} overtaken of {result[kind]['sent']} in "
            f"{result[kind]['seconds']:.2f} s" for kind in KINDS) if result else "failed"), flush=True)
    summary = {**add_up([r[kind] for r in results for kind in KINDS]), "runs": args.runs, "failed": args.runs - len(results)}
    for kind in KINDS:
        summary[kind] = add_up([r[kind] for r in results])
        summary[kind]["max_s"] = bench.rounded(max((r[kind]["seconds"] for r in results), default=None))
    print(json.dumps(summary), flush=True)
    return 1 if summary["failed"] or summary["lost"] or summary["reordered"] else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        sys.exit(bench.inside(*sys.argv[2:], measure))
    bench.main(main)
