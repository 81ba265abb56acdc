# SPDX-License-Identifier: LGPL-2.1-or-later
"""hosts behind every kind of NAT and firewall connect, in all pairs, by the path that docs/NAT-TABLE.md names"""

import os

import matrix


def run(lab):
    wanted = os.environ.get("ICEWIRE_LAB_PAIRS")  # for debugging: "none:symmetric,ipv6:ipv6"
    pairs = [tuple(p.split(":")) for p in wanted.split(",")] if wanted else matrix.all_pairs()
    network = matrix.Matrix(lab, [k for k in {**matrix.KINDS, **matrix.SHARED} if any(k in pair for pair in pairs)])
    lab.say(f"{len(network.hosts)} hosts, {len(pairs)} pairs")
    network.start()
    lab.say("icewire runs everywhere")
    meetings = matrix.meet_all(network, pairs)
    matrix.compare(meetings, update=os.environ.get("ICEWIRE_UPDATE") == "1" and not wanted)
