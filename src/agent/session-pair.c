/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <netinet/tcp.h>

#include "carrier.h"
#include "event-util.h"
#include "log.h"
#include "path-switch.h"
#include "peer-policy.h"
#include "relays.h"
#include "session-internal.h"
#include "session-probes.h"
#include "shared-candidates.h"
#include "try.h"

/* The pair that ICE has selected: what it is good for, by which relay of ours it goes, and what comes by it.
 */

/* When the other end acknowledges nothing for so long, the kernel gives up. */
#define TCP_TIMEOUT_MSEC 20000

/* A relayed path is renewed so long before its credentials run out. */
#define RENEW_BEFORE (60 * 60 * USEC_PER_SEC)

/* libnice knows no candidate at the link's port, so it has discovered what leaves from there. A pair of a
 * candidate that it knows goes by an interface where nothing is shared (the route to the peer is not by the
 * address's own interface): WireGuard would leave from another port than the one that works. */
static bool leaves_from_link_port(const IceCandidate *local)
{
        return local->type == ICE_CANDIDATE_PRFLX && local->transport == ICE_TRANSPORT_UDP;
}

/* ICE discovers also what it was not told: a check of the peer's may come from a relay. */
static bool pair_is_allowed(const Session *s, const IceCandidate *local, const IceCandidate *remote)
{
        return peer_policy_allows_pair(s->peer, local->type,
                                       session_is_refused_relay(s, remote) ? ICE_CANDIDATE_RELAY
                                                                           : remote->type);
}

PathTransport session_transport(const Session *s)
{
        if (s->local.type != ICE_CANDIDATE_RELAY)
                return s->local.transport == ICE_TRANSPORT_UDP ? PATH_TRANSPORT_UDP : PATH_TRANSPORT_TCP;
        switch (s->relay_kind) {
        case ICE_SERVER_TURN_TCP:
                return PATH_TRANSPORT_TCP;
        case ICE_SERVER_TURN_TLS:
                return PATH_TRANSPORT_TLS;
        default:
                return PATH_TRANSPORT_UDP;
        }
}

bool session_is_plain(const Session *s)
{
        return s->selected && s->pair_shared && s->remote.transport == ICE_TRANSPORT_UDP;
}

/* --- its relay --- */

bool session_has_lost_its_relay(const Session *s)
{
        const Manager *m = s->peer->link->manager;

        return s->selected && s->local.type == ICE_CANDIDATE_RELAY && !m->lookups &&
               !relays_have(m, s->relay_kind, &s->relay, s->relay_generation);
}

static int on_expiry(sd_event_source *source, uint64_t t, void *userdata)
{
        Session *s = userdata;

        log_peer_full(s->peer, LOG_DEBUG, 0, "The credentials for its relay are about to run out.");
        s->peer->wants_tcp = false;
        try_again(s->peer);
        return 0;
}

/* Which server it is, and until when. */
static void look_at_relay(Session *s)
{
        usec_t left = usec_sub(s->relay_expires, usec_add(now(CLOCK_REALTIME), RENEW_BEFORE));

        event_disarm_timer(s->expiry);
        if (s->local.type != ICE_CANDIDATE_RELAY ||
            ice_agent_selected_server(s->ice, &s->relay_kind, &s->relay) < 0)
                return;
        if (s->relay_expires != USEC_INFINITY)
                (void) event_arm_timer(s->peer->link->manager->event, &s->expiry, left, on_expiry, s,
                                       "session-expiry");
}

/* --- selection --- */

/* A TCP connection that is dead is to end soon: libnice has no other way to notice. */
static void limit_silence(Session *s)
{
        int fd = ice_agent_connection(s->ice, &s->remote), limit = TCP_TIMEOUT_MSEC;

        if (fd >= 0)
                (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof(limit));
}

void session_on_selected(IceAgent *ice, const IceCandidate *local, const IceCandidate *remote,
                         void *userdata)
{
        Session *s = userdata;

        if (!pair_is_allowed(s, local, remote)) {
                log_peer_full(s->peer, LOG_DEBUG, 0, "Policy forbids the pair %s, %s.",
                              ICE_CANDIDATE_STR(local), ICE_CANDIDATE_STR(remote));
                return;
        }
        s->selected = true;
        s->local = *local;
        s->remote = *remote;
        look_at_relay(s);
        limit_silence(s);
        session_remember_what_was_tried(s);
        s->pair_shared = s->shared && leaves_from_link_port(local);
        if (s->pair_shared)
                shared_candidates_name(s->peer->link, s->candidates, s->n_candidates, &s->local);
        session_disarm_timer(s);
        path_switch_consider(s);
}

/* --- data --- */

/* The peer may have its pair before we have ours, and its WireGuard shakes hands at once. It would try again
 * only after 5 s. ICE has verified where this comes from. */
static void keep_early_data(Session *s, const void *data, size_t size)
{
        void *copy = memdup_suffix0(data, size);

        if (!copy)
                return; /* lost, as on any network */
        free(s->early);
        s->early = copy;
        s->early_size = size;
}

void session_deliver_early_data(Session *s)
{
        _cleanup_free_ void *data = NULL;

        if (!s->peer->proxy)
                return;
        data = TAKE_PTR(s->early);
        if (data)
                proxy_deliver(s->peer->proxy, data, s->early_size, /* late= */ false);
}

void session_on_data(IceAgent *ice, const void *data, size_t size, void *userdata)
{
        Session *s = userdata;
        bool in_use = carrier_session(s->peer) == s;

        if (session_probes_take(s, data, size))
                return;
        if (s->peer->proxy)
                proxy_deliver(s->peer->proxy, data, size, /* late= */ !in_use);
        else
                keep_early_data(s, data, size);
        /* What comes here does not come by a plain path, also if it is of this session: so the peer uses the
         * other pair already. */
        if (!in_use || carrier_is_plain(s->peer))
                path_switch_heard(s);
}
