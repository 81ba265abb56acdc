#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The system calls that a unit's SystemCallFilter= lets through. As a program, "syscalls.py NAME,NAME,… CMD…": CMD with those alone;
any other one kills it, while as shipped it gets EPERM, which could be overlooked."""

import ctypes
import functools
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
FOLDERS = (os.path.join(os.path.dirname(os.path.dirname(HERE)), "units"), "/usr/lib/systemd/system")
LIBRARY = "libseccomp.so.2"

ALLOW, KILL_PROCESS = 0x7fff0000, 0x80000000  # seccomp.h


def _expand(word):
    """A name, or the names of a group."""
    if not word.startswith("@"):
        return {word}
    lines = subprocess.run(["systemd-analyze", "syscall-filter", word], check=True, capture_output=True, text=True).stdout.splitlines()
    found = set()
    for line in map(str.strip, lines[1:]):
        if line and not line.startswith("#"):
            found |= _expand(line)
    return found


@functools.cache
def allowed(unit):
    """Names, sorted; empty where systemd's tool or the library for filters is not there."""
    if not shutil.which("systemd-analyze"):
        return ()
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return ()
    path = next(p for p in (os.path.join(folder, unit) for folder in FOLDERS) if os.path.exists(p))
    with open(path, encoding="utf-8") as f:
        words = " ".join(re.findall(r"^SystemCallFilter=(.*)$", f.read(), re.MULTILINE)).split()
    return tuple(sorted(set().union(*map(_expand, [*words, "@default"]))))


def under_filter(executable, program, unit, argv):
    """argv, under the filter of the unit; program: this file, where the daemon's user can read it. Sanitizers make calls of their own."""
    with open(executable, "rb") as f:
        sanitized = b"__asan_init" in f.read()
    names = () if sanitized else allowed(unit)
    return [sys.executable, "-B", program, ",".join(names), *argv] if names else argv


def _load(names):
    library = ctypes.CDLL(LIBRARY)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(KILL_PROCESS)))
    for name in names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        # Those of other architectures have none here.
        if number >= 0 and library.seccomp_rule_add(context, ctypes.c_uint32(ALLOW), number, 0) != 0:
            sys.exit(f"no filter for {name}")
    if library.seccomp_load(context) != 0:
        sys.exit("the filter is not taken")


if __name__ == "__main__":
    _load(sys.argv[1].split(","))
    os.execv(sys.argv[2], sys.argv[2:])
