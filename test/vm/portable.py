#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What portable.service shows: see there."""

import os
import re

import image
import network
import sandbox
from errors import LabError
from network import AGENT
from units import describe, run, wait_until

UNITS = "/etc/systemd/system.attached"


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
    attach, more, detach = image.blocks()[3:]
    image.is_absent()
    image.follow(attach)
    image.wait_up("attached")
    image.check_known(False)
    image.follow(more)
    image.wait_up("with D-Bus and polkit")
    image.check_known(True)
    sandbox.set_up(UNITS)
    # As far as /proc tells, the image's root is a root like any other.
    image.check_libraries()
    image.check_run()
    sandbox.check_exposure()
    sandbox.work()
    sandbox.check_rights()
    sandbox.check_nothing_was_refused()
    trust()
    image.is_shared()
    before = image.pids(*image.DAEMONS)
    image.follow(detach + [attach[0], attach[-1]])
    image.wait_up("a new version")
    if not image.restarted(before):
        raise LabError("daemons of the version before still run")
    sandbox.wait_for("direct")
    image.follow(detach)
    image.check_gone()
    image.check_path_stays()


if __name__ == "__main__":
    main()
