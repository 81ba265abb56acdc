/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "system-bus.h"

#include <stdlib.h>
#include <utlist.h>

#include "alloc-util.h"
#include "event-util.h"
#include "log.h"

#define SYSTEM_BUS "unix:path=/run/dbus/system_bus_socket"

/* After the bus has closed the connection, and while there can be none: it starts anew meanwhile, or refuses
 * us for good; its socket is full, or this host is short of memory or file descriptors. */
#define RETRY_DELAY_MIN USEC_PER_SEC
#define RETRY_DELAY_MAX (5 * USEC_PER_MINUTE)

struct SystemBusUser {
        SystemBus *bus;
        system_bus_connected_t connected;
        system_bus_lost_t lost;
        void *userdata;
        bool told; /* of the connection that there is */
        SystemBusUser *prev, *next;
};

struct SystemBus {
        sd_event *event;
        const char *name;
        sd_bus *bus; /* NULL: lost */
        bool ready;  /* it has said hello */
        sd_event_source *retry;
        usec_t retry_delay;
        SystemBusUser *users;
};

/* Each may free itself and others, so it begins anew after each. */
static void tell_connected(SystemBus *b)
{
        SystemBusUser *user;

        for (;;) {
                DL_SEARCH_SCALAR(b->users, user, told, false);
                if (!user)
                        return;
                user->told = true;
                user->connected(b->bus, user->userdata);
        }
}

static void tell_lost(SystemBus *b)
{
        SystemBusUser *user;

        for (;;) {
                DL_SEARCH_SCALAR(b->users, user, told, true);
                if (!user)
                        return;
                user->told = false;
                if (user->lost)
                        user->lost(user->userdata);
        }
}

static int connect_bus(SystemBus *b);
static int retry_later(SystemBus *b);

static int on_retry(sd_event_source *source, uint64_t t, void *userdata)
{
        SystemBus *b = userdata;
        int r = connect_bus(b);

        if (r >= 0)
                return 0;
        log_debug_errno(r, "Failed to connect to the system bus, trying again: %m");
        r = retry_later(b);
        if (r < 0)
                log_debug_errno(r, "Failed to wait for the system bus, going without: %m");
        return 0;
}

static int retry_later(SystemBus *b)
{
        usec_t delay = b->retry_delay;

        b->retry_delay = MIN(delay * 2, RETRY_DELAY_MAX);
        return event_arm_timer(b->event, &b->retry, delay, on_retry, b, "system-bus-retry");
}

void system_bus_reset(SystemBus *b)
{
        int r;

        if (!b->bus)
                return;
        if (TAKE_GENERIC(b->ready, false))
                tell_lost(b);
        b->bus = sd_bus_close_unref(b->bus);
        r = retry_later(b);
        if (r < 0)
                log_debug_errno(r, "Failed to wait for the system bus, going without: %m");
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        log_debug("The system bus is gone.");
        system_bus_reset(userdata);
        return 0;
}

static int on_connected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
        SystemBus *b = userdata;

        b->ready = true;
        b->retry_delay = RETRY_DELAY_MIN;
        tell_connected(b);
        return 0;
}

static int listen_to(SystemBus *b, sd_bus *bus, const char *signal, sd_bus_message_handler_t callback)
{
        return sd_bus_match_signal(bus, /* ret= */ NULL, "org.freedesktop.DBus.Local",
                                   "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local", signal,
                                   callback, b);
}

static int open_bus(const SystemBus *b, sd_bus **ret)
{
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_description(bus, b->name);
        if (r >= 0)
                r = sd_bus_set_address(bus, secure_getenv("DBUS_SYSTEM_BUS_ADDRESS") ?: SYSTEM_BUS);
        if (r >= 0)
                r = sd_bus_set_bus_client(bus, true);
        if (r >= 0)
                r = sd_bus_set_watch_bind(bus, true);
        if (r >= 0)
                r = sd_bus_set_connected_signal(bus, true);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

/* Never waits: sd-bus notices by itself when the socket comes. */
static int connect_bus(SystemBus *b)
{
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = open_bus(b, &bus);
        if (r >= 0)
                r = sd_bus_attach_event(bus, b->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = listen_to(b, bus, "Disconnected", on_disconnected);
        if (r >= 0)
                r = listen_to(b, bus, "Connected", on_connected);
        if (r < 0)
                return r;
        b->bus = TAKE_PTR(bus);
        return 0;
}

int system_bus_new(sd_event *event, const char *name, SystemBus **ret)
{
        _cleanup_(system_bus_freep) SystemBus *b = new (SystemBus, 1);
        int r;

        if (!b)
                return -ENOMEM;
        *b = (SystemBus) {
                .event = sd_event_ref(event),
                .name = name,
                .retry_delay = RETRY_DELAY_MIN,
        };
        r = connect_bus(b);
        if (r < 0) {
                log_debug_errno(r, "Failed to connect to the system bus, trying again: %m");
                r = retry_later(b);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(b);
        return 0;
}

SystemBus *system_bus_free(SystemBus *b)
{
        if (!b)
                return NULL;
        assert(!b->users);
        sd_bus_close_unref(b->bus);
        sd_event_source_disable_unref(b->retry);
        sd_event_unref(b->event);
        return mfree(b);
}

sd_bus *system_bus_get(SystemBus *b)
{
        return b->ready ? b->bus : NULL;
}

int system_bus_add_user(SystemBus *b, system_bus_connected_t connected, system_bus_lost_t lost,
                        void *userdata, SystemBusUser **ret)
{
        SystemBusUser *user = new (SystemBusUser, 1);

        if (!user)
                return -ENOMEM;
        *user = (SystemBusUser) { .bus = b, .connected = connected, .lost = lost, .userdata = userdata };
        DL_APPEND(b->users, user);
        *ret = user;
        if (b->ready)
                tell_connected(b);
        return 0;
}

SystemBusUser *system_bus_user_free(SystemBusUser *user)
{
        if (!user)
                return NULL;
        DL_DELETE(user->bus->users, user);
        return mfree(user);
}
