# SPDX-License-Identifier: LGPL-2.1-or-later
"""The box that a lab lives in: mount, network and PID namespaces of its own. Its first process is the lab itself, so
that every process, namespace and mount of the lab is gone when that ends or is killed, and it is killed when the
process that started it dies."""

import os
import subprocess
import sys

# A mount of our own, readable by every user of the lab: the checkout itself may lie below a closed folder.
WORK = "/mnt" if not os.path.realpath(__file__).startswith("/mnt/") else "/media"


def command(argv):
    """The command line that runs a Python script with its arguments in a new box."""
    return ["setpriv", "--pdeathsig", "KILL",
            "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private",
            "--", sys.executable, "-B", *argv]


def start(argv, **popen):
    """Starts a script in a box. The calling thread has to outlive it: its death is the box's death."""
    return subprocess.Popen(command(argv), **popen)


def prepare():
    """The first thing to do inside the box."""
    if os.getpid() != 1:
        raise SystemExit("This runs in a sandbox of its own: start it with test/lab/run, tools/demo or tools/bench.")
    for mount in (["-t", "proc", "proc", "/proc"],
                  ["-t", "tmpfs", "-o", "mode=0755", "lab", WORK]):
        subprocess.run(["mount", *mount], check=True)
