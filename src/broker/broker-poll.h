/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "time-util.h"

/* When to read a link again. WireGuard tells nobody of changed peers, endpoints and handshakes (Linux 6.12),
 * so it must be asked: soon after something changed, since changes come in groups; seldom when nothing does.
 * Pure: the caller has the clock and the timer. */

#define BROKER_POLL_MIN (1 * USEC_PER_SEC)
#define BROKER_POLL_MAX (30 * USEC_PER_SEC)

typedef struct BrokerPoll {
        usec_t interval; /* 0 at first */
} BrokerPoll;

/* After a reading that differed by `changes` (a set of WireguardChange) from the one before: how long to
 * wait, in usec. A new configuration or endpoint starts over at BROKER_POLL_MIN; a handshake alone, which
 * every active peer repeats each two minutes, leaves the pace as it is; otherwise it doubles up to
 * BROKER_POLL_MAX. */
usec_t broker_poll_next(BrokerPoll *poll, int changes);

/* Something happened that usually brings changes: starts over. */
void broker_poll_restart(BrokerPoll *poll);
