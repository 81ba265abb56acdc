/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "watch.h"

#define S(n) ((usec_t) (n) * USEC_PER_SEC)

/* Follows a watch for so long; returns how often it has read. `changes`: something does at each. */
static unsigned read_for(Watch *w, usec_t *t, usec_t duration, bool changes)
{
        usec_t end = *t + duration;
        unsigned n = 0;

        for (; *t < end; *t += USEC_PER_SEC / 10)
                if (*t >= watch_due(w)) {
                        watch_take_reading(w, *t, changes);
                        n++;
                }
        return n;
}

Test(watch, nothing_is_read_before_something_happens)
{
        Watch w = {};
        usec_t t = S(1000);

        cr_assert_eq(watch_due(&w), USEC_INFINITY);
        cr_assert_eq(read_for(&w, &t, S(24 * 3600), false), 0);
}

Test(watch, traffic_is_read_once_a_second_and_quiet_ends_it)
{
        Watch w = {};
        usec_t t = S(1000);
        unsigned n;

        watch_ask(&w, t);
        n = read_for(&w, &t, S(3600), true);
        cr_assert_geq(n, 3590);
        cr_assert_leq(n, 3600);
        cr_assert_leq(read_for(&w, &t, S(3600), false), 3);
        cr_assert_eq(watch_due(&w), USEC_INFINITY);
}

Test(watch, many_events_are_one_reading_each_second)
{
        Watch w = {};
        usec_t t = S(1000);

        watch_ask(&w, t);
        watch_take_reading(&w, t, false);
        for (unsigned i = 0; i < 9; i++) {
                t += USEC_PER_SEC / 10;
                watch_ask(&w, t);
                cr_assert_eq(watch_due(&w), S(1001));
        }
        watch_take_reading(&w, S(1001), false);
        watch_ask(&w, S(1010));
        cr_assert_eq(watch_due(&w), S(1002), "an earlier one stays");
}

Test(watch, renewed_handshakes_are_no_reason_to_look)
{
        Watch w = {};
        usec_t t = S(1000), last = 0;

        for (; t < S(24 * 3600); t += S(120))
                watch_take_initiation(&w, &last, t, S(120));
        cr_assert_eq(watch_due(&w), USEC_INFINITY);
        /* But one that is not answered. */
        watch_take_initiation(&w, &last, t, S(120));
        watch_take_initiation(&w, &last, t + S(5), S(125));
        cr_assert_eq(watch_due(&w), t + S(5));
}

Test(watch, an_early_handshake_is_a_reason_to_look)
{
        Watch w = {};
        usec_t last = 0;

        watch_take_initiation(&w, &last, S(1000), S(30));
        cr_assert_eq(watch_due(&w), S(1000));
}

Test(watch, what_wireguard_sends_by_itself_is_quiet)
{
        cr_assert(!traffic_is_loud(0, 0, false));
        cr_assert(!traffic_is_loud(32, S(1), false));
        cr_assert(!traffic_is_loud(64, S(1), false));
        cr_assert(!traffic_is_loud(3 * 32, S(30), false));
        cr_assert(!traffic_is_loud(148 + 92 + 32 + 32, S(1), true));
        cr_assert(traffic_is_loud(128, S(1), false), "an empty ping");
        cr_assert(traffic_is_loud(148, S(1), false), "an initiation that came to nothing");
        cr_assert(traffic_is_loud(5 * 128, S(30), false));
}
