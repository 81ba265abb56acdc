/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "logind.h"

#include <stdlib.h>
#include <systemd/sd-bus.h>

#include "alloc-util.h"
#include "event-util.h"
#include "log.h"

#define SYSTEM_BUS "unix:path=/run/dbus/system_bus_socket"

/* After the bus has closed the connection: in between it starts anew, or refuses us for good. */
#define RETRY_DELAY_MIN USEC_PER_SEC
#define RETRY_DELAY_MAX (5 * USEC_PER_MINUTE)

struct Logind {
        sd_event *event;
        sd_bus *bus; /* NULL: lost, or never there */
        sd_event_source *retry;
        usec_t retry_delay;
        logind_resumed_t callback;
        void *userdata;
};

static int on_prepare_for_sleep(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        Logind *logind = userdata;
        int begins, r;

        r = sd_bus_message_read(message, "b", &begins);
        if (r < 0)
                log_debug_errno(r, "logind's PrepareForSleep makes no sense, ignoring: %m");
        else if (!begins)
                logind->callback(logind, logind->userdata);
        return 0;
}

static int on_subscribed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        Logind *logind = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(message);

        if (e)
                log_debug("The system bus does not tell us of sleep: %s", e->message);
        else
                logind->retry_delay = RETRY_DELAY_MIN;
        return 0;
}

static int logind_connect(Logind *logind);

static int on_retry(sd_event_source *source, uint64_t t, void *userdata)
{
        Logind *logind = userdata;
        int r;

        r = logind_connect(logind);
        if (r < 0)
                log_debug_errno(r, "Failed to connect to the system bus, sleep goes unnoticed: %m");
        return 0;
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        Logind *logind = userdata;

        log_debug("The system bus is gone.");
        logind->bus = sd_bus_close_unref(logind->bus);
        (void) event_arm_timer(logind->event, &logind->retry, logind->retry_delay, on_retry, logind,
                               "logind-retry");
        logind->retry_delay = MIN(logind->retry_delay * 2, RETRY_DELAY_MAX);
        return 0;
}

static int listen_to(Logind *logind, sd_bus *bus)
{
        int r;

        r = sd_bus_match_signal(bus, /* ret= */ NULL, "org.freedesktop.DBus.Local",
                                "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local", "Disconnected",
                                on_disconnected, logind);
        if (r < 0)
                return r;
        return sd_bus_match_signal_async(bus, /* ret= */ NULL, "org.freedesktop.login1",
                                         "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
                                         "PrepareForSleep", on_prepare_for_sleep, on_subscribed, logind);
}

/* Never waits: what there is to say goes when the bus is there, which sd-bus notices by itself. */
static int logind_connect(Logind *logind)
{
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_description(bus, "system");
        if (r >= 0)
                r = sd_bus_set_address(bus, secure_getenv("DBUS_SYSTEM_BUS_ADDRESS") ?: SYSTEM_BUS);
        if (r >= 0)
                r = sd_bus_set_bus_client(bus, true);
        if (r >= 0)
                r = sd_bus_set_watch_bind(bus, true);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r >= 0)
                r = sd_bus_attach_event(bus, logind->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = listen_to(logind, bus);
        if (r < 0)
                return r;
        logind->bus = TAKE_PTR(bus);
        return 0;
}

int logind_new(sd_event *event, logind_resumed_t callback, void *userdata, Logind **ret)
{
        _cleanup_(logind_freep) Logind *logind = NULL;
        int r;

        logind = new (Logind, 1);
        if (!logind)
                return -ENOMEM;
        *logind = (Logind) {
                .event = sd_event_ref(event),
                .retry_delay = RETRY_DELAY_MIN,
                .callback = callback,
                .userdata = userdata,
        };
        r = logind_connect(logind);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(logind);
        return 0;
}

Logind *logind_free(Logind *logind)
{
        if (!logind)
                return NULL;
        sd_bus_close_unref(logind->bus);
        sd_event_source_disable_unref(logind->retry);
        sd_event_unref(logind->event);
        return mfree(logind);
}
