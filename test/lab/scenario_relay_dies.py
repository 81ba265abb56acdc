# SPDX-License-Identifier: LGPL-2.1-or-later
"""a TURN server that carries a path stops without a word, over UDP and over TCP: another one takes over"""

import signal
import time

from errors import LabError
from patience import patient
from probe import Pinger
from services import Coturn
from topology import SERVER4, TUNNEL4, Sites
from turn import expect_transport

SECOND4 = "192.0.2.11"
# Generous, for machines that are busy with other things. By TCP a silence has to be longer until it says anything.
PATIENCE = {"udp": 12, "tcp": 20}
# A path that is so old, in seconds, is the one that stays.
SETTLED = 6


def run(lab):
    sites = Sites(lab, kinds=("symmetric", "symmetric"))
    sites.server.address("eth0", SECOND4 + "/24")
    servers = {SERVER4: sites.coturn,
               SECOND4: Coturn(sites.server, [SECOND4], name="coturn-2", password=sites.coturn.password)}
    sites.add_links()
    for transport in PATIENCE:
        _check(lab, sites, servers, transport)


def _check(lab, sites, servers, transport):
    urls = " ".join(f"turn:{address}:3478?transport={transport}" for address in servers)
    sites.configure_host(sites.a, ICE={"TURNServers": urls})
    sites.configure_host(sites.b, ICE={"TURNServers": None})
    for host in (sites.a, sites.b):
        host.start_icewire()
    expect_transport(sites.a, sites.wait_connected(paths=("relayed",))[0], transport)
    sites.wait_measured()
    lab.wait_until(lambda: all(time.time() - peer["pathSinceUSec"] / 1e6 > SETTLED
                               for host in (sites.a, sites.b) for peer in host.peers()),
                   "no other path comes any more")
    _stop_the_one_in_use(lab, sites, servers, transport)
    for host in (sites.a, sites.b):
        host.stop_icewire()


def _relay(sites):
    """Where a's relay is, if it has one."""
    local = sites.a.peer(sites.keys["b"].public).get("local", {})
    return local["address"].rsplit(":", 1)[0] if local.get("type") == "relay" else None


def _stop_the_one_in_use(lab, sites, servers, transport):
    used = _relay(sites)
    process = servers[used].process
    pinger = Pinger(sites.a, TUNNEL4["b"], interval=0.01)
    lab.always(lambda: True, "", 3)
    stopped = time.monotonic()
    process.signal(signal.SIGSTOP)
    try:
        lab.wait_until(process.stopped, f"{process.name} stops")
        in_force = time.monotonic()
        lab.say(f"{transport}: the TURN server at {used} does nothing any more")
        lab.wait_until(lambda: _relay(sites) not in (None, used), "the other one carries the path", interval=1)
        sites.wait_connected(paths=("relayed",))
        lab.always(lambda: True, "", 2)
        echoes = pinger.stop()
        reply = echoes.first_reply_since(in_force)
        if reply is None or reply - stopped > patient(PATIENCE[transport]):
            raise LabError(f"after the TURN server had stopped, no ping was answered for too long: {echoes}, {reply}")
        lab.say(f"{transport}: traffic goes on after {reply - stopped:.1f} s")
    finally:
        process.signal(signal.SIGCONT)
