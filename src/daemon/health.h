/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "peer.h"
#include "time-util.h"

/* Is icewired fit for work, so that the service manager's watchdog is to be fed? Pure.
 *
 * Not: is all well? What others are to blame for (a broker that is being restarted, a server that is down, a
 * network that is away) is not mended by killing icewired, and its proxied paths would go with it. So
 * whoever has no connection is fit as long as it keeps trying: then something has happened within the
 * longest time that its own pauses and time-outs add up to, with a good margin. Who has stopped trying has
 * lost a timer or an answer, which only a new start mends. */

/* Pauses between attempts to reach icewire-broker grow up to 5 s. */
#define HEALTH_BROKER_PATIENCE (60 * USEC_PER_SEC)
/* Pauses between attempts of a rendezvous grow up to 60 s; its name may take RESOLVER_TIMEOUT, and each of
 * two addresses its time. */
#define HEALTH_RENDEZVOUS_PATIENCE (5 * USEC_PER_MINUTE)

typedef struct HealthPart {
        const char *name; /* for people */
        bool works;       /* it has what it needs */
        usec_t active;    /* CLOCK_MONOTONIC, which does not count sleep: when it last did anything */
} HealthPart;

typedef struct Health {
        HealthPart broker;
        HealthPart
                rendezvous[RENDEZVOUS_MAX]; /* those that connect to somebody: multicast waits for events */
        size_t n_rendezvous;
} Health;

/* The broker's client, and at least one rendezvous if there is any. t: CLOCK_MONOTONIC. If not,
 * *ret_culprit is the name of a part that has stopped. */
bool health_is_good(const Health *h, usec_t t, const char **ret_culprit);
