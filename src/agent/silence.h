/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "time-util.h"

/* Has a path died? WireGuard with a persistent keepalive sends at least each 25 s, and icewire sets one on
 * both sides where the user has set none: so when we send, and nothing comes back for longer than one lost
 * keepalive explains, something is wrong. No timer is needed: our own WireGuard sends as often. Pure: the
 * caller has the clock, CLOCK_BOOTTIME, so that a suspended host has been silent. */

/* Two keepalives, and some more. */
#define SILENCE_MIN (55 * USEC_PER_SEC)
/* One keepalive: a peer that sends so often has nothing else set. */
#define SILENCE_REGULAR (30 * USEC_PER_SEC)

typedef struct Silence {
        usec_t heard;     /* the last sign of life, or when we began to wait for one */
        usec_t tolerated; /* 0 at first */
} Silence;

/* The wait begins anew: there is a new path. */
void silence_start(Silence *silence, usec_t t);

/* Something came. */
void silence_hear(Silence *silence, usec_t t);

/* Something was sent: is it time to look for another path? Each time that it is, the next comes only after
 * twice as long a silence, until the peer is heard regularly: the user may have set it a longer keepalive,
 * and then there was nothing wrong. */
bool silence_is_alarming(Silence *silence, usec_t t);
