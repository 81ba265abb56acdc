/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "try.h"

#include "carrier.h"
#include "event-util.h"
#include "exchange.h"
#include "log-event.h"
#include "manager.h"
#include "path-switch.h"
#include "peer-policy.h"
#include "session.h"
#include "sharing.h"
#include "string-util.h"

/* A suspect path is dropped at this step at the earliest: one message may get lost. */
#define SUSPICION_STEPS 2

static bool has_path(const Peer *peer)
{
        return peer->state == PEER_STATE_CONNECTED || peer->state == PEER_STATE_CONNECTING;
}

static bool allows_path(const Peer *peer, PathKind kind)
{
        return policy_allows_path(peer->policy, kind) && policy_allows_path(peer->network.policy, kind);
}

/* Of relayed paths, too, there are better ones. */
static bool may_have_better_path(const Peer *peer)
{
        return allows_path(peer, PATH_DIRECT) ||
               (peer->path.kind == PATH_RELAYED && peer->path.transport != PATH_TRANSPORT_UDP);
}

static bool wants_better_path(const Peer *peer)
{
        return peer->state == PEER_STATE_CONNECTED && peer->path.kind != PATH_NONE &&
               !path_is_best(&peer->path, sharing_is_on(peer->link->manager)) && may_have_better_path(peer);
}

static bool wants_path(const Peer *peer)
{
        return peer->policy != POLICY_OFF && !peer_is_self_reliant(peer) &&
               (!has_path(peer) || peer->suspect || peer->path_is_dead || peer->renew ||
                wants_better_path(peer));
}

/* Is what is wanted on its way? */
static bool is_busy(const Peer *peer)
{
        return session_is_negotiating(peer->session) || path_switch_is_busy(peer);
}

static bool can_try(const Peer *peer)
{
        const Manager *m = peer->link->manager;

        return !isempty(peer->topic_send) && peer->link->listen_port != 0 && m->broker &&
               m->broker->connected && manager_can_negotiate(m) && manager_n_rendezvous_up(m) > 0;
}

/* The newest session makes room for another: one that carries the path stays until that takes over. */
static void make_room(Peer *peer)
{
        path_switch_stop(peer);
        if (carrier_session(peer) != peer->old_session)
                peer->old_session = session_free(peer->old_session);
        if (!peer->session)
                return;
        if (carrier_session(peer) == peer->session)
                peer->old_session = TAKE_PTR(peer->session);
        else
                peer->session = session_free(peer->session);
}

void try_drop_path(Peer *peer)
{
        peer->suspect = peer->path_is_dead = peer->peer_is_stranded = peer->renew = false;
        peer->session = session_free(peer->session);
        peer->old_session = session_free(peer->old_session);
        carrier_release(peer);
        peer_set_state(peer, PEER_STATE_WAITING);
}

/* The new session came to nothing: the one that carries the path, if any, is the newest again. */
static void step_back(Peer *peer)
{
        peer->session = TAKE_PTR(peer->old_session);
        peer_changed(peer);
        if (!peer->session && !has_path(peer))
                peer_set_state(peer, PEER_STATE_WAITING);
}

static void start_session(Peer *peer, uint64_t instance, const Message *offer)
{
        int r;

        make_room(peer);
        r = offer ? session_new_answer(peer, offer, &peer->session)
                  : session_new_offer(peer, instance, &peer->session);
        if (r < 0) {
                log_peer_full(peer, LOG_WARNING, r, "Failed to start a session: %m");
                step_back(peer);
                return;
        }
        peer_changed(peer);
        if (!has_path(peer))
                peer_set_state(peer, PEER_STATE_NEGOTIATING);
}

/* One attempt, with what we know of the peer. */
static void attempt(Peer *peer)
{
        uint64_t instance = peer->silent ? 0 : peer->signalling.peer_instance;

        /* What the broker refuses for good it refuses again, and the path stays. */
        if (wants_better_path(peer))
                peer->sharing_failures = 0;
        peer->n_asked++;
        if (peer->signalling.controlling && instance != 0 && peer_policy_allows_session(peer)) {
                start_session(peer, instance, /* offer= */ NULL);
                return;
        }
        /* If this instance of it does not answer, the next hello is for whoever is there. */
        peer->silent = true;
        exchange_send_hello(peer, instance);
        peer_update_reason(peer);
}

static int on_retry(sd_event_source *source, uint64_t t, void *userdata);

static void arm_retry(Peer *peer)
{
        bool beside = wants_better_path(peer) && !peer->suspect && !peer->path_is_dead && !peer->renew;
        usec_t pause = attempts_pause(&peer->attempts, beside ? ATTEMPTS_BETTER_PATH : ATTEMPTS_PATH);
        int r;

        r = event_arm_timer_jittered(peer->link->manager->event, &peer->retry_timer, pause, on_retry, peer,
                                     "peer-retry");
        if (r < 0)
                log_peer_full(peer, LOG_WARNING, r, "Failed to schedule the next attempt, ignoring: %m");
}

static void attempt_and_arm(Peer *peer)
{
        if (can_try(peer))
                attempt(peer);
        else
                peer_update_reason(peer);
        /* Where nothing can be tried an event will come when that changes; but a suspicion does not wait for
         * ever. */
        if (can_try(peer) || peer->suspect)
                arm_retry(peer);
}

/* Nothing new was found for a path that ICE has lost: does it carry packets nevertheless? */
static void settle_suspicion(Peer *peer)
{
        if (carrier_received_packets(peer) > peer->suspect_since_packets)
                peer->suspect = false;
        else if (peer->attempts.step >= SUSPICION_STEPS && !session_is_negotiating(peer->session))
                try_drop_path(peer);
}

static int on_retry(sd_event_source *source, uint64_t t, void *userdata)
{
        Peer *peer = userdata;

        attempts_elapsed(&peer->attempts);
        if (peer->suspect)
                settle_suspicion(peer);
        if (!wants_path(peer)) {
                attempts_restart(&peer->attempts);
                return 0;
        }
        /* A session has its own timers, and tells how it ends. */
        if (is_busy(peer)) {
                arm_retry(peer);
                return 0;
        }
        attempt_and_arm(peer);
        return 0;
}

void try_now(Peer *peer)
{
        if (!wants_path(peer) || is_busy(peer)) {
                peer_update_reason(peer);
                return;
        }
        attempts_restart(&peer->attempts);
        /* Events come together, and most before anything can be said: those cost nothing. */
        if (!can_try(peer) || ratelimit_ok(&peer->hello_limit, now(CLOCK_BOOTTIME)))
                attempt_and_arm(peer);
        else
                arm_retry(peer);
}

void try_again(Peer *peer)
{
        if (peer_is_self_reliant(peer))
                return;
        peer->renew = true;
        if (peer->session && peer->session != carrier_session(peer)) {
                peer->session = session_free(peer->session);
                step_back(peer);
        }
        try_now(peer);
}

void try_path_is_dead(Peer *peer)
{
        if (peer->path.kind == PATH_NONE || peer->path_is_dead)
                return;
        peer->path_is_dead = true;
        if (!path_switch_escape(peer)) {
                if (session_is_too_slow(peer->session))
                        try_again(peer);
                else
                        try_now(peer);
        }
        peer_update_reason(peer);
}

void try_path_is_alive(Peer *peer)
{
        peer->path_is_dead = false;
        peer_update_reason(peer);
}

/* The address or port that the path begins at has gone. */
static bool has_lost_its_base(const Peer *peer)
{
        const Manager *m = peer->link->manager;
        const IceCandidate *local = &peer->path.local;
        const SocketAddress *base = local->type == ICE_CANDIDATE_HOST ? &local->address : &local->related;

        /* Where it begins is not known; but some address has gone since it was last proven. */
        if (!peer->path.negotiated)
                return peer->handshake_at < peer->doubted;
        if (carrier_is_plain(peer) && socket_address_is_set(&local->address) &&
            local->type == ICE_CANDIDATE_HOST &&
            socket_address_port(&local->address) != peer->link->listen_port)
                return true;
        return local->type != ICE_CANDIDATE_RELAY && socket_address_is_set(base) &&
               !socket_addresses_contain_ip(m->addresses, m->n_addresses, base);
}

/* It was found by other means than there are now. */
static bool has_lost_its_means(const Peer *peer)
{
        const Session *s = carrier_session(peer);

        return s && ((s->shared && !sharing_is_on(peer->link->manager)) || session_has_lost_its_relay(s));
}

bool try_is_stranded(const Peer *peer)
{
        return peer->state != PEER_STATE_CONNECTED || peer->suspect || peer->path_is_dead ||
               has_lost_its_base(peer);
}

AttemptsWish try_wish(const Peer *peer)
{
        if (try_is_stranded(peer) || peer->peer_is_stranded || has_lost_its_means(peer) ||
            !allows_path(peer, peer->path.kind))
                return ATTEMPTS_WISH_ANY;
        return peer->renew ? ATTEMPTS_WISH_EQUAL : ATTEMPTS_WISH_BETTER;
}

void try_path_taken(Peer *peer, const Path *before)
{
        int better = path_compare(&peer->path, before);

        peer->suspect = peer->path_is_dead = peer->peer_is_stranded = peer->renew = false;
        if (better < 0)
                attempts_after_loss(&peer->attempts);
        else if (better > 0)
                attempts_restart(&peer->attempts);
        event_disarm_timer(peer->retry_timer);
        try_better_later(peer);
}

void try_better_later(Peer *peer)
{
        if (wants_better_path(peer) && !event_timer_is_armed(peer->retry_timer))
                arm_retry(peer);
}

void try_session_unneeded(Session *s)
{
        Peer *peer = s->peer;

        peer->renew = false; /* what there is, is the best there is */
        peer->session = session_free(s);
        step_back(peer);
}

void try_cancel(Peer *peer)
{
        event_disarm_timer(peer->retry_timer);
        attempts_restart(&peer->attempts);
}

/* A hello that was sent before the answer to our offer, and was held up on the way (at a slow rendezvous, or
 * by one that means no good) until that was settled. */
static bool was_satisfied(const Peer *peer, const Message *m)
{
        const Session *s = peer->session;

        return s && s->peer_instance == m->instance && s->answered && m->sequence < s->answer;
}

/* A hello that was sent after the answer to our offer: over there, what is being negotiated was dropped. */
static bool has_given_up(const Peer *peer, const Message *m)
{
        const Session *s = peer->session;

        return s->answered && m->sequence > s->answer;
}

/* Beside a path it is as good as an attempt of our own. */
static void start_asked_for(Peer *peer, const Message *m, const Message *offer)
{
        if (has_path(peer))
                attempts_elapsed(&peer->attempts);
        start_session(peer, m->instance, offer);
        arm_retry(peer);
}

static void handle_hello(Peer *peer, const Message *m, SignallingVerdict verdict)
{
        bool proven = verdict != SIGNALLING_ANSWER_HELLO;
        bool negotiating = session_is_negotiating(peer->session);

        if (!peer->signalling.controlling) {
                /* The other side makes the offers, once it knows that we are who we are now. */
                if (verdict != SIGNALLING_ACCEPT)
                        exchange_send_hello(peer, m->instance);
                return;
        }
        if (negotiating && peer->session->peer_instance == m->instance &&
            !(proven && has_given_up(peer, m))) {
                /* It was not there when we offered. */
                if (!proven && !peer->session->answered)
                        session_repeat_description(peer->session);
                return;
        }
        if (was_satisfied(peer, m) || !can_try(peer))
                return;
        /* What proves nothing must not disturb what works or is under way. */
        if (!proven && (negotiating || has_path(peer))) {
                exchange_send_hello(peer, m->instance);
                return;
        }
        if (has_path(peer))
                peer_because_unless_known(peer, PATH_CAUSE_PEER_ASKED);
        start_asked_for(peer, m, /* offer= */ NULL);
}

static void handle_offer(Peer *peer, const Message *m)
{
        if (peer->session && peer->session->id == m->session) {
                session_repeat_description(peer->session);
                session_take_candidates(peer->session, m);
                return;
        }
        if (!can_try(peer)) {
                peer_update_reason(peer);
                return;
        }
        if (has_path(peer))
                peer_because_unless_known(peer, PATH_CAUSE_PEER_ASKED);
        start_asked_for(peer, m, m);
}

static void handle_answer(Peer *peer, const Message *m)
{
        Session *s = peer->session;

        if (!s || s->id != m->session)
                return;
        session_take_answer(s, m);
        if (peer->early && peer->early->session == s->id)
                session_take_candidates(s, peer->early);
}

/* Rendezvous differ in speed: candidates can be here before the offer or answer that they belong to. */
static void keep_for_later(Peer *peer, const Message *m)
{
        if (!peer->early)
                peer->early = new (Message, 1);
        if (peer->early)
                *peer->early = *m;
}

static void handle_candidates(Peer *peer, const Message *m)
{
        if (peer->session && peer->session->id == m->session && peer->session->answered)
                session_take_candidates(peer->session, m);
        else
                keep_for_later(peer, m);
}

static void handle_bye(Peer *peer, const Message *m)
{
        if (m->session != 0 && (!peer->session || peer->session->id != m->session))
                return;
        log_peer_event(peer, LOG_INFO, 0, LOG_EVENT_PEER_LEFT, (), "Said goodbye.");
        peer->silent = true;
        peer->doubted = now(CLOCK_BOOTTIME);
        peer_because(peer, m->network.policy == POLICY_OFF ? PATH_CAUSE_POLICY : PATH_CAUSE_PEER_LEFT);
        try_drop_path(peer);
        arm_retry(peer);
}

/* It has started anew, or we are told so for the first time: a negotiation with the one before it will not
 * end. */
static void follow_instance(Peer *peer, const Message *m)
{
        if (session_is_negotiating(peer->session) && peer->session->peer_instance != m->instance) {
                peer->session = session_free(peer->session);
                step_back(peer);
        }
        if (has_path(peer))
                peer_because(peer, PATH_CAUSE_PEER_RESTARTED);
        attempts_restart(&peer->attempts);
}

void try_handle_message(Peer *peer, const Message *m, SignallingVerdict verdict)
{
        if (verdict != SIGNALLING_ANSWER_HELLO) {
                peer->silent = false;
                /* With candidates it may have been said after the path was taken. */
                if (m->type != MESSAGE_CANDIDATES)
                        peer->peer_is_stranded = m->stranded;
        }
        if (verdict == SIGNALLING_ACCEPT_NEW_INSTANCE)
                follow_instance(peer, m);
        if (!peer_policy_admits(peer, m, verdict))
                return;

        switch (m->type) {
        case MESSAGE_HELLO:
                handle_hello(peer, m, verdict);
                break;
        case MESSAGE_OFFER:
                handle_offer(peer, m);
                break;
        case MESSAGE_ANSWER:
                handle_answer(peer, m);
                break;
        case MESSAGE_CANDIDATES:
                handle_candidates(peer, m);
                break;
        case MESSAGE_BYE:
                handle_bye(peer, m);
                break;
        default:
                break;
        }
        peer_update_reason(peer);
}

/* The pair may still carry packets, and only the checks have got lost: nothing is dropped before that is
 * known. */
static void suspect_path(Peer *peer)
{
        if (peer->suspect)
                return;
        /* WireGuard needs no checks of ours: reliance.c sees when it no longer gets through. */
        peer_because(peer, PATH_CAUSE_PATH_LOST);
        if (carrier_is_plain(peer)) {
                if (!is_busy(peer))
                        try_again(peer);
                return;
        }
        peer->suspect = true;
        peer->suspect_since_packets = carrier_received_packets(peer);
        if (path_switch_escape(peer))
                return;
        try_now(peer);
        if (!event_timer_is_armed(peer->retry_timer))
                arm_retry(peer);
}

/* Its path was left a moment ago, or it has none. */
static void old_session_failed(Peer *peer)
{
        peer->old_session = session_free(peer->old_session);
        if (peer->session || has_path(peer))
                return;
        peer_set_state(peer, PEER_STATE_WAITING);
        try_now(peer);
}

void try_session_failed(Session *s, bool answered)
{
        Peer *peer = s->peer;

        log_peer_full(peer, LOG_INFO, 0, "%s",
                      !answered     ? "The offer was not answered."
                      : s->selected ? "The path seems to be lost."
                                    : "No path was found.");
        if (s == carrier_session(peer)) {
                suspect_path(peer);
                return;
        }
        if (s == peer->old_session) {
                old_session_failed(peer);
                return;
        }
        if (!answered)
                peer->silent = true;
        else
                peer->renew = false; /* what there is, is the best there is */
        peer->session = session_free(s);
        step_back(peer);
        if (!has_path(peer))
                peer_set_state(peer, answered ? PEER_STATE_FAILED : PEER_STATE_WAITING);
        arm_retry(peer);
}

void try_session_aborted(Session *s)
{
        Peer *peer = s->peer;

        peer->session = session_free(s);
        step_back(peer);
        arm_retry(peer);
}

void try_session_revived(Session *s)
{
        if (s == s->peer->session || s == s->peer->old_session)
                s->peer->suspect = false;
}
