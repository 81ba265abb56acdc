# SPDX-License-Identifier: LGPL-2.1-or-later
"""icewired has no root and no capability, the broker those it needs, also without eBPF; no key is in a log or /proc"""

import base64
import os

import varlink
from errors import LabError
from host import AGENT_SOCKET, BROKER_SOCKET, UID
from topology import connected_sites

CAP_NET_ADMIN = 1 << 12


def _capabilities(status):
    return {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}


def _as_user(path, uid):
    """Asks the broker as another user: what it answers, or that it does not."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    try:
        varlink.call(path, "org.icewire.Broker.DeriveTopics", {"link": "wg0", "peer": ""})
    except varlink.VarlinkError as e:
        return str(e)
    return "answered"


def run(lab):
    sites = connected_sites(lab)
    host = sites.a
    status = host.agent.status()
    if status["Uid"].split() != [str(UID)] * 4 or status["Gid"].split() != [str(UID)] * 4:
        raise LabError(f"icewired runs as Uid {status['Uid']}, Gid {status['Gid']}")
    if any(_capabilities(status).values()) or status["NoNewPrivs"].strip() != "1":
        raise LabError(f"icewired has rights: {_capabilities(status)}, NoNewPrivs {status['NoNewPrivs']}")
    for name, process in (("icewired", host.agent), ("icewire-broker", host.broker)):
        expected = "2" if len(host.filtered(name)) > 1 else "0"
        if process.status()["Seccomp"].strip() != expected:
            raise LabError(f"{name} has Seccomp {process.status()['Seccomp']} instead of {expected}")
    broker = _capabilities(host.broker.status())
    if broker["CapPrm"] & ~CAP_NET_ADMIN or broker["CapBnd"] & ~CAP_NET_ADMIN:
        raise LabError(f"icewire-broker has more than CAP_NET_ADMIN: {broker}")
    for process in (host.agent, host.broker):
        threads = os.listdir(f"/proc/{process.pid}/task")
        lab.say(f"{process.name}: {len(threads)} thread(s), {process.resident() // 1024} KiB")

    if not _has_programs(host.broker):
        raise LabError("the broker has not loaded the redirect's programs")

    answer = host.call(_as_user, BROKER_SOCKET, 65534)
    lab.say(f"the broker to nobody: {answer}")
    if "NotAllowed" not in answer and "ermission" not in answer and "refused" not in answer:
        raise LabError(f"the broker serves another user: {answer}")
    if not os.path.exists(host.path(AGENT_SOCKET)):
        raise LabError("icewired has no socket")
    _no_secret_leaks(lab, sites)
    _works_without_ebpf(sites.b)


def _has_programs(process):
    folder = f"/proc/{process.pid}/fdinfo"
    for name in os.listdir(folder):
        try:
            with open(os.path.join(folder, name), encoding="ascii") as f:
                if any(line.startswith("prog_type:") for line in f):
                    return True
        except FileNotFoundError:
            pass  # closed since
    return False


def _works_without_ebpf(host):
    host.broker.stop()
    host.start_broker(rights=("net_admin", "setpcap")).wait_ready()
    if _has_programs(host.broker):
        raise LabError("the broker has loaded programs without the right to")
    # It is ready before it finds out.
    host.lab.wait_until(lambda: "takes CAP_BPF" in host.broker.output(), "the broker tells of the missing right")
    # Once by itself; and with what is in force, when icewired asks.
    lines = host.broker.output().splitlines()
    said = [line for line in lines if line.startswith("The redirect") and "takes CAP_BPF" in line]
    if len(said) != 1:
        raise LabError(f"the broker says of the missing right: {said}")
    host.lab.wait_until(lambda: host.varlink("Describe")["broker"] == "ready", "icewired works with the broker")


def _no_secret_leaks(lab, sites):
    secrets = [sites.keys[name].give_private().strip() for name in "ab"]
    secrets += [base64.b64decode(s).hex() for s in secrets] + [sites.mosquitto.password, sites.coturn.password]
    for name in os.listdir(lab.logs):
        if "mosquitto" in name or "coturn" in name:
            continue
        with open(os.path.join(lab.logs, name), encoding="utf-8", errors="replace") as f:
            text = f.read()
        if any(s in text for s in secrets):
            raise LabError(f"a private key or a password is in {name}")
    for host in (sites.a, sites.b):
        for process in (host.agent, host.broker):
            for file in ("cmdline", "environ"):
                with open(f"/proc/{process.pid}/{file}", "rb") as f:
                    text = f.read()
                if any(s.encode() in text for s in secrets):
                    raise LabError(f"a secret is in {process.name}'s {file}")
        listed = str(host.varlink("ListPeers"))
        if any(s in listed for s in secrets):
            raise LabError("org.icewire.Agent tells a secret")
