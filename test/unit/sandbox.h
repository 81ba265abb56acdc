/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What tests that need the network have in common: each runs alone in network and mount namespaces of its
 * own, so that its ports, names and files are nobody else's and are gone with it, however it ends. */

#include <criterion/criterion.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <unistd.h>

/* Criterion's assertions declare in the middle of a block. */
#pragma GCC diagnostic ignored "-Wdeclaration-after-statement"

#include "macro.h"
#include "time-util.h"

/* An empty, private directory. */
#define SANDBOX_DIR "/mnt"

/* Only to end a test that would hang; nothing is measured with it. */
#define SANDBOX_PATIENCE (30 * USEC_PER_SEC)

static inline void sandbox_write(const char *path, const char *text)
{
        FILE *f = fopen(path, "we");

        cr_assert_not_null(f, "%s: %m", path);
        cr_assert_geq(fputs(text, f), 0);
        cr_assert_eq(fclose(f), 0);
}

/* Makes /etc/hosts, /etc/resolv.conf… say `text`, for this test. */
static inline void sandbox_replace(const char *path, const char *text)
{
        char copy[256];

        (void) snprintf(copy, sizeof(copy), SANDBOX_DIR "/%s", strrchr(path, '/') + 1);
        sandbox_write(copy, text);
        cr_assert_eq(mount(copy, path, NULL, MS_BIND, NULL), 0, "%s: %m", path);
}

static inline void sandbox_shell(const char *command)
{
        cr_assert_eq(system(command), 0, "%s (its output: " SANDBOX_DIR "/*.log)", command);
}

static inline void sandbox_loopback_up(void)
{
        struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        cr_assert_geq(fd, 0);
        cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
        close(fd);
}

static inline void sandbox_enter(void)
{
        if (geteuid() != 0)
                cr_skip_test("needs to be root");
        cr_assert_eq(unshare(CLONE_NEWNET | CLONE_NEWNS), 0, "%m");
        cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0, "%m");
        cr_assert_eq(mount("tmpfs", SANDBOX_DIR, "tmpfs", 0, "mode=0755"), 0, "%m");
        cr_assert_eq(chdir(SANDBOX_DIR), 0);
        sandbox_loopback_up();
}

/* Runs the loop while *value is below `least`; false if nothing happens for too long. */
static inline bool sandbox_run_until(sd_event *event, const unsigned *value, unsigned least)
{
        usec_t end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;

        while (*value < least && now(CLOCK_MONOTONIC) < end)
                cr_assert_geq(sd_event_run(event, USEC_PER_SEC), 0);
        return *value >= least;
}
