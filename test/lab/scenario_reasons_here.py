# SPDX-License-Identifier: LGPL-2.1-or-later
"""whatever is broken on the host itself is named as the reason why a peer has no path"""

from errors import LabError
from topology import Sites


def run(lab):
    sites = Sites(lab)
    sites.add_links()
    # Nobody has the address: packets there are lost.
    sites.configure(Rendezvous={"MQTT": "mqtt://192.0.2.99:1883", "Multicast": "no"})
    a, key = sites.a, sites.keys["b"].public
    a.start_icewire()
    peer = _expect(a, key, "rendezvous-down")
    if "192.0.2.99" not in a.ctl("status"):
        raise LabError(f"a does not say which rendezvous is down: {peer}")
    lab.say("the uplink loses its address")
    a.ip("address", "flush", "dev", "eth0")
    _expect(a, key, "no-address")
    lab.say("the link loses its key")
    a.run("wg", "set", "wg0", "private-key", "/dev/null")
    _expect(a, key, "no-private-key")
    a.links["wg0"].configure(51820)
    _expect(a, key, "no-address")
    lab.say("the broker is stopped")
    a.broker.stop()
    _expect(a, key, "broker-lost")
    a.start_broker().wait_ready()
    _expect(a, key, "no-address")
    lab.say("nobody wants it")
    a.ctl("policy", key, "off")
    _expect(a, key, "policy-here")


def _expect(host, key, reason):
    peer = host.wait_peer(key, f"the reason {reason}", lambda p: p["reason"] == reason)
    host.lab.say(f"{reason}: {peer['reasonText']}")
    if peer["reasonText"] not in host.ctl("status"):
        raise LabError(f"icewirectl status does not say so: {host.ctl('status')}")
    return peer
