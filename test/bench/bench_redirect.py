#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bench redirect [--pairs N] [--measure hooks|direct|proxied]: what the eBPF programs cost the UDP that passes a hooked interface, packet
by packet and in trains, on the way out and on the way in, beside empty programs at the same hooks; and TCP in the tunnel by a
direct and by a proxied path, beside WireGuard alone. In pairs of moments, by turns; medians. Where the kernel has no WireGuard the
tunnel is one of wireguard-go. tools/bench expedites the machine's RCU for it."""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time

import bench
from cable import LOAD_ADDRESS, PORT, Cable, netns
from errors import LabError
from host import frozen
from patience import patient
from topology import TUNNEL4

# WireGuard's data messages as UDP payload, and how many are handed to the kernel at a time: a keepalive, and the longest in
# a tunnel of MTU 1420, one by one as kernel WireGuard sends them, or in trains as wireguard-go does.
SMALL, LARGE, TRAIN = (32, 1), (1452, 1), (1452, 32)

PAIRS = {"hooks": 3000, "direct": 1500, "proxied": 300}
AT_A_TIME = 300  # pairs, which take some fifteen seconds: a direct path has its negotiation's sockets for a minute
CLOCKS, CLOCK_PACKETS = 20, 20000  # readings of the programs' run times, and of how many packets each
# Seconds of TCP until it has found its speed again after a change, and icewire has done what it could not while it stood still; and
# for one figure.
SETTLE, SLICE = patient(0.05), patient(0.1)
QUIET = 10  # looks at what has passed that see the same


def _load(cable, verb, packets, count):
    """UDP from a to b, past a's program on the way out and b's on the way in: see udp-load.c."""
    return json.loads(cable.a.run(os.path.join(cable.lab.build, "test", "bench", "udp-load"), verb, LOAD_ADDRESS, str(PORT),
                                  *map(str, packets), str(count), *cable.hooks(), netns(cable.b),
                                  str(cable.b.links["wg0"].process.pid), timeout=600))


def _compare(cable, packets, pairs):
    """Packets per second, by what is attached: see udp-load.c."""
    compared = []
    while len(compared) < pairs:
        cable.attach_anew()
        compared += _load(cable, "compare", packets, min(AT_A_TIME, pairs - len(compared)))
        cable.check_shared()
    return compared


def _ratios(name, compared):
    """With programs to without. One host's interface is what counts, at the worse of its two hooks; a packet from a to b passes
    one of each host's."""
    ratios = {f"{what}_{name}_ratio": [with_programs / without for with_programs, without in (each[what] for each in compared)]
              for what in compared[0]}
    return {name + "_ratio": min((ratios[f"{hook}_{name}_ratio"] for hook in ("egress", "ingress")), key=statistics.median),
            **ratios, name: [without for each in compared for _, without in each.values()]}


def measure_hooks(lab, pairs):
    # udp-load takes its port from a process.
    os.environ["ICEWIRE_LAB_WIREGUARD"] = "userspace"
    cable = Cable(lab)
    cable.add_peers()
    cable.start("ebpf", "direct")
    results = {}
    for packets, name in ((LARGE, "throughput"), (SMALL, "pps"), (TRAIN, "train_throughput")):
        results.update(_ratios(name, _compare(cable, packets, pairs)))
    cable.attach_anew()
    clocks = [_load(cable, "clock", SMALL, CLOCK_PACKETS) for _ in range(CLOCKS)]
    cable.check_shared()
    results.update({name: [clock[name] for clock in clocks] for name in clocks[0]})
    for name in ("egress", "ingress"):
        results[name + "_net_ns"] = [clock[name + "_ns"] - clock["empty_ns"] for clock in clocks]
    return results


def _bytes(host):
    """Received and sent by its end of the tunnel."""
    with open(f"/proc/{host.holder}/net/dev", encoding="utf-8") as f:
        columns = next(line.split() for line in f if line.split()[0] == "wg0:")
    return int(columns[1]), int(columns[9])


class Stream:
    """TCP from a to b through the tunnel, without end."""

    def __init__(self, cable):
        self._cable = cable
        self._server = cable.b.start("iperf3", ["iperf3", "--server", "--one-off"])
        cable.lab.wait_until(lambda: ":5201" in cable.b.run("ss", "--listening", "--numeric", "--tcp"), "iperf3 listens")
        self._client = cable.a.start("iperf3", ["iperf3", "--client", TUNNEL4["b"], "--time", "86400"])
        cable.lab.wait_until(lambda: self._arrived() > 1e6, "TCP through the tunnel")

    def _arrived(self):
        """Bytes that have come out of the tunnel."""
        return _bytes(self._cable.b)[0]

    def hold(self):
        """Until nothing of it is under way, in neither direction: a packet that comes late by another path would take
        WireGuard's endpoint with it."""
        self._client.signal(signal.SIGSTOP)
        seen = []

        def is_quiet():
            seen.append([_bytes(host) for host in self._cable.hosts])
            return len(seen) >= QUIET and seen[-QUIET] == seen[-1]

        self._cable.lab.wait_until(is_quiet, "nothing passes", interval=0.005)

    def speed(self):
        """Mbit/s, for a moment."""
        self._client.signal(signal.SIGCONT)
        time.sleep(SETTLE)
        start, before = time.monotonic(), self._arrived()
        time.sleep(SLICE)
        return (self._arrived() - before) * 8 / 1e6 / (time.monotonic() - start)

    def pin(self):
        """What is of one host to a processor of its own, as if it were a machine: otherwise it makes a great difference what
        happens to share one."""
        for cpu, (host, stream) in zip(sorted(os.sched_getaffinity(0)), zip(self._cable.hosts, (self._client, self._server))):
            for process in filter(None, (host.links["wg0"].process, stream)):
                for thread in os.listdir(f"/proc/{process.pid}/task"):
                    os.sched_setaffinity(int(thread), {cpu})

    def end(self):
        for process in (self._client, self._server):
            process.expected_to_live = False
            process.kill()


class Direct:
    """A direct path by redirect: WireGuard has the endpoint, the programs see its packets."""

    redirect, path = "ebpf", "direct"

    def __init__(self, cable):
        self._cable = cable
        self._hooks = subprocess.Popen([os.path.join(cable.lab.build, "test", "bench", "toggle-hooks"), *cable.all_hooks()],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._wait()
        if cable.endpoints() != cable.static_endpoints():
            raise LabError(f"the endpoints of the direct path are {cable.endpoints()}")

    def _wait(self):
        if self._hooks.stdout.readline() != "done\n":
            raise LabError(f"toggle-hooks: exit status {self._hooks.wait()}")

    def _tell(self, what):
        self._hooks.stdin.write(what + "\n")
        self._hooks.stdin.flush()
        self._wait()

    def leave(self):
        self._tell("detach")

    def take(self):
        self._tell("attach")

    def check(self):
        pass

    def hold(self, stream):
        """Both have the same endpoints: it can go on."""

    def end(self):
        self._hooks.communicate()


class Proxied:
    """A path through both icewireds, whose addresses WireGuard has."""

    redirect, path = "proxy", "proxied"

    def __init__(self, cable):
        self._cable = cable
        self._endpoints = cable.endpoints()

    def leave(self):
        self._cable.set_endpoints(self._cable.static_endpoints())

    def take(self):
        self._cable.set_endpoints(self._endpoints)

    def check(self):
        if self._cable.endpoints() != self._endpoints:
            raise LabError(f"what should be proxied passed by {self._cable.endpoints()}")

    def hold(self, stream):
        stream.hold()

    def end(self):
        pass


def _alone(cable, path, stream):
    """WireGuard by itself: icewire stands still, nothing is attached, and the endpoints are what one would have typed."""
    with frozen(*cable.hosts):
        path.leave()
        speed = stream.speed()
        path.hold(stream)
        path.take()
    return speed


def _by_path(path, stream):
    speed = stream.speed()
    path.check()
    path.hold(stream)
    return speed


def _measure_tunnel(lab, kind, pairs):
    """Mbit/s by such a path, and without icewire."""
    cable = Cable(lab)
    cable.add_peers()
    cable.start(kind.redirect, kind.path)
    path, stream = kind(cable), Stream(cable)
    stream.pin()
    path.hold(stream)
    compared = []
    for i in range(pairs):
        speed = {with_icewire: _by_path(path, stream) if with_icewire else _alone(cable, path, stream)
                 for with_icewire in bench.alternated(i, True, False)}
        compared.append((speed[True], speed[False]))
    stream.end()
    path.end()
    cable.stop()
    return {f"tunnel_{kind.path}_ratio": [with_icewire / alone for with_icewire, alone in compared],
            f"tunnel_{kind.path}_alone_mbit_per_s": [alone for _, alone in compared]}


def measure_direct(lab, pairs):
    return _measure_tunnel(lab, Direct, pairs)


def measure_proxied(lab, pairs):
    return _measure_tunnel(lab, Proxied, pairs)


MEASURES = {"hooks": measure_hooks, "direct": measure_direct, "proxied": measure_proxied}


def main():
    parser = argparse.ArgumentParser(prog="tools/bench redirect")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--build", default=os.path.join(bench.SOURCE, "build", "release"))
    parser.add_argument("--measure", choices=MEASURES, action="append")
    args = parser.parse_args()
    medians, quartiles, failed = {}, {}, False
    pairs = {what: args.pairs or PAIRS[what] for what in args.measure or MEASURES}
    for what in pairs:
        logs = os.path.join(bench.SOURCE, "build", "bench", "redirect-" + what)
        results = bench.run_once(__file__, args.build, logs, what, pairs[what])
        failed = failed or not results
        for name, values in (results or {}).items():
            medians[name], quartiles[name] = _rounded(statistics.median(values)), \
                [_rounded(bench.percentile(values, percent)) for percent in (25, 75)]
            print(f"{name}: {medians[name]}, half of them from {quartiles[name][0]} to {quartiles[name][1]}", flush=True)
    print(json.dumps({**medians, "pairs": pairs, "quartiles": quartiles}), flush=True)
    return 1 if failed else 0


def _rounded(value):
    return bench.rounded(value, 4 if value < 10 else 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        _, _, build_, logs_, what_, pairs_ = sys.argv
        sys.exit(bench.inside(build_, logs_, lambda lab: MEASURES[what_](lab, int(pairs_))))
    sys.exit(main())
