/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A real dbus-daemon, and somebody on it who has logind's name. */

#include "bus.h"
#include "logind.h"

static sd_event *event;
static unsigned n_resumed;
static bool free_in_callback;
static SystemBus *system_bus;
static Logind *logind;

static void start(void)
{
        bus_set_up();
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_geq(system_bus_new(event, "test", &system_bus), 0);
}

static void stop(void)
{
        logind = logind_free(logind);
        system_bus = system_bus_free(system_bus);
        bus_stop();
        event = sd_event_unref(event);
}

TestSuite(logind, .init = start, .fini = stop, .timeout = 60);

static void on_resumed(Logind *l, void *userdata)
{
        cr_assert_eq(l, logind);
        n_resumed++;
        if (free_in_callback)
                logind = logind_free(logind);
}

static void say(sd_bus *bus, bool begins)
{
        cr_assert_geq(sd_bus_emit_signal(bus, "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
                                         "PrepareForSleep", "b", begins),
                      0);
        cr_assert_geq(sd_bus_flush(bus), 0);
}

/* Until the one who listens has heard it: nobody tells when its subscription is in force. */
static void expect_resumed(sd_bus *bus)
{
        unsigned before = n_resumed;
        usec_t end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;

        while (n_resumed == before) {
                cr_assert_lt(now(CLOCK_MONOTONIC), end, "a resume is not told");
                say(bus, false);
                cr_assert_geq(sd_event_run(event, 20 * USEC_PER_MSEC), 0);
        }
        while (sd_event_run(event, 100 * USEC_PER_MSEC) > 0)
                ;
}

static void listen_for_it(void)
{
        cr_assert_geq(logind_new(system_bus, on_resumed, NULL, &logind), 0);
}

Test(logind, tells_of_a_resume)
{
        sd_bus *bus, *impostor;
        unsigned n;

        bus_start();
        bus = bus_owner_of("org.freedesktop.login1");
        listen_for_it();
        expect_resumed(bus);

        /* Not when it begins, nor what others say. */
        n = n_resumed;
        impostor = bus_owner_of("org.example.Other");
        say(bus, true);
        say(impostor, false);
        say(bus, false);
        RUN_UNTIL(event, n_resumed == n + 1);
        while (sd_event_run(event, 100 * USEC_PER_MSEC) > 0)
                ;
        cr_assert_eq(n_resumed, n + 1);
        sd_bus_close_unref(impostor);
        sd_bus_close_unref(bus);
}

Test(logind, needs_no_bus_and_takes_one_that_comes)
{
        sd_bus *bus;

        listen_for_it();
        while (sd_event_run(event, 50 * USEC_PER_MSEC) > 0)
                ;
        cr_assert_eq(n_resumed, 0);
        bus_start();
        bus = bus_owner_of("org.freedesktop.login1");
        expect_resumed(bus);
        sd_bus_close_unref(bus);
}

Test(logind, is_there_again_after_logind_and_the_bus)
{
        sd_bus *bus;

        bus_start();
        listen_for_it();
        bus = bus_owner_of("org.freedesktop.login1");
        expect_resumed(bus);
        sd_bus_close_unref(bus);
        bus = bus_owner_of("org.freedesktop.login1"); /* it has started anew */
        expect_resumed(bus);
        sd_bus_close_unref(bus);

        bus_stop();
        while (sd_event_run(event, 50 * USEC_PER_MSEC) > 0)
                ;
        bus_start();
        bus = bus_owner_of("org.freedesktop.login1");
        expect_resumed(bus);
        sd_bus_close_unref(bus);
}

Test(logind, may_be_freed_when_it_tells)
{
        sd_bus *bus;

        bus_start();
        bus = bus_owner_of("org.freedesktop.login1");
        listen_for_it();
        free_in_callback = true;
        expect_resumed(bus);
        cr_assert_null(logind);
        sd_bus_close_unref(bus);
}
