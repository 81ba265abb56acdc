/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A real dbus-daemon in the test's sandbox, that serves as the system bus: it begins, ends and begins anew
 * when the test says so. Anybody may have any name there. */

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>

#include "sandbox.h"

#define BUS_FOLDER SANDBOX_DIR "/bus"
#define BUS_PATH BUS_FOLDER "/socket"
#define BUS_ADDRESS "unix:path=" BUS_PATH

/* With rules that come after those for all. */
#define BUS_CONFIGURATION_WITH(rules)                                                                       \
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"              \
        " \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"                               \
        "<busconfig><type>system</type><listen>" BUS_ADDRESS "</listen><auth>EXTERNAL</auth>\n"             \
        "<policy context=\"default\"><allow user=\"*\"/><allow send_destination=\"*\" eavesdrop=\"true\"/>" \
        "<allow eavesdrop=\"true\"/><allow own=\"*\"/>" rules "</policy></busconfig>\n"

/* Somebody who has no rights. */
#define BUS_NOBODY 65534

static pid_t bus_pid;

/* Enters the sandbox; there is no bus yet. */
static inline void bus_set_up(void)
{
        sandbox_enter();
        sandbox_write(SANDBOX_DIR "/bus.conf", BUS_CONFIGURATION_WITH(""));
        cr_assert_eq(setenv("DBUS_SYSTEM_BUS_ADDRESS", BUS_ADDRESS, true), 0);
}

/* A program that ends with the test at the latest. */
static inline pid_t bus_spawn(const char *const *argv)
{
        pid_t pid = fork();

        cr_assert_geq(pid, 0);
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                execvp(argv[0], (char *const *) argv);
                _exit(127);
        }
        return pid;
}

static inline void bus_start(void)
{
        static const char *const argv[] = { "dbus-daemon", "--config-file=" SANDBOX_DIR "/bus.conf",
                                            "--nofork", "--nopidfile", NULL };

        sandbox_shell("mkdir -p " BUS_FOLDER);
        bus_pid = bus_spawn(argv);
}

static inline void bus_end(pid_t *pid)
{
        if (*pid <= 0)
                return;
        cr_assert_eq(kill(*pid, SIGTERM), 0);
        cr_assert_eq(waitpid(*pid, NULL, 0), *pid);
        *pid = 0;
}

static inline void bus_stop(void)
{
        bus_end(&bus_pid);
        (void) unlink(BUS_PATH);
}

/* Has it read its configuration anew, with these rules. */
static inline void bus_reload(const char *configuration)
{
        sandbox_write(SANDBOX_DIR "/bus.conf", configuration);
        cr_assert_eq(kill(bus_pid, SIGHUP), 0);
}

/* Another client, as this user; the bus is there, or is about to be. Waits, which only a test may. The bus
 * takes whoever connects for who it is then. */
static inline sd_bus *bus_client_as(uid_t uid)
{
        usec_t end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;
        const char *name;
        sd_bus *bus = NULL;

        cr_assert_eq(seteuid(uid), 0, "%m");
        while (sd_bus_open_system(&bus) < 0 || sd_bus_get_unique_name(bus, &name) < 0) {
                bus = sd_bus_close_unref(bus);
                cr_assert_lt(now(CLOCK_MONOTONIC), end, "dbus-daemon does not start");
                usleep(10 * USEC_PER_MSEC);
        }
        cr_assert_eq(seteuid(0), 0);
        return bus;
}

static inline sd_bus *bus_client(void)
{
        return bus_client_as(geteuid());
}

static inline sd_bus *bus_owner_of(const char *name)
{
        sd_bus *bus = bus_client();

        cr_assert_geq(sd_bus_request_name(bus, name, 0), 0);
        return bus;
}
