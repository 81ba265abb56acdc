# SPDX-License-Identifier: LGPL-2.1-or-later
"""a path that icewired carries on both sides is cut silently under traffic: the relay takes over, and it returns"""

from errors import LabError
from outage import DIRECT_AGAIN, cut_and_mend
from patience import patient
from topology import connected_sites

# Generous, for machines that are busy with other things.
PATIENCE = 12


def run(lab):
    sites = connected_sites(lab, settings={"ICE": {"Redirect": "proxy"}}, paths=("proxied",))
    sites.wait_measured()
    outage = cut_and_mend(lab, sites)
    lab.say(str(outage))
    if outage.seconds > patient(PATIENCE) or outage.direct_again > patient(2 * DIRECT_AGAIN):
        raise LabError(f"the way by the relay and back was not good: {outage}")
