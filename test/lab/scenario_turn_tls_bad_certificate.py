# SPDX-License-Identifier: LGPL-2.1-or-later
"""a TURN server whose certificate is for another name is refused, with the reason, and the next one is used"""

from errors import LabError
from services import TURN_USER
from topology import Sites
from turn import CA_FILE, PASSWORD_FILE, TlsServer, expect_relay_state, expect_transport


def run(lab):
    sites = Sites(lab, kinds=("udp-blocked", "port-restricted"))
    wrong = TlsServer(sites, name="wrong.example", address="192.0.2.13", certified="elsewhere.example")
    good = TlsServer(sites)
    sites.add_links()
    wrong.settings(sites.a)
    settings = good.settings(sites.a)
    sites.configure_host(sites.a, ICE={**settings, "TURNServers": f"{wrong.url} {good.url}"})
    sites.configure_host(sites.b, ICE={"TURNServers": None})
    for host in (sites.a, sites.b):
        host.start_icewire()
    a, _ = sites.wait_connected(paths=("relayed",))
    expect_transport(sites.a, a, "tls")
    sites.ping()
    expect_relay_state(sites.a, wrong.name, "certificate_refused", "hostname mismatch")
    expect_relay_state(sites.a, good.name, "ok")
    lab.say(sites.a.ctl("diagnose"))
    lines = [line for line in sites.a.agent.output().splitlines() if "its certificate is refused" in line]
    if len(lines) != 1:
        raise LabError(f"the log should say once that the certificate is refused: {lines}")
    lab.say(lines[0])
    if wrong.coturn.sessions():
        raise LabError("the wrong server was given our credentials")
