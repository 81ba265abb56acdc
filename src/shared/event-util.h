/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "macro.h"
#include "time-util.h"

static inline sd_event_source *event_source_disable_unref(sd_event_source *s)
{
        return sd_event_source_disable_unref(s);
}
DEFINE_TRIVIAL_CLEANUP_FUNC(sd_event_source *, event_source_disable_unref);
#define _cleanup_event_ _cleanup_(sd_event_unrefp)
#define _cleanup_event_source_ _cleanup_(event_source_disable_unrefp)

/* Arms *s (made on first use, one-shot, CLOCK_BOOTTIME) to fire `delay` usec from now; an armed one is
 * moved. The caller owns *s and drops it with sd_event_source_disable_unref(). `name` is a string literal.
 * sd-event's errors. */
int event_arm_timer(sd_event *event, sd_event_source **s, usec_t delay, sd_event_time_handler_t callback,
                    void *userdata, const char *name);

/* Likewise with up to a quarter of the delay added at random, so that many peers do not act in step. */
int event_arm_timer_jittered(sd_event *event, sd_event_source **s, usec_t delay,
                             sd_event_time_handler_t callback, void *userdata, const char *name);

/* Turns an armed timer off and keeps the source for the next time; NULL is allowed. */
void event_disarm_timer(sd_event_source *s);

/* Will it fire? Not while its callback runs, unless that has armed it again; not if it is NULL. */
bool event_timer_is_armed(sd_event_source *s);

/* Makes *s (created on first use, one-shot) run `callback` once before the loop sleeps again: after what was
 * pending before, and before what comes later. */
int event_defer_once(sd_event *event, sd_event_source **s, sd_event_handler_t callback, void *userdata,
                     const char *name);

/* One I/O source; the fd stays the caller's. */
int event_add_io(sd_event *event, sd_event_source **ret, int fd, uint32_t events,
                 sd_event_io_handler_t callback, void *userdata, const char *name);
