#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What reports.service shows: see there. Each of these is in its list of problems."""

import os
import signal
import subprocess

from units import AGENT, BROKER, SOCKETS, run, show, wait_until, write

MISBEHAVE = "/usr/lib/icewire-test/build/test/vm/misbehave"


def sanitizers():
    for what in ("overflow", "heap", "leak"):
        subprocess.run([MISBEHAVE, what], stdin=subprocess.DEVNULL, check=False)


def core():
    subprocess.run(["sh", "-c", "kill -SEGV $$"], check=False)


def crash(unit):
    """systemd starts it again, and nothing seems to have been."""
    run("systemctl", "start", *SOCKETS, AGENT)
    before = show(unit, "MainPID")["MainPID"]
    os.kill(int(before), signal.SIGSEGV)
    wait_until(lambda: show(unit, "ActiveState", "MainPID") not in ({"ActiveState": "active", "MainPID": pid} for pid in (before, "0")) and
               show(unit, "ActiveState")["ActiveState"] == "active", f"{unit} is back")


def exit_like_a_sanitizer():
    """A daemon of ours does, in its sandbox."""
    drop_in = f"/run/systemd/system/{AGENT}.d/60-misbehave.conf"
    write(drop_in, f"[Service]\nExecStart=\nExecStart={MISBEHAVE} heap\nRestart=no\n")
    run("systemctl", "daemon-reload")
    subprocess.run(["systemctl", "restart", AGENT], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if show(AGENT, "Result")["Result"] != "exit-code":
        raise AssertionError(f"{AGENT} should have failed: {show(AGENT, 'Result', 'ActiveState')}")
    run("systemctl", "reset-failed", AGENT)
    os.unlink(drop_in)
    run("systemctl", "daemon-reload")


def main():
    sanitizers()
    core()
    for unit in (AGENT, BROKER):
        crash(unit)
    exit_like_a_sanitizer()


if __name__ == "__main__":
    main()
