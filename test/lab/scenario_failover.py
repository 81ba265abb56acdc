# SPDX-License-Identifier: LGPL-2.1-or-later
"""a direct path is cut silently under traffic, while it is new and when it is old: the relay takes over, and it returns"""

from errors import LabError
from outage import DIRECT_AGAIN, NEGOTIATED, NOTICED, cut_and_mend
from patience import patient
from topology import connected_sites

# Generous, for machines that are busy with other things: the bench has the true figures.
PATIENCE = 12
# Of a host that has one address: what asks STUN servers, what probes paths, and the multicast rendezvous.
PORTS_AT_REST = 3


def run(lab):
    sites = connected_sites(lab)
    sites.wait_measured()
    _cut(lab, sites)
    # It is noticed at a reading of the link, as asking for the peers makes one.
    for host in (sites.a, sites.b):
        lab.wait_until(lambda host=host: host.peers() and len(host.ice_ports()) <= PORTS_AT_REST,
                       f"the direct path of {host.name} does without its negotiation", 120, 1)
    _cut(lab, sites, NOTICED, NEGOTIATED)


def _cut(lab, sites, *durations):
    outage = cut_and_mend(lab, sites, *durations)
    lab.say(str(outage))
    if outage.seconds > patient(PATIENCE) or outage.direct_again > patient(DIRECT_AGAIN) or outage.lost_on_return:
        raise LabError(f"the way by the relay and back was not good: {outage}")
