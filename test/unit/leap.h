/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lets hours pass in a world (world.h), whose timers are those of the kernel's clock: all that the process
 * has made are set earlier by as much as now() leaps. The linker sends sd_event_add_time_relative() here
 * (meson.build). What is libnice's own lives in real time: nothing of it should be under way. */

#include <criterion/criterion.h>
#include <systemd/sd-event.h>

#include "alloc-util.h"
#include "time-util.h"

extern usec_t uptime_leaps;

/* References, as nobody tells when a timer goes. */
static sd_event_source **leap_timers;
static size_t n_leap_timers, leap_timers_allocated;

int __real_sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                                      uint64_t accuracy, sd_event_time_handler_t callback, void *userdata);
int __wrap_sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                                      uint64_t accuracy, sd_event_time_handler_t callback, void *userdata);
int __wrap_sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                                      uint64_t accuracy, sd_event_time_handler_t callback, void *userdata)
{
        int r = __real_sd_event_add_time_relative(e, ret, clock, usec, accuracy, callback, userdata);

        cr_assert_not_null(ret, "a timer that nobody holds cannot be followed");
        if (r >= 0) {
                cr_assert_geq(GROW_ARRAY(leap_timers, leap_timers_allocated, n_leap_timers + 1), 0);
                leap_timers[n_leap_timers++] = sd_event_source_ref(*ret);
        }
        return r;
}

static inline void leap_timer(sd_event_source *timer, usec_t by)
{
        uint64_t due;
        int enabled;

        cr_assert_geq(sd_event_source_get_enabled(timer, &enabled), 0);
        if (enabled == SD_EVENT_OFF)
                return;
        cr_assert_geq(sd_event_source_get_time(timer, &due), 0);
        cr_assert_geq(sd_event_source_set_time(timer, due > by ? due - by : 1), 0);
}

static inline void leap(usec_t by)
{
        uptime_leaps += by;
        for (size_t i = 0; i < n_leap_timers; i++)
                leap_timer(leap_timers[i], by);
}
