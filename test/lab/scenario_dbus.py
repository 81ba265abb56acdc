# SPDX-License-Identifier: LGPL-2.1-or-later
"""org.icewire1 comes with the bus and comes back with it, shows the path, tells when it moves, and lets polkit decide who may move it"""

import json
import os

import dbus
from errors import LabError
from host import USER
from topology import connected_sites

BUSCTL = ["busctl", f"--address=unix:path={dbus.SOCKET}"]
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
MANAGER = ["org.icewire1", "/org/icewire1", "org.icewire1.Manager"]
POLKITD = "/usr/lib/polkit-1/polkitd"


def run(lab):
    sites = connected_sites(lab)
    host, key = sites.a, sites.keys["b"].public
    lab.say("there was no bus so far; now there is")
    bus = dbus.start_bus(host)
    path = _wait_for_peer(host, key)
    _shows(host, path)
    _tells(lab, sites, path, bus)
    _refuses(host, path)
    lab.say("the bus is killed, and starts anew")
    bus.kill()
    dbus.start_bus(host)
    if _wait_for_peer(host, key) != path:
        raise LabError("the peer's path is another one")
    if os.access(POLKITD, os.X_OK):
        _asks_polkit(host, path)
    sites.prove_direct()


def _busctl(host, *argv, user=(), check=True):
    return host.run(*user, *BUSCTL, *argv, check=check)


def _wait_for_peer(host, key):
    """Until org.icewire1 is on the bus; the peer's path."""
    def path():
        done = _busctl(host, "call", *MANAGER, "GetPeer", "ss", "wg0", key, check=False)
        return done.stdout.split()[1].strip('"') if done.returncode == 0 else None

    return host.lab.wait_until(path, f"{host.name}: org.icewire1 is on the bus")


def _property(host, path, name):
    return json.loads(_busctl(host, "--json=short", "get-property", "org.icewire1", path, "org.icewire1.Peer", name,
                              user=NOBODY))["data"]


def _shows(host, path):
    """To everybody, and the same as Varlink."""
    for command in (["tree", "org.icewire1"], ["introspect", "org.icewire1", path]):
        host.lab.say(f"{host.name}# busctl {' '.join(command)}\n{_busctl(host, *command, user=NOBODY)}")
    peer = host.peers()[0]
    found = [_property(host, path, name) for name in ("State", "Path", "Endpoint", "AllowedIPs", "Reason")]
    expected = [peer[name] for name in ("state", "path", "endpoint", "allowedIPs", "reason")]
    if found != expected:
        raise LabError(f"D-Bus has {found}, Varlink {expected}")
    if _property(host, path, "RxBytes") < peer["rxBytes"] or not _property(host, path, "LastHandshakeUSec"):
        raise LabError("what WireGuard counts is not read")
    described = json.loads(json.loads(_busctl(host, "--json=short", "call", "org.icewire1", path, "org.icewire1.Peer",
                                              "Describe", user=NOBODY))["data"][0])
    if described["peer"]["endpoint"] != peer["endpoint"]:
        raise LabError(f"Describe: {described}")


def _tells(lab, sites, path, bus):
    host = sites.a
    monitor = host.start("monitor", [*BUSCTL, "--json=short", "monitor",
                                     "--match=type='signal',path_namespace='/org/icewire1'"])
    lab.wait_until(lambda: "became a monitor" in bus.output(), "busctl listens")
    lab.say("root has the peer go by a relay, and back, over the bus")
    for policy, kind in (("relay", "relayed"), ("direct", "direct")):
        _busctl(host, "call", "org.icewire1", path, "org.icewire1.Peer", "SetPolicy", "s", policy)
        sites.wait_connected((kind,))
        lab.wait_until(lambda kind=kind: _told(monitor, path, "Path") and _told(monitor, path, "Path")[-1] == kind,
                       lambda: f"{host.name}: PropertiesChanged tells of the path; {_told(monitor, path, 'Path')}")
    if [p for p in _told(monitor, path, "Path") if p != "none"] != ["relayed", "direct"]:
        raise LabError(f"paths that were told: {_told(monitor, path, 'Path')}")
    for name in ("RxBytes", "LastHandshakeUSec", "RoundTripTimeUSec"):
        if _told(monitor, path, name):
            raise LabError(f"{name} is told whenever it changes")
    monitor.stop(status=None)


def _told(monitor, path, name):
    """The values of a property that signals have told, in order."""
    values = []
    for line in monitor.output().splitlines():
        if not line.startswith("{"):
            continue
        message = json.loads(line)
        if message.get("member") == "PropertiesChanged" and message.get("path") == path:
            changed = message["payload"]["data"][1]
            values += [changed[name]["data"]] if name in changed else []
    return values


def _refuses(host, path):
    """Where there is no polkit only root may change something."""
    _expect_refusal(host, path, "Access denied")
    log = ["org.icewire1", "/org/freedesktop/LogControl1", "org.freedesktop.LogControl1", "LogLevel"]
    done = _busctl(host, "set-property", *log, "s", "info", user=NOBODY, check=False)
    if done.returncode == 0:
        raise LabError("nobody may set the log level")
    _busctl(host, "set-property", *log, "s", "info")
    if _busctl(host, "get-property", *log, user=NOBODY).strip() != 's "info"':
        raise LabError("the log level is not what it was set to")
    _busctl(host, "set-property", *log, "s", "debug")


def _expect_refusal(host, path, text):
    done = _busctl(host, "call", "org.icewire1", path, "org.icewire1.Peer", "SetPolicy", "s", "off", user=NOBODY, check=False)
    if done.returncode == 0 or text not in done.stderr:
        raise LabError(f"nobody is not refused because {text}: {done.stdout}{done.stderr}")
    if _property(host, path, "Policy") != "direct":
        raise LabError("the policy was set nevertheless")


def _actions():
    """Of the checkout that this is in, or of what is installed."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../polkit/org.icewire1.policy.in")
    installed = "/usr/share/polkit-1/actions/org.icewire1.policy"
    with open(source if os.path.exists(source) else installed, encoding="utf-8") as f:
        return f.read().replace("@user@", USER)


def _asks_polkit(host, path):
    """As on a host where icewire is installed, but for who may do what."""
    host.run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/etc/polkit-1/rules.d")
    host.run("install", "-d", "-m", "0755", "/run/polkit-1/actions")
    host.write("/run/polkit-1/actions/org.icewire1.policy", _actions())
    rule = "polkit.addRule(function(action, subject) { if (action.id == 'org.icewire1.reconnect' && " \
           "subject.user == 'nobody') return polkit.Result.YES; });\n"
    host.write("/etc/polkit-1/rules.d/10-test.rules", rule)
    polkit = host.start("polkit", [POLKITD, "--no-debug"], env={"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={dbus.SOCKET}"})
    host.lab.wait_until(lambda: "org.freedesktop.PolicyKit1" in _busctl(host, "list"), "polkit is on the bus")
    _busctl(host, "call", "org.icewire1", path, "org.icewire1.Peer", "Reconnect", user=NOBODY)
    _expect_refusal(host, path, "polkit wants a password")
    done = host.run(*NOBODY, host.lab.binary("icewirectl"), "reload", check=False)
    if done.returncode == 0:
        raise LabError("nobody may reload")
    host.run(*NOBODY, host.lab.binary("icewirectl"), "reconnect")
    polkit.stop(status=None)
