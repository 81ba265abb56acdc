#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""managers.py CASE…: two hosts behind NATs, each with a systemd of its own and icewire as it is installed; what manages their
WireGuard links is another one in each case. A case is a module manager_NAME with a function run(pair) that raises LabError when
something is not as it should be; the first line of its docstring is what it shows."""

import importlib
import os
import subprocess
import sys
import time
import traceback

# The lab's modules first: there is a sandbox.py here as well.
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lab"))

# pylint: disable=wrong-import-position
from errors import LabError, Skip
from lab import Lab
from pair import Pair
from sandbox import WORK

BUILD = "/usr/lib/icewire-test/build"
MODULES = ("overlay", "wireguard")  # for containers, which load none


def prepare():
    """The lab's mounts are its own."""
    os.unshare(os.CLONE_NEWNS)
    for mount in (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", "mode=0755", "lab", WORK]):
        subprocess.run(["mount", *mount], check=True)
    for module in MODULES:
        subprocess.run(["modprobe", module], check=True)


def run_case(pair, name):
    """Returns "passed", "failed" or "skipped", and says so."""
    module = importlib.import_module("manager_" + name)
    start, outcome, problem = time.monotonic(), "passed", ""
    try:
        module.run(pair)
        pair.clean_up()
    except Skip as e:
        outcome, problem = "skipped", str(e)
    except Exception as e:  # pylint: disable=broad-except
        outcome, problem = "failed", str(e)
        if not isinstance(e, LabError):
            traceback.print_exc()
    print(f"{outcome}  {name}  ({time.monotonic() - start:.1f} s)  {module.__doc__.splitlines()[0]}", flush=True)
    if problem:
        print("  " + problem, flush=True)
    return outcome


def main(cases):
    prepare()
    lab = Lab(BUILD, os.path.join(BUILD, "managers"), verbose=True)
    try:
        pair = Pair(lab)
        outcomes = []
        for name in cases:
            outcomes.append(run_case(pair, name))
            if outcomes[-1] == "failed":
                pair.reset()
        if "failed" in outcomes:
            lab.explain()
            return 1
        lab.close()
    except LabError as e:
        lab.say(f"FAILED: {e}")
        lab.explain()
        return 1
    return 77 if set(outcomes) == {"skipped"} else 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main(sys.argv[1:]))
