/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "rendezvous.h"

#include "alloc-util.h"
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
}

void rendezvous_set_state(Rendezvous *r, RendezvousState state, const char *error)
{
        if (r->state == state && streq_ptr(r->error, error))
                return;
        r->state = state;
        (void) free_and_strdup(&r->error, error);
        r->callbacks->state(r, r->userdata);
}

void rendezvous_done(Rendezvous *r)
{
        r->name = mfree(r->name);
        r->error = mfree(r->error);
}
