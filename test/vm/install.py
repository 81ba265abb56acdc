#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What install.service shows: see there."""

import glob
import os

import installation
from errors import LabError
from installation import CREDENTIAL, follow, processes, say
from readme import Readme
from units import AGENT, CONFIGURATION, add_link, hooks, run, show

FOLDER = "/usr/lib/icewire-test/package"
BUILT = "tools/package"  # the one command that needs the build environment: tools/vm-test has run it
MISSING = "libnice10"  # which apt has to fetch
YES = "y\n"

# What stays when the package is purged: what the machine's owner has made. So does the account: Debian removes none.
STAYS = (CONFIGURATION, CREDENTIAL)
TESTS = "icewire-test"  # in all names that are the tests' own


def set_up():
    """A machine as apt finds it before: a package that icewire needs is in its archive, and not installed."""
    installation.begin()
    run("dpkg", "--purge", MISSING)
    with open("/etc/apt/sources.list.d/icewire-test.sources", "w", encoding="utf-8") as f:
        f.write(f"Types: deb\nURIs: file:{FOLDER}/repository\nSuites: ./\nTrusted: yes\n")
    run("apt-get", "update")


def install(readme):
    commands = readme.package.copy()
    commands.remove(BUILT)
    for command in commands:
        say(follow(command, FOLDER, YES))
    if "ok installed" not in run("dpkg-query", "--show", "--showformat=${Status}", MISSING):
        raise LabError(f"{MISSING} is not installed")


def later():
    """A version that differs in nothing else."""
    package, = glob.glob(FOLDER + "/next/*.deb")
    return package


def upgrade(key):
    before = show(AGENT, "MainPID")
    say(follow(f"apt install {later()}", FOLDER, YES))
    if show(AGENT, "MainPID") == before:
        raise LabError("icewired is still the one from before the upgrade")
    installation.check_installed(key)


def turn_off(readme, key):
    """As the README has it; no new version starts it again. Then on again."""
    command = readme.in_text("systemctl disable")
    follow(command, FOLDER)
    installation.is_off()
    say(follow(f"apt install --reinstall {later()}", FOLDER, YES))
    installation.is_off()
    run("systemctl", "enable", "--now", *installation.preset())
    installation.check_installed(key)


def leftovers():
    """What is named after icewire, in files, but for the tests; what runs is another question."""
    found = run("find", "/", "(", "-path", "/proc", "-o", "-path", "/sys", "-o", "-path", "/run/systemd/units", ")", "-prune", "-o",
                "-iname", "*icewire*", "-print").splitlines()
    return [path for path in found if path not in STAYS and TESTS not in path]


def remove():
    say(follow("apt remove icewire", FOLDER, YES))
    if processes() or hooks():
        raise LabError(f"there are still processes {processes()}, programs {hooks()}")
    found = [path for path in leftovers() if not path.startswith(("/etc/", "/var/"))]
    if found:
        raise LabError(f"apt remove leaves {found}")
    say(follow("apt purge icewire", FOLDER, YES))
    found = [path for path in leftovers() if path != "/etc/icewire"]
    loaded = run("systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", "icewired*", "icewire-broker*")
    if found or loaded:
        raise LabError(f"apt purge leaves {found}, units: {loaded}")
    if not os.path.exists(CONFIGURATION) or not os.path.exists(CREDENTIAL):
        raise LabError("what the machine's owner has written is gone")


def main():
    set_up()
    readme = Readme(FOLDER)
    key = add_link()
    install(readme)
    installation.check_installed(key)
    upgrade(key)
    installation.check_credential(readme.credential, FOLDER)
    turn_off(readme, key)
    remove()


if __name__ == "__main__":
    main()
