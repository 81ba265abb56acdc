# SPDX-License-Identifier: LGPL-2.1-or-later
"""A machine of the lab: a network and a mount namespace."""

import os
import pickle
import select
import signal
import subprocess
import traceback

from errors import LabError
from patience import patient
from process import Process


class Namespace:
    """Everything that runs "on" it runs through run(), start() or call()."""

    def __init__(self, lab, name):
        self.lab = lab
        self.name = name
        self._become(self._hold())
        lab.namespaces.append(self)
        self.sysctl("net.ipv6.conf.all.accept_dad", 0)
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)
        self.ip("link", "set", "lo", "up")

    @staticmethod
    def _hold():
        """A process that does nothing but keep the namespaces."""
        ready, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.unshare(os.CLONE_NEWNET | os.CLONE_NEWNS)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                os.write(tell, b"!")
                os.closerange(0, 1024)
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        os.close(tell)
        answer = os.read(ready, 1)
        os.close(ready)
        if answer != b"!":
            raise LabError("no new namespaces: the lab needs to be root, with CAP_SYS_ADMIN")
        return pid

    def _become(self, holder):
        """From now on it is where this process is."""
        self.holder = holder
        self._fds = [os.open(f"/proc/{holder}/ns/{kind}", os.O_RDONLY) for kind in ("net", "mnt")]
        self._root = os.open(f"/proc/{holder}/root", os.O_RDONLY | os.O_DIRECTORY)

    def enter(self):
        """Moves the calling process, which must have one thread, in for good."""
        for fd in self._fds:
            os.setns(fd)
        # setns() left the root at the mount namespace's, which lies outside of a chroot that we may be in.
        os.fchdir(self._root)
        os.chroot(".")
        os.chdir("/")

    def path(self, inside):
        """A path of this machine, as seen from the lab."""
        return f"/proc/{self.holder}/root{inside}"

    def run(self, *argv, stdin=None, check=True, env=None, timeout=60):
        """Runs a command to its end; returns its output, raises LabError if it fails (check=False: returns the
        CompletedProcess instead)."""
        command, enter = self._how_to_run(argv)
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=patient(timeout),
                              env=dict(os.environ, **(env or {})), preexec_fn=enter, check=False,
                              stdin=subprocess.DEVNULL if stdin is None else None)
        if not check:
            return done
        if done.returncode != 0:
            raise LabError(f"{self.name}: {' '.join(argv)}: exit status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _how_to_run(self, argv):
        """The command for run(), and what the child process does first."""
        return argv, self.enter

    def ip(self, *argv):
        return self.run("ip", *argv)

    def sysctl(self, name, value):
        self.call(_write_file, "/proc/sys/" + name.replace(".", "/"), str(value))

    def nft(self, rules):
        self.run("nft", "-f", "-", stdin=rules)

    def start(self, name, argv, **options):
        """Starts a process that the lab watches from now on."""
        return Process(self.lab, f"{self.name}-{name}", argv, self, **options)

    def call(self, function, *arguments, timeout=60):
        """Calls a Python function here (in a child process) and returns what it returns."""
        return Call(self, function, *arguments).result(timeout)

    def connect(self, interface, other, other_interface):
        """A cable (veth) to another machine."""
        self.lab.run("ip", "link", "add", interface, "netns", str(self.holder), "type", "veth",
                     "peer", "name", other_interface, "netns", str(other.holder))
        self.ip("link", "set", interface, "up")
        other.ip("link", "set", other_interface, "up")

    def address(self, interface, *addresses):
        for a in addresses:
            self.ip("address", "add", a, "dev", interface, *(["nodad"] if ":" in a else []))

    def route(self, destination, *how):
        family = "-6" if ":" in destination + " ".join(how) else "-4"
        self.ip(family, "route", "add", destination, *how)

    def forwarding(self):
        self.sysctl("net.ipv4.ip_forward", 1)
        self.sysctl("net.ipv6.conf.all.forwarding", 1)


class Call:
    """A Python function that runs in a namespace beside the lab."""

    def __init__(self, namespace, function, *arguments):
        self.what = f"{namespace.name}: {function.__name__}"
        self._read, write = os.pipe()
        # A function that handles SIGTERM unblocks it when its handler is there.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._read)
            self._child(write, namespace, function, arguments)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(write)

    @staticmethod
    def _child(write, namespace, function, arguments):
        status = 1
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            namespace.enter()
            answer = (True, function(*arguments))
            status = 0
        except BaseException:  # pylint: disable=broad-except
            answer = (False, traceback.format_exc())
        try:
            with os.fdopen(write, "wb") as f:
                f.write(pickle.dumps(answer))
        finally:
            os._exit(status)

    def signal(self, number):
        os.kill(self.pid, number)

    def ready(self):
        """Is there a result that result() need not wait for?"""
        return bool(select.select([self._read], [], [], 0)[0])

    def result(self, timeout=60):
        data, timeout = b"", patient(timeout)
        while True:
            if not select.select([self._read], [], [], timeout)[0]:
                os.kill(self.pid, signal.SIGKILL)
                self._reap()
                raise LabError(f"{self.what}: no answer within {timeout} s")
            block = os.read(self._read, 65536)
            if not block:
                break
            data += block
        self._reap()
        if not data:
            raise LabError(f"{self.what}: the child process died")
        worked, value = pickle.loads(data)
        if not worked:
            raise LabError(f"{self.what}: {value}")
        return value

    def _reap(self):
        os.close(self._read)
        os.waitpid(self.pid, 0)


def _write_file(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
