/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session.h"

#include "carrier.h"
#include "event-util.h"
#include "log.h"
#include "probe.h"
#include "pulse.h"
#include "random-util.h"
#include "session-internal.h"
#include "sharing.h"
#include "try.h"

/* An offer is repeated when a rendezvous may have lost it (LAN multicast does): after 1, 2 and 4 s more, and
 * given up 8 s after the last. */
#define OFFER_INTERVAL USEC_PER_SEC
#define OFFERS_MAX 4

/* How long to look for a pair before giving up, whatever ICE says in between: the time that all checks of a
 * pair take with the retransmissions of RFC 8489 (RFC 8863 section 4). */
#define PATIENCE (39500 * USEC_PER_MSEC)

/* When the broker has refused so many sessions' sockets in a row, the proxy serves. */
#define SHARING_FAILURES_MAX 2

/* --- time --- */

static int on_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        Session *s = userdata;

        if (s->restart) {
                s->peer->needs_tcp = true;
                if (s->selected)
                        try_now(s->peer);
                else
                        try_again(s->peer);
                return 0;
        }
        if (!s->answered && s->n_offers < OFFERS_MAX) {
                session_repeat_description(s);
                s->n_offers++;
                (void) session_arm_timer(s, OFFER_INTERVAL << (s->n_offers - 1));
                return 0;
        }
        if (s->answered)
                session_remember_what_was_tried(s);
        /* A TURN server that does not answer has kept it gathering until now. */
        if (!s->gathering_done)
                session_consider_relays(s);
        try_session_failed(s, s->answered);
        return 0;
}

int session_arm_timer(Session *s, usec_t delay)
{
        return event_arm_timer(s->peer->link->manager->event, &s->timer, delay, on_timer, s,
                               "session-timer");
}

void session_disarm_timer(Session *s)
{
        s->restart = s->restart && !event_timer_is_armed(s->timer);
        event_disarm_timer(s->timer);
}

int session_begin_patience(Session *s)
{
        return session_arm_timer(s, PATIENCE);
}

/* --- beginning --- */

static void forget_offer(Session *s)
{
        if (s->offer)
                erase(s->offer, sizeof(*s->offer)); /* has an ICE password */
        s->offer = mfree(s->offer);
}

static int begin_offer(Session *s)
{
        int r;

        s->n_offers = 1;
        r = session_arm_timer(s, OFFER_INTERVAL);
        if (r < 0)
                return r;
        session_repeat_description(s);
        return 0;
}

static int begin_answer(Session *s)
{
        const Message *early = s->peer->early;
        int r;

        /* The answer leaves before the checks begin, so that the peer's checks of the other direction start
         * as early as ours. */
        session_repeat_description(s);
        r = session_take_description(s, &s->offer->sdp);
        forget_offer(s);
        if (r >= 0 && early && early->session == s->id)
                session_take_remote_candidates(s, &early->sdp);
        return r;
}

static int begin(Session *s)
{
        return s->controlling ? begin_offer(s) : begin_answer(s);
}

static void on_shared(Broker *b, int error, void *userdata)
{
        Session *s = userdata;
        int r;

        s->sharing = NULL;
        if (error < 0) {
                log_peer_full(s->peer, LOG_WARNING, error, "Failed to share WireGuard's port: %m");
                s->peer->sharing_failures += error != -ECONNRESET;
                try_session_aborted(s);
                return;
        }
        s->peer->sharing_failures = 0;
        r = begin(s);
        if (r < 0) {
                log_peer_full(s->peer, LOG_WARNING, r, "Failed to begin the session: %m");
                try_session_aborted(s);
        }
}

/* Everything that anybody else gets to see, now or when the sockets share the link's port. */
static int session_begin(Session *s)
{
        return s->shared ? session_share(s, on_shared, &s->sharing) : begin(s);
}

/* --- life --- */

Session *session_free(Session *s)
{
        if (!s)
                return NULL;
        carrier_forget_session(s);
        session_stop_sharing(s);
        pulse_session_ends(s);
        stun_check_credentials_erase(&s->credentials);
        sd_event_source_disable_unref(s->trickle);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->expiry);
        ice_agent_free(s->ice);
        free(s->early);
        forget_offer(s);
        free(s);
        return NULL;
}

static int session_new(Peer *peer, uint64_t id, uint64_t peer_instance, const Message *offer, Session **ret)
{
        _cleanup_(session_freep) Session *s = NULL;
        int r;

        s = new0(Session, 1);
        if (!s)
                return -ENOMEM;
        s->peer = peer;
        s->id = id;
        s->peer_instance = peer_instance;
        s->controlling = !offer;
        s->tcp = session_wants_tcp(peer, offer);
        s->started = now(CLOCK_BOOTTIME);
        s->probe_limit = (RateLimit) { .interval = PROBE_REQUEST_INTERVAL, .burst = PROBE_REQUEST_BURST };
        s->shared = sharing_is_on(peer->link->manager) && peer->sharing_failures < SHARING_FAILURES_MAX;
        r = session_make_agent(s);
        if (r < 0)
                return r;
        strcpy(s->credentials.local_ufrag, ice_agent_ufrag(s->ice));
        strcpy(s->credentials.local_pwd, ice_agent_pwd(s->ice));
        s->credentials.controlling = s->controlling;
        session_grow_buffers(s);
        peer->counters.sessions++;
        *ret = TAKE_PTR(s);
        return 0;
}

int session_new_offer(Peer *peer, uint64_t peer_instance, Session **ret)
{
        _cleanup_(session_freep) Session *s = NULL;
        int r;

        /* 0 means "no session" in a message. */
        r = session_new(peer, random_u64() | 1, peer_instance, /* offer= */ NULL, &s);
        if (r < 0)
                return r;
        r = session_begin(s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

int session_new_answer(Peer *peer, const Message *offer, Session **ret)
{
        _cleanup_(session_freep) Session *s = NULL;
        int r;

        r = session_new(peer, offer->session, offer->instance, offer, &s);
        if (r < 0)
                return r;
        s->offer = memdup_suffix0(offer, sizeof(*offer));
        if (!s->offer)
                return -ENOMEM;
        r = session_begin(s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}
