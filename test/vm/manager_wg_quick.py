# SPDX-License-Identifier: LGPL-2.1-or-later
"""wg-quick: what it reads again breaks no path, its file stays as it was, and a link that it makes anew is connected again"""

from errors import LabError
from pair import LINK

FILE, UNIT = f"/etc/wireguard/{LINK}.conf", f"wg-quick@{LINK}.service"


def run(pair):
    for host in pair.hosts:
        host.write(FILE, _configuration(pair, host), mode=0o600)
        host.systemctl("start", UNIT)
    pair.wait_direct()
    a = pair.sites.a
    pair.disturb("systemctl reload wg-quick@, nothing has changed", lambda: a.systemctl("reload", UNIT))
    a.write(FILE, _configuration(pair, a, "PersistentKeepalive = 20\n"), mode=0o600)
    pair.disturb("systemctl reload wg-quick@, another keepalive", lambda: a.systemctl("reload", UNIT))
    pair.expect(a, "persistent-keepalive", "20")
    pair.replace("systemctl restart wg-quick@", lambda: a.systemctl("restart", UNIT))
    pair.expect(a, "persistent-keepalive", "20")
    if a.run("cat", FILE) != _configuration(pair, a, "PersistentKeepalive = 20\n"):
        raise LabError(f"{FILE} is not what it was")
    for host in pair.hosts:
        host.systemctl("stop", UNIT)


def _configuration(pair, host, more=""):
    s = pair.settings(host)
    return (f"[Interface]\nPrivateKey = {s['private']}\nListenPort = {s['port']}\nAddress = {s['address']}/24\n\n"
            f"[Peer]\nPublicKey = {s['public']}\nAllowedIPs = {s['other']}/32\n{more}")
