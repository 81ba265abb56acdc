#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""check-units.py BUILD USER: what meson installs for systemd, in a root of its own: units without a complaint of "systemd-analyze verify",
exposed no more than they should be, enabled by the preset; sysusers.d and tmpfiles.d do what they say. Exit status 77: systemd's
tools are not there."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile

# "systemd-analyze security", in tenths.
EXPOSURE = {"icewired.service": 10, "icewire-broker.service": 25}
SOCKETS = ("icewired.socket", "icewired-metrics.socket", "icewire-broker.socket")
ENABLED = (*SOCKETS, "icewired.service")
TOOLS = ("systemd-analyze", "systemd-sysusers", "systemd-tmpfiles", "systemctl")


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def install(build, root):
    done = subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", root], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        sys.exit(f"meson install: {done.stderr}")
    # The units that ours refer to; what is there is not replaced.
    shutil.copytree("/usr/lib/systemd/system", os.path.join(root, "usr/lib/systemd/system"), symlinks=True, dirs_exist_ok=True,
                    ignore=lambda folder, names: [n for n in names if n.startswith("icewire")])
    os.makedirs(os.path.join(root, "etc"))


def check_verify(root):
    done = run("systemd-analyze", "verify", f"--root={root}", "--man=no", "--recursive-errors=no", *EXPOSURE, *SOCKETS)
    if done.returncode != 0 or done.stderr:
        yield f"systemd-analyze verify: {done.returncode}, {done.stderr}"


def check_exposure(root):
    for unit, limit in EXPOSURE.items():
        done = run("systemd-analyze", "security", f"--root={root}", "--offline=true", "--no-pager", f"--threshold={limit}", unit)
        print(done.stdout.strip().splitlines()[-1])
        if done.returncode != 0:
            exposing = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("✓"))
            yield f"{unit} is exposed by more than {limit / 10}:\n{exposing}{done.stderr}"


def check_preset(root):
    done = run("systemctl", f"--root={root}", "preset", *ENABLED)
    if done.returncode != 0:
        yield f"systemctl preset: {done.stderr}"
    for unit in ENABLED:
        state = run("systemctl", f"--root={root}", "is-enabled", unit).stdout.strip()
        if state != "enabled":
            yield f"{unit} is {state} by the preset"
    alias = os.path.join(root, "etc/systemd/system/dbus-org.icewire1.service")
    if os.path.basename(os.readlink(alias) if os.path.islink(alias) else "nothing") != "icewired.service":
        yield "dbus-org.icewire1.service should be an alias of icewired.service"


def check_user(root, user):
    done = run("systemd-sysusers", f"--root={root}")
    with open(os.path.join(root, "etc/passwd"), encoding="utf-8") as f:
        if done.returncode != 0 or not any(line.startswith(user + ":") for line in f):
            yield f"systemd-sysusers makes no user {user}: {done.stderr}"


def check_folders(root):
    done = run("systemd-tmpfiles", f"--root={root}", "--create", "icewire.conf")
    if done.returncode != 0:
        yield f"systemd-tmpfiles: {done.stderr}"
    for folder in ("etc/icewire", "etc/icewire/icewire.conf.d", "run/icewire", "run/icewire-broker"):
        path = os.path.join(root, folder)
        mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.isdir(path) else None
        if mode != 0o755:
            yield f"/{folder} has mode {mode}"


def main():
    build, user = sys.argv[1:]
    if not all(shutil.which(tool) for tool in TOOLS) or os.geteuid() != 0:
        print("needs root and " + ", ".join(TOOLS))
        return 77
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        install(build, root)
        problems = [*check_verify(root), *check_exposure(root), *check_preset(root), *check_user(root, user), *check_folders(root)]
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
