/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "rendezvous.h"

#include "alloc-util.h"
#include "log-event.h"
#include "string-util.h"

static const char *const rendezvous_state_table[_RENDEZVOUS_STATE_MAX] = {
        [RENDEZVOUS_STATE_CONNECTING] = "connecting",
        [RENDEZVOUS_STATE_UP] = "up",
        [RENDEZVOUS_STATE_DOWN] = "down",
};
DEFINE_STRING_TABLE(rendezvous_state, RendezvousState);

bool rendezvous_topic_is_valid(const char *topic)
{
        return strspn(topic, "0123456789abcdef") == RENDEZVOUS_TOPIC_LENGTH &&
               topic[RENDEZVOUS_TOPIC_LENGTH] == '\0';
}

void rendezvous_init(Rendezvous *r, const RendezvousOps *ops, const RendezvousCallbacks *callbacks,
                     void *userdata)
{
        r->ops = ops;
        r->callbacks = callbacks;
        r->userdata = userdata;
        r->state = RENDEZVOUS_STATE_CONNECTING;
        rendezvous_is_active(r);
}

void rendezvous_is_active(Rendezvous *r)
{
        r->active = now(CLOCK_MONOTONIC);
}

/* A server that cannot be reached needs somebody; a host without a LAN does not. */
static void log_state(const Rendezvous *r)
{
        static const LogEvent events[_RENDEZVOUS_STATE_MAX] = {
                [RENDEZVOUS_STATE_UP] = LOG_EVENT_RENDEZVOUS_UP,
                [RENDEZVOUS_STATE_DOWN] = LOG_EVENT_RENDEZVOUS_DOWN,
        };

        if (r->state == RENDEZVOUS_STATE_CONNECTING)
                return;
        log_event(r->error && r->ops->connects ? LOG_WARNING : LOG_INFO, 0,
                  r->error && r->state == RENDEZVOUS_STATE_UP ? LOG_EVENT_RENDEZVOUS_LIMITED
                                                              : events[r->state],
                  (LOG_FIELD("ICEWIRE_RENDEZVOUS=%s", r->name),
                   LOG_FIELD("ICEWIRE_ERROR=%s", strempty(r->error))),
                  "Rendezvous %s: %s", r->name, r->error ?: "connected");
}

void rendezvous_set_state(Rendezvous *r, RendezvousState state, const char *error)
{
        rendezvous_is_active(r);
        if (r->state == state && streq_ptr(r->error, error))
                return;
        r->state = state;
        (void) free_and_strdup(&r->error, error);
        log_state(r);
        r->callbacks->state(r, r->userdata);
}

void rendezvous_done(Rendezvous *r)
{
        r->name = mfree(r->name);
        r->error = mfree(r->error);
}
