# SPDX-License-Identifier: LGPL-2.1-or-later
"""a person on a terminal who may not reload is asked for the administrator's password by polkit's agent, and then may"""

import contextlib
import fcntl
import os
import pty
import select
import subprocess
import termios
import time

import dbus
from errors import LabError, Skip
from host import USER
from lab import SOURCE
from patience import patient
from topology import Sites

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
POLKITD = "/usr/lib/polkit-1/polkitd"
PROMPT = b"Password:"
PERMISSION = 4


def run(lab):
    if not os.access(POLKITD, os.X_OK):
        raise Skip("there is no polkitd")
    host = Sites(lab).a
    host.run("sh", "-c", "echo root:sesame | chpasswd")
    dbus.start_bus(host)
    polkit = _start_polkit(host)
    host.configure()
    host.start_icewire()
    lab.wait_until(lambda: "org.icewire1" in host.run("busctl", "list"), "icewired is on the bus")

    lab.say("without a terminal, and with --no-ask-password, nobody is asked")
    _expect(host.run(*NOBODY, host.lab.binary("icewirectl"), "reload", check=False).returncode, PERMISSION, "")
    status, text = _on_terminal(host, None, "--no-ask-password", "reload")
    _expect(status, PERMISSION, text)

    lab.say("with the right password, the configuration is read again")
    status, text = _on_terminal(host, "sesame", "reload")
    lab.say(text)
    _expect(status, 0, text)
    if "org.icewire1.reload" not in text:
        raise LabError(f"the person is not told for what the password is: {text}")

    lab.say("with a wrong one, it is not")
    status, text = _on_terminal(host, "open", "reload")
    lab.say(text)
    _expect(status, PERMISSION, text)
    if "open" in text or "sesame" in text:
        raise LabError(f"a password is shown: {text}")
    polkit.stop(status=None)


def _start_polkit(host):
    host.run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/etc/polkit-1/rules.d")
    host.run("install", "-d", "-m", "0755", "/run/polkit-1/actions")
    with open(os.path.join(SOURCE, "polkit", "org.icewire1.policy.in"), encoding="utf-8") as f:
        host.write("/run/polkit-1/actions/org.icewire1.policy", f.read().replace("@user@", USER))
    polkit = host.start("polkit", [POLKITD, "--no-debug"])
    host.lab.wait_until(lambda: "org.freedesktop.PolicyKit1" in host.run("busctl", "list"), "polkit is on the bus")
    return polkit


def _expect(status, expected, text):
    if status != expected:
        raise LabError(f"exit status {status}, expected {expected}: {text}")


def _on_terminal(host, password, *argv):
    """Runs icewirectl as nobody on a terminal, where a person types the password when asked; its exit status and all that
    was printed."""
    def become():
        host.enter()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    us, it = pty.openpty()
    process = subprocess.Popen([*NOBODY, host.lab.binary("icewirectl"), *argv], env=dict(os.environ, TERM="dumb"), stdin=it, stdout=it,
                               stderr=it, start_new_session=True, preexec_fn=become)
    os.close(it)
    text, typed = b"", password is None
    end = time.monotonic() + patient(60)
    # EIO: the last one who had it open has closed it.
    with contextlib.suppress(OSError):
        while time.monotonic() < end:
            if select.select([us], [], [], 0.02)[0]:
                text += os.read(us, 65536)
            # What is typed before the echo is off is thrown away.
            if not typed and PROMPT in text and not termios.tcgetattr(us)[3] & termios.ECHO:
                os.write(us, password.encode() + b"\n")
                typed = True
    os.close(us)
    process.kill()
    return process.wait(), text.decode(errors="replace")
