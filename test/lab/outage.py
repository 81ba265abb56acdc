# SPDX-License-Identifier: LGPL-2.1-or-later
"""A direct path is cut silently while there is traffic, and mended again: how long nothing came, and what it cost to come
back."""

import dataclasses
import time

from probe import Pinger
from topology import LARGE, TUNNEL4

INTERVAL = 0.005
# Traffic before the cut, and by the relay: seconds.
BEFORE, RELAYED = 6, 5
# Traffic that begins after a pause is noticed by then: the broker reads a quiet link each 30 s.
NOTICED = 33
# The negotiation that found the relay is over by then, and looks for nothing better any more.
NEGOTIATED = 60
DIRECT_AGAIN = 15  # at most, after the end of the cut
AFTER = 4
# Packets by one way alone, in so long a time, which prove that it is in use.
PACKETS, WINDOW = 20, 0.25


@dataclasses.dataclass
class Outage:
    seconds: float  # from the cut to the first reply by the relay
    direct_again: float  # from the end of the cut until all goes directly
    lost_on_return: int  # of the pings since the end of the cut


def cut_and_mend(lab, sites, before=BEFORE, relayed=RELAYED):
    """Of two sites that are connected directly. before, relayed: for how many seconds there is traffic before the cut, and
    by the relay. Nobody asks the daemons meanwhile, as each question has them read their links."""
    pinger = Pinger(sites.a, TUNNEL4["b"], interval=INTERVAL, size=LARGE)
    lab.always(lambda: True, "", before)
    cut = time.monotonic()
    sites.cut()
    in_force = time.monotonic()
    lab.say("cut")
    _wait_for(lab, sites, "relay")
    lab.always(lambda: True, "", relayed)
    sites.mend()
    mended = time.monotonic()
    lab.say("mended")
    _wait_for(lab, sites, "direct")
    direct_again = time.monotonic() - mended
    lab.always(lambda: True, "", AFTER)
    echoes = pinger.stop()
    return Outage(echoes.first_reply_since(in_force) - cut, direct_again, echoes.lost_since(mended))


def _wait_for(lab, sites, way):
    """Until the pings and their answers go this way and no other."""
    def goes():
        before = sites.internet.counted()
        time.sleep(WINDOW)
        after = sites.internet.counted()
        passed = {w: [after[name] - before[name] for name in after if name.startswith(w)] for w in ("relay", "direct")}
        other = "direct" if way == "relay" else "relay"
        return min(passed[way]) > PACKETS * LARGE and not any(passed[other])

    lab.wait_until(goes, f"everything goes by the {way} way")
