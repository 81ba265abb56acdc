#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What sandbox.service shows: see there. A call that a sandbox's filter does not let through kills the daemon here, so that none is
overlooked; as shipped it gets EPERM."""

import json
import os
import subprocess

import network
import varlink
from errors import LabError
from network import AGENT, BROKER, PEER, pings
from units import AGENT_SOCKET, describe, run, show, wait_until

EXPOSURE = {AGENT: 10, BROKER: 25}
CAP_NET_ADMIN = 1 << 12
CREDENTIALS = "/etc/credstore.encrypted"


def seal(name, secret, key):
    """An encrypted credential."""
    os.makedirs(CREDENTIALS, mode=0o700, exist_ok=True)
    subprocess.run(["systemd-creds", "encrypt", f"--with-key={key}", f"--name={name}", "-", os.path.join(CREDENTIALS, name)],
                   input=secret, text=True, check=True, capture_output=True)
    if secret in network.read(os.path.join(CREDENTIALS, name)):
        raise LabError(f"{name} is not encrypted")


def set_up(folder=network.UNITS):
    """A network, with b and the servers, and both hosts' daemons at work by the units of the folder. Returns b's public key."""
    network.make_network()
    servers = network.Servers()
    run("systemd-creds", "setup")
    seal("icewire.mqtt.password", servers.mqtt_password, "host")
    seal("icewire.mqtt.identity", servers.identity, "host")
    seal("icewire.turn.password", servers.turn_password, "null")
    configure()
    network.write("/run/b-icewire.conf", network.configuration())
    keys = network.make_link(None, "machine"), network.make_link(PEER, PEER)
    network.add_peer(None, keys[1], PEER)
    network.add_peer(PEER, keys[0], "machine")
    network.add_peer_units(folder)
    for unit in network.all_units():
        network.write(f"{network.RUN_UNITS}/{unit}.d/50-kill.conf", "[Service]\nSystemCallErrorNumber=kill\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", *network.all_units())
    return keys[1]


def configure(more=""):
    network.write("/etc/icewire/icewire.conf", network.configuration(more))


def peer():
    """The machine's one, as its icewired tells."""
    try:
        peers = varlink.call(AGENT_SOCKET, "org.icewire.Agent.ListPeers")["peers"]
    except varlink.VarlinkError:
        return {}
    return peers[0] if peers else {}


def wait_for(kind):
    wait_until(lambda: (peer().get("path"), peer().get("state")) == (kind, "connected") and pings(network.TUNNEL[PEER]),
               f"the path is {kind}; the peer is {json.dumps(peer())}")
    print(f"the path is {kind}", flush=True)


def status(unit):
    with open(f"/proc/{show(unit, 'MainPID')['MainPID']}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def namespace(unit, kind):
    return os.readlink(f"/proc/{show(unit, 'MainPID')['MainPID']}/ns/{kind}")


def check_rights():
    agent, broker = status(AGENT), status(BROKER)
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    if any(int(agent[name], 16) for name in sets) or agent["Uid"].split()[0] == "0":
        raise LabError(f"icewired has rights: {agent}")
    if any(int(broker[name], 16) & ~CAP_NET_ADMIN for name in sets):
        raise LabError(f"icewire-broker has more than CAP_NET_ADMIN: {broker}")
    for name, process in (("icewired", agent), ("icewire-broker", broker)):
        if process["NoNewPrivs"] != "1" or process["Seccomp"] != "2" or process["Threads"] != "1":
            raise LabError(f"{name}: {process}")
    if namespace(AGENT, "user") == os.readlink("/proc/self/ns/user"):
        raise LabError("icewired is in the machine's user namespace")


def check_exposure():
    for unit, limit in EXPOSURE.items():
        print(run("systemd-analyze", "security", "--no-pager", f"--threshold={limit}", unit).strip().splitlines()[-1], flush=True)


def share(kind):
    """WireGuard's port with ICE, from now on by this."""
    configure(f"Redirect={kind}\n")
    run("systemctl", "reload", AGENT)
    wait_until(lambda: describe().get("redirect") == kind, f"Redirect={kind} is in force")


def work():
    """Everything that the daemons do."""
    wait_for("direct")
    print(run("icewirectl", "status"), flush=True)
    print(run("icewirectl", "diagnose"), flush=True)
    run("icewirectl", "policy", peer()["publicKey"], "relay")
    wait_for("relayed")
    run("icewirectl", "policy", peer()["publicKey"], "auto")
    wait_for("direct")
    for kind in ("nftables", "proxy", "ebpf"):
        share(kind)
        run("icewirectl", "reconnect")
        wait_for("proxied" if kind == "proxy" else "direct")
    run("systemctl", "reload", BROKER)
    run("ip", "link", "set", "up-machine", "down")
    run("ip", "link", "set", "up-machine", "up")
    wait_for("direct")
    for unit in (BROKER, AGENT, "server-mosquitto.service"):
        run("systemctl", "restart", unit)
        wait_until(lambda: describe().get("broker") == "ready", f"the broker is ready after {unit}")
        wait_for("direct")


def check_journal(public_key):
    """Events with their fields, and what the catalog makes of them."""
    run("journalctl", "--update-catalog")
    lines = run("journalctl", "--boot", "--unit", AGENT, "ICEWIRE_EVENT=path-changed", "--output=json").splitlines()
    entries = [json.loads(line) for line in lines]
    seen = {entry["ICEWIRE_PATH"] for entry in entries}
    if not {"direct", "relayed", "proxied"} <= seen:
        raise LabError(f"the journal has changes to {seen}")
    for entry in entries:
        if entry["ICEWIRE_LINK"] != "wg0" or entry["ICEWIRE_PEER"] != public_key or len(entry["MESSAGE_ID"]) != 32:
            raise LabError(f"a change of the path is in the journal as {entry}")
    told = run("journalctl", "--boot", "--catalog", "--lines=1", "MESSAGE_ID=" + entries[0]["MESSAGE_ID"])
    if "The path to a peer on wg0 is" not in told or f"icewirectl history {public_key}" not in told:
        raise LabError(f"the catalog has nothing to say: {told}")
    for event in ("started", "broker-ready", "link-appeared", "redirect-settled", "redirect-lost", "rendezvous-up", "rendezvous-down",
                  "peer-connected", "policy-changed", "reloaded", "stopping", "broker-lost"):
        if not run("journalctl", "--boot", "ICEWIRE_EVENT=" + event, "--output=cat"):
            raise LabError(f"the journal has no {event}")


def check_nothing_was_refused():
    for unit in network.all_units():
        restarts = show(unit, "NRestarts", "Result")
        if restarts != {"NRestarts": "0", "Result": "success"}:
            raise LabError(f"{unit}: {restarts}")
        log = run("journalctl", "--boot", "--unit", unit, "--output=cat")
        refused = [line for line in log.splitlines() if "not permitted" in line or "SIGSYS" in line or "31/SYS" in line]
        if refused:
            raise LabError(f"{unit} was refused something: {refused}")


def main():
    public_key = set_up()
    check_exposure()
    work()
    check_rights()
    check_journal(public_key)
    check_nothing_was_refused()


if __name__ == "__main__":
    main()
