# SPDX-License-Identifier: LGPL-2.1-or-later
"""What sysext.py and portable.py have in common: the README's commands, and what holds of icewire however it has come."""

import glob
import json
import os
import re
import subprocess

import sandbox
from errors import LabError
from network import AGENT, BROKER, PEER, TUNNEL, pings
from patience import patient
from units import describe, hooks, run, show, wait_until

FOLDER = "/usr/lib/icewire-test"
PLACES = ("/usr/*/icewire*", "/usr/local/*/icewire*", "/etc/dbus-1/system.d/*icewire*", "/etc/polkit-1/actions/*icewire*",
          "/var/lib/extensions/icewire*", "/var/lib/portables/icewire*")
SECTION = "Installation as an image"
BUILT = "tools/package "  # what needs the build environment: tools/vm-test has run it
SOCKETS = ("icewire-broker.socket", "icewired.socket", "icewired-metrics.socket")
DAEMONS = (BROKER, AGENT)
LIBRARIES = "/usr/lib/icewire/lib"
UPLINK = "up-machine"


def blocks():
    """The commands of the README's section, block by block."""
    with open(f"{FOLDER}/README.md", encoding="utf-8") as f:
        text = re.search(rf"^## {SECTION}\n(.*?)^## ", f.read(), re.MULTILINE | re.DOTALL)[1]
    found = re.findall(r"(?:^    .+\n)+", text, re.MULTILINE)
    commands = [[line.strip() for line in block.splitlines() if not line.strip().startswith(BUILT)] for block in found]
    return [block for block in commands if block]


def follow(commands):
    """As root types them, in the folder that the image has been copied to."""
    for command in commands:
        print(f"# {command}", flush=True)
        done = subprocess.run(["sh", "-c", command], cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, timeout=patient(60))
        if done.returncode != 0:
            raise LabError(f"{command}: exit status {done.returncode}: {done.stdout}")


def is_absent():
    """A machine that has icewire already would prove nothing."""
    found = [path for place in PLACES for path in glob.glob(place) if path != FOLDER]
    if found:
        raise LabError(f"the machine has icewire, which is not installed: {found}")


def is_active(unit):
    return show(unit, "ActiveState")["ActiveState"] == "active"


def wait_up(what):
    wait_until(lambda: all(is_active(unit) for unit in (*DAEMONS, *SOCKETS)) and describe().get("broker") == "ready", f"{what}: all runs")
    print(f"{what}: all runs", flush=True)


def check_known(bus):
    """Whether D-Bus and polkit know it."""
    told = subprocess.run(["busctl", "--json=short", "call", "org.icewire1", "/org/icewire1", "org.icewire1.Manager", "Describe"],
                          stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    known = subprocess.run(["pkaction", "--action-id", "org.icewire1.reload"], stdin=subprocess.DEVNULL, capture_output=True,
                           check=False).returncode == 0
    if (told, known) != (bus, bus):
        raise LabError(f"on D-Bus: {told}, known to polkit: {known}; both should be {bus}")


def check_libraries():
    """The image's own are in use, although the machine has the same ones."""
    for unit in DAEMONS:
        with open(f"/proc/{show(unit, 'MainPID')['MainPID']}/maps", encoding="utf-8") as f:
            paths = {line.split()[5] for line in f if ".so" in line}
        if f"{LIBRARIES}/libnice.so.10" not in paths or any("/libnice.so" in path and not path.startswith(LIBRARIES) for path in paths):
            raise LabError(f"{unit} has its libraries from elsewhere: {sorted(paths)}")


def check_run():
    """The profile gives /run to be written; the units take that back."""
    for unit in DAEMONS:
        with open(f"/proc/{show(unit, 'MainPID')['MainPID']}/mountinfo", encoding="utf-8") as f:
            mounts = [line.split() for line in f]
        if [mount[5].split(",")[0] for mount in mounts if mount[4] == "/run"][-1] != "ro":
            raise LabError(f"{unit} may write /run")


def pids(*units):
    return [show(unit, "MainPID")["MainPID"] for unit in units]


def check_gone():
    """Nothing of it runs or is known any more."""
    for unit in (*DAEMONS, *SOCKETS):
        state = show(unit, "LoadState", "ActiveState")
        if state != {"LoadState": "not-found", "ActiveState": "inactive"}:
            raise LabError(f"{unit}: {state}")
    is_absent()
    own = {os.path.realpath(f"/proc/{pid}") for pid in pids(*(f"{PEER}-{unit}" for unit in DAEMONS))}
    left = [path for path in glob.glob("/proc/[0-9]*") if path not in own and is_icewire(path)]
    failed = run("systemctl", "--failed", "--plain", "--no-legend", "--no-pager")
    if left or failed:
        raise LabError(f"processes that still run: {left}; failed units: {failed or 'none'}")
    print("all of it is gone", flush=True)


def is_icewire(process):
    try:
        return os.path.basename(os.readlink(process + "/exe")).startswith("icewire")
    except OSError:
        return False  # the kernel's own, and what has ended


def check_path_stays():
    """What was direct is so without icewire, since the kernel has it; what shared the port is gone."""
    if hooks(UPLINK):
        raise LabError(f"the kernel still has programs of icewire's: {hooks(UPLINK)}")
    if not pings(TUNNEL[PEER]):
        raise LabError("the direct path is gone")
    print("the direct path has stayed", flush=True)


def is_shared():
    """By eBPF, at the uplink."""
    wait_until(lambda: describe().get("redirect") == "ebpf" and hooks(UPLINK) == ["tcx/egress", "tcx/ingress"],
               f"the port is shared by eBPF: {json.dumps(describe())}, {hooks(UPLINK)}")


def check_exchanged(before, remove):
    """One version has taken another's place, whose daemons were `before`, and goes as well. Both are of the same bytes: how they
    are exchanged is shown, not what a change of version does."""
    wait_up("a new version")
    check_known(True)
    if set(before) & set(pids(*DAEMONS)):
        raise LabError("daemons of the version before still run")
    sandbox.wait_for("direct")
    follow(remove)
    check_gone()
    check_path_stays()
