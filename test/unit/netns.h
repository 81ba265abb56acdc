/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <criterion/criterion.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "time-util.h"

/* For tests that need the kernel's network: a namespace of their own, `ip` to change it, a loop to see what
 * comes of it. Criterion runs each test in its own process, with which the namespace goes. */

/* Ends what hangs; no test depends on how long anything takes below that. */
#define TEST_TIMEOUT (60 * USEC_PER_SEC)

static inline void enter_netns(void)
{
        if (geteuid() != 0)
                cr_skip_test("needs root for a network namespace");
        if (unshare(CLONE_NEWNET) < 0)
                cr_skip_test("this kernel or sandbox gives no network namespace");
}

/* Runs a shell command and expects success. */
static inline void __attribute__((format(printf, 1, 2))) run(const char *format, ...)
{
        char command[4096];
        va_list ap;
        int status;

        va_start(ap, format);
        vsnprintf(command, sizeof(command), format, ap);
        va_end(ap);
        status = system(command);
        cr_assert_eq(status, 0, "failed: %s", command);
}

static inline int on_test_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
        *(bool *) userdata = true;
        return 0;
}

/* Runs the loop until the condition holds. */
#define RUN_UNTIL(event, condition)                                                                         \
        do {                                                                                                \
                sd_event_source *_timer = NULL;                                                             \
                bool _late = false;                                                                         \
                cr_assert_geq(sd_event_add_time_relative((event), &_timer, CLOCK_MONOTONIC, TEST_TIMEOUT,   \
                                                         0, on_test_timeout, &_late),                       \
                              0);                                                                           \
                while (!(condition) && !_late)                                                              \
                        cr_assert_geq(sd_event_run((event), UINT64_MAX), 0);                                \
                sd_event_source_disable_unref(_timer);                                                      \
                cr_assert(!_late, "waited in vain for: %s", #condition);                                    \
        } while (0)

/* Runs what is pending and nothing else. */
static inline void run_pending(sd_event *event)
{
        int r;

        do {
                r = sd_event_run(event, 0);
                cr_assert_geq(r, 0);
        } while (r > 0);
}
