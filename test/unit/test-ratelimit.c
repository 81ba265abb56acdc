/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "ratelimit.h"

static unsigned count(RateLimit *limit, usec_t t, unsigned tries)
{
        unsigned n = 0;

        for (unsigned i = 0; i < tries; i++)
                n += ratelimit_ok(limit, t);
        return n;
}

Test(ratelimit, burst_then_interval)
{
        RateLimit limit = { .interval = 10, .burst = 3 };

        cr_expect_eq(count(&limit, 1000, 10), 3);
        cr_expect_eq(count(&limit, 1009, 10), 0);
        cr_expect_eq(count(&limit, 1010, 10), 1);
        cr_expect_eq(count(&limit, 1019, 10), 0);
        cr_expect_eq(count(&limit, 1040, 10), 3);
        cr_expect_eq(count(&limit, 1000000, 10), 3, "no more than the burst, however long it was quiet");
}

/* A part of an interval is not lost when a token is earned. */
Test(ratelimit, fractions)
{
        RateLimit limit = { .interval = 10, .burst = 3 };

        cr_expect_eq(count(&limit, 0, 10), 3);
        cr_expect_eq(count(&limit, 15, 10), 1);
        cr_expect_eq(count(&limit, 20, 10), 1);
        cr_expect_eq(count(&limit, 29, 10), 0);
        cr_expect_eq(count(&limit, 30, 10), 1);
}

/* Over a day in steps of any size exactly the allowed number passes. */
Test(ratelimit, long_run)
{
        for (usec_t step = 1; step <= 13; step++) {
                RateLimit limit = { .interval = 7, .burst = 2 };
                unsigned n = 0;

                for (usec_t t = 0; t <= 70000; t += step)
                        n += ratelimit_ok(&limit, t);
                if (step <= 7)
                        cr_expect(n >= 10001 && n <= 10002, "step %ju: %u", (uintmax_t) step, n);
                else
                        cr_expect_eq(n, 70000 / step + 1, "all, as they are rarer than the limit");
        }
}

Test(ratelimit, clock_steps_back)
{
        RateLimit limit = { .interval = 10, .burst = 2 };

        cr_expect_eq(count(&limit, 1000, 10), 2);
        cr_expect_eq(count(&limit, 0, 10), 0);
        cr_expect_eq(count(&limit, 1010, 10), 1);
}

Test(ratelimit, edges)
{
        RateLimit never = { .interval = 10 }, once = { .burst = 1 }, late = { .interval = 1, .burst = 1 };

        cr_expect_eq(count(&never, 0, 10), 0);
        cr_expect_eq(count(&never, 1000, 10), 0);
        cr_expect_eq(count(&once, 0, 10), 1);
        cr_expect_eq(count(&once, 1000, 10), 0, "an interval of 0 never refills");
        cr_expect_eq(count(&late, 0, 10), 1);
        cr_expect_eq(count(&late, USEC_INFINITY, 10), 1);
}

/* More tokens earned than fit an unsigned. */
Test(ratelimit, wide)
{
        RateLimit limit = { .interval = 1, .burst = UINT32_MAX };

        cr_expect_eq(count(&limit, 0, 5), 5);
        cr_expect_eq(count(&limit, (usec_t) 1 << 40, 5), 5);
        cr_expect_eq(limit.tokens, UINT32_MAX - 5);
}
