# SPDX-License-Identifier: LGPL-2.1-or-later
"""A process that the lab started and watches."""

import os
import select
import signal
import socket
import subprocess
import time

from errors import LabError
from patience import patient
from sandbox import WORK


class Process:
    """Runs argv in a namespace; everything it prints is appended to LOGS/NAME.log. It must live until stop() or kill();
    Lab.check_processes() raises if it did not. With notify=True it gets a NOTIFY_SOCKET, see wait_ready()."""

    def __init__(self, lab, name, argv, namespace, env=None, notify=False):
        self.lab = lab
        self.name = name
        self.log = os.path.join(lab.logs, name + ".log")
        self.expected_to_live = True
        self.notify = self._bind_notify() if notify else None
        environment = dict(os.environ, **(env or {}))
        if self.notify:
            environment["NOTIFY_SOCKET"] = self.notify.getsockname()
        with open(self.log, "ab") as log:
            self.started = time.monotonic()
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                                          start_new_session=True, preexec_fn=namespace.enter)
        lab.processes.append(self)

    def _bind_notify(self):
        path = os.path.join(WORK, "notify", self.name)
        if os.path.exists(path):
            os.unlink(path)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        s.bind(path)
        os.chmod(path, 0o666)
        return s

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def check(self):
        """Raises if it has ended by itself."""
        if self.expected_to_live and not self.alive():
            self.expected_to_live = False
            raise LabError(f"{self.name} ended by itself: {self._how()}")

    def _how(self):
        status = self.popen.returncode
        return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    def wait_ready(self, timeout=30):
        """Until it has said READY=1 to systemd."""
        timeout = patient(timeout)
        deadline = time.monotonic() + timeout
        while True:
            self.check()
            if select.select([self.notify], [], [], 0.2)[0] and b"READY=1" in self.notify.recv(4096).split(b"\n"):
                # Nobody reads what it says later: a full queue would block it.
                os.unlink(self.notify.getsockname())
                self.notify.close()
                return
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} did not become ready within {timeout} s")

    def signal(self, number):
        self.popen.send_signal(number)

    def stopped(self):
        """Held by SIGSTOP."""
        return self._status()["State"].startswith("T")

    def kill(self):
        """SIGKILL, as the kernel's out-of-memory killer would."""
        self.expected_to_live = False
        self.popen.kill()
        self.popen.wait()

    def stop(self, timeout=30, status=0):
        """SIGTERM; raises unless it ends in time with the exit status (None: any)."""
        if not self.alive():
            self.check()
            return
        self.expected_to_live = False
        timeout = patient(timeout)
        self.popen.terminate()
        try:
            self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LabError(f"{self.name} was still there {timeout} s after SIGTERM") from None
        if status is not None and self.popen.returncode != status:
            raise LabError(f"{self.name} did not stop cleanly: {self._how()}")

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    # What it costs, from /proc (man 5 proc).

    def resident(self):
        """Bytes of memory that it occupies."""
        return int(self._status()["VmRSS"].split()[0]) * 1024

    def wakeups(self):
        """How often it has slept and was woken, all threads."""
        n = 0
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            n += int(self._status(f"task/{thread}/")["voluntary_ctxt_switches"])
        return n

    def cpu(self):
        """Seconds of CPU time used."""
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _status(self, where=""):
        with open(f"/proc/{self.pid}/{where}status", encoding="utf-8") as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)

    def status(self):
        """/proc/PID/status as a dictionary."""
        return self._status()
