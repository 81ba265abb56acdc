/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "health.h"

#define START (100 * USEC_PER_SEC)
#define DAY (24 * 60 * USEC_PER_MINUTE)

static bool is_good(const Health *h, usec_t t)
{
        const char *culprit = NULL;
        bool good = health_is_good(h, t, &culprit);

        cr_assert_eq(good, !culprit, "who has stopped is named, and nobody otherwise");
        return good;
}

/* Nobody is killed for what it waits for: whoever works may be silent for days, and whoever tries may fail
 * for days. */
Test(health, what_works_or_tries_is_good)
{
        Health h = { .broker = { "broker", .works = true, .active = START },
                     .rendezvous = { { "server", .works = true, .active = START } },
                     .n_rendezvous = 1 };

        cr_assert(is_good(&h, START + DAY));
        h.broker.works = h.rendezvous[0].works = false;
        for (usec_t t = START; t < START + DAY; t += 15 * USEC_PER_SEC) {
                cr_assert(is_good(&h, t));
                /* The pauses that the two make at most. */
                if (t - h.broker.active >= 5 * USEC_PER_SEC)
                        h.broker.active = t;
                if (t - h.rendezvous[0].active >= 60 * USEC_PER_SEC)
                        h.rendezvous[0].active = t;
        }
}

Test(health, a_broker_client_that_has_stopped)
{
        Health h = { .broker = { "broker", .active = START } };
        const char *culprit = NULL;

        cr_assert(is_good(&h, START + HEALTH_BROKER_PATIENCE));
        cr_assert_not(health_is_good(&h, START + HEALTH_BROKER_PATIENCE + 1, &culprit));
        cr_assert_str_eq(culprit, "broker");
        h.broker.works = true;
        cr_assert(is_good(&h, START + DAY));
}

/* One that is at work is enough. */
Test(health, rendezvous_that_have_stopped)
{
        Health h = { .broker = { "broker", .works = true },
                     .rendezvous = { { "first", .active = START }, { "second", .active = START + 1 } },
                     .n_rendezvous = 2 };
        const char *culprit = NULL;

        cr_assert(is_good(&h, START + HEALTH_RENDEZVOUS_PATIENCE + 1));
        cr_assert_not(health_is_good(&h, START + HEALTH_RENDEZVOUS_PATIENCE + 2, &culprit));
        cr_assert_str_eq(culprit, "first");
        h.rendezvous[1].works = true;
        cr_assert(is_good(&h, START + DAY));
}

Test(health, no_rendezvous_is_none_that_stops)
{
        Health h = { .broker = { "broker", .works = true } };

        cr_assert(is_good(&h, START + DAY));
}

/* The clock does not go back, but a sign of life may be newer than the time that was taken. */
Test(health, a_sign_from_the_future)
{
        Health h = { .broker = { "broker", .active = START + 1 } };

        cr_assert(is_good(&h, START));
}
