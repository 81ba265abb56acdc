/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "watch.h"

#include "macro.h"

/* Traffic pauses. */
#define CALM_READINGS 3

/* From the WireGuard paper, section 5.4: a keepalive; an initiation, the answer and the first keepalive. */
#define KEEPALIVE_SIZE 32U
#define HANDSHAKE_SIZE (148U + 92U + KEEPALIVE_SIZE)
/* Section 6.1: Keepalive-Timeout is 10 s, Rekey-After-Time 120 s; each renewal takes up to a third of a
 * second of jitter more. An initiation that is not answered is repeated after Rekey-Timeout, 5 s. */
#define KEEPALIVE_TIMEOUT (10 * USEC_PER_SEC)
#define REKEY_AFTER (120 * USEC_PER_SEC)
#define REKEY_TIMEOUT_MAX (10 * USEC_PER_SEC)

bool traffic_is_loud(uint64_t bytes, usec_t interval, bool handshake)
{
        /* A persistent keepalive, and a passive one that may be due at once. */
        uint64_t quiet = 2 * KEEPALIVE_SIZE + KEEPALIVE_SIZE * (interval / KEEPALIVE_TIMEOUT);

        return bytes > quiet + (handshake ? HANDSHAKE_SIZE : 0);
}

void watch_take_reading(Watch *w, usec_t t, bool changed)
{
        w->read = t;
        w->calm = changed ? 0 : w->calm + 1;
        w->due = w->calm < CALM_READINGS ? usec_add(t, WATCH_INTERVAL) : 0;
}

void watch_ask(Watch *w, usec_t t)
{
        usec_t soon = w->read > 0 ? MAX(t, usec_add(w->read, WATCH_INTERVAL)) : t;

        w->calm = 0;
        w->due = w->due > 0 ? MIN(w->due, soon) : soon;
}

void watch_take_initiation(Watch *w, usec_t *last, usec_t t, usec_t age)
{
        bool again = *last > 0 && usec_sub(t, *last) < REKEY_TIMEOUT_MAX;

        *last = t;
        if (again || age < REKEY_AFTER)
                watch_ask(w, t);
}
