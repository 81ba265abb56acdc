# SPDX-License-Identifier: LGPL-2.1-or-later
"""A lab: machines and networks in a sandbox (sandbox.py), the processes on them, and their logs."""

import os
import re
import shutil
import subprocess
import sys
import time

from errors import LabError
from namespace import Namespace
from patience import patient
from sandbox import WORK

HERE = os.path.dirname(os.path.realpath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))

# What a sanitizer, the C library or our own assert() says before it ends a process.
REPORT = re.compile(r"(ERROR: (Address|Leak|Thread|Memory)Sanitizer|runtime error:|Assertion .* failed|"
                    r"\*\*\* stack smashing|(malloc|free|corrupted)[^\n]*\(\)|panic:)")

SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:detect_stack_use_after_return=1:quarantine_size_mb=4:"
                    "malloc_context_size=12",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}

# These say the same every time, unless they end.
BORING = re.compile(r"-wireguard-wg\d+\.log$")

NAMES = ("icewired", "icewire-broker", "icewirectl")


class Lab:
    """build: the meson build directory whose icewire is run; logs: a folder, emptied first."""

    def __init__(self, build, logs, verbose=False):
        self.build = os.path.abspath(build)
        self.logs = os.path.abspath(logs)
        self.verbose = verbose
        self.processes = []
        self.namespaces = []
        self.hosts = []
        self.started = time.monotonic()
        os.umask(0o022)
        shutil.rmtree(self.logs, ignore_errors=True)
        os.makedirs(self.logs)
        for folder in ("bin", "notify", "hosts"):
            os.makedirs(os.path.join(WORK, folder))
        for name, value in SANITIZERS.items():
            os.environ[name] = value
        os.environ["G_SLICE"] = "always-malloc"
        self._install()

    def _install(self):
        """The executable, where the unprivileged user can read it whatever the checkout's permissions are."""
        executable = os.path.join(self.build, "src", "icewire")
        self.has_icewire = os.path.exists(executable)
        if not self.has_icewire:
            return
        shutil.copy(executable, os.path.join(WORK, "bin", "icewire"))
        for name in NAMES:
            os.symlink("icewire", os.path.join(WORK, "bin", name))

    @staticmethod
    def binary(name):
        return os.path.join(WORK, "bin", name)

    def say(self, message):
        """Progress, for people."""
        if self.verbose:
            print(f"[{time.monotonic() - self.started:6.2f} s] {message}", flush=True)

    @staticmethod
    def run(*argv, stdin=None):
        """Runs a command in the lab, but on none of its machines."""
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False,
                              timeout=patient(60))
        if done.returncode != 0:
            raise LabError(f"{' '.join(argv)}: exit status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def machine(self, name):
        return Namespace(self, name)

    def check_processes(self):
        for process in self.processes:
            process.check()

    def wait_until(self, condition, what, timeout=60, interval=0.025):
        """Until condition() is true; returns what it returned. For what no event tells: it is asked every `interval`
        seconds. `what` says what should have happened; a callable is asked then."""
        timeout, interval = patient(timeout), patient(interval)
        deadline = time.monotonic() + timeout
        while True:
            self.check_processes()
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise LabError(f"not within {timeout} s: {what() if callable(what) else what}")
            time.sleep(interval)

    def always(self, condition, what, duration):
        """Raises as soon as condition() is false within the duration: for what must *not* happen. Only as good as the
        duration is long; prefer to wait for an event after which it could no longer happen."""
        deadline = time.monotonic() + duration
        while time.monotonic() < deadline:
            self.check_processes()
            if not condition():
                raise LabError(what() if callable(what) else what)
            time.sleep(0.05)

    def close(self):
        """Stops what runs, daemons first, and looks for reports in every log. Raises if something is wrong."""
        errors = []
        for host in self.hosts:
            try:
                host.stop_icewire()
            except LabError as e:
                errors.append(str(e))
        for process in self.processes:
            try:
                process.stop(status=None)
            except LabError as e:
                errors.append(str(e))
        errors += self.reports()
        if errors:
            raise LabError("; ".join(errors))

    def reports(self):
        found = []
        for name in sorted(os.listdir(self.logs)):
            with open(os.path.join(self.logs, name), encoding="utf-8", errors="replace") as f:
                found += [f"{name}: {line.strip()}" for line in f if REPORT.search(line)]
        return found

    def explain(self):
        """After a failure: leaves what helps to understand it in the logs, and prints the most of it."""
        try:
            self.dump()
        except Exception as e:  # pylint: disable=broad-except
            self.say(f"the machines' state could not be written down: {e}")  # what failed first is what matters
        self.print_tails()
        for report in self.reports():
            print("report:", report, flush=True)

    def dump(self):
        """Leaves in the logs what helps to understand a failure."""
        for namespace in self.namespaces:
            text = ""
            for argv in (["ip", "address"], ["ip", "route"], ["ip", "-6", "route"], ["nft", "list", "ruleset"], ["wg"],
                         ["cat", "/proc/net/nf_conntrack"], ["ss", "-nap"], ["bpftool", "net", "show"]):
                done = namespace.run(*argv, check=False)
                text += f"$ {' '.join(argv)}\n{done.stdout}{done.stderr}\n"
            with open(os.path.join(self.logs, namespace.name + ".state"), "w", encoding="utf-8") as f:
                f.write(text)
        for host in self.hosts:
            host.dump()

    def print_tails(self, lines=15):
        for name in sorted(os.listdir(self.logs)):
            if not name.endswith(".log") or name == "output.log":
                continue
            with open(os.path.join(self.logs, name), encoding="utf-8", errors="replace") as f:
                tail = f.read().splitlines()[-lines:]
            if tail and not BORING.search(name):
                print(f"--- {name}", *tail, sep="\n", file=sys.stdout, flush=True)
