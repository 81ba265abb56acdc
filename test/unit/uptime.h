/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For tests that put something into the past, on machines that have just booted: CLOCK_BOOTTIME begins at 0.
 * The linker sends calls of now() here (meson.build). Timers are set relative to the kernel's clock and keep
 * it. */

#include "time-util.h"

#define UPTIME_MORE (24 * USEC_PER_HOUR)

/* A test that lets time pass by leaps (leap.h) adds to this; all but CLOCK_MONOTONIC, with which tests wait,
 * are ahead by it. */
extern usec_t uptime_leaps;
usec_t uptime_leaps;

usec_t __real_now(clockid_t clock);
usec_t __wrap_now(clockid_t clock);
usec_t __wrap_now(clockid_t clock)
{
        return __real_now(clock) + (clock == CLOCK_BOOTTIME ? UPTIME_MORE : 0) +
               (clock == CLOCK_MONOTONIC ? 0 : uptime_leaps);
}
