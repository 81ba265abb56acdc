/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "silence.h"

#define S(n) ((usec_t) (n) * USEC_PER_SEC)

Test(silence, bears_one_lost_keepalive)
{
        Silence s = {};

        silence_start(&s, S(1000));
        cr_assert(!silence_is_alarming(&s, S(1050)));
        silence_hear(&s, S(1050));
        cr_assert(!silence_is_alarming(&s, S(1100)));
        silence_hear(&s, S(1101));
        cr_assert(!silence_is_alarming(&s, S(1125)));
}

/* What a dead path looks like: our keepalives, and no others. */
Test(silence, notices_a_dead_path)
{
        Silence s = {};

        silence_start(&s, S(1000));
        for (unsigned t = 1025; t <= 1050; t += 25)
                cr_assert(!silence_is_alarming(&s, S(t)));
        cr_assert(silence_is_alarming(&s, S(1075)));
        cr_assert(!silence_is_alarming(&s, S(1076)), "told once");
        /* The new path is no better. */
        silence_start(&s, S(1076));
        cr_assert(!silence_is_alarming(&s, S(1076 + 110)));
        cr_assert(silence_is_alarming(&s, S(1076 + 111)));
}

Test(silence, gets_used_to_a_quiet_peer)
{
        Silence s = {};
        unsigned alarms = 0;

        silence_start(&s, S(1000));
        for (unsigned t = 1000; t < 1000 + 24 * 3600; t += 25) {
                alarms += silence_is_alarming(&s, S(t));
                if (t % 300 == 0)
                        silence_hear(&s, S(t));
        }
        cr_assert(alarms <= 4, "%u", alarms);
        /* One that is heard again and again has nothing of that. */
        silence_hear(&s, S(100000));
        silence_hear(&s, S(100025));
        cr_assert(silence_is_alarming(&s, S(100025 + 56)));
}

Test(silence, a_suspended_host_has_been_silent)
{
        Silence s = {};

        silence_start(&s, S(1000));
        silence_hear(&s, S(1020));
        cr_assert(silence_is_alarming(&s, S(20000)));
        /* A clock that went back is no reason. */
        silence_hear(&s, S(20001));
        cr_assert(!silence_is_alarming(&s, S(10)));
}
