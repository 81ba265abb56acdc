/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "event-util.h"
#include "exchange.h"
#include "link-mappings.h"
#include "log.h"
#include "peer-policy.h"
#include "relays.h"
#include "session-internal.h"
#include "shared-candidates.h"

/* Our candidates, and how the peer is told of them. */

/* Both sides are to prefer the same of two pairs, which RFC 8445 (section 6.1.2.3) leaves to priorities that
 * both know. But where STUN servers see the link's port is peer-reflexive to our libnice, and
 * server-reflexive to the peer's. With a relay of each side that are as good that would decide, here for the
 * one and there for the other. Now the controlling side's is the better one, to both: by less than anything
 * else counts. */
#define RELAY_LEAD 16U

static void rank_relays(const Session *s, IceCandidate *candidates, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (candidates[i].type == ICE_CANDIDATE_RELAY)
                        candidates[i].priority += s->controlling ? RELAY_LEAD : -RELAY_LEAD;
}

size_t session_candidates(const Session *s, IceCandidate ret[static SDP_CANDIDATES_MAX], bool *ret_complete)
{
        const Link *link = s->peer->link;
        size_t n = s->n_candidates;

        *ret_complete = s->gathering_done && (!s->shared || link_mappings_are_settled(link));
        if (s->shared)
                n = shared_candidates_build(link, s->candidates, n, ret, SDP_CANDIDATES_MAX);
        else
                memcpy(ret, s->candidates, sizeof(IceCandidate) * n);
        return n;
}

static void fill_description(const Session *s, SdpDescription *d)
{
        *d = (SdpDescription) {
                .trickle = true,
                .ice2 = true,
                .session_id = s->id >> 1, /* RFC 8866 wants what fits a signed number (RFC 3264 section 5) */
                .session_version = 1,
        };
        strcpy(d->ufrag, ice_agent_ufrag(s->ice));
        strcpy(d->pwd, ice_agent_pwd(s->ice));
        d->n_candidates = session_candidates(s, d->candidates, &d->end_of_candidates);
        rank_relays(s, d->candidates, d->n_candidates);
}

/* Each message has all candidates so far: one that is lost costs nothing then, and what is known already is
 * ignored. */
static void send_candidates(Session *s, MessageType type)
{
        _cleanup_(message_erase) Message m = { .type = type, .session = s->id };

        fill_description(s, &m.sdp);
        s->untold = false;
        exchange_send(s->peer, s->peer_instance, &m);
}

void session_repeat_description(Session *s)
{
        if (s->sharing)
                return; /* said when that is settled */
        s->described = true;
        send_candidates(s, s->controlling ? MESSAGE_OFFER : MESSAGE_ANSWER);
}

static int on_trickle(sd_event_source *source, void *userdata)
{
        Session *s = userdata;

        if (s->untold)
                send_candidates(s, MESSAGE_CANDIDATES);
        return 0;
}

static void schedule_trickle(Session *s)
{
        int r;

        s->untold = true;
        if (!s->described)
                return;
        r = event_defer_once(s->peer->link->manager->event, &s->trickle, on_trickle, s, "session-trickle");
        if (r < 0)
                log_peer_full(s->peer, LOG_WARNING, r, "Failed to schedule candidates, ignoring: %m");
}

void session_on_candidate(IceAgent *ice, const IceCandidate *candidate, void *userdata)
{
        Session *s = userdata;

        if (s->n_candidates >= ELEMENTSOF(s->candidates))
                return;
        log_peer_full(s->peer, LOG_DEBUG, 0, "Local candidate %s.", ICE_CANDIDATE_STR(candidate));
        s->candidates[s->n_candidates++] = *candidate;
        schedule_trickle(s);
}

static bool has_relay(const Session *s)
{
        for (size_t i = 0; i < s->n_candidates; i++)
                if (s->candidates[i].type == ICE_CANDIDATE_RELAY)
                        return true;
        return false;
}

void session_consider_relays(const Session *s)
{
        relays_consider(s->peer->link->manager, has_relay(s) || !peer_policy_allows_relays(s->peer));
}

void session_on_gathering_done(IceAgent *ice, void *userdata)
{
        Session *s = userdata;

        s->gathering_done = true;
        session_consider_relays(s);
        schedule_trickle(s);
}

void session_mapping_changed(Session *s)
{
        session_consider_tcp(s);
        if (s->shared)
                schedule_trickle(s);
}
