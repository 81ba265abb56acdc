# SPDX-License-Identifier: LGPL-2.1-or-later
"""time-limited credentials, from a secret that is shared with the TURN server; a wrong secret is told as such"""

import base64
import hashlib
import hmac
import re
import secrets

from errors import LabError
from services import Coturn
from topology import Sites
from turn import expect_relay_state

ADDRESS4 = "192.0.2.14"
SECRET_FILE = "/etc/icewire/turn.secret"
USER = "somebody"


def run(lab):
    secret = secrets.token_urlsafe(24)
    sites = Sites(lab, kinds=("symmetric", "symmetric"))
    sites.server.address("eth0", ADDRESS4 + "/24")
    coturn = Coturn(sites.server, [ADDRESS4], name="coturn-rest", secret=secret)
    sites.add_links()
    settings = {"TURNServers": f"turn:{ADDRESS4}", "TURNUser": USER, "TURNPasswordFile": None,
                "TURNSecretFile": SECRET_FILE}
    for host in (sites.a, sites.b):
        host.write_secret(SECRET_FILE, secret + "\n")
        sites.configure_host(host, ICE=settings)
        host.start_icewire()
    sites.wait_connected(paths=("relayed",))
    sites.ping()
    expect_relay_state(sites.a, ADDRESS4, "ok")
    _check_secrecy(sites, coturn, secret)

    sites.a.write_secret(SECRET_FILE, "another secret")
    sites.a.ctl("reload")
    server = expect_relay_state(sites.a, ADDRESS4, "credentials_refused", "user name or the password")
    lab.say(f"with another secret: {server['relayError']}")


def _check_secrecy(sites, coturn, secret):
    """No log of ours has the secret, or a password that it has made; and the names that the server saw expire."""
    names = set(re.findall(rf"\b\d{{10}}:{USER}\b", coturn.process.output()))
    if not names:
        raise LabError("the server saw no time-limited user name")
    passwords = [base64.b64encode(hmac.digest(secret.encode(), name.encode(), hashlib.sha1)).decode() for name in names]
    for host in (sites.a, sites.b):
        text = host.agent.output()
        if any(s in text for s in [secret, *passwords]):
            raise LabError(f"{host.name}: a secret is in the log")
    sites.lab.say(f"user names: {', '.join(sorted(names))}")
