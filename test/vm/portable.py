#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What portable.service shows: see there."""

import glob
import os
import re
import subprocess

import image
import network
import sandbox
from errors import LabError
from network import AGENT
from units import describe, run, wait_until

UNITS = "/etc/systemd/system.attached"
SANDBOX = re.compile(r"^((Private|Protect|Restrict|SystemCall|Capability|Ambient|IPAddress|DevicePolicy|NoNew|LockP|MemoryDeny|Limit|ProcS|RemoveI)\w*|"
                     r"TemporaryFileSystem|InaccessiblePaths|ReadOnlyPaths|UMask|TasksMax|User|DynamicUser)=.*$", re.MULTILINE)
# What the profile changes, as README.md says.
CHANGED = {"PrivateTmpEx": (["disconnected"], ["connected"])}


def sandbox_of(unit):
    """Of what is a list systemd tells in an order of its own."""
    found = dict(match[0].split("=", 1) for match in SANDBOX.finditer(run("systemctl", "show", unit)))
    return {name: sorted(value.split()) for name, value in found.items()}


def check_sandboxes():
    """What is in force is what the unit files say, which a profile could change."""
    for unit in image.DAEMONS:
        plain = f"plain-{unit}"
        network.write(f"/run/systemd/system/{plain}",
                      re.sub(r"^(BusName|Requires|Wants)=.*\n", "", network.read(f"{UNITS}/{unit}"), flags=re.MULTILINE))
        run("systemctl", "daemon-reload")
        said, is_so = sandbox_of(plain), sandbox_of(unit)
        differ = {name: (said.get(name), is_so.get(name)) for name in said.keys() | is_so.keys() if said.get(name) != is_so.get(name)}
        if len(said) < 30 or differ != CHANGED:
            raise LabError(f"{unit}: of {len(said)} properties, those that are not as the unit says: {differ}")
        os.unlink(f"/run/systemd/system/{plain}")
    run("systemctl", "daemon-reload")
    print("the sandboxes are those of the units", flush=True)


def cmdline(process):
    try:
        return network.read(f"{process}/cmdline")
    except OSError:
        return ""  # it has ended


def monitors():
    return [path for path in glob.glob("/proc/[0-9]*") if image.is_icewire(path) and "\0monitor" in cmdline(path)]


def monitor():
    process = subprocess.Popen(["icewirectl", "monitor"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    process.stdout.readline()
    if len(monitors()) != 1:
        raise LabError(f"icewirectl monitor: {monitors()}")
    return process


def check_icewirectl():
    """The one in the image is to the host what its own would be: arguments arrive as they are, and nothing stays behind."""
    done = subprocess.run(["icewirectl", "peer", "$HOME"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0 or "$HOME" not in done.stdout + done.stderr:
        raise LabError(f"icewirectl peer $HOME: {done}")
    process = monitor()
    process.terminate()
    process.communicate()
    wait_until(lambda: not monitors(), "who is told to end takes the service along")
    process = monitor()
    process.stdout.close()
    run("icewirectl", "policy", sandbox.peer()["publicKey"], "off")
    run("icewirectl", "policy", sandbox.peer()["publicKey"], "auto")
    wait_until(lambda: not monitors(), "without a reader nothing goes on")
    process.wait()
    sandbox.wait_for("direct")


def trust():
    """Whom the host trusts, the daemon in the image trusts."""
    certificate = "/usr/local/share/ca-certificates/authority.crt"
    network.write(certificate, network.read(f"{network.PKI}/ca.crt"))
    name = run("openssl", "x509", "-noout", "-subject_hash", "-in", certificate).strip()
    os.makedirs("/etc/ssl/certs", exist_ok=True)
    os.symlink(certificate, f"/etc/ssl/certs/{name}.0")
    network.write("/etc/icewire/icewire.conf", re.sub(r"^\w+CAFile=.*\n", "", network.configuration(), flags=re.MULTILINE))
    run("systemctl", "restart", AGENT)
    wait_until(lambda: [r["state"] for r in describe().get("rendezvous", [])] == ["up"], f"the server is trusted: {describe()}")
    print("the server is trusted", flush=True)


def main():
    attach, more, remove = image.blocks()[3:]
    image.is_absent()
    image.follow(attach)
    image.wait_up("attached")
    image.check_known(False)
    check_sandboxes()
    image.follow(more)
    image.wait_up("with D-Bus and polkit")
    image.check_known(True)
    sandbox.set_up(UNITS)
    # As far as /proc tells, the image's root is a root like any other.
    image.check_libraries()
    image.check_run()
    sandbox.check_exposure()
    sandbox.work()
    check_icewirectl()
    sandbox.check_rights()
    sandbox.check_nothing_was_refused()
    trust()
    image.is_shared()
    before = image.pids(*image.DAEMONS)
    image.follow(remove)
    image.check_known(False)
    image.follow(attach + more)
    image.check_exchanged(before, remove)


if __name__ == "__main__":
    main()
