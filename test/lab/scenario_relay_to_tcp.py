# SPDX-License-Identifier: LGPL-2.1-or-later
"""a host without UDP has a relay over TCP, and leaves it for a direct path over TCP on the next look for a better one"""

from errors import LabError
from topology import SERVER4, connected_sites


def run(lab):
    turn = {"TURNServers": f"turn:{SERVER4}:3478?transport=tcp"}
    sites = connected_sites(lab, kinds=(None, "udp-blocked"), paths=("relayed",), settings={"ICE": turn})
    for peer in sites.wait_connected(("proxied",)):
        lab.say(f"{peer['path']} by {peer['transport']}: {peer['local']['address']} to {peer['remote']['address']}")
        if peer["transport"] != "tcp":
            raise LabError(f"that is no path over TCP: {peer}")
    sites.ping(20)
