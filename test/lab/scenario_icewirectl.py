# SPDX-License-Identifier: LGPL-2.1-or-later
"""icewirectl and its completion, as anybody, with a running icewired: one screen, names, refusals, and nobody there"""

import os

from errors import LabError
from lab import SOURCE
from topology import TUNNEL4, connected_sites

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
SCREEN = {"COLUMNS": "80", "LINES": "24"}
PERMISSION, NOT_RUNNING = 4, 7


def run(lab):
    sites = connected_sites(lab)
    key = sites.keys["b"].public
    _status(lab, sites.a, key)
    _names(sites.a, key)
    _completion(lab, sites.a, key)
    _refusals(lab, sites.a, key)
    _gone(lab, sites.a)


def _ctl(host, *argv, env=None):
    """As a user without rights; the CompletedProcess."""
    return host.run(*NOBODY, host.lab.binary("icewirectl"), *argv, env=env, check=False)


def _install_completion(host):
    """Where somebody without rights can read it, too."""
    for name, source in (("complete", "test/ctl/complete.bash"), ("completion", "shell-completion/bash/icewirectl")):
        with open(os.path.join(SOURCE, source), encoding="utf-8") as f:
            host.write(f"/run/{name}", f.read())


def _complete(host, line):
    path = os.path.dirname(host.lab.binary("icewirectl")) + ":" + os.environ["PATH"]
    text = host.run(*NOBODY, "bash", "--norc", "/run/complete", "/run/completion", line, env={"PATH": path})
    return {word for word in text.split("\n") if word}


def _expect(what, found, expected):
    if found != expected:
        raise LabError(f"{what}: expected {expected}, found {found}")


def _status(lab, host, key):
    done = _ctl(host, "status", env=SCREEN)
    lab.say(f"status on a screen of 24 lines:\n{done.stdout}")
    lines = done.stdout.splitlines()
    if done.returncode != 0 or len(lines) >= 24 or max(map(len, lines)) > 80:
        raise LabError(f"that does not fit: {done.stdout}{done.stderr}")
    if ": reachable, 1 of 1 peer connected, 1 directly" not in lines[0]:
        raise LabError(f"the first line does not say how it stands: {lines[0]}")
    if not any(line.split()[:1] == ["Link"] and " reachable: wg0 at 198.51.100.2:51820" in line for line in lines):
        raise LabError(f"it does not say where the link can be reached: {done.stdout}")
    if not any(line.startswith(f"wg0  {key[:8]}") and " connected direct " in line for line in lines):
        raise LabError(f"it does not say how the peer is connected: {done.stdout}")


def _names(host, key):
    for name in (key, key[:6], TUNNEL4["b"]):
        done = _ctl(host, "peer", "wg0", name)
        if done.returncode != 0 or f"Peer: {key}\n" not in done.stdout:
            raise LabError(f"{name} is not understood: {done.stdout}{done.stderr}")
    swapped = key[0].swapcase() if key[0].isalpha() else key[0]
    told = _ctl(host, "peer", swapped + key[1:9] + "!").stderr
    if f"Did you mean {key[:10]}?" not in told:
        raise LabError(f"no near name is told: {told}")


def _completion(lab, host, key):
    lab.say("completion")
    _install_completion(host)
    _expect("verbs", _complete(host, "icewirectl mon"), {"monitor"})
    _expect("links and peers", _complete(host, "icewirectl peers "), {"wg0", key})
    _expect("peers of a link", _complete(host, "icewirectl history wg0 "), {key})
    _expect("peers of a link that is not there", _complete(host, "icewirectl history wg9 "), set())
    _expect("policies", _complete(host, f"icewirectl policy {key} "), {"auto", "direct", "relay", "off"})


def _refusals(lab, host, key):
    lab.say("nobody may change anything: there is no polkit here")
    for argv in (["reload"], ["reconnect", key], ["policy", key, "off"]):
        done = _ctl(host, *argv)
        if done.returncode != PERMISSION or "sudo" not in done.stderr:
            raise LabError(f"{argv}: exit status {done.returncode}: {done.stdout}{done.stderr}")
    if host.peer(key)["policy"] != "auto":
        raise LabError(f"the policy has changed: {host.peer(key)}")


def _gone(lab, host):
    lab.say("icewired is stopped")
    host.agent.stop()
    done = _ctl(host, "status")
    if done.returncode != NOT_RUNNING or done.stderr != "icewired is not running: systemctl start icewired\n":
        raise LabError(f"exit status {done.returncode}: {done.stdout}{done.stderr}")
    _expect("verbs", _complete(host, "icewirectl mon"), {"monitor"})
    _expect("links and peers", _complete(host, "icewirectl peers "), set())
