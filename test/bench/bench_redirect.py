#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench redirect [--pairs N]: what the eBPF programs cost the UDP that passes them, paired with runs without them; and how
fast TCP is in the tunnel over a direct and over a proxied path, paired with WireGuard alone. Without kernel WireGuard, the
tunnel is one of wireguard-go."""

import argparse
import json
import os
import statistics
import sys

import bench
from cable import LOAD_ADDRESS, PORT, Cable
from topology import TUNNEL4

# WireGuard's data messages as UDP payload, and how many are handed to the kernel at a time: a keepalive, and the longest in
# a tunnel of MTU 1420, one by one as kernel WireGuard sends them, or in trains as wireguard-go does.
SMALL, LARGE, TRAIN = (32, 1), (1452, 1), (1452, 32)

CLOCKS, CLOCK_PACKETS = 20, 20000  # readings of the programs' run times, and of how many packets each
TCP_SEC = 1  # of TCP for one figure …
TCP_SETTLE_SEC = 1  # … and before, until it has found its speed


def _load(cable, verb, packets, count):
    """UDP from a to b, past a's program on the way out and b's on the way in: see udp-load.c."""
    return json.loads(cable.a.run(os.path.join(cable.lab.build, "test", "bench", "udp-load"), verb, LOAD_ADDRESS, str(PORT),
                                  *map(str, packets), str(count), *cable.hooks(), f"/proc/{cable.b.holder}/ns/net",
                                  str(cable.b.links["wg0"].process.pid), timeout=600))


def _compare(cable, packets, pairs):
    """Packets per second, with the programs, with empty ones and with none; then they are attached anew."""
    compared = _load(cable, "compare", packets, pairs)
    for redirect in ("proxy", "ebpf"):
        cable.switch(redirect)
    return compared


def measure_hooks(lab, pairs):
    # udp-load takes its port from a process.
    os.environ["ICEWIRE_LAB_WIREGUARD"] = "userspace"
    cable = Cable(lab)
    cable.add_peers(endpoints=False)
    cable.start("ebpf", "direct")
    results = {}
    for packets, name in ((LARGE, "throughput"), (SMALL, "pps"), (TRAIN, "train_throughput")):
        compared = _compare(cable, packets, pairs)
        results[name + "_ratio"] = [ours / none for ours, _, none in compared]
        results["empty_" + name + "_ratio"] = [empty / none for _, empty, none in compared]
        results[name] = [none for _, _, none in compared]
    clocks = [_load(cable, "clock", SMALL, CLOCK_PACKETS) for _ in range(CLOCKS)]
    for name in ("egress_ns", "ingress_ns", "empty_ns"):
        results[name] = [clock[name] for clock in clocks]
    return results


def _tcp(cable):
    """Mbit/s through the tunnel."""
    text = cable.a.run("iperf3", "--client", TUNNEL4["b"], "--json", "--time", str(TCP_SEC), "--omit", str(TCP_SETTLE_SEC))
    return json.loads(text)["end"]["sum_received"]["bits_per_second"] / 1e6


def _tunnel(cable, how):
    cable.add_peers(endpoints=how == "alone")
    if how == "alone":
        cable.wait_tunnel()
        return _tcp(cable)
    cable.start({"direct": "ebpf", "proxied": "proxy"}[how], how)
    speed = _tcp(cable)
    cable.stop()
    return speed


def measure_tunnel(lab, pairs):
    cable = Cable(lab)
    cable.b.start("iperf3", ["iperf3", "--server"])
    lab.wait_until(lambda: ":5201" in cable.b.run("ss", "--listening", "--numeric", "--tcp"), "iperf3 listens")
    results = []
    for i in range(pairs):
        speed = {how: _tunnel(cable, how) for how in bench.alternated(i, "alone", "direct", "proxied")}
        result = {"tunnel_direct_ratio": speed["direct"] / speed["alone"],
                  "tunnel_proxied_ratio": speed["proxied"] / speed["alone"], "tunnel_mbit_per_s": speed["alone"]}
        print("tunnel, pair {} of {}: direct {tunnel_direct_ratio:.3f} and proxied {tunnel_proxied_ratio:.3f} of "
              "{tunnel_mbit_per_s:.0f} Mbit/s".format(i + 1, pairs, **result), flush=True)
        results.append(result)
    return results


MEASURES = {"hooks": measure_hooks, "tunnel": measure_tunnel}


def main():
    parser = argparse.ArgumentParser(prog="tools/bench redirect")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--build", default=os.path.join(bench.SOURCE, "build", "release"))
    args = parser.parse_args()
    summary, spread = {"pairs": args.pairs}, {}
    for what in MEASURES:
        logs = os.path.join(bench.SOURCE, "build", "bench", "redirect-" + what)
        results = bench.run_once(__file__, args.build, logs, what, args.pairs) or []
        summary[what + "_failed"] = not results
        for name in results[0] if results else []:
            values = [result[name] for result in results]
            summary[name] = bench.rounded(statistics.median(values), 1 if max(values) > 10 else 3)
            spread[name] = [bench.rounded(f(values), 3) for f in (min, max)]
    print(json.dumps({**summary, "spread": spread}), flush=True)
    return 1 if any(summary[what + "_failed"] for what in MEASURES) else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        _, _, build_, logs_, what_, pairs_ = sys.argv
        sys.exit(bench.inside(build_, logs_, lambda lab: MEASURES[what_](lab, int(pairs_))))
    sys.exit(main())
