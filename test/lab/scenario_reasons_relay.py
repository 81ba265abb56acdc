# SPDX-License-Identifier: LGPL-2.1-or-later
"""hosts that only a relay could connect say that theirs refuses them or does not answer, and use one that works"""

from errors import LabError
from host import start_together
from topology import NO_TURN, SERVER4, Sites

# Nobody has the address.
DEAD4 = "192.0.2.99"


def run(lab):
    sites = Sites(lab, kinds=("symmetric", "symmetric"))
    sites.add_links()
    lab.say("the password for the TURN server is wrong")
    for host in (sites.a, sites.b):
        host.write_secret("/etc/icewire/wrong.password", "wrong")
    wrong = {"ICE": {"TURNPasswordFile": "/etc/icewire/wrong.password"}}
    sites.configure(**wrong)
    start_together(sites.a, sites.b)
    _expect(sites, "relay-refused", SERVER4)
    lab.say("the TURN server does not exist")
    sites.configure(ICE={"TURNServers": f"turn:{DEAD4}:3478?transport=udp"})
    _restart(sites)
    _expect(sites, "relay-unreachable", DEAD4)
    lab.say("there is no TURN server at all")
    sites.configure(ICE=NO_TURN)
    _restart(sites)
    _expect(sites, "no-path", "unknown")
    lab.say("and then the right one")
    sites.configure()
    _restart(sites)
    for host, other in ((sites.a, "b"), (sites.b, "a")):
        # One STUN server cannot tell that the NATs are to blame.
        host.wait_peer(sites.keys[other].public, "relayed, no-direct-pair",
                       lambda p: p["path"] == "relayed" and p["reason"] == "no-direct-pair")
    sites.ping()


def _restart(sites):
    for host in (sites.a, sites.b):
        host.stop_icewire()
    start_together(sites.a, sites.b)


def _expect(sites, reason, evidence):
    for host, other in ((sites.a, "b"), (sites.b, "a")):
        peer = host.wait_peer(sites.keys[other].public, f"failed, {reason}",
                              lambda p: p["state"] == "failed" and p["reason"] == reason, timeout=120)
        host.lab.say(f"{host.name}: {peer['reasonText']} ({peer['reasonDetail']})")
        if evidence not in peer["reasonDetail"] or peer["reasonText"] not in host.ctl("status"):
            raise LabError(f"{host.name} does not say what it knows, and what to do: {host.ctl('status')}")
