#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What activation.service shows: see there."""

import json
import os
import re
import select
import subprocess
import time
import xml.etree.ElementTree

from errors import LabError
from patience import patient

SOURCE = "/usr/lib/icewire-test"
SOCKET, VARLINK = "/run/icewire/org.icewire.Agent", "org.icewire.Agent"
BUS, ROOT_OBJECT = "org.icewire1", "/org/icewire1"
METRICS_SOCKET, METRICS = "/run/systemd/report/org.icewire.Agent", "io.systemd.Metrics"
SOCKETS = ("icewire-broker.socket", "icewired.socket", "icewired-metrics.socket")
DAEMONS = ("icewired.service", "icewire-broker.service")
LINK, USER = "wg0", "tester"
RULES = "/etc/polkit-1/rules.d/50-icewire-test.rules"
REFUSED = re.compile("permission|denied|authentication|authorization|polkit", re.IGNORECASE)


def run(*argv, check=True, user=None):
    """Returns the output; check=False: (exit status, output and errors)."""
    if user:
        argv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *argv]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=patient(60))
    if not check:
        return done.returncode, done.stdout + done.stderr
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def say(what):
    print(what, flush=True)


def wait_until(condition, what):
    deadline = time.monotonic() + patient(30)
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"not in time: {what}")
        time.sleep(0.1)


def is_active(unit):
    return run("systemctl", "is-active", unit, check=False)[1].strip() == "active"


def varlink(method, parameters="{}", **options):
    return run("varlinkctl", "call", "--json=short", SOCKET, f"{VARLINK}.{method}", parameters, **options)


def bus(method, *arguments, **options):
    return run("busctl", "--json=short", "call", BUS, ROOT_OBJECT, f"{BUS}.Manager", method, *arguments, **options)


def metrics(method, **options):
    """What systemd-report asks for, where systemd has one: a list."""
    output = run("varlinkctl", "call", "--more", "--json=short", METRICS_SOCKET, f"{METRICS}.{method}", "{}", **options)
    return [parsed(line) for line in output.splitlines() if parsed(line)]


# Activation


def from_cold(what, call):
    """Both daemons are started by it, one by the other, and it gets its answer."""
    run("systemctl", "stop", *DAEMONS)
    wait_until(lambda: not any(is_active(unit) for unit in DAEMONS), "the daemons stop")
    start = time.monotonic()
    answer = call()
    took = time.monotonic() - start
    wait_until(lambda: all(is_active(unit) for unit in DAEMONS), f"{what} has started both daemons")
    say(f"{what}: started from cold, answered after {took:.2f} s: {answer.strip()[:100]}")


def activate():
    run("systemctl", "enable", "--quiet", "icewired.service")
    for socket in SOCKETS:
        if run("systemctl", "is-enabled", socket, check=False)[1].strip() != "enabled":
            raise LabError(f"{socket} should be enabled with icewired.service")
    run("systemctl", "start", *SOCKETS)
    from_cold("varlinkctl call", lambda: varlink("Describe"))
    from_cold("busctl call", lambda: bus("Describe"))
    from_cold("icewirectl status", lambda: run("icewirectl", "status"))
    from_cold("the collector of metrics", lambda: str(metrics("Describe")))
    wait_until(lambda: json.loads(varlink("Describe"))["broker"] == "ready", "the broker is ready")


# Introspection


def words(description):
    """A Varlink interface without comments and layout."""
    lines = [line.partition("#")[0] for line in re.sub("\x1b\\[[0-9;:]*m", "", description).splitlines()]
    return re.findall(r"[\w.]+|\S", " ".join(lines))


def check_varlink():
    live = run("varlinkctl", "introspect", SOCKET, VARLINK)
    with open(f"{SOURCE}/varlink/{VARLINK}.varlink", encoding="utf-8") as f:
        documented = f.read()
    if words(live) != words(documented):
        raise LabError(f"varlinkctl introspect shows another interface than {VARLINK}.varlink:\n{live}")
    interfaces = run("varlinkctl", "list-interfaces", SOCKET).split()
    if not {VARLINK, "io.systemd.service", "org.varlink.service"} <= set(interfaces):
        raise LabError(f"interfaces are missing: {interfaces}")
    say(f"varlinkctl introspect: as documented, {len(words(live))} words; interfaces {', '.join(interfaces)}")


def check_metrics(key):
    """Whoever collects them may: what belongs to this socket, of described families, and of the peer."""
    described = {family["name"]: family["type"] for family in metrics("Describe", user=USER)}
    listed = metrics("List", user=USER)
    foreign = [m["name"] for m in listed if not m["name"].startswith(os.path.basename(METRICS_SOCKET) + ".")]
    if not listed or foreign or not {m["name"] for m in listed} <= set(described):
        raise LabError(f"metrics of another source, or of no family, or none at all: {listed}; families: {described}")
    if not any(m["name"].endswith(".PeerState") and m["object"] == key and m["fields"] == {"link": LINK} for m in listed):
        raise LabError(f"no state of the peer: {listed}")
    # Since systemd 260 a value of any type can be described.
    can = int(run("systemctl", "--version").split()[1]) >= 260
    status, text = run("varlinkctl", "introspect", METRICS_SOCKET, METRICS, check=False)
    if can != (status == 0 and "method List" in text):
        raise LabError(f"introspection of {METRICS}: exit status {status}: {text}")
    say(f"{METRICS}: {len(listed)} metrics of {len(described)} families")


def members(interface):
    """What an interface consists of, as far as its users depend on it."""
    found = set()
    for member in interface:
        if member.tag not in ("method", "property", "signal"):
            continue
        arguments = tuple((a.get("name"), a.get("type"), a.get("direction") or "out") for a in member.findall("arg"))
        notes = tuple(sorted((n.get("name"), n.get("value")) for n in member.findall("annotation")))
        found.add((member.tag, member.get("name"), member.get("type"), member.get("access"), arguments, notes))
    return found


def check_bus_object(path, name):
    live = xml.etree.ElementTree.fromstring(run("busctl", "introspect", "--xml-interface", BUS, path))
    documented = xml.etree.ElementTree.parse(f"{SOURCE}/dbus/{name}.xml").getroot()
    shown, wanted = (members(root.findall(f"interface[@name='{name}']/*")) for root in (live, documented))
    if shown != wanted or not wanted:
        raise LabError(f"busctl introspect shows another {name} than its file; beyond it: {sorted(shown - wanted)}; missing: "
                       f"{sorted(wanted - shown)}")
    say(f"busctl introspect {path}: {name} as documented, {len(shown)} members")


def check_bus():
    objects = run("busctl", "tree", "--list", BUS).split()
    link, peer = (next((o for o in objects if o.startswith(f"{ROOT_OBJECT}/{kind}/")), None) for kind in ("link", "peer"))
    if not link or not peer:
        raise LabError(f"no object of a link, or none of a peer: {objects}")
    for path, name in ((ROOT_OBJECT, "Manager"), (link, "Link"), (peer, "Peer")):
        check_bus_object(path, f"{BUS}.{name}")
    return peer


# What changes


class Follower:
    """A program that prints a line of JSON for whatever happens."""

    def __init__(self, *argv):
        self.what = argv[0] + " " + argv[1]
        self._buffer = b""
        self._popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._popen.terminate()
        self._popen.wait()

    def has_begun(self):
        """Has it said anything?"""
        return bool(self._buffer or select.select([self._popen.stdout], [], [], 0.5)[0])

    def wait_for(self, condition, what):
        """Until there is a line for which it is true; returns how many came before."""
        seen, deadline = [], time.monotonic() + patient(30)
        while True:
            while b"\n" in self._buffer:
                line, _, self._buffer = self._buffer.partition(b"\n")
                seen.append(line.decode(errors="replace"))
                if condition(seen[-1]):
                    return len(seen) - 1
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self._popen.stdout], [], [], left)[0]:
                raise LabError(f"{self.what}: no {what}; there was {seen}")
            block = os.read(self._popen.stdout.fileno(), 65536)
            if not block:
                raise LabError(f"{self.what} ended: {seen}")
            self._buffer += block


def parsed(line):
    """varlinkctl marks each text with a record separator (RFC 7464)."""
    line = line.lstrip("\x1e")
    return json.loads(line) if line.startswith("{") else {}


def make_link():
    """An uplink, and a link of the kernel's with one peer, whose public key is returned."""
    run("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "elsewhere")
    run("ip", "address", "add", "192.0.2.1/24", "dev", "uplink")
    run("ip", "link", "set", "elsewhere", "up")
    run("ip", "link", "set", "uplink", "up")
    run("ip", "link", "add", LINK, "type", "wireguard")
    run("sh", "-ec", f"umask 077; wg genkey >/run/key; wg set {LINK} listen-port 51820 private-key /run/key "
                     "peer $(wg genkey | wg pubkey) allowed-ips 10.66.0.2/32")
    run("ip", "link", "set", LINK, "up")
    return run("wg", "show", LINK, "peers").strip()


def follow():
    """Both APIs tell of a link that comes, and of a policy that changes. Returns the peer's key."""
    with Follower("varlinkctl", "call", "--more", "--json=short", SOCKET, f"{VARLINK}.Watch", "{}") as watch, \
            Follower("busctl", "monitor", "--json=short", BUS) as monitor:
        before = watch.wait_for(lambda line: parsed(line).get("event") == "ready", "event that all was told")
        wait_until(lambda: bus("Describe") and monitor.has_begun(), "busctl monitor shows a call")
        key = make_link()
        watch.wait_for(lambda line: parsed(line).get("link", {}).get("name") == LINK, f"event of {LINK}")
        watch.wait_for(lambda line: parsed(line).get("peer", {}).get("publicKey") == key, "event of the peer")
        monitor.wait_for(lambda line: parsed(line).get("member") == "InterfacesAdded" and f"{BUS}.Peer" in line, "peer that is added")
        say(f"varlinkctl call --more and busctl monitor: a link that comes and its peer, after {before} of what was there before")
        varlink("SetPolicy", json.dumps({"peer": key, "policy": "off"}))
        watch.wait_for(lambda line: parsed(line).get("peer", {}).get("policy") == "off", "event of the policy")
        monitor.wait_for(lambda line: parsed(line).get("member") == "PropertiesChanged" and '"Policy"' in line, "Policy that changes")
        varlink("SetPolicy", json.dumps({"peer": key, "policy": "auto"}))
        say("both tell of a policy that was set")
    return key


# polkit


def verbs(key):
    """What polkit is asked about, by each API: its action, and the call."""
    yield "reload", lambda: varlink("Reload", check=False, user=USER)
    yield "reload", lambda: bus("Reload", check=False, user=USER)
    yield "reconnect", lambda: varlink("Reconnect", check=False, user=USER)
    yield "reconnect", lambda: bus("Reconnect", "ss", "", "", check=False, user=USER)
    parameters = json.dumps({"peer": key, "policy": "direct"})
    yield "set-policy", lambda: varlink("SetPolicy", parameters, check=False, user=USER)
    yield "set-policy", lambda: bus("SetPolicy", "sss", "", key, "auto", check=False, user=USER)
    yield "diagnose", lambda: varlink("Diagnose", check=False, user=USER)
    yield "diagnose", lambda: bus("Diagnose", check=False, user=USER)
    yield "set-log-level", lambda: run("varlinkctl", "call", SOCKET, "io.systemd.service.SetLogLevel", '{"level": 6}', check=False, user=USER)
    yield "set-log-level", lambda: run("busctl", "set-property", BUS, "/org/freedesktop/LogControl1", "org.freedesktop.LogControl1",
                                       "LogLevel", "s", "info", check=False, user=USER)


def allow(action):
    """polkit looks at its folders by inotify, so it may take a moment until this is in force: None, nothing."""
    rule = "" if action is None else (f'polkit.addRule(function(action, subject) {{ if (action.id == "{BUS}.{action}" && '
                                      f'subject.user == "{USER}") return polkit.Result.YES; }});\n')
    with open(RULES + ".new", "w", encoding="utf-8") as f:
        f.write(rule)
    os.chmod(RULES + ".new", 0o644)
    os.rename(RULES + ".new", RULES)


def check_polkit(key):
    os.makedirs(os.path.dirname(RULES), exist_ok=True)
    allow(None)
    if "version" not in varlink("Describe", user=USER) or "version" not in bus("Describe", user=USER):
        raise LabError("reading should be free")
    for action, call in verbs(key):
        status, text = call()
        if status == 0 or not REFUSED.search(text):
            raise LabError(f"{action} should be refused, and is not: exit status {status}, {text}")
    say("polkit: whoever is nobody reads, and changes nothing")
    for allowed in ("reload", "reconnect", "set-policy", "diagnose", "set-log-level"):
        allow(allowed)
        for action, call in verbs(key):
            if action == allowed:
                wait_until(lambda call=call: call()[0] == 0, f"{action} is allowed")
            else:
                status, text = call()
                if status == 0 or not REFUSED.search(text):
                    raise LabError(f"{allowed} alone is allowed, and so is {action}: exit status {status}, {text}")
    os.unlink(RULES)
    for action, call in verbs(key):
        wait_until(lambda call=call: call()[0] != 0, f"{action} is refused again")
    say("polkit: each action is allowed by a rule, and no other with it; without rules all are refused again")


def main():
    activate()
    check_varlink()
    key = follow()
    check_bus()
    run("systemd-sysusers", "--inline", f'u {USER} - "Tester" / /bin/sh')
    check_metrics(key)
    check_polkit(key)
    if any(run("systemctl", "show", "--value", "--property=NRestarts", unit).strip() != "0" for unit in DAEMONS):
        raise LabError("a daemon has been restarted")


if __name__ == "__main__":
    main()
