# SPDX-License-Identifier: LGPL-2.1-or-later
"""what writes devices whole, again and again, as kilo and drago do: each has what it wrote, and the path comes back each time"""

import time

from pair import LINK

ROUNDS = 2
CARRIER_KEEPALIVE = "25"  # seconds: what icewire sets where there is none (carrier.h)
# kilo reads the device each 30 s and writes it whole if it is not what it should be, which it never is: the endpoint and the
# keepalive are icewire's. Here it is sooner; more often than each 10 s icewire does not insist.
PAUSE = 11
# Seconds, from before icewire restores an endpoint until after it: there is nothing to wait for in between.
DELAYS = (0, 0.01, 0.02, 0.04, 0.08)


def run(pair):
    pair.add_links()
    pair.wait_direct()
    a = pair.sites.a
    path = _file(pair, a)
    _repeat(pair, "wg syncconf", lambda: a.run("wg", "syncconf", LINK, path))
    _repeat(pair, "wg setconf", lambda: a.run("wg", "setconf", LINK, path))
    _repeat(pair, "netlink SET with REPLACE_PEERS, as drago", lambda: pair.write_netlink(a))
    _repeat(pair, "netlink SET with REPLACE_PEERS and a keepalive, as kilo", lambda: pair.write_netlink(a, keepalive=10), "10")
    for delay in DELAYS:
        _take_out(pair, a, delay)
    pair.remove_links()


def _take_out(pair, host, delay):
    """What is taken out while icewire restores its endpoint stays out."""
    pair.write_and_remove(host, 10, delay)
    pair.lab.always(lambda: not host.run("wg", "show", LINK, "peers").strip(),
                    f"a peer is there again that was taken out {delay} s after it was written", 1)
    pair.write_netlink(host)
    pair.wait_direct()


def _repeat(pair, what, write, keepalive=CARRIER_KEEPALIVE):
    for i in range(ROUNDS):
        start = time.monotonic()
        pair.disturb(f"{what}, {i + 1}", write)
        pair.lab.always(lambda: True, "", max(0, PAUSE - (time.monotonic() - start)))
        for host in pair.hosts:
            pair.expect_configuration(host, keepalive if host is pair.sites.a else CARRIER_KEEPALIVE)


def _file(pair, host):
    """As such programs have it: they know nothing of what icewire sets."""
    s, path = pair.settings(host), f"/etc/{LINK}.conf"
    host.write(path, f"[Interface]\nPrivateKey = {s['private']}\nListenPort = {s['port']}\n\n"
                     f"[Peer]\nPublicKey = {s['public']}\nPresharedKey = {s['preshared']}\n"
                     f"AllowedIPs = {', '.join(s['allowed'])}\n", mode=0o600)
    return path
