# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs icewirectl as a person would: into a pipe, or on a terminal."""

import contextlib
import fcntl
import os
import pty
import shutil
import struct
import subprocess
import tempfile
import termios
import unittest

from server import Server

BUILD = os.environ["ICEWIRE_BUILD"]
ICEWIRECTL = os.path.join(BUILD, "src", "icewirectl")
KEPT = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
TIMEOUT = 60


def environment(**more):
    """Nothing of ours but what the sanitizers need."""
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **KEPT, **more}


class Test(unittest.TestCase):
    """A test with a folder of its own, and a server in it."""

    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="icewirectl-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.socket = os.path.join(self.folder, "agent")

    @contextlib.contextmanager
    def serve(self, world, **methods):
        with Server(self.socket, {**world.methods(), **methods}) as server:
            yield server

    def ctl(self, *argv, status=0, **env):
        """stdout of icewirectl on a pipe; stderr is in self.stderr."""
        done = subprocess.run([ICEWIRECTL, f"--socket={self.socket}", *argv], env=environment(**env), text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False)
        self.stderr = done.stderr
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def fails(self, status, *argv, **env):
        """stderr of an icewirectl that fails."""
        self.assertEqual(self.ctl(*argv, status=status, **env), "")
        return self.stderr

    def terminal(self, *argv, status=0, rows=24, columns=80, program=(ICEWIRECTL,), **env):
        """What icewirectl prints on a terminal of that size."""
        us, it = pty.openpty()
        fcntl.ioctl(it, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        settings = termios.tcgetattr(it)
        settings[1] &= ~termios.OPOST
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(it, termios.TCSANOW, settings)
        process = subprocess.Popen([*program, f"--socket={self.socket}", *argv], env=environment(**{"TERM": "xterm", **env}),
                                   stdin=it, stdout=it, stderr=it, start_new_session=True,
                                   preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(it)
        output = b""
        # The last one who has it open closes it: EIO.
        with contextlib.suppress(OSError):
            while block := os.read(us, 65536):
                output += block
        os.close(us)
        self.assertEqual(process.wait(TIMEOUT), status, output.decode())
        return output.decode()

    def script(self, name, text):
        """A program that is found in self.folder."""
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\n" + text)
        os.chmod(path, 0o755)
        return path
