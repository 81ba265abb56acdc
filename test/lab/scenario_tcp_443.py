# SPDX-License-Identifier: LGPL-2.1-or-later
"""two hosts that may only connect to port 443 by TCP meet: MQTT and TURN by TLS there, on two addresses of a server"""

from errors import LabError
from services import MQTT_NAME, Mosquitto
from topology import MQTT_PASSWORD_FILE, SERVER4, Sites
from turn import TlsServer, expect_relay_state, expect_transport


def run(lab):
    sites = Sites(lab, kinds=("tcp-443", "tcp-443"))
    server = TlsServer(sites, port=443)
    mosquitto = Mosquitto(sites.server, sites.authority, name="mosquitto-443", tls_port=443, plain_port=1884,
                          tls_addresses=(SERVER4,))
    sites.add_links()
    for name in "ab":
        sites.internet.count(f"other_{name}", f'iifname "to-nat-{name}" tcp dport != 443')
        sites.internet.count(f"udp_{name}", f'iifname "to-nat-{name}" meta l4proto udp')
    for host in (sites.a, sites.b):
        sites.configure_host(host, Rendezvous={"MQTT": f"mqtts://{MQTT_NAME}:443"}, ICE=server.settings(host))
        host.write_secret(MQTT_PASSWORD_FILE, mosquitto.password)
        host.start_icewire()
    for host, peer in zip((sites.a, sites.b), sites.wait_connected(paths=("relayed",))):
        expect_transport(host, peer, "tls")
        if peer["local"]["type"] != "relay" or peer["remote"]["type"] != "relay":
            raise LabError(f"{host.name}: both ends should be relays: {peer}")
        expect_relay_state(host, server.name, "ok")
    sites.ping(count=50)
    sites.wait_measured()
    others = {name: n for name, n in sites.internet.counted().items() if name.startswith(("other_", "udp_")) and n}
    if others:
        raise LabError(f"something else left the sites: {others}")
