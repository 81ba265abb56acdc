/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "event-util.h"

#include "random-util.h"

/* Timers may be late by this much, so that the kernel can serve several at one wake-up. */
#define TIMER_ACCURACY (5 * USEC_PER_MSEC)

int event_arm_timer(sd_event *event, sd_event_source **s, usec_t delay, sd_event_time_handler_t callback,
                    void *userdata, const char *name)
{
        _cleanup_event_source_ sd_event_source *source = NULL;
        int r;

        if (*s) {
                r = sd_event_source_set_time_relative(*s, delay);
                if (r < 0)
                        return r;
                return sd_event_source_set_enabled(*s, SD_EVENT_ONESHOT);
        }
        r = sd_event_add_time_relative(event, &source, CLOCK_BOOTTIME, delay, TIMER_ACCURACY, callback,
                                       userdata);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(source, name);
        *s = TAKE_PTR(source);
        return 0;
}

int event_arm_timer_jittered(sd_event *event, sd_event_source **s, usec_t delay,
                             sd_event_time_handler_t callback, void *userdata, const char *name)
{
        return event_arm_timer(event, s, usec_add(delay, random_below(delay / 4 + 1)), callback, userdata,
                               name);
}

void event_disarm_timer(sd_event_source *s)
{
        if (s)
                (void) sd_event_source_set_enabled(s, SD_EVENT_OFF);
}

bool event_timer_is_armed(sd_event_source *s)
{
        int enabled;

        return s && sd_event_source_get_enabled(s, &enabled) > 0;
}

int event_defer_once(sd_event *event, sd_event_source **s, sd_event_handler_t callback, void *userdata,
                     const char *name)
{
        _cleanup_event_source_ sd_event_source *source = NULL;
        int r;

        if (*s)
                return sd_event_source_set_enabled(*s, SD_EVENT_ONESHOT);
        r = sd_event_add_defer(event, &source, callback, userdata);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(source, name);
        /* Of equal priority is served first what is pending for longest. With a lower one it would wait for
         * as long as there is anything else: for ever, where a socket is flooded. */
        *s = TAKE_PTR(source);
        return 0;
}

int event_add_io(sd_event *event, sd_event_source **ret, int fd, uint32_t events,
                 sd_event_io_handler_t callback, void *userdata, const char *name)
{
        _cleanup_event_source_ sd_event_source *source = NULL;
        int r;

        r = sd_event_add_io(event, &source, fd, events, callback, userdata);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(source, name);
        *ret = TAKE_PTR(source);
        return 0;
}
