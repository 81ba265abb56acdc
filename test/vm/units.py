#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What units.service shows: see there."""

import json
import os
import signal
import subprocess
import time

import varlink
from errors import LabError
from patience import patient

AGENT, BROKER = "icewired.service", "icewire-broker.service"
AGENT_SOCKET = "/run/icewire/org.icewire.Agent"
DAEMONS = (BROKER, AGENT)
SOCKETS = ("icewired.socket", "icewire-broker.socket")
CONFIGURATION = "/etc/icewire/icewire.conf"
KILLS = 3  # of each
FAULTS, FAULTS_FILE = "/usr/lib/icewire-test/build/test/vm/faults.so", "/run/icewire-test-faults"
SPEED = 20  # of its clocks: a pause of 60 s lasts 3 s, and a machine that falls back by 12 s looks unfit
PATIENCE = 300  # HEALTH_RENDEZVOUS_PATIENCE, in seconds


def run(*argv):
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout


def show(unit, *properties):
    lines = run("systemctl", "show", "--property=" + ",".join(properties), unit).splitlines()
    return dict(line.split("=", 1) for line in lines)


def wait_until(condition, what):
    deadline = time.monotonic() + patient(30)
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"not in time: {what}")
        time.sleep(0.05)


def describe():
    try:
        return varlink.call(AGENT_SOCKET, "org.icewire.Agent.Describe")
    except varlink.VarlinkError:
        return {}


def add_link():
    """An uplink, and a link of the kernel's with a peer. Returns its public key."""
    run("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "elsewhere")
    run("ip", "address", "add", "192.0.2.1/24", "dev", "uplink")
    run("ip", "link", "set", "elsewhere", "up")
    run("ip", "link", "set", "uplink", "up")
    run("ip", "link", "add", "wg0", "type", "wireguard")
    run("sh", "-ec", "umask 077; wg genkey >/run/key; wg set wg0 listen-port 51820 private-key /run/key peer $(wg genkey | wg pubkey) "
                     "allowed-ips 10.66.0.2/32")
    run("ip", "link", "set", "wg0", "up")
    return run("wg", "show", "wg0", "public-key").strip()


def hooks(uplink="uplink"):
    """How the programs are attached to it."""
    return sorted(p["kind"] for p in json.loads(run("bpftool", "--json", "net", "show", "dev", uplink))[0]["tc"])


def serves(public_key):
    """Whether icewirectl shows a daemon that has its broker, the eBPF redirect and the link."""
    done = subprocess.run(["icewirectl", "status"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    state = describe()
    return (done.returncode == 0 and public_key in done.stdout and state.get("broker") == "ready" and
            state.get("redirect") == "ebpf")


def kill_and_wait(unit, public_key):
    before = show(unit, "MainPID", "NRestarts")
    os.kill(int(before["MainPID"]), signal.SIGKILL)

    def is_back():
        now = show(unit, "ActiveState", "MainPID", "NRestarts")
        return now["ActiveState"] == "active" and now["MainPID"] not in ("0", before["MainPID"]) and \
            int(now["NRestarts"]) == int(before["NRestarts"]) + 1

    if unit == AGENT:
        # systemd keeps its socket: who calls now is answered by the next one, and not refused.
        varlink.call(AGENT_SOCKET, "org.icewire.Agent.Describe")
    wait_until(is_back, f"{unit} is started again")
    wait_until(lambda: serves(public_key), f"all is well after {unit} was killed; it is {json.dumps(describe())}")
    print(f"{unit} was killed, and is back", flush=True)


def complaints():
    """Errors in the journal that are not systemd's about the daemons that were killed."""
    found = []
    for line in run("journalctl", "--boot", "--priority=err", "--output=json").splitlines():
        entry = json.loads(line)
        if entry.get("_SYSTEMD_UNIT") in DAEMONS or entry.get("UNIT") in DAEMONS:
            found.append(f"{entry.get('SYSLOG_IDENTIFIER')}: {entry.get('MESSAGE')}")
    return found


def start_cold():
    """Nothing runs but the sockets: the first call starts icewired, and that the broker."""
    run("systemctl", "start", *SOCKETS)
    for unit in DAEMONS:
        if show(unit, "ActiveState")["ActiveState"] != "inactive":
            raise LabError(f"{unit} runs before anybody wants something")
    print(run("icewirectl", "status"), flush=True)
    wait_until(lambda: all(show(unit, "ActiveState")["ActiveState"] == "active" for unit in DAEMONS), "both are started by their sockets")


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def reload_fails():
    return subprocess.run(["systemctl", "reload", AGENT], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode != 0


def keeps_what_works():
    """A reload of what makes no sense changes nothing, and says so to whoever asked and in the journal."""
    write(CONFIGURATION, "[Rendezvous]\nMQTT=mqtts://192.0.2.99\nMulticast=no\n")
    run("systemctl", "reload", AGENT)
    rendezvous = describe()["rendezvous"]
    if [r["name"] for r in rendezvous] != ["mqtts://192.0.2.99:8883"]:
        raise LabError(f"the new configuration is not in force: {rendezvous}")
    write(CONFIGURATION, "[Rendezvous]\nMulticast=yes\nNoSuchKey=1\n")
    before = show(AGENT, "MainPID")
    if not reload_fails():
        raise LabError("systemctl reload says that a broken configuration is in force")
    if show(AGENT, "MainPID", "ActiveState") != {**before, "ActiveState": "active"}:
        raise LabError("a broken configuration ends the daemon")
    if [r["name"] for r in describe()["rendezvous"]] != ["mqtts://192.0.2.99:8883"]:
        raise LabError("a broken configuration is in force")
    told = subprocess.run(["icewirectl", "reload"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if told.returncode == 0 or "make no sense" not in told.stderr:
        raise LabError(f"icewirectl reload: {told}")
    if "make no sense" not in run("journalctl", "--boot", "--unit", AGENT, "ICEWIRE_EVENT=reload-failed", "--output=cat"):
        raise LabError("the journal has nothing of it")
    problem = json.loads(run("journalctl", "--boot", "--unit", AGENT, "ICEWIRE_EVENT=configuration-problem", "--lines=1", "--output=json"))
    if (problem.get("CONFIG_FILE"), problem.get("CONFIG_LINE")) != (CONFIGURATION, "3"):
        raise LabError(f"the journal has the problem as {problem}")
    write(CONFIGURATION, "[Rendezvous]\nMQTT=mqtts://192.0.2.99\n")
    run("systemctl", "reload", AGENT)


class Watched:
    """icewired with a watchdog of some seconds, and with clocks that run fast: see faults.c."""

    def __init__(self):
        self.watchdog = 2 * patient(1)
        write(f"/run/systemd/system/{AGENT}.d/50-watchdog.conf",
              f"[Service]\nWatchdogSec={self.watchdog}\nEnvironment=LD_PRELOAD={FAULTS} FAULTS_SPEED={SPEED} FAULTS_FILE={FAULTS_FILE} "
              "FAULTS_TIMER=rendezvous-mqtt-retry\n")
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", AGENT)
        self._wait_for_server()
        with open(f"/proc/{show(AGENT, 'MainPID')['MainPID']}/maps", encoding="ascii") as f:
            if FAULTS not in f.read():
                raise LabError(f"{FAULTS} was not loaded")
        self._restarts, self._bites = self._count(), 0

    @staticmethod
    def _count():
        return int(show(AGENT, "NRestarts")["NRestarts"])

    @staticmethod
    def _wait_for_server():
        wait_until(lambda: any(r["state"] == "down" for r in describe().get("rendezvous", [])), "the server is away")

    def stays_for(self, seconds, what):
        """It is asked all the time."""
        end, n = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            n += bool(describe())
            if self._count() != self._restarts:
                raise LabError(f"icewired was killed: {what}")
        print(f"{what}: not killed in {seconds:.0f} s, in which it answered {n} times", flush=True)

    def is_killed(self, what):
        """… and comes back."""
        self._bites += 1
        wait_until(lambda: self._count() == self._restarts + 1, f"the watchdog has bitten: {what}")
        self._restarts += 1
        bites = journal("_PID=1", f"UNIT={AGENT}", "UNIT_RESULT=watchdog")
        if len(bites) != self._bites:
            raise LabError(f"{what}: it was started anew, but not by the watchdog: {bites}")
        self._wait_for_server()
        print(f"{what}: the watchdog has killed it, and it is back", flush=True)


def journal(*matches):
    """A list of entries."""
    return [json.loads(line) for line in run("journalctl", "--boot", "--output=json", *matches).splitlines()]


def is_watched():
    """A server that is away is no reason to be killed, for however long; to have stopped trying it is, and so is standing still."""
    icewired = Watched()
    icewired.stays_for(PATIENCE / SPEED + 2 * icewired.watchdog, "busy, and its server is away for longer than health is patient")
    write(FAULTS_FILE, "")
    wait_until(lambda: journal(f"_SYSTEMD_UNIT={AGENT}", "ICEWIRE_EVENT=unfit"), "it says that it is unfit")
    os.unlink(FAULTS_FILE)
    icewired.is_killed("the timer of its next attempt was lost")
    icewired.stays_for(2 * icewired.watchdog, "started anew")
    os.kill(int(show(AGENT, "MainPID")["MainPID"]), signal.SIGSTOP)
    icewired.is_killed("it was stopped")


def main():
    start_cold()
    run("systemctl", "enable", *SOCKETS, AGENT)
    public_key = add_link()
    wait_until(lambda: serves(public_key), f"the link is served; it is {json.dumps(describe())}")
    print(run("icewirectl", "status"), flush=True)
    if "0 of 1 peers connected" not in show(AGENT, "StatusText")["StatusText"]:
        raise LabError(f"systemctl status says: {show(AGENT, 'StatusText')}")
    if hooks() != ["tcx/egress", "tcx/ingress"]:
        raise LabError(f"the programs should be attached by tcx, each once; there are {hooks()}")
    for _ in range(KILLS):
        for unit in DAEMONS:
            kill_and_wait(unit, public_key)
    run("systemctl", "restart", *DAEMONS)
    wait_until(lambda: serves(public_key), f"all is well after a restart; it is {json.dumps(describe())}")
    run("systemctl", "reload", *DAEMONS)
    if hooks() != ["tcx/egress", "tcx/ingress"]:
        raise LabError(f"after all this the programs should be attached once; there are {hooks()}")
    failed = run("systemctl", "--failed", "--plain", "--no-legend", "--no-pager")
    if failed or complaints():
        raise LabError(f"failed units: {failed or 'none'}; complaints: {complaints()}")
    keeps_what_works()
    is_watched()


if __name__ == "__main__":
    main()
