# SPDX-License-Identifier: LGPL-2.1-or-later
"""NetworkManager: links by keyfiles alone; what it reads and applies again, and its restart, break no path"""

import uuid

from errors import LabError
from pair import LINK

FILE = f"/etc/NetworkManager/system-connections/{LINK}.nmconnection"
OTHERS = "/etc/NetworkManager/conf.d/others.conf"
UNIT = "NetworkManager.service"
ID = {name: str(uuid.uuid4()) for name in "ab"}


def run(pair):
    for host in pair.hosts:
        host.write(OTHERS, f"[keyfile]\nunmanaged-devices=except:interface-name:{LINK}\n")
        host.write(FILE, _keyfile(pair, host), mode=0o600)
    for host in pair.hosts:
        host.systemctl("start", UNIT)
    pair.wait_direct()
    a = pair.sites.a
    pair.disturb("nmcli device reapply, nothing has changed", lambda: a.run("nmcli", "device", "reapply", LINK))
    a.write(FILE, _keyfile(pair, a, keepalive=20), mode=0o600)
    pair.disturb("an edited keyfile, nmcli connection reload and device reapply", lambda: _reload(a))
    pair.expect(a, "persistent-keepalive", "20")
    pair.disturb("a restart of NetworkManager", lambda: a.systemctl("restart", UNIT))
    pair.replace("nmcli connection up", lambda: a.run("nmcli", "connection", "up", LINK))
    pair.expect(a, "persistent-keepalive", "20")
    if a.run("cat", FILE) != _keyfile(pair, a, keepalive=20):
        raise LabError(f"{FILE} is not what it was")
    for host in pair.hosts:
        host.run("nmcli", "connection", "down", LINK)
        host.systemctl("stop", UNIT)


def _keyfile(pair, host, keepalive=None):
    s = pair.settings(host)
    return (f"[connection]\nid={LINK}\nuuid={ID[host.name]}\ntype=wireguard\ninterface-name={LINK}\n\n"
            f"[wireguard]\nlisten-port={s['port']}\nprivate-key={s['private']}\n\n"
            f"[wireguard-peer.{s['public']}]\nallowed-ips={s['other']}/32;\n" +
            (f"persistent-keepalive={keepalive}\n" if keepalive else "") +
            f"\n[ipv4]\naddress1={s['address']}/24\nmethod=manual\n\n[ipv6]\nmethod=disabled\n")


def _reload(host):
    host.run("nmcli", "connection", "reload")
    host.run("nmcli", "device", "reapply", LINK)
