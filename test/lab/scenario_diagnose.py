# SPDX-License-Identifier: LGPL-2.1-or-later
"""icewirectl diagnose tells kinds of NAT, servers that do not answer, and IPv6, beside a path in use"""

import json

from errors import LabError
from services import Coturn
from topology import SERVER4, SERVER6, Sites

SECOND4 = "192.0.2.11"
DEAD4 = "192.0.2.99"

# By host: what its IPv4 mapping is.
EXPECTED = {"a": {"kind": "endpoint_independent", "hairpin": "no", "portKept": True},
            "b": {"kind": "varies"}}


def run(lab):
    sites = Sites(lab, kinds=("port-restricted", "symmetric"), families=(4, 6))
    sites.server.address("eth0", SECOND4 + "/24")
    Coturn(sites.server, [SECOND4], name="coturn-2")
    sites.add_links()
    servers = " ".join((f"{SERVER4}:3478", f"{SECOND4}:3478", f"[{SERVER6}]:3478", f"{DEAD4}:3478"))
    sites.configure(ICE={"STUNServers": servers})
    for host in (sites.a, sites.b):
        host.start_icewire()
    sites.wait_connected()
    for name, host in (("a", sites.a), ("b", sites.b)):
        lab.say(f"{name}# icewirectl diagnose\n{host.ctl('diagnose')}")
        found = json.loads(host.ctl("--json=short", "diagnose"))
        _check_environment(host, found)
        _check_mappings(host, found, EXPECTED[name])
    sites.ping()


def _check_environment(host, found):
    if not found["ipv6Address"] or not found["ipv6Answered"]:
        raise LabError(f"{host.name}: IPv6 works, but the diagnosis says otherwise: {found}")
    names = [server["name"] for server in found["servers"] if server["kind"] == "stun"]
    if f"{DEAD4}:3478" not in names or f"[{SERVER6}]:3478" not in names:
        raise LabError(f"{host.name}: not all servers are listed: {names}")
    if [r["state"] for r in found["rendezvous"] if r["name"].startswith("mqtt")] != ["up"]:
        raise LabError(f"{host.name}: the rendezvous is not up: {found['rendezvous']}")


def _check_mappings(host, found, expected):
    shared = found["redirect"] != "proxy"
    for family, wanted in ((4, expected), (6, {"kind": "none", "portKept": True, "hairpin": "unknown"})):
        mapping = _mapping(host, found, family)
        wrong = {k: mapping.get(k) for k, v in wanted.items() if mapping.get(k) != v}
        if wrong:
            raise LabError(f"{host.name}: expected {wanted}, found {wrong}: {mapping}")
        if (mapping.get("link") == "wg0") != shared or mapping["local"].endswith(":51820") != shared:
            raise LabError(f"{host.name}: redirect {found['redirect']}, but the mapping is of {mapping['local']}")
    _check_servers(host, _mapping(host, found, 4))


def _mapping(host, found, family):
    mappings = [m for m in found["mappings"] if m["local"].startswith("[") == (family == 6)]
    if len(mappings) != 1:
        raise LabError(f"{host.name}: {len(mappings)} mappings of IPv{family}: {mappings}")
    return mappings[0]


def _check_servers(host, mapping):
    answers = {server["address"]: server for server in mapping["servers"]}
    for address in (SERVER4, SECOND4):
        server = answers[f"{address}:3478"]
        if "mapped" not in server or server["roundTripTimeUSec"] <= 0:
            raise LabError(f"{host.name}: no answer from a server that lives: {server}")
    if "mapped" in answers[f"{DEAD4}:3478"] or not answers[f"{DEAD4}:3478"].get("error"):
        raise LabError(f"{host.name}: a dead server has answered: {answers}")
