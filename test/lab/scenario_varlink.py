# SPDX-License-Identifier: LGPL-2.1-or-later
"""varlinkctl shows and calls what the documents say: introspection, streams, io.systemd.service and metrics"""

import json
import os
import re

from errors import LabError
from host import AGENT_SOCKET, BROKER_SOCKET
from topology import connected_sites
from varlink import Connection

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def run(lab):
    sites = connected_sites(lab)
    host, key = sites.a, sites.keys["b"].public
    _check_introspection(host)
    _check_streams(host, key)
    _check_watch(lab, host, key)
    _check_service(host)
    _check_metrics(lab, sites, host, key)


def _varlinkctl(host, *argv, socket=AGENT_SOCKET):
    command, *rest = argv
    options = [option for option in rest if option.startswith("-")]
    return host.run("varlinkctl", *options, command, socket, *[a for a in rest if a not in options])


def _call(host, method, parameters=None, socket=AGENT_SOCKET):
    """All replies; they are a JSON text sequence (RFC 7464)."""
    text = _varlinkctl(host, "call", "--more", "--json=short", method, json.dumps(parameters or {}), socket=socket)
    return [json.loads(reply) for reply in text.replace("\x1e", "").splitlines() if reply]


def _expect(what, found, wanted):
    if found != wanted:
        raise LabError(f"{what}: {found} instead of {wanted}")


def _check_introspection(host):
    interfaces = _varlinkctl(host, "list-interfaces").split()
    for name in ("org.icewire.Agent", "io.systemd.service"):
        if name not in interfaces:
            raise LabError(f"{name} is not listed: {interfaces}")
    shown = _varlinkctl(host, "introspect", "org.icewire.Agent")
    with open(os.path.join(SOURCE, "varlink", "org.icewire.Agent.varlink"), encoding="utf-8") as f:
        _expect("the interface", shown.split(), f.read().split())


def _check_streams(host, key):
    for method in ("ListPeers", "DescribePeers", "GetHistory"):
        replies = _call(host, f"org.icewire.Agent.{method}", {"link": "wg0"})
        _expect(f"{method}, peers by reply", [len(reply["peers"]) for reply in replies], [1])
    for path, n in (("direct", 1), ("relayed", 0)):
        replies = _call(host, "org.icewire.Agent.ListPeers", {"path": path, "state": "connected"})
        _expect(f"peers with a path that is {path}", [len(reply["peers"]) for reply in replies], [n])
    details, = _call(host, "org.icewire.Agent.DescribePeers", {"peer": key})[0]["peers"]
    _expect("the peer", (details["peer"]["publicKey"], details["changes"][0]["cause"]), (key, "first_path"))
    _expect("the network there", details["there"]["policy"], "auto")
    replies = _call(host, "org.icewire.Agent.Diagnose")
    _expect("what is pending at last", replies[-1]["pending"], 0)
    if len(replies) < 2 or replies[0]["pending"] == 0:
        raise LabError(f"a diagnosis without progress: {replies}")


def _check_watch(lab, host, key):
    """First the state, then "ready", then what changes."""
    with Connection(host.path(AGENT_SOCKET)) as watcher:
        watcher.send("org.icewire.Agent.Watch", more=True)
        events = [watcher.receive()]
        while events[-1]["event"] != "ready":
            events.append(watcher.receive())
        for name in ("rendezvous_changed", "link_changed", "peer_changed"):
            if name not in [event["event"] for event in events]:
                raise LabError(f"the state has no {name}: {events}")
        lab.say("a policy, and who watches hears of it")
        host.ctl("policy", key, "off")
        while True:
            event = watcher.receive()
            if event["event"] == "peer_changed" and event["peer"]["policy"] == "off":
                break
        host.ctl("policy", key, "auto")


def _check_service(host):
    for socket in (AGENT_SOCKET, BROKER_SOCKET):
        _call(host, "io.systemd.service.Ping", socket=socket)
        level = _call(host, "io.systemd.service.GetLogLevel", socket=socket)[0]["level"]
        _call(host, "io.systemd.service.SetLogLevel", {"level": 3}, socket=socket)
        _expect("the level", _call(host, "io.systemd.service.GetLogLevel", socket=socket), [{"level": 3}])
        _call(host, "io.systemd.service.SetLogLevel", {"level": level}, socket=socket)
        _call(host, "io.systemd.service.Reload", socket=socket)
        environment = _call(host, "io.systemd.service.GetEnvironment", socket=socket)[0]["environment"]
        if not all("=" in variable for variable in environment):
            raise LabError(f"no environment: {environment}")


def _sample(host, series):
    text = host.ctl("metrics")
    if not text.endswith("\n# EOF\n"):
        raise LabError(f"the metrics do not end: {text[-80:]}")
    found = re.search("^" + re.escape(series) + r" (\S+)$", text, re.M)
    if not found:
        raise LabError(f"no {series} in {text}")
    return float(found.group(1))


def _check_metrics(lab, sites, host, key):
    labels = f'{{link="wg0",peer="{key}"}}'
    sites.wait_connected()
    _expect("peers with a direct path", _sample(host, 'icewire_peers_by_path{path="direct"}'), 1)
    before = _sample(host, f"icewire_peer_sent_bytes_total{labels}")
    sites.ping()
    if _sample(host, f"icewire_peer_sent_bytes_total{labels}") <= before:
        raise LabError("a ping was sent, and the counter stands still")
    if _sample(host, f"icewire_peer_path_changes_total{labels}") < 1:
        raise LabError("there is a path, but none has come")
    lab.say("what icewirectl prints is what io.systemd.Metrics tells")
    families = {family["name"]: family["type"] for family in _call(host, "io.systemd.Metrics.Describe")}
    metrics = _call(host, "io.systemd.Metrics.List")
    for metric in metrics:
        if isinstance(metric["value"], str) != (families[metric["name"]] == "string"):
            raise LabError(f"not of its family's type: {metric}")
    samples = [line for line in host.ctl("metrics").splitlines() if not line.startswith("#")]
    _expect("how many metrics", len(samples), len(metrics))
