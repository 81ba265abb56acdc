# SPDX-License-Identifier: LGPL-2.1-or-later
"""others set endpoints and write the device anew, in loops, under traffic: ours comes back, and what is theirs stays"""

import os
import signal
import socket
import time

from errors import LabError
from namespace import Call
from probe import Pinger, until_reply
from topology import TUNNEL4, connected_sites

BAD = "198.51.100.77:4711"  # nobody is there
# How often a loop writes, in seconds: kilo does each 30 s. More often than each 10 s icewire does not insist.
ROUNDS, ROUND = 3, 11
# Seconds until our endpoint is there again; the second time it is known that theirs is no good.
FIRST, AGAIN = 20, 8


def run(lab):
    sites = connected_sites(lab)
    link = sites.a.links["wg0"]
    ours = _state(link)
    stream = Call(sites.a, _stream, TUNNEL4["b"])
    lab.always(lambda: True, "", 3)
    _set_a_bad_one(lab, link, ours)
    stream.signal(signal.SIGTERM)
    stream.result()
    sites.ping()
    _write_anew(lab, sites, link, ours, endpoint=None)
    _write_anew(lab, sites, link, ours, endpoint=BAD)
    _synchronise(lab, sites, link, ours)


def _stream(address):
    """Sends into the tunnel, and nothing comes back, until SIGTERM."""
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        while not stopped:
            s.sendto(bytes(100), (address, 9))
            time.sleep(0.02)


def _state(link):
    """The endpoint of the one peer."""
    return next(iter(link.show("endpoints").values()))


def _wait_for(lab, link, expected, timeout):
    lab.wait_until(lambda: _state(link) == expected, lambda: f"it is {expected} again, and not {_state(link)}", timeout, 0.1)


def _set_a_bad_one(lab, link, ours):
    """While b only listens: nothing of it takes the endpoint back."""
    peer = next(iter(link.show("endpoints")))
    for timeout in (FIRST, AGAIN):
        link.host.run("wg", "set", link.name, "peer", peer, "endpoint", BAD)
        start = time.monotonic()
        _wait_for(lab, link, ours, timeout)
        lab.say(f"`wg set` of a bad endpoint: ours is back after {time.monotonic() - start:.1f} s")


def _configuration(link, endpoint=None):
    """A file for `wg setconf` and `wg syncconf`, as others have it: they know nothing of icewire's settings."""
    text = link.host.run("wg", "showconf", link.name)
    lines = [line for line in text.splitlines() if not line.startswith(("Endpoint", "PersistentKeepalive"))]
    if endpoint:
        lines.append(f"Endpoint = {endpoint}")
    path = f"/etc/icewire-lab-{link.name}.conf"
    link.host.write(path, "\n".join(lines) + "\n", mode=0o600)
    return path, lines


def _wait_for_traffic(lab, sites):
    """A WireGuard in userspace that has had something to send while there was no endpoint begins no handshake for 5 s."""
    start = time.monotonic()
    reply = sites.a.call(until_reply, TUNNEL4["b"], 0.05, FIRST)
    if reply is None:
        raise LabError(f"nothing comes through, for {FIRST} s")
    lab.say(f"traffic after {reply - start:.1f} s more")


def _write_anew(lab, sites, link, ours, endpoint):
    """With REPLACE_PEERS, again and again, as kilo does; its own settings are what they were."""
    path, lines = _configuration(link, endpoint)
    pinger = Pinger(sites.a, TUNNEL4["b"], interval=0.02)
    for i in range(ROUNDS):
        link.host.run("wg", "setconf", link.name, path)
        start = time.monotonic()
        _wait_for(lab, link, ours, FIRST if i == 0 else AGAIN)
        lab.say(f"`wg setconf` with {endpoint or 'no'} endpoint: ours is back after {time.monotonic() - start:.1f} s")
        _wait_for_traffic(lab, sites)
        lab.always(lambda: True, "", max(0, ROUND - (time.monotonic() - start)))
    echoes = pinger.stop()
    lab.say(f"the pings meanwhile: {echoes}")
    if echoes.received < echoes.sent / 3:
        raise LabError(f"hardly anything came through: {echoes}")
    now = link.host.run("wg", "showconf", link.name).splitlines()
    if [line for line in lines if not line.startswith("Endpoint") and line not in now]:
        raise LabError("settings of others are not what they were")
    os.unlink(link.host.path(path))


def _synchronise(lab, sites, link, ours):
    """What a file does not name stays, or is off; nothing of that interrupts anything."""
    path, _ = _configuration(link)
    for _ in range(ROUNDS):
        link.host.run("wg", "syncconf", link.name, path)
        sites.ping()
    _wait_for(lab, link, ours, AGAIN)
    lab.say("`wg syncconf` without an endpoint: nothing was lost")
