#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What portable.service shows: see there."""

import image
import sandbox
from errors import LabError

UNITS = "/etc/systemd/system.attached"


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
