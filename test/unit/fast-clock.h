/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Time that goes faster, for what keeps its own timers and takes no clock as an argument (libnice): seconds
 * of it pass in moments. This binary's clock_gettime(2) and timerfd_settime(2) stand before the C library's
 * for every library of the process, so that all of them agree. Servers in other processes keep real time,
 * and so seem slow. */

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdio.h>
#include <sys/timerfd.h>

#include "time-util.h"

#define FAST_CLOCK_FACTOR 30

/* CLOCK_MONOTONIC and CLOCK_BOOTTIME stand still until the test begins them. */
static struct timespec fast_clock_start[16];
static bool fast_clock_runs;

typedef int (*clock_gettime_t)(clockid_t clock, struct timespec *ret);
typedef int (*timerfd_settime_t)(int fd, int flags, const struct itimerspec *new, struct itimerspec *old);

static inline int64_t timespec_nsec(const struct timespec *t)
{
        return (int64_t) t->tv_sec * 1000000000 + t->tv_nsec;
}

static inline struct timespec timespec_from_nsec(int64_t n)
{
        return (struct timespec) { .tv_sec = n / 1000000000, .tv_nsec = n % 1000000000 };
}

static inline int real_clock_gettime(clockid_t clock, struct timespec *ret)
{
        static clock_gettime_t real;

        if (!real)
                real = (clock_gettime_t) dlsym(RTLD_NEXT, "clock_gettime");
        return real(clock, ret);
}

static inline bool clock_is_fast(clockid_t clock)
{
        return fast_clock_runs && (clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME);
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
        int r = real_clock_gettime(clock, ret);

        if (r == 0 && clock_is_fast(clock)) {
                int64_t start = timespec_nsec(&fast_clock_start[clock]);

                *ret = timespec_from_nsec(start + (timespec_nsec(ret) - start) * FAST_CLOCK_FACTOR);
        }
        return r;
}

static inline clockid_t timerfd_clock(int fd)
{
        char path[64], line[128];
        int clock = CLOCK_REALTIME;
        FILE *f;

        (void) snprintf(path, sizeof(path), "/proc/self/fdinfo/%i", fd);
        f = fopen(path, "re");
        cr_assert_not_null(f);
        while (fgets(line, sizeof(line), f))
                if (sscanf(line, "clockid: %i", &clock) == 1)
                        break;
        fclose(f);
        return clock;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
        static timerfd_settime_t real;
        struct itimerspec t = *new;
        clockid_t clock = timerfd_clock(fd);

        if (!real)
                real = (timerfd_settime_t) dlsym(RTLD_NEXT, "timerfd_settime");
        if (clock_is_fast(clock) && flags & TFD_TIMER_ABSTIME && timespec_nsec(&t.it_value) > 0) {
                int64_t start = timespec_nsec(&fast_clock_start[clock]);
                int64_t rest = timespec_nsec(&t.it_value) - start;

                t.it_value = timespec_from_nsec(start + (rest + FAST_CLOCK_FACTOR - 1) / FAST_CLOCK_FACTOR);
        }
        return real(fd, flags, &t, old);
}

static inline void fast_clock_begin(void)
{
        (void) real_clock_gettime(CLOCK_MONOTONIC, &fast_clock_start[CLOCK_MONOTONIC]);
        (void) real_clock_gettime(CLOCK_BOOTTIME, &fast_clock_start[CLOCK_BOOTTIME]);
        fast_clock_runs = true;
}
