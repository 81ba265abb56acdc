/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log.h"
#include "session-internal.h"
#include "sharing.h"

/* What the broker does with a session's sockets. */

int session_share(Session *s, broker_done_callback_t callback, BrokerCall **ret)
{
        const Link *link = s->peer->link;
        Broker *b = link->manager->broker;
        _cleanup_free_ int *fds = NULL;
        size_t n;
        int r;

        r = ice_agent_sockets(s->ice, &fds, &n);
        if (r < 0)
                return r;
        return b->ops->add_sockets(b, link->name, ice_agent_ufrag(s->ice), /* keeps_relays= */ true, fds, n,
                                   callback, s, ret);
}

static void on_shared_again(Broker *b, int error, void *userdata)
{
        Session *s = userdata;

        s->sharing_again = NULL;
        if (error < 0 && error != -ECONNRESET)
                log_peer_full(s->peer, LOG_DEBUG, error, "The session's sockets are no longer shared: %m");
}

void session_share_again(Session *s)
{
        const Manager *m = s->peer->link->manager;

        if (!s->shared || s->sharing || s->sharing_again || !sharing_is_on(m) || !m->broker->connected)
                return;
        (void) session_share(s, on_shared_again, &s->sharing_again);
}

void session_stop_sharing(Session *s)
{
        Broker *b = s->peer->link->manager->broker;

        broker_call_free(s->sharing);
        broker_call_free(s->sharing_again);
        if (s->shared && s->ice && b && b->connected)
                (void) b->ops->remove_sockets(b, ice_agent_ufrag(s->ice));
}

void session_grow_buffers(Session *s)
{
        Broker *b = s->peer->link->manager->broker;
        _cleanup_free_ int *fds = NULL;
        size_t n;

        if (b && b->connected && ice_agent_sockets(s->ice, &fds, &n) >= 0 && n > 0)
                (void) b->ops->grow_buffers(b, fds, n);
}
