#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What install-sources.service shows: see there. The commands before the installation, which need compilers, tools/vm-test has run in the
build environment; their folder is unpacked here, at the same place."""

import installation
from installation import follow, say
from readme import Readme
from units import add_link, run

SOURCES = "/usr/lib/icewire-test/sources"


def unpack():
    """Returns the folder. Of the system's files, what it has already stays."""
    run("tar", "--extract", "--absolute-names", "--skip-old-files", f"--file={SOURCES}/tar")
    with open(f"{SOURCES}/folder", encoding="utf-8") as f:
        return f.read().strip()


def main():
    installation.begin()
    folder = unpack()
    readme = Readme(folder)
    key = add_link()
    for command in readme.from_install_on():
        say(follow(command, folder)[-2000:])
    installation.check_installed(key)
    installation.check_credential(readme.credential, folder)
    follow(readme.in_text("systemctl disable"), folder)
    installation.is_off()


if __name__ == "__main__":
    main()
