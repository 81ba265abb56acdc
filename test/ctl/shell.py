# SPDX-License-Identifier: LGPL-2.1-or-later
"""Real shells on a terminal, whose Tab key is pressed."""

import os
import pty
import select
import signal
import subprocess
import time

TIMEOUT = 60
SHOW = "\x07"  # the key that makes the shell show its line
START, END = "<line:", ":enil>"
READY = "<ready>"


class Shell:
    """argv: a shell whose prompt is READY, and that shows the line between START and END when SHOW is pressed."""

    def __init__(self, argv, env, folder):
        self._us, it = pty.openpty()
        self._buffer = ""
        # Readline and zle redraw what does not fit.
        subprocess.run(["stty", "rows", "50", "columns", "2000", "-echo"], stdin=it, check=True)
        self._process = subprocess.Popen(argv, env={"TERM": "dumb", "HISTFILE": "", **env}, cwd=folder, stdin=it,
                                         stdout=it, stderr=it, start_new_session=True)
        os.close(it)
        self._read_until(READY)

    def close(self):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._us)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _send(self, text):
        os.write(self._us, text.encode())

    def _read_until(self, mark):
        deadline = time.monotonic() + TIMEOUT
        while mark not in self._buffer:
            if not select.select([self._us], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"no {mark!r} in {self._buffer!r}")
            self._buffer += os.read(self._us, 65536).decode()
        text, _, self._buffer = self._buffer.partition(mark)
        return text

    def press_tab(self, line):
        """What becomes of the line."""
        self._send(line + "\t" + SHOW)
        shown = self._read_until(END).rpartition(START)[2]
        self._send("\x15")  # the line is empty again
        return shown
