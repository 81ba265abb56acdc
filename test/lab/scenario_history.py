# SPDX-License-Identifier: LGPL-2.1-or-later
"""the changes of a peer's path are told with when, from, to and why, by Varlink and icewirectl history"""

import json
import time

from errors import LabError
from topology import connected_sites


def run(lab):
    start = time.time()
    sites = connected_sites(lab)
    key = sites.keys["b"].public
    _expect(sites.a, key, "first_path", "none", "direct")
    lab.say("policies: by a relay, and back")
    sites.a.ctl("policy", key, "relay")
    sites.wait_connected(paths=("relayed",))
    _expect(sites.a, key, "policy", "direct", "relayed")
    sites.a.ctl("policy", key, "direct")
    sites.wait_connected(paths=("direct",))
    lab.say("b's daemons are stopped for good; a is asked to look again, and loses it")
    sites.a.ctl("policy", key, "off")
    sites.a.ctl("policy", key, "auto")
    lab.wait_until(lambda: "policy" in [c["cause"] for c in _changes(sites.a, key)[2:]],
                   lambda: f"policies are in the history: {_changes(sites.a, key)}")
    _check_times(sites.a, key, start)
    _check_chain(sites.a, key)
    _check_ctl(sites.a, key)
    lab.say("icewired starts anew, and has forgotten")
    sites.a.agent.stop()
    sites.a.start_agent().wait_ready()
    sites.a.wait_connected(key)
    changes = _changes(sites.a, key)
    if len(changes) != 1 or changes[0]["from"]["kind"] != "none":
        raise LabError(f"a history from before the start: {changes}")


def _changes(host, key):
    histories = host.varlink("GetHistory", {"peer": key})["peers"]
    if [h["publicKey"] for h in histories] != [key]:
        raise LabError(f"{host.name}: GetHistory of one peer returned {histories}")
    return histories[0]["changes"]


def _expect(host, key, cause, before, after):
    """Such a change is told."""
    host.lab.wait_until(lambda: any(c["cause"] == cause and c["from"]["kind"] == before and c["to"]["kind"] == after
                                    for c in _changes(host, key)),
                        lambda: f"{host.name}: {before} to {after}, because {cause}; there is {_changes(host, key)}")


def _check_times(host, key, start):
    times = [c["timeUSec"] / 1e6 for c in _changes(host, key)]
    if times != sorted(times) or times[0] < start - 1 or times[-1] > time.time() + 1:
        raise LabError(f"{host.name}: times that cannot be: {times}, since {start}")


def _check_chain(host, key):
    """Each change begins where the one before it has led."""
    changes = _changes(host, key)
    for before, after in zip(changes, changes[1:]):
        if before["to"] != after["from"]:
            raise LabError(f"{host.name}: {before} is followed by {after}")


def _check_ctl(host, key):
    told = _changes(host, key)
    listed = json.loads(host.ctl("--json=short", "history", key[:12]))
    if [h["changes"] for h in listed] != [told]:
        raise LabError(f"icewirectl history: {listed}, but Varlink: {told}")
    text = host.ctl("history", "wg0", key[:12])
    host.lab.say(f"{host.name}# icewirectl history wg0 {key[:12]}\n{text}")
    lines = text.splitlines()
    if len(lines) != len(told) + 1 or lines[0].split() != ["AGE", "LINK", "PEER", "FROM", "TO", "CAUSE"]:
        raise LabError(f"icewirectl history should have a heading and {len(told)} lines: {text}")
    for line, change in zip(lines[1:], told):
        if not line.rstrip().endswith(change["cause"].replace("_", "-")) or change["to"]["kind"] not in line:
            raise LabError(f"icewirectl history: {line} is not {change}")
