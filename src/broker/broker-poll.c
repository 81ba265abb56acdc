/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "broker-poll.h"

#include "macro.h"
#include "wireguard-device.h"

usec_t broker_poll_next(BrokerPoll *poll, int changes)
{
        if (poll->interval == 0 || (changes & (WIREGUARD_CHANGE_CONFIGURATION | WIREGUARD_CHANGE_ENDPOINT)))
                poll->interval = BROKER_POLL_MIN;
        else if (!(changes & WIREGUARD_CHANGE_HANDSHAKE))
                poll->interval = MIN(poll->interval * 2, BROKER_POLL_MAX);
        return poll->interval;
}

void broker_poll_restart(BrokerPoll *poll)
{
        poll->interval = 0;
}
