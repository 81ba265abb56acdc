/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "event-util.h"
#include "sandbox.h"

static sd_event *event;

static void start(void)
{
        cr_assert_geq(sd_event_new(&event), 0);
}

static void stop(void)
{
        event = sd_event_unref(event);
}

TestSuite(event, .init = start, .fini = stop);

static int on_timer(sd_event_source *s, uint64_t t, void *userdata)
{
        ++*(unsigned *) userdata;
        return 0;
}

static int on_defer(sd_event_source *s, void *userdata)
{
        ++*(unsigned *) userdata;
        return 0;
}

static usec_t due(sd_event_source *s)
{
        uint64_t t;

        cr_assert_geq(sd_event_source_get_time(s, &t), 0);
        return t;
}

static bool is_armed(sd_event_source *s)
{
        int enabled;

        cr_assert_geq(sd_event_source_get_enabled(s, &enabled), 0);
        return enabled != SD_EVENT_OFF;
}

Test(event, a_timer_fires_once_and_can_be_armed_again)
{
        _cleanup_event_source_ sd_event_source *timer = NULL;
        const sd_event_source *same;
        unsigned n = 0;

        cr_assert_geq(event_arm_timer(event, &timer, 0, on_timer, &n, "test"), 0);
        same = timer;
        RUN_UNTIL(event, n == 1);
        cr_assert_not(is_armed(timer));
        run_pending(event);
        cr_assert_eq(n, 1);
        cr_assert_geq(event_arm_timer(event, &timer, 0, on_timer, &n, "test"), 0);
        cr_assert_eq(timer, same, "one source serves for all times");
        RUN_UNTIL(event, n == 2);
}

Test(event, an_armed_timer_moves_and_is_disarmed)
{
        _cleanup_event_source_ sd_event_source *timer = NULL;
        unsigned n = 0;
        usec_t first;

        event_disarm_timer(NULL);
        cr_assert_geq(event_arm_timer(event, &timer, USEC_PER_HOUR, on_timer, &n, "test"), 0);
        first = due(timer);
        cr_assert_geq(event_arm_timer(event, &timer, 2 * USEC_PER_HOUR, on_timer, &n, "test"), 0);
        cr_assert_geq(due(timer), first + USEC_PER_HOUR);
        cr_assert(is_armed(timer));
        event_disarm_timer(timer);
        cr_assert_not(is_armed(timer));
        cr_assert_geq(event_arm_timer(event, &timer, 0, on_timer, &n, "test"), 0);
        RUN_UNTIL(event, n == 1);
}

Test(event, jitter_adds_up_to_a_quarter)
{
        _cleanup_event_source_ sd_event_source *timer = NULL;
        usec_t least = USEC_INFINITY, most = 0;
        unsigned n = 0;

        for (unsigned i = 0; i < 200; i++) {
                usec_t before = now(CLOCK_BOOTTIME), delay;

                cr_assert_geq(
                        event_arm_timer_jittered(event, &timer, 1000 * USEC_PER_HOUR, on_timer, &n, "test"),
                        0);
                cr_assert_geq(due(timer), before + 1000 * USEC_PER_HOUR);
                cr_assert_leq(due(timer), now(CLOCK_BOOTTIME) + 1250 * USEC_PER_HOUR);
                delay = due(timer) - before;
                least = MIN(least, delay);
                most = MAX(most, delay);
        }
        cr_assert_lt(least, 1100 * USEC_PER_HOUR);
        cr_assert_gt(most, 1150 * USEC_PER_HOUR);
}

static sd_event_source *deferred;
static unsigned n_deferred;

static int on_defers_another(sd_event_source *s, void *userdata)
{
        for (unsigned i = 0; i < 5; i++)
                cr_assert_geq(event_defer_once(event, &deferred, on_defer, &n_deferred, "test"), 0);
        return 0;
}

Test(event, what_is_deferred_often_runs_once_behind_what_is_pending)
{
        _cleanup_event_source_ sd_event_source *pending = NULL;

        cr_assert_geq(sd_event_add_defer(event, &pending, on_defers_another, NULL), 0);
        cr_assert_geq(event_defer_once(event, &deferred, on_defer, &n_deferred, "test"), 0);
        cr_assert_gt(sd_event_run(event, 0), 0);
        cr_assert_eq(n_deferred, 0, "it is behind the others");
        run_pending(event);
        cr_assert_eq(n_deferred, 1);
        cr_assert_geq(event_defer_once(event, &deferred, on_defer, &n_deferred, "test"), 0);
        run_pending(event);
        cr_assert_eq(n_deferred, 2);
        sd_event_source_disable_unref(deferred);
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        ++*(unsigned *) userdata;
        return 0;
}

/* A socket that always has something, for somebody floods it or much goes through the proxy. */
Test(event, what_is_deferred_runs_under_any_load)
{
        _cleanup_event_source_ sd_event_source *io = NULL;
        unsigned n_readable = 0;
        int fds[2];

        cr_assert_eq(pipe(fds), 0);
        cr_assert_eq(write(fds[1], "x", 1), 1);
        cr_assert_geq(event_add_io(event, &io, fds[0], EPOLLIN, on_readable, &n_readable, "test"), 0);
        cr_assert_gt(sd_event_run(event, 0), 0);
        for (unsigned i = 1; i <= 10; i++) {
                cr_assert_geq(event_defer_once(event, &deferred, on_defer, &n_deferred, "test"), 0);
                for (unsigned k = 0; k < 3; k++)
                        cr_assert_gt(sd_event_run(event, 0), 0);
                cr_assert_eq(n_deferred, i);
        }
        cr_assert_gt(n_readable, 10);
        sd_event_source_disable_unref(deferred);
        close(fds[0]);
        close(fds[1]);
}
