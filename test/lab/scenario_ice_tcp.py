# SPDX-License-Identifier: LGPL-2.1-or-later
"""a host that gets no UDP out connects to one on the internet directly, over TCP, without any TURN server"""

from errors import LabError
from topology import NO_TURN, WIDE4, Sites
from turn import expect_transport


def run(lab):
    sites = Sites(lab, kinds=("udp-blocked", None))
    sites.add_links()
    sites.configure(ICE=NO_TURN)
    between = f"ip saddr {WIDE4['a']}.0/24 ip daddr {WIDE4['b']}.0/24"
    sites.internet.count("by_tcp", f"{between} meta l4proto tcp")
    sites.internet.count("by_udp", f"{between} meta l4proto udp")
    for host in (sites.a, sites.b):
        host.start_icewire()
    a, b = sites.wait_connected(paths=("proxied",))
    expect_transport(sites.a, a, "tcp")
    expect_transport(sites.b, b, "tcp")
    if a["local"]["transport"] != "tcp_active" or a["reason"] != "udp-blocked-here":
        raise LabError(f"the host behind the firewall should be the active side, and say why: {a}")
    lab.say(f"a: {a['reasonText']}")
    sites.ping(count=50)
    sites.wait_measured()
    passed = sites.internet.counted()
    if passed["by_tcp"] < 50 * 84 or passed["by_udp"]:
        raise LabError(f"bytes from a to b by TCP and UDP: {passed['by_tcp']}, {passed['by_udp']}")
    lab.say(f"{passed['by_tcp']} bytes passed from a to b by TCP, none by UDP")
