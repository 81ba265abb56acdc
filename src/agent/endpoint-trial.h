/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "socket-address.h"
#include "time-util.h"

/* Somebody else (networkd, wg-quick, kilo, a person) has set another endpoint than the one that works, or
 * has written the whole device anew with it. Theirs gets a trial: where WireGuard is heard while it uses it,
 * it is kept, and otherwise ours is set again. One that has failed once gets no further trial for a while,
 * as who writes it may do so again and again. Pure: clock (CLOCK_BOOTTIME) and events are arguments. */

/* After which an endpoint that was refused is tried again. */
#define ENDPOINT_TRIAL_MEMORY USEC_PER_HOUR
/* For so long the link is read once a second while there is a trial. */
#define ENDPOINT_TRIAL_WATCHED (30 * USEC_PER_SEC)

typedef enum EndpointTrialVerdict {
        ENDPOINT_TRIAL_NONE,
        ENDPOINT_TRIAL_PASSED, /* theirs works */
        ENDPOINT_TRIAL_FAILED, /* ours is to be set again */
} EndpointTrialVerdict;

/* All zero: nothing is on trial. */
typedef struct EndpointTrial {
        SocketAddress ours, theirs; /* unset: nothing is */
        usec_t since, patience;
        uint64_t tx_bytes, rx_bytes; /* at the last reading */
        SocketAddress refused;
        usec_t refused_at;
} EndpointTrial;

/* WireGuard is seen with `theirs` instead of `ours`. True: theirs is on trial now, or still; false: it was
 * refused before. ours: what worked until now. patience: for how long something may be sent by theirs and
 * nothing heard; USEC_INFINITY: somebody else judges. again: it was set again, and begins anew. */
bool endpoint_trial_admits(EndpointTrial *trial, usec_t t, const SocketAddress *ours,
                           const SocketAddress *theirs, usec_t patience, bool again, uint64_t tx_bytes,
                           uint64_t rx_bytes);

/* A reading, with the endpoint that WireGuard has by then. PASSED ends the trial; so does another
 * endpoint. FAILED is to be followed by endpoint_trial_fail(). */
EndpointTrialVerdict endpoint_trial_read(EndpointTrial *trial, usec_t t, const SocketAddress *endpoint,
                                         uint64_t tx_bytes, uint64_t rx_bytes);

/* Nothing comes through, though it should: theirs has failed, and the trial is over. False if nothing was on
 * trial. */
bool endpoint_trial_fail(EndpointTrial *trial, usec_t t, SocketAddress *ret_ours);

/* There is another path now: what was on trial is of no interest any more. */
void endpoint_trial_end(EndpointTrial *trial);

static inline bool endpoint_trial_is_on(const EndpointTrial *trial)
{
        return socket_address_is_set(&trial->theirs);
}
