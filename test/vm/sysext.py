#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What sysext.service shows: see there."""

import os

import image
import sandbox
from errors import LabError
from network import AGENT, UNITS
from units import run


def check_modes():
    """Merged, the folders of an extension are the host's: they are to be as open as before, to everybody."""
    modes = {path: oct(os.stat(path).st_mode) for path in ("/usr", "/usr/bin", "/usr/lib", "/usr/lib/systemd/system")}
    if set(modes.values()) != {"0o40755"}:
        raise LabError(f"the modes of /usr: {modes}")
    run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "icewirectl", "status")


def work():
    sandbox.wait_for("direct")
    image.is_shared()
    image.check_libraries()
    # Its library is loaded when it is needed.
    sandbox.share("nftables")
    sandbox.wait_for("direct")
    sandbox.share("ebpf")
    sandbox.check_exposure()
    sandbox.check_rights()
    sandbox.check_nothing_was_refused()


def main():
    install, upgrade, remove = image.blocks()[:3]
    # tools/vm-test has put it where the first block does, and enabled the service that merges it.
    image.wait_up("booted")
    image.follow(remove)
    image.check_gone()

    # Who has read their policies is to read them again.
    run("systemctl", "start", "polkit.service")
    image.check_known(False)
    image.follow(install)
    os.chdir(image.FOLDER)  # in what is mounted on /usr now
    image.wait_up("installed")
    check_modes()
    image.check_known(True)
    run("systemctl", "stop", AGENT)
    image.check_known(True)
    image.wait_up("started by the bus")
    if "icewire" not in run("journalctl", "--list-catalog"):
        raise LabError("the catalog is not known")
    sandbox.set_up(UNITS)
    work()
    before = image.pids(*image.DAEMONS)
    image.follow(install + upgrade)
    image.check_exchanged(before, remove)


if __name__ == "__main__":
    main()
