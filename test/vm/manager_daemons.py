# SPDX-License-Identifier: LGPL-2.1-or-later
"""the daemons in their sandboxes: killed they come back, stopped the direct path holds, and throughput is WireGuard's own"""

import json
import statistics

from errors import LabError
from machine import DAEMONS
from topology import TUNNEL4

ROUNDS, SECONDS = 5, 2  # of throughput with icewire and without
RATIO_MIN = 0.3  # a machine that others use, too, measures little: that is for tools/bench


def run(pair):
    pair.add_links()
    pair.wait_direct()
    a, b = pair.hosts
    for unit in DAEMONS:
        pair.disturb(f"SIGKILL of {unit}", lambda unit=unit: _kill(a, unit))
        pair.wait_direct()
    _check_kept(pair)
    pair.disturb("icewire is stopped on both hosts", lambda: [host.stop_icewire() for host in pair.hosts])
    pair.disturb("icewire is started again on both", lambda: [host.start_icewire() for host in pair.hosts])
    pair.wait_direct()
    _check_kept(pair)
    server = b.start("iperf3", ["iperf3", "--server", "--bind", TUNNEL4["b"]])
    pair.lab.wait_until(lambda: ":5201 " in b.run("ss", "--no-header", "--listening", "--tcp", "--numeric"), "iperf3 listens")
    _compare(pair)
    server.stop(status=None)
    pair.wait_direct()
    pair.remove_links()


def _kill(host, unit):
    """Its manager starts it again at once."""
    before = host.main_pid(unit)
    host.kill(unit)
    host.lab.wait_until(lambda: host.main_pid(unit) not in (0, before), f"{host.name}: {unit} is started again")


def _check_kept(pair):
    """What was there before is recognised: nothing is negotiated anew."""
    for host in pair.hosts:
        peer = host.peer(pair.key(pair.other(host)).public)
        if host is pair.hosts[0] and peer["counters"]["sessions"]:
            raise LabError(f"{host.name}: the path was not kept, there is a new session: {json.dumps(peer)}")


def _compare(pair):
    """TCP through the tunnel, by turns. What else the machine has to do comes and goes, so that each turn is compared with the next one."""
    speeds = {True: [], False: []}
    for number in range(ROUNDS):
        for running in (True, False) if number % 2 else (False, True):
            for host in pair.hosts:
                host.start_icewire() if running else host.stop_icewire()
            if running:
                pair.sites.wait_connected()
            speeds[running].append(_measure(pair.sites.a))
    for host in pair.hosts:
        host.start_icewire()
    with_it, without = (statistics.median(speeds[running]) for running in (True, False))
    ratios = sorted(a / b for a, b in zip(speeds[True], speeds[False]))
    ratio = statistics.median(ratios)
    pair.lab.say(f"TCP through the kernel's WireGuard: {with_it / 1e6:.0f} Mbit/s with icewire, {without / 1e6:.0f} without (medians of "
                 f"{ROUNDS}), ratio {ratio:.2f} (of {' '.join(f'{r:.2f}' for r in ratios)})")
    if ratio < RATIO_MIN:
        raise LabError(f"icewire costs too much: {speeds}")


def _measure(host):
    """In bit/s."""
    answer = host.run("iperf3", "--client", TUNNEL4["b"], "--time", str(SECONDS), "--json")
    return json.loads(answer)["end"]["sum_received"]["bits_per_second"]
