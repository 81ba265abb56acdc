# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the benches share: runs in sandboxes of their own, and percentiles."""

import json
import math
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(SOURCE, "test", "lab"))

# pylint: disable=wrong-import-position
import sandbox
from lab import Lab

# Debug messages cost time; nobody has them on.
os.environ.setdefault("ICEWIRE_LAB_LOG_LEVEL", "info")

RESULT = "RESULT "


def run_once(script, *arguments):
    """Runs SCRIPT --inside ARGUMENTS… in a sandbox; returns what it gave to report(), or None if it failed."""
    process = sandbox.start([script, "--inside", *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    result = None
    for line in process.stdout:
        if line.startswith(RESULT):
            result = json.loads(line[len(RESULT):])
        else:
            print("  " + line, end="", flush=True)
    return result if process.wait() == 0 else None


def report(result):
    print(RESULT + json.dumps(result), flush=True)


def inside(build, logs, measure):
    """The body of a run: measure(lab) returns the result."""
    sandbox.prepare()
    lab = Lab(build, logs)
    try:
        result = measure(lab)
        lab.close()
    except Exception as e:  # pylint: disable=broad-except
        lab.explain()
        print(f"FAILED: {e}; logs: {lab.logs}", flush=True)
        return 1
    report(result)
    return 0


def main(function):
    try:
        sys.exit(function())
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")


def alternated(i, *what):
    """The order of the i-th pair: every other one is the other way round, so that a drift does not favour any."""
    return what if i % 2 == 0 else what[::-1]


def percentile(values, percent):
    """By nearest rank; None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else None


def rounded(value, digits=3):
    return None if value is None else round(value, digits)
