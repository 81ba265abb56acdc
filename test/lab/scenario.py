# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs one scenario, inside its sandbox: scenario.py NAME BUILD LOGS. Exit status 0: passed, 77: skipped, else failed.
A scenario is a module scenario_NAME with a function run(lab) that raises LabError when something is not as it should
be; the first line of its docstring says what is shown."""

import importlib
import sys
import traceback

import sandbox
from errors import LabError, Skip
from lab import Lab


def main(name, build, logs):
    sandbox.prepare()
    module = importlib.import_module("scenario_" + name)
    lab = Lab(build, logs, verbose=True)
    try:
        module.run(lab)
    except Skip as e:
        print(f"skipped: {e}")
        return 77
    except Exception as e:  # pylint: disable=broad-except
        lab.say(f"FAILED: {e}")
        if not isinstance(e, LabError):
            traceback.print_exc()
        lab.explain()
        return 1
    try:
        lab.close()
    except LabError as e:
        lab.say(f"FAILED at the end: {e}")
        lab.print_tails()
        return 1
    lab.say("passed")
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main(*sys.argv[1:]))
