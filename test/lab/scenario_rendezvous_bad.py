# SPDX-License-Identifier: LGPL-2.1-or-later
"""rendezvous that are unreachable, have a wrong certificate or refuse the password are named; the good one serves"""

from errors import LabError
from services import MQTT_NAME, Authority, Mosquitto
from topology import SERVER4, Sites

UNREACHABLE, FOREIGN, MISNAMED, UNKNOWN, REFUSING = (
    "mqtts://192.0.2.99:8883", "mqtts://foreign.example:8884", "mqtts://misnamed.example:8885",
    "mqtts://nowhere.example:8883", "mqtt://192.0.2.10:1886")


def run(lab):
    sites = Sites(lab)
    sites.add_links()
    # An authority that nobody trusts; a trusted certificate for another name; a server with another password.
    Mosquitto(sites.server, Authority(lab, "foreign"), ["foreign.example"], "foreign", 8884, 1884)
    Mosquitto(sites.server, sites.authority, ["other.example"], "misnamed", 8885, 1885)
    Mosquitto(sites.server, sites.authority, ["refusing.example"], "refusing", 8886, 1886)
    good = f"mqtts://{MQTT_NAME}:8883"
    for host in (sites.a, sites.b):
        host.name_address("foreign.example", SERVER4)
        host.name_address("misnamed.example", SERVER4)
    # 192.0.2.99 does not exist: the server's network answers "host unreachable" after a while.
    sites.configure(Rendezvous={"MQTT": [UNREACHABLE, FOREIGN, MISNAMED, UNKNOWN, REFUSING, good], "Multicast": "no"})
    for host in (sites.a, sites.b):
        host.start_icewire()
    sites.wait_connected()
    sites.prove_direct()
    found = {}
    for name in (UNREACHABLE, FOREIGN, MISNAMED, UNKNOWN, REFUSING):
        found[name] = lab.wait_until(lambda name=name: _error(sites.a, name), f"{name} is down and says why")
        lab.say(f"{name}: {found[name]}")
    if found[FOREIGN] == found[UNREACHABLE]:
        raise LabError("a certificate of a foreign authority is reported like an unreachable server")
    for name in (FOREIGN, MISNAMED):
        if "certificate" not in found[name].lower():
            raise LabError(f"{name}: the error does not speak of the certificate: {found[name]}")
    status = sites.a.ctl("status")
    for name in found:
        if name not in status:
            raise LabError(f"icewirectl status does not name {name}: {status}")
    if [r["state"] for r in sites.a.rendezvous() if r["name"] == good] != ["up"]:
        raise LabError(f"the good rendezvous is not up: {sites.a.rendezvous()}")


def _error(host, name):
    """Why it is down, once that is known."""
    return next((r["error"] for r in host.rendezvous() if r["name"] == name and r["state"] != "up" and r.get("error")), None)
