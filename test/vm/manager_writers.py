# SPDX-License-Identifier: LGPL-2.1-or-later
"""what writes devices whole, again and again, as kilo and drago do: each has what it wrote, and the path comes back each time"""

import time

from errors import LabError
from pair import LINK

ROUNDS = 2
# kilo reads the device each 30 s and writes it whole if it is not what it should be, which it never is: the endpoint and the
# keepalive are icewire's. Here it is sooner; more often than each 10 s icewire does not insist.
PAUSE = 11


def run(pair):
    pair.add_links()
    pair.wait_direct()
    a = pair.sites.a
    path = _file(pair, a)
    _repeat(pair, "wg syncconf", lambda: a.run("wg", "syncconf", LINK, path))
    _repeat(pair, "wg setconf", lambda: a.run("wg", "setconf", LINK, path))
    _repeat(pair, "netlink SET with REPLACE_PEERS, as drago", lambda: pair.write_netlink(a))
    _repeat(pair, "netlink SET with REPLACE_PEERS and a keepalive, as kilo", lambda: pair.write_netlink(a, keepalive=10))
    pair.expect(a, "persistent-keepalive", "10")
    pair.remove_links()


def _repeat(pair, what, write):
    for i in range(ROUNDS):
        start = time.monotonic()
        pair.disturb(f"{what}, {i + 1}", write)
        pair.lab.always(lambda: True, "", max(0, PAUSE - (time.monotonic() - start)))
    for host in pair.hosts:
        s = pair.settings(host)
        pair.expect(host, "allowed-ips", f"{s['other']}/32")
        if host.run("wg", "show", LINK, "listen-port").strip() != str(s["port"]):
            raise LabError(f"{host.name}: the port is another one")


def _file(pair, host):
    """As such programs have it: they know nothing of what icewire sets."""
    s, path = pair.settings(host), f"/etc/{LINK}.conf"
    host.write(path, f"[Interface]\nPrivateKey = {s['private']}\nListenPort = {s['port']}\n\n"
                     f"[Peer]\nPublicKey = {s['public']}\nAllowedIPs = {s['other']}/32\n", mode=0o600)
    return path
