/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "attempts.h"

#define S(n) ((usec_t) (n) * USEC_PER_SEC)
#define MS(n) ((usec_t) (n) * USEC_PER_MSEC)
#define DAY (24 * USEC_PER_HOUR)

static Path path_of(PathKind kind, PathTransport transport, usec_t round_trip_time)
{
        return (Path) {
                .kind = kind,
                .transport = transport,
                .round_trip_time = round_trip_time,
        };
}

static const PathKind kinds[] = { PATH_DIRECT, PATH_PROXIED, PATH_RELAYED };

Test(attempts, direct_before_relayed_and_udp_before_tcp)
{
        const Path order[] = {
                path_of(PATH_DIRECT, PATH_TRANSPORT_UDP, USEC_INFINITY),
                path_of(PATH_PROXIED, PATH_TRANSPORT_UDP, USEC_INFINITY),
                path_of(PATH_PROXIED, PATH_TRANSPORT_TCP, MS(1)),
                path_of(PATH_RELAYED, PATH_TRANSPORT_UDP, MS(1)),
                path_of(PATH_RELAYED, PATH_TRANSPORT_TLS, USEC_INFINITY),
                path_of(PATH_NONE, PATH_TRANSPORT_UDP, USEC_INFINITY),
        };

        for (size_t i = 0; i < ELEMENTSOF(order); i++)
                for (size_t j = 0; j < ELEMENTSOF(order); j++) {
                        int r = path_compare(&order[i], &order[j]);

                        cr_assert_eq(r > 0, i < j);
                        cr_assert_eq(r<0, i> j);
                }
        for (size_t i = 0; i < ELEMENTSOF(order); i++) {
                cr_assert_eq(path_is_best(&order[i], /* shared= */ true), i == 0);
                cr_assert_eq(path_is_best(&order[i], /* shared= */ false), i <= 1);
        }
}

/* Nobody changes for a little, nor for what is not known. */
Test(attempts, round_trip_times_have_a_margin)
{
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                Path slow = path_of(kinds[i], PATH_TRANSPORT_UDP, MS(100));
                Path hardly = path_of(kinds[i], PATH_TRANSPORT_UDP, MS(80));
                Path quick = path_of(kinds[i], PATH_TRANSPORT_UDP, MS(70));
                Path unknown = path_of(kinds[i], PATH_TRANSPORT_UDP, USEC_INFINITY);

                cr_assert_gt(path_compare(&quick, &slow), 0);
                cr_assert_lt(path_compare(&slow, &quick), 0);
                cr_assert_eq(path_compare(&hardly, &slow), 0);
                cr_assert_eq(path_compare(&slow, &hardly), 0);
                cr_assert_eq(path_compare(&unknown, &slow), 0);
                cr_assert_eq(path_compare(&slow, &unknown), 0);
                cr_assert_eq(path_compare(&slow, &slow), 0);
        }
        cr_assert_eq(path_compare(&(Path) { .kind = PATH_DIRECT, .round_trip_time = 1 },
                                  &(Path) { .kind = PATH_DIRECT, .round_trip_time = MS(9) }),
                     0, "a few milliseconds are nothing");
}

/* However the times vary, there is no way around in a circle. */
Test(attempts, hysteresis_lets_nobody_go_round)
{
        usec_t in_use = MS(100);
        unsigned changes = 0;

        srandom(1);
        for (unsigned i = 0; i < 100000; i++) {
                Path now = path_of(PATH_DIRECT, PATH_TRANSPORT_UDP, in_use);
                Path other = path_of(PATH_DIRECT, PATH_TRANSPORT_UDP, MS(90) + (usec_t) random() % MS(20));

                if (path_compare(&other, &now) > 0) {
                        in_use = other.round_trip_time;
                        changes++;
                }
        }
        cr_assert_eq(changes, 0);
}

/* Attempts and when they are, for so long; an attempt takes no time. */
static unsigned count_attempts(Attempts *a, AttemptsAim aim, usec_t duration, usec_t *ret_longest)
{
        unsigned n = 0;
        usec_t longest = 0;

        for (usec_t t = 0; t < duration; n++) {
                usec_t pause = attempts_pause(a, aim);

                longest = MAX(longest, pause);
                t += pause;
                attempts_elapsed(a);
        }
        *ret_longest = longest;
        return n;
}

Test(attempts, pauses_grow_and_stay_bounded_for_days)
{
        for (AttemptsAim aim = 0; aim < _ATTEMPTS_AIM_MAX; aim++) {
                Attempts a = {};
                usec_t longest;
                unsigned n = count_attempts(&a, aim, 7 * DAY, &longest);

                cr_assert_eq(longest, S(300));
                cr_assert_geq(n, 7 * 24 * 12);
                cr_assert_leq(n, 7 * 24 * 12 + 6);
                cr_assert_eq(attempts_pause(&a, aim), S(300));
                attempts_restart(&a);
                cr_assert_eq(attempts_pause(&a, aim), aim == ATTEMPTS_PATH ? S(1) : S(10));
        }
}

Test(attempts, upgrade_has_the_pauses_of_the_design)
{
        static const unsigned expected[] = { 10, 30, 60, 300, 300, 300, 300, 300 };
        Attempts a = {};

        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                cr_assert_eq(attempts_pause(&a, ATTEMPTS_BETTER_PATH), S(expected[i]));
                attempts_elapsed(&a);
        }
}

/* A router that starts anew takes a minute or two. */
Test(attempts, what_was_lost_is_soon_looked_for_again_but_not_for_ever)
{
        Attempts a = {};
        usec_t t = 0, longest;

        attempts_after_loss(&a);
        while (t < S(120)) {
                cr_assert_eq(attempts_pause(&a, ATTEMPTS_BETTER_PATH), S(10));
                t += attempts_pause(&a, ATTEMPTS_BETTER_PATH);
                attempts_elapsed(&a);
        }
        cr_assert_leq(count_attempts(&a, ATTEMPTS_BETTER_PATH, DAY, &longest), 24 * 12 + 6);
        cr_assert_eq(longest, S(300));
}

Test(attempts, a_path_that_works_is_left_for_a_better_one_alone)
{
        Attempts a = {};
        Path direct = path_of(PATH_DIRECT, PATH_TRANSPORT_UDP, USEC_INFINITY);
        Path relayed = path_of(PATH_RELAYED, PATH_TRANSPORT_UDP, USEC_INFINITY);

        cr_assert(attempts_prefer(&a, &direct, &relayed, ATTEMPTS_WISH_BETTER, S(1)));
        cr_assert(!attempts_prefer(&a, &relayed, &relayed, ATTEMPTS_WISH_BETTER, S(1)));
        cr_assert(!attempts_prefer(&a, &relayed, &direct, ATTEMPTS_WISH_BETTER, S(1)));
        cr_assert(attempts_prefer(&a, &relayed, &relayed, ATTEMPTS_WISH_EQUAL, S(1)));
        cr_assert(!attempts_prefer(&a, &relayed, &direct, ATTEMPTS_WISH_EQUAL, S(1)));
        cr_assert(attempts_prefer(&a, &relayed, &direct, ATTEMPTS_WISH_ANY, S(1)));
}

/* STUN gets through and WireGuard does not: with every new try some seconds of traffic are lost. */
Test(attempts, a_kind_that_is_refused_is_left_alone_ever_longer)
{
        Attempts a = {};
        Path direct = path_of(PATH_DIRECT, PATH_TRANSPORT_UDP, USEC_INFINITY);
        Path relayed = path_of(PATH_RELAYED, PATH_TRANSPORT_UDP, USEC_INFINITY);
        unsigned n = 0;

        for (usec_t t = S(1); t < 7 * DAY; t += S(10))
                if (attempts_prefer(&a, &direct, &relayed, ATTEMPTS_WISH_BETTER, t)) {
                        attempts_refused(&a, &direct, t);
                        cr_assert(attempts_shun(&a, &direct, t + S(299)));
                        cr_assert(!attempts_shun(&a, &relayed, t));
                        cr_assert(attempts_prefer(&a, &direct, &relayed, ATTEMPTS_WISH_ANY, t));
                        n++;
                }
        cr_assert_geq(n, 7 * 24);
        cr_assert_leq(n, 7 * 24 + 4);
        attempts_forgive(&a);
        cr_assert(!attempts_shun(&a, &direct, 7 * DAY));
        attempts_refused(&a, &direct, 7 * DAY);
        cr_assert(!attempts_shun(&a, &direct, 7 * DAY + S(301)));
        attempts_refused(&a, &direct, 7 * DAY);
        attempts_proved(&a, &direct);
        cr_assert(!attempts_shun(&a, &direct, 7 * DAY));
}
