#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The commands of README.md's section on installation, for whoever follows it word by word. As a program: readme.py FOLDER prints those
from the sources that come before INSTALL, which the virtual machine, that has no compiler, cannot run."""

import os
import re
import sys

SECTION = "Installation"
INSTALL = "ninja -C build install"


class Readme:
    """The section of a folder's README.md: the package, the sources and the credential have a block of commands each."""

    def __init__(self, folder):
        with open(os.path.join(folder, "README.md"), encoding="utf-8") as f:
            self._text = re.search(rf"^## {SECTION}\n(.*?)^## ", f.read(), re.MULTILINE | re.DOTALL)[1]
        blocks = [block.rstrip("\n").splitlines() for block in re.findall(r"(?:^    .+\n)+", self._text, re.MULTILINE)]
        self.package, self.sources, self.credential = ([line.strip() for line in block] for block in blocks)

    def before_install(self):
        return self.sources[:self.sources.index(INSTALL)]

    def from_install_on(self):
        return self.sources[self.sources.index(INSTALL):]

    def in_text(self, program):
        """The one command in the text that calls this program."""
        command, = re.findall(rf"`({program} [^`]+)`", self._text)
        return command


if __name__ == "__main__":
    print("\n".join(Readme(sys.argv[1]).before_install()))
