/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "time-util.h"

/* A token bucket: `burst` events at once, then one per `interval` usec. Initialise these two, zero the rest.
 */
typedef struct RateLimit {
        usec_t interval;
        unsigned burst;
        unsigned tokens;
        usec_t refilled; /* when tokens was last brought up to date, in the caller's clock */
        bool started;
} RateLimit;

/* True if an event at time `t` (usec, any clock that does not step back) is within the limit; it is then
 * counted. */
bool ratelimit_ok(RateLimit *limit, usec_t t);
