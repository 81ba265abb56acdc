# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd-networkd: links by .netdev and .network alone; reload, reconfigure, restart and an edited file break no path"""

import time

from errors import LabError
from pair import LINK

NETDEV, NETWORK, KEY, PRESHARED = (f"/etc/systemd/network/20-{LINK}{suffix}"
                                   for suffix in (".netdev", ".network", ".key", ".psk"))
THIRD = "10.66.0.3"  # a peer that is nowhere


def run(pair):
    for host in pair.hosts:
        _configure(pair, host)
        host.systemctl("start", "systemd-networkd.service")
    start = time.monotonic()
    pair.wait_direct()
    pair.lab.say(f"connected {time.monotonic() - start:.1f} s after systemd-networkd has started")
    a = pair.sites.a
    pair.disturb("networkctl reload, nothing has changed", lambda: a.run("networkctl", "reload"))
    pair.disturb("networkctl reconfigure", lambda: a.run("networkctl", "reconfigure", LINK))
    pair.disturb("networkctl reconfigure of the uplink", lambda: a.run("networkctl", "reconfigure", "eth0"))
    pair.disturb("a restart of systemd-networkd", lambda: a.systemctl("restart", "systemd-networkd.service"))
    third = pair.lab.run("wg", "pubkey", stdin=pair.lab.run("wg", "genkey")).strip()
    pair.disturb("an edited .netdev: another peer", lambda: _edit(pair, a, more=third))
    if third not in a.run("wg", "show", LINK, "peers"):
        raise LabError("the peer that was added is not there")
    pair.disturb("an edited .netdev: a keepalive", lambda: _edit(pair, a, keepalive=20))
    pair.expect_configuration(a, "20")
    pair.disturb("a restart of systemd-networkd, with the keepalive", lambda: a.systemctl("restart", "systemd-networkd.service"))
    pair.expect_configuration(a, "20")
    pair.wait_direct()
    for host in pair.hosts:
        _remove(host)


def _netdev(pair, host, keepalive=None, more=None):
    s = pair.settings(host)
    text = (f"[NetDev]\nName={LINK}\nKind=wireguard\n\n[WireGuard]\nPrivateKeyFile={KEY}\nListenPort={s['port']}\n\n"
            f"[WireGuardPeer]\nPublicKey={s['public']}\nPresharedKeyFile={PRESHARED}\n"
            f"AllowedIPs={','.join(s['allowed'])}\n")
    if keepalive:
        text += f"PersistentKeepalive={keepalive}\n"
    if more:
        text += f"\n[WireGuardPeer]\nPublicKey={more}\nAllowedIPs={THIRD}/32\n"
    return text


def _configure(pair, host):
    s = pair.settings(host)
    group = int(host.run("id", "-g", "systemd-network"))
    host.write(KEY, s["private"] + "\n", mode=0o640, group=group)
    host.write(PRESHARED, s["preshared"] + "\n", mode=0o640, group=group)
    host.write(NETDEV, _netdev(pair, host))
    host.write(NETWORK, f"[Match]\nName={LINK}\n\n[Network]\nAddress={s['address']}/24\n")


def _edit(pair, host, **changes):
    host.write(NETDEV, _netdev(pair, host, **changes))
    host.run("networkctl", "reload")


def _remove(host):
    """networkd deletes what it has no file for any more only when it is asked to."""
    host.run("rm", NETDEV, NETWORK, KEY, PRESHARED)
    host.run("networkctl", "reload")
    host.run("networkctl", "delete", LINK)
    host.systemctl("stop", "systemd-networkd.socket", "systemd-networkd.service")
