# SPDX-License-Identifier: LGPL-2.1-or-later
"""What whoever installs icewire does and finds, in a machine that had none: for each way to install it."""

import glob
import json
import os
import re
import subprocess

from errors import LabError
from patience import patient
from units import AGENT, BROKER, complaints, describe, hooks, run, serves, show, wait_until, write

PRESET = "/usr/lib/systemd/system-preset/80-icewire.preset"
USER = "icewire"
SERVER, MQTT_USER, PASSWORD = "192.0.2.1", "me", "a password"
CREDENTIAL = "/etc/credstore.encrypted/icewire.mqtt.password"
PAGES = ("man1/icewirectl.1", "man5/icewire.conf.5", "man5/org.icewire.Agent.5", "man5/org.icewire1.5", "man8/icewire-broker.service.8",
         "man8/icewired.service.8")


def say(what):
    print(what, flush=True)


def follow(command, folder, answer=""):
    """A line of the README's, as somebody types it who is root and in that folder, and what they type when it asks."""
    say(f"# {command}")
    done = subprocess.run(["sh", "-c", command], cwd=folder, input=answer, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, timeout=patient(120), env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    if done.returncode != 0:
        raise LabError(f"{command}: exit status {done.returncode}: {done.stdout}")
    return done.stdout


def keep_keys():
    """The whole machine is in memory, where systemd-creds does not trust its key to last: now that folder is of another kind."""
    for name in ("upper", "work"):
        os.makedirs(f"/run/icewire-test/{name}")
    run("mount", "-t", "overlay", "-o", "lowerdir=/var/lib/systemd,upperdir=/run/icewire-test/upper,workdir=/run/icewire-test/work", "keys",
        "/var/lib/systemd")


def fails(*argv):
    """What it says."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          timeout=patient(60))
    if done.returncode == 0:
        raise LabError(f"{' '.join(argv)} should fail, and says: {done.stdout}")
    return done.stdout


def begin():
    """A machine that has icewire already would prove nothing; nor would one whose preset has nothing enabled, as other tests want it."""
    os.unlink("/usr/lib/systemd/system-preset/00-icewire-test.preset")
    keep_keys()
    if glob.glob("/usr/*/icewire*") != ["/usr/lib/icewire-test"] or USER in run("getent", "passwd"):
        raise LabError("the machine has icewire before it is installed")


# What is there


def preset():
    with open(PRESET, encoding="utf-8") as f:
        return sorted(re.findall(r"^enable (\S+)$", f.read(), re.MULTILINE))


def check_units():
    """What the preset enables is enabled and runs; the broker comes by its socket."""
    wanted = preset()
    if AGENT not in wanted or BROKER in wanted:
        raise LabError(f"the preset enables {wanted}")
    for unit in (*wanted, BROKER):
        wait_until(lambda unit=unit: show(unit, "ActiveState")["ActiveState"] == "active", f"{unit} is active")
        state = show(unit, "UnitFileState", "NeedDaemonReload")
        if state != {"UnitFileState": "enabled" if unit in wanted else "disabled", "NeedDaemonReload": "no"}:
            raise LabError(f"{unit}: {state}")


def check_answers():
    """icewirectl, Varlink at both sockets, D-Bus."""
    if "icewire " not in run("icewirectl", "--version"):
        raise LabError("icewirectl has no version")
    version = json.loads(run("varlinkctl", "--json=short", "call", "/run/icewire/org.icewire.Agent", "org.icewire.Agent.Describe", "{}"))["version"]
    told = json.loads(run("busctl", "--json=short", "call", "org.icewire1", "/org/icewire1", "org.icewire1.Manager", "Describe"))
    if json.loads(told["data"][0])["version"] != version:
        raise LabError(f"icewired is {version} by Varlink, and by D-Bus {told}")
    if "io.systemd" not in run("varlinkctl", "list-interfaces", "/run/systemd/report/org.icewire.Agent"):
        raise LabError("nobody answers where metrics are collected")


def check_files():
    """Manual pages, and the catalog, as the README has it."""
    missing = [page for page in PAGES if not glob.glob(f"/usr/share/man/{page}*")]
    if missing:
        raise LabError(f"manual pages are missing: {missing}")
    if '"icewirectl status" shows what it finds' not in run("journalctl", "-x", "-u", "icewired"):
        raise LabError("journalctl -x -u icewired has nothing of the catalog")
    account = run("getent", "passwd", USER).strip().split(":")
    if not 0 < int(account[2]) < 1000 or not account[6].endswith("nologin"):
        raise LabError(f"the user is {account}")


def check_works(public_key):
    wait_until(lambda: serves(public_key), f"the link is served; it is {json.dumps(describe())}")
    if hooks() != ["tcx/egress", "tcx/ingress"]:
        raise LabError(f"the programs should be attached, each once; there are {hooks()}")
    failed = run("systemctl", "--failed", "--plain", "--no-legend", "--no-pager")
    if failed or complaints():
        raise LabError(f"failed units: {failed or 'none'}; complaints: {complaints()}")


def check_installed(public_key):
    check_units()
    check_answers()
    check_works(public_key)
    check_files()
    say(run("icewirectl", "status"))


def is_off():
    """Nothing runs, and nothing that somebody calls starts it."""
    if "systemctl start icewired" not in fails("icewirectl", "status"):
        raise LabError("icewirectl does not say what to do")
    fails("busctl", "call", "org.icewire1", "/org/icewire1", "org.icewire1.Manager", "Describe")
    for unit in (*preset(), BROKER):
        state = show(unit, "ActiveState", "UnitFileState")
        if state != {"ActiveState": "inactive", "UnitFileState": "disabled"}:
            raise LabError(f"{unit} should be off, and is {state}")
    if processes():
        raise LabError(f"there are still {processes()}")


def processes():
    found = []
    for path in glob.glob("/proc/[0-9]*/exe"):
        try:
            if os.path.basename(os.readlink(path)).startswith("icewire"):
                found.append(path)
        except OSError:
            pass  # the kernel's own, and what has ended
    return found


# The credential


def start_server():
    """mosquitto, at an address of this machine's, that wants the password."""
    write("/run/mosquitto/passwords", f"{MQTT_USER}:{PASSWORD}\n")
    os.chmod("/run/mosquitto/passwords", 0o600)
    run("mosquitto_passwd", "-U", "/run/mosquitto/passwords")
    write("/run/mosquitto/conf", f"user root\nallow_anonymous false\npassword_file /run/mosquitto/passwords\nlistener 1883 {SERVER}\n")
    run("systemd-run", "--quiet", "--unit=server-mosquitto", "mosquitto", "-c", "/run/mosquitto/conf")
    wait_until(lambda: f"{SERVER}:1883 " in run("ss", "--numeric", "--listening", "--tcp"), "mosquitto listens")


def server():
    """How icewired finds it."""
    return next((r for r in describe().get("rendezvous", []) if SERVER in r["name"]), {})


def check_credential(commands, folder):
    """Without it the server refuses icewired; with it, and after icewired has been started again, no longer."""
    start_server()
    write("/etc/icewire/icewire.conf", f"[Rendezvous]\nMQTT=mqtt://{SERVER}\nMQTTUser={MQTT_USER}\nMulticast=no\n")
    run("systemctl", "reload", AGENT)
    wait_until(lambda: server().get("state") == "down" and server().get("error"), "the server refuses icewired")
    say(f"without the credential: {server()}")
    for command in commands:
        follow(command, folder, PASSWORD)
    with open(CREDENTIAL, encoding="utf-8") as f:
        if PASSWORD in f.read():
            raise LabError("the credential is not encrypted")
    run("systemctl", "restart", AGENT)
    wait_until(lambda: server().get("state") == "up", f"the server takes the password; it is {server()}")
    say(f"with the credential: {server()}")
