#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Unit tests of what a kernel may lack where they are built, which skips them there. Here none may be."""

import glob
import os
import re
import subprocess
import sys

from errors import LabError
from patience import patient

FOLDER = "/usr/lib/icewire-test/unit-tests"


def check(program):
    done = subprocess.run([program, "--tap"], env={**os.environ, "LD_LIBRARY_PATH": FOLDER + "/lib"}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=patient(60))
    passed = re.findall(r"^ok (?!.*# SKIP).*$", done.stdout, re.MULTILINE)
    others = re.findall(r"^(?:not ok .*|ok .*# SKIP.*)$", done.stdout, re.MULTILINE)
    if done.returncode != 0 or others or not passed:
        raise LabError(f"{program}: exit status {done.returncode}: {done.stdout}")
    print(f"{os.path.basename(program)}: {len(passed)} passed", flush=True)


def main():
    programs = glob.glob(FOLDER + "/test-*")
    if not programs:
        sys.exit(f"no unit tests in {FOLDER}")
    for program in programs:
        check(program)


if __name__ == "__main__":
    main()
