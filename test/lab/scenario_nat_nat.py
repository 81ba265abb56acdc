# SPDX-License-Identifier: LGPL-2.1-or-later
"""both hosts behind port-restricted NATs connect directly, without any endpoint given"""

import json

from errors import LabError
from topology import WIDE4, connected_sites


def run(lab):
    sites = connected_sites(lab)
    lab.say("direct: %d bytes there, %d back, %d relayed" % sites.prove_direct())
    sites.ping(family=6)
    _by_wireguards_port(sites)
    _ctl_agrees(sites.a, sites.keys["b"].public)
    for host, other in ((sites.a, "b"), (sites.b, "a")):
        _status(host, sites.keys[other].public)


def _by_wireguards_port(sites):
    """Both NATs show WireGuard's own port, and the candidates are called what they are to people."""
    for peer, other in zip(sites.wait_connected(), "ba"):
        expected = WIDE4[other] + ".2:51820"
        if peer["endpoint"] != expected or peer["remote"]["address"] != expected:
            raise LabError(f"{other} should be at {expected}: {peer}")
        if not peer["local"]["address"].endswith(":51820") or peer["local"]["type"] not in ("host", "srflx"):
            raise LabError(f"our end of the path is neither a host nor a server-reflexive candidate at W: {peer}")


def _ctl_agrees(host, public_key):
    """icewirectl's JSON says what the Varlink interface says."""
    listed = json.loads(host.ctl("--json=short", "peers"))
    peers = listed["peers"] if isinstance(listed, dict) else listed
    if [p["publicKey"] for p in peers] != [public_key]:
        raise LabError(f"icewirectl peers: expected the peer {public_key}, found {listed}")
    if peers[0]["state"] != "connected" or not peers[0]["remote"]["address"]:
        raise LabError(f"icewirectl peers: {peers[0]}")


def _status(host, public_key):
    text = host.ctl("status")
    host.lab.say(f"{host.name}# icewirectl status\n{text}")
    for word in ("wg0", public_key[:8], "connected"):
        if word not in text:
            raise LabError(f"icewirectl status on {host.name} does not say {word!r}: {text}")
