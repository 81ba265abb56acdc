# SPDX-License-Identifier: LGPL-2.1-or-later
"""the lab's own NATs can be punched, its servers answer, and its proof of a direct path can fail (no icewire in this)"""

import mqtt
import probe
from errors import LabError
from services import MQTT_NAME, MQTT_USER
from topology import MQTT_CA_FILE, TUNNEL4, Sites


def _servers_answer(sites):
    found = sites.a.run("turnutils_stunclient", "-p", "3478", "192.0.2.10")
    if "198.51.100.2" not in found:
        raise LabError(f"coturn did not tell the NAT's address: {found}")
    sites.configure()
    sites.a.call(_publish, sites.mosquitto.password)
    try:
        sites.a.call(_publish, "wrong")
    except LabError:
        return
    raise LabError("mosquitto took a wrong password")


def _publish(password):
    client = mqtt.Client(MQTT_NAME, 8883, MQTT_USER, password, MQTT_CA_FILE)
    client.subscribe("#")
    client.publish("topic", b"payload")
    if client.received(20) != ("topic", b"payload"):
        raise LabError("mosquitto did not deliver")


def _proof_fails(sites):
    """Pings that do not pass must not be a proof."""
    sites.internet.nft("table inet cut {\n chain forward { type filter hook forward priority 20; policy drop\n }\n}\n")
    try:
        sites.prove_direct(3)
    except LabError:
        return
    raise LabError("a direct path was proven while nothing passed")


def run(lab):
    sites = Sites(lab)
    sites.add_links()
    _servers_answer(sites)
    if probe.ping(sites.a, TUNNEL4["b"], 3, linger=0.5).received:
        raise LabError("a ping without an endpoint was answered")
    for name, other, address in (("a", "b", "203.0.113.2:51820"), ("b", "a", "198.51.100.2:51820")):
        link = sites.hosts[name].links["wg0"]
        sites.hosts[name].run("wg", "set", link.name, "peer", sites.keys[other].public, "endpoint", address,
                              "persistent-keepalive", "1")
    lab.wait_until(lambda: probe.ping(sites.a, TUNNEL4["b"], 1, linger=0.5).received, "a ping through punched NATs")
    lab.say("direct: %d bytes there, %d back, %d relayed" % sites.prove_direct())
    pinger = probe.Pinger(sites.a, TUNNEL4["b"], interval=0.01)
    lab.wait_until(lambda: sites.b.links["wg0"].show("transfer"), "the transfer is shown")
    echoes = pinger.stop()
    if echoes.sent == 0 or echoes.lost:
        raise LabError(f"background pings: {echoes}")
    _proof_fails(sites)
