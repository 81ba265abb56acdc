/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A real dbus-daemon, and somebody on it who has logind's name. */

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>

#include "logind.h"
#include "sandbox.h"

#define BUS_PATH "/tmp/bus/socket"
#define BUS_ADDRESS "unix:path=" BUS_PATH

#define CONFIGURATION                                                                                       \
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"              \
        " \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"                               \
        "<busconfig><type>system</type><listen>" BUS_ADDRESS "</listen><auth>EXTERNAL</auth>\n"             \
        "<policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\n"                  \
        "<allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n"

static sd_event *event;
static pid_t daemon_pid;
static unsigned n_resumed;
static bool free_in_callback;
static Logind *logind;

static void start(void)
{
        sandbox_enter();
        sandbox_write("/tmp/bus.conf", CONFIGURATION);
        cr_assert_eq(setenv("DBUS_SYSTEM_BUS_ADDRESS", BUS_ADDRESS, true), 0);
        cr_assert_geq(sd_event_new(&event), 0);
}

static void bus_start(void)
{
        sandbox_shell("mkdir -p /tmp/bus");
        daemon_pid = fork();
        cr_assert_geq(daemon_pid, 0);
        if (daemon_pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                execlp("dbus-daemon", "dbus-daemon", "--config-file=/tmp/bus.conf", "--nofork",
                       "--nopidfile", NULL);
                _exit(127);
        }
}

static void bus_stop(void)
{
        cr_assert_eq(kill(daemon_pid, SIGTERM), 0);
        cr_assert_eq(waitpid(daemon_pid, NULL, 0), daemon_pid);
        daemon_pid = 0;
        (void) unlink(BUS_PATH);
}

static void stop(void)
{
        logind = logind_free(logind);
        if (daemon_pid > 0)
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

/* Somebody with this name; the bus is there. Waits, which only a test may. */
static sd_bus *owner_of(const char *name)
{
        usec_t end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;
        sd_bus *bus = NULL;

        while (sd_bus_open_system(&bus) < 0) {
                cr_assert_lt(now(CLOCK_MONOTONIC), end, "dbus-daemon does not start");
                usleep(10 * USEC_PER_MSEC);
        }
        cr_assert_geq(sd_bus_request_name(bus, name, 0), 0);
        return bus;
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
        cr_assert_geq(logind_new(event, on_resumed, NULL, &logind), 0);
}

Test(logind, tells_of_a_resume)
{
        sd_bus *bus, *impostor;
        unsigned n;

        bus_start();
        bus = owner_of("org.freedesktop.login1");
        listen_for_it();
        expect_resumed(bus);

        /* Not when it begins, nor what others say. */
        n = n_resumed;
        impostor = owner_of("org.example.Other");
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
        bus = owner_of("org.freedesktop.login1");
        expect_resumed(bus);
        sd_bus_close_unref(bus);
}

Test(logind, is_there_again_after_logind_and_the_bus)
{
        sd_bus *bus;

        bus_start();
        listen_for_it();
        bus = owner_of("org.freedesktop.login1");
        expect_resumed(bus);
        sd_bus_close_unref(bus);
        bus = owner_of("org.freedesktop.login1"); /* it has started anew */
        expect_resumed(bus);
        sd_bus_close_unref(bus);

        bus_stop();
        while (sd_event_run(event, 50 * USEC_PER_MSEC) > 0)
                ;
        bus_start();
        bus = owner_of("org.freedesktop.login1");
        expect_resumed(bus);
        sd_bus_close_unref(bus);
}

Test(logind, may_be_freed_when_it_tells)
{
        sd_bus *bus;

        bus_start();
        bus = owner_of("org.freedesktop.login1");
        listen_for_it();
        free_in_callback = true;
        expect_resumed(bus);
        cr_assert_null(logind);
        sd_bus_close_unref(bus);
}

Test(logind, refuses_an_address_that_makes_no_sense)
{
        cr_assert_eq(setenv("DBUS_SYSTEM_BUS_ADDRESS", "nonsense", true), 0);
        cr_assert_lt(logind_new(event, on_resumed, NULL, &logind), 0);
        cr_assert_null(logind);
}
