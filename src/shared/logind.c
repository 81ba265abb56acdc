/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "logind.h"

#include "alloc-util.h"
#include "log.h"

struct Logind {
        SystemBusUser *user;
        sd_bus_slot *match;
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
        const sd_bus_error *e = sd_bus_message_get_error(message);

        if (e)
                log_debug("The system bus does not tell us of sleep: %s", e->message);
        return 0;
}

static void on_connected(sd_bus *bus, void *userdata)
{
        Logind *logind = userdata;
        int r;

        r = sd_bus_match_signal_async(bus, &logind->match, "org.freedesktop.login1",
                                      "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
                                      "PrepareForSleep", on_prepare_for_sleep, on_subscribed, logind);
        if (r < 0)
                log_debug_errno(r, "Failed to listen to logind, sleep goes unnoticed: %m");
}

static void on_lost(void *userdata)
{
        Logind *logind = userdata;

        logind->match = sd_bus_slot_unref(logind->match);
}

int logind_new(SystemBus *bus, logind_resumed_t callback, void *userdata, Logind **ret)
{
        _cleanup_(logind_freep) Logind *logind = new0(Logind, 1);
        int r;

        if (!logind)
                return -ENOMEM;
        logind->callback = callback;
        logind->userdata = userdata;
        r = system_bus_add_user(bus, on_connected, on_lost, logind, &logind->user);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(logind);
        return 0;
}

Logind *logind_free(Logind *logind)
{
        if (!logind)
                return NULL;
        sd_bus_slot_unref(logind->match);
        system_bus_user_free(logind->user);
        return mfree(logind);
}
