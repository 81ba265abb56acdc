/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "macro.h"

/* The system bus, for a daemon that works without: it is connected to when it is there, and again when it
 * comes back, without ever waiting for it. Whoever has something to do with it is a user: told of each new
 * connection and of its end. */

typedef struct SystemBus SystemBus;
typedef struct SystemBusUser SystemBusUser;

/* The bus has said hello; also from inside system_bus_add_user(), if it already has. What sd-bus keeps of it
 * (slots, messages) is to be dropped in `lost`. Neither may free the SystemBus; each may remove users. */
typedef void (*system_bus_connected_t)(sd_bus *bus, void *userdata);
/* Answers that were awaited have come as errors before. */
typedef void (*system_bus_lost_t)(void *userdata);

/* name: a literal, for sd-bus's own log and for the socket, where others see who is connected. The bus is at
 * $DBUS_SYSTEM_BUS_ADDRESS, or where it always is. Whatever keeps it from connecting, it tries again, after
 * ever longer times. -ENOMEM, sd-event's errors. */
int system_bus_new(sd_event *event, const char *name, SystemBus **ret);
SystemBus *system_bus_free(SystemBus *b);
DEFINE_TRIVIAL_CLEANUP_FUNC(SystemBus *, system_bus_free);

/* Lent; NULL while there is none. */
sd_bus *system_bus_get(SystemBus *b);

/* Gives this connection up and makes a new one in a while: for a bus that does not take what it is given.
 * Not from inside a user's callback. */
void system_bus_reset(SystemBus *b);

/* The bus must outlive its users. The caller owns *ret. lost: may be NULL. -ENOMEM. */
int system_bus_add_user(SystemBus *b, system_bus_connected_t connected, system_bus_lost_t lost,
                        void *userdata, SystemBusUser **ret);
/* Tells of no end. */
SystemBusUser *system_bus_user_free(SystemBusUser *user);
DEFINE_TRIVIAL_CLEANUP_FUNC(SystemBusUser *, system_bus_user_free);

static inline sd_bus_slot *bus_slot_unref(sd_bus_slot *slot)
{
        return sd_bus_slot_unref(slot);
}
DEFINE_TRIVIAL_CLEANUP_FUNC(sd_bus_slot *, bus_slot_unref);
static inline sd_bus_message *bus_message_unref(sd_bus_message *m)
{
        return sd_bus_message_unref(m);
}
DEFINE_TRIVIAL_CLEANUP_FUNC(sd_bus_message *, bus_message_unref);
#define _cleanup_bus_message_ _cleanup_(bus_message_unrefp)
