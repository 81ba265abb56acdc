/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For tests that need the kernel's network, servers or files at fixed places: each runs alone, in network
 * and mount namespaces of its own with an empty /tmp. So its ports, names and files are nobody else's and
 * are gone with it, however it ends: Criterion runs each test in its own process. */

#include <criterion/criterion.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "macro.h"
#include "time-util.h"

/* An empty, private directory. */
#define SANDBOX_DIR "/tmp"

/* Only to end a test that would hang; nothing is measured with it. */
#ifndef SANDBOX_PATIENCE
#define SANDBOX_PATIENCE (60 * USEC_PER_SEC)
#endif

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

/* Runs a shell command and expects success. */
static inline void _printf_(1, 2) sandbox_shell(const char *format, ...)
{
        char command[4096];
        va_list ap;

        va_start(ap, format);
        cr_assert_lt(vsnprintf(command, sizeof(command), format, ap), sizeof(command));
        va_end(ap);
        cr_assert_eq(system(command), 0, "failed (its output may be in " SANDBOX_DIR "/*.log): %s", command);
}

static inline void sandbox_loopback_up(void)
{
        struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        cr_assert_geq(fd, 0);
        cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
        close(fd);
}

static inline void sandbox_need_root(void)
{
        if (geteuid() != 0)
                cr_skip_test("needs to be root");
}

/* With the network as the kernel makes it: loopback is down. Without root, root of a user namespace. */
static inline void sandbox_enter_bare(void)
{
        bool root = geteuid() == 0;
        char map[64];

        (void) snprintf(map, sizeof(map), "0 %u 1", (unsigned) geteuid());
        if (unshare(CLONE_NEWNET | CLONE_NEWNS | (root ? 0 : CLONE_NEWUSER)) < 0)
                cr_skip_test("no namespaces here");
        if (!root)
                sandbox_write("/proc/self/uid_map", map);
        cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0, "%m");
        cr_assert_eq(mount("tmpfs", SANDBOX_DIR, "tmpfs", 0, "mode=1777"), 0, "%m");
        cr_assert_eq(chdir(SANDBOX_DIR), 0);
}

static inline void sandbox_enter(void)
{
        sandbox_enter_bare();
        sandbox_loopback_up();
}

/* Runs the loop until the condition holds. */
#define RUN_UNTIL(event, condition)                                                                         \
        do {                                                                                                \
                usec_t _end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;                                      \
                while (!(condition)) {                                                                      \
                        cr_assert_lt(now(CLOCK_MONOTONIC), _end, "never came: %s", #condition);             \
                        cr_assert_geq(sd_event_run((event), SANDBOX_PATIENCE), 0);                          \
                }                                                                                           \
        } while (false)

/* Runs what is pending and nothing else. */
static inline void run_pending(sd_event *event)
{
        int r;

        do {
                r = sd_event_run(event, 0);
                cr_assert_geq(r, 0);
        } while (r > 0);
}
