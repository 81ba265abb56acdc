/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "path-switch.h"

#include "carrier.h"
#include "event-util.h"
#include "log-event.h"
#include "manager.h"
#include "peer-call.h"
#include "try.h"

/* What is moved is asked for again at each look, which are at most 4 s apart. */
#define MOVE_SECONDS 10

/* What was held is still in WireGuard's queues, under the name of the path before, when the broker moves the
 * other way. Until it is through, WireGuard is left to follow the packets. */
#define SETTLE (50 * USEC_PER_MSEC)

static void act(Peer *peer, HandoverAction action);
static void arm_timer(Peer *peer);
static void take(Session *s, bool irrevocable);
static Session *held_session(const Peer *peer);

/* --- what the broker moves --- */

static bool can_move(const SocketAddress *from, const SocketAddress *to)
{
        return socket_address_is_set(from) && socket_address_is_set(to) &&
               from->sa.sa_family == to->sa.sa_family && !socket_address_equal(from, to) &&
               !proxy_address_is_ours(to);
}

/* False: it cannot be asked, and nothing comes back. */
static bool ask_to_move(Peer *peer, const SocketAddress *from, const SocketAddress *to, unsigned seconds,
                        broker_move_callback_t callback)
{
        Broker *b = peer->link->manager->broker;
        PeerCall *c;
        int r;

        if (!b || !b->connected || !can_move(from, to))
                return false;
        c = peer_call_new(peer);
        if (!c) {
                log_oom();
                return false;
        }
        r = b->ops->move_source(b, peer->link->name, from, to, seconds, callback, c, &c->call);
        if (r < 0) {
                peer_call_free(c);
                log_peer_full(peer, LOG_DEBUG, r, "Failed to have late packets moved, ignoring: %m");
        }
        return r >= 0;
}

static void on_ended(Broker *b, int error, uint64_t packets, void *userdata)
{
        (void) peer_call_finish(userdata);
}

static void forget_move(Peer *peer)
{
        peer->moved_from = peer->moved_to = (SocketAddress) {};
        peer->moved_packets = 0;
        peer->move++;
}

/* From now on this is moved and nothing else; false: it cannot be. */
static bool begin_move(Peer *peer, const SocketAddress *from, const SocketAddress *to,
                       broker_move_callback_t callback)
{
        forget_move(peer);
        if (!ask_to_move(peer, from, to, MOVE_SECONDS, callback))
                return false;
        peer->moved_from = *from;
        peer->moved_to = *to;
        return true;
}

static void end_move(Peer *peer)
{
        (void) ask_to_move(peer, &peer->moved_from, &peer->moved_to, 0, on_ended);
        forget_move(peer);
}

static bool is_moving(const Peer *peer)
{
        return socket_address_is_set(&peer->moved_from);
}

/* Does what is said concern what is moved now? First thing in the callback. */
static bool finish_move(PeerCall *c, Peer **ret)
{
        bool current = c->move == c->peer->move && is_moving(c->peer);

        *ret = peer_call_finish(c);
        return current;
}

/* WireGuard goes from `left` to the path in use. Nothing may look any more as if it came by what it leaves:
 * what was to look so by the path before that comes by this one, and what came by this one comes as it is.
 */
static void lead_move_on(Peer *peer, const SocketAddress *left)
{
        const SocketAddress *to = &peer->path.endpoint;

        bool switching = handover_is_switching(&peer->handover);

        if (!is_moving(peer) ||
            ((switching || peer->switch_is_prepared) && socket_address_equal(&peer->moved_to, to)))
                return;
        /* The broker leads on what was moved to `left`. */
        if (switching && !socket_address_equal(&peer->moved_from, to) &&
            ask_to_move(peer, left, to, MOVE_SECONDS, on_ended))
                peer->moved_to = *to;
        else
                end_move(peer);
}

/* --- readings --- */

static HandoverReading read_peer(const Peer *peer)
{
        const ProxyCounters *c = peer->proxy ? proxy_counters(peer->proxy) : NULL;
        HandoverReading r = {
                .rx_bytes = peer->rx_bytes,
                .tx_bytes = peer->tx_bytes,
                .handshake_at = peer->handshake_at,
                .late = peer->moved_packets,
                .is_back = handover_is_switching(&peer->handover) && path_switch_expects(peer),
        };

        if (c && carrier_is_plain(peer))
                r.late += c->in_packets;
        else if (c) {
                r.late += c->late_packets;
                r.fresh = proxy_fresh_packets(c);
        }
        return r;
}

static void take_reading(Peer *peer)
{
        HandoverReading r = read_peer(peer);

        act(peer, handover_observe(&peer->handover, now(CLOCK_BOOTTIME), &r));
}

static void on_moved(Broker *b, int error, uint64_t packets, void *userdata)
{
        Peer *peer;

        if (finish_move(userdata, &peer)) {
                if (error < 0) {
                        log_peer_full(peer, LOG_DEBUG, error, "Late packets are not moved, ignoring: %m");
                        forget_move(peer);
                } else
                        peer->moved_packets = packets;
        }
        if (handover_is_holding(&peer->handover))
                act(peer, handover_counted(&peer->handover, peer->moved_packets, peer->rx_bytes));
        else if (handover_is_switching(&peer->handover))
                take_reading(peer);
}

void path_switch_observe(Peer *peer)
{
        const Handover *h = &peer->handover;

        if (h->state == HANDOVER_IDLE || peer->endpoint_is_being_set || peer->switch_is_prepared)
                return;
        if (handover_is_holding(h) && path_switch_expects(peer)) {
                act(peer, handover_heard(&peer->handover));
                return;
        }
        /* What was moved is to be counted after what WireGuard has received. */
        if (!is_moving(peer) ||
            !ask_to_move(peer, &peer->moved_from, &peer->moved_to, MOVE_SECONDS, on_moved))
                take_reading(peer);
        else if (handover_is_holding(h))
                take_reading(peer);
}

bool path_switch_expects(const Peer *peer)
{
        const Path *other = handover_is_holding(&peer->handover)     ? &peer->held
                            : handover_is_switching(&peer->handover) ? &peer->previous
                                                                     : &peer_no_path;

        return socket_address_is_set(&other->endpoint) &&
               socket_address_equal(&peer->endpoint, &other->endpoint) &&
               !socket_address_equal(&peer->endpoint, &peer->path.endpoint);
}

/* --- timer --- */

static int on_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        Peer *peer = userdata;

        if (peer->switch_at <= now(CLOCK_BOOTTIME) && held_session(peer)) {
                take(held_session(peer), /* irrevocable= */ false);
                return 0;
        }
        act(peer, handover_elapse(&peer->handover, now(CLOCK_BOOTTIME)));
        if (peer->handover.state != HANDOVER_IDLE)
                link_refresh(peer->link);
        arm_timer(peer);
        return 0;
}

static void arm_timer(Peer *peer)
{
        /* While a switch is prepared there is nothing to look at: the broker's answer sets the time. */
        usec_t next = peer->switch_is_prepared ? peer->switch_at : handover_next(&peer->handover);
        int r;

        if (next == USEC_INFINITY) {
                event_disarm_timer(peer->handover_timer);
                return;
        }
        r = event_arm_timer(peer->link->manager->event, &peer->handover_timer,
                            usec_sub(next, now(CLOCK_BOOTTIME)), on_timer, peer, "peer-handover");
        if (r < 0)
                log_peer_full(peer, LOG_WARNING, r, "Failed to watch the switch, ignoring: %m");
}

/* --- from one path to another --- */

static void drop_old_session(Peer *peer)
{
        if (peer->old_session && carrier_session(peer) != peer->old_session)
                peer->old_session = session_free(peer->old_session);
}

static void over(Peer *peer)
{
        handover_stop(&peer->handover);
        peer->held = peer->previous = peer_no_path;
        peer->switch_is_prepared = false;
        peer->switch_at = USEC_INFINITY;
        event_disarm_timer(peer->handover_timer);
}

static bool has_working_path(const Peer *peer)
{
        return peer->path.kind != PATH_NONE && peer->state == PEER_STATE_CONNECTED;
}

static bool same_endpoint(const Path *a, const Path *b)
{
        return carrier_path_is_plain(a) && socket_address_equal(&a->endpoint, &b->endpoint);
}

/* One of a pair that the same session has left is gone, unless WireGuard needs nobody for it. */
static bool can_go_back_to(const Peer *peer, const Path *path, const Session *left)
{
        if (path->kind == PATH_NONE || same_endpoint(path, &peer->path))
                return false;
        return carrier_path_is_plain(path) || path->session != left->id;
}

/* The pair is the path from now on. */
static void take(Session *s, bool irrevocable)
{
        Peer *peer = s->peer;
        Path before = handover_is_switching(&peer->handover) ? peer->previous : peer->path;
        SocketAddress left = peer->path.endpoint;
        bool worked = has_working_path(peer);
        HandoverReading r;
        Path path;

        carrier_describe(s, &path);
        if (carrier_take_over(s, /* nudge= */ worked && !same_endpoint(&path, &peer->path)) < 0)
                return;
        lead_move_on(peer, &left);
        session_deliver_early_data(s);
        try_path_taken(peer, &before);
        peer->held = peer_no_path;
        peer->previous = before;
        peer->switch_is_prepared = false;
        peer->switch_at = USEC_INFINITY;
        if (!peer->old_session && (before.kind == PATH_NONE || same_endpoint(&before, &peer->path))) {
                over(peer);
                carrier_close_proxy(peer);
                return;
        }
        r = read_peer(peer);
        handover_switched(&peer->handover, now(CLOCK_BOOTTIME),
                          irrevocable || !worked || !can_go_back_to(peer, &before, s), &r);
        arm_timer(peer);
}

/* What is held, if it is still there. */
static Session *held_session(const Peer *peer)
{
        return handover_is_holding(&peer->handover) ? carrier_session_of(peer, &peer->held) : NULL;
}

static void on_prepared(Broker *b, int error, uint64_t packets, void *userdata)
{
        Peer *peer;

        if (!finish_move(userdata, &peer))
                return;
        if (error < 0)
                forget_move(peer);
        if (!peer->switch_is_prepared || !held_session(peer))
                return; /* another one is held by now, or none */
        peer->switch_at = usec_add(now(CLOCK_BOOTTIME), error < 0 ? 0 : SETTLE);
        arm_timer(peer);
}

/* What comes late is moved first: not one packet takes WireGuard back. */
static void switch_to_held(Peer *peer)
{
        if (peer->switch_is_prepared)
                return;
        if (begin_move(peer, &peer->path.endpoint, &peer->held.endpoint, on_prepared)) {
                peer->switch_is_prepared = true;
                arm_timer(peer);
                return;
        }
        take(held_session(peer), /* irrevocable= */ false);
}

static void release(Peer *peer)
{
        log_peer_full(peer, LOG_DEBUG, 0, "The path before is no longer needed.");
        over(peer);
        end_move(peer);
        drop_old_session(peer);
        carrier_close_proxy(peer);
}

static void forget_held(Peer *peer)
{
        Session *s = carrier_session_of(peer, &peer->held);

        log_peer_full(peer, LOG_DEBUG, 0, "The other path is not needed.");
        over(peer);
        end_move(peer);
        if (s)
                try_session_unneeded(s);
}

/* refuted: ICE gets through by it, and still WireGuard does not. */
static void go_back(Peer *peer, bool refuted)
{
        Path left = peer->path, previous = peer->previous;
        Session *s = carrier_session(peer);

        if (refuted)
                attempts_refused(&peer->attempts, &left, now(CLOCK_BOOTTIME));
        if (refuted)
                log_peer_event(
                        peer, LOG_NOTICE, 0, LOG_EVENT_PATH_REFUTED, (PATH_LOG_FIELDS(&left)),
                        "ICE gets through by the new path, WireGuard does not: back to the one before.");
        else
                log_peer_event(peer, LOG_INFO, 0, LOG_EVENT_PATH_DEAD, (PATH_LOG_FIELDS(&left)),
                               "The new path is lost: back to the one before.");
        over(peer);
        end_move(peer);
        peer_because(peer, PATH_CAUSE_PATH_LOST);
        if (carrier_go_back(peer, &previous) < 0)
                return; /* its session has gone meanwhile: liveness has to find out */
        if (ask_to_move(peer, &left.endpoint, &previous.endpoint, MOVE_SECONDS, on_ended))
                log_peer_full(peer, LOG_DEBUG, 0, "What still comes by the new path is moved.");
        carrier_close_proxy(peer);
        if (s && s == peer->session)
                try_session_unneeded(s);
        try_better_later(peer);
        peer_update_reason(peer);
}

static void act(Peer *peer, HandoverAction action)
{
        switch (action) {
        case HANDOVER_SWITCH:
                switch_to_held(peer);
                break;
        case HANDOVER_FORGET:
                forget_held(peer);
                break;
        case HANDOVER_REPEAT:
                carrier_set_endpoint(peer, /* nudge= */ false);
                break;
        case HANDOVER_PROVED:
                log_peer_full(peer, LOG_DEBUG, 0, "The new path is proven.");
                attempts_proved(&peer->attempts, &peer->path);
                /* The peer may have switched since, and what we have sent before that is no proof to it. */
                carrier_set_endpoint(peer, /* nudge= */ true);
                break;
        case HANDOVER_RELEASE:
                release(peer);
                break;
        case HANDOVER_REVERT:
                go_back(peer, /* refuted= */ true);
                break;
        default:
                break;
        }
}

/* --- decisions --- */

static void hold(Session *s, const Path *path, bool wanted)
{
        Peer *peer = s->peer;
        bool can_hold = carrier_is_plain(peer) && can_move(&path->endpoint, &peer->path.endpoint);
        usec_t t = now(CLOCK_BOOTTIME), delay = can_hold ? HANDOVER_FOLLOW : HANDOVER_LEAD;

        if (handover_is_holding(&peer->handover)) {
                /* A better pair of the same session. */
                end_move(peer);
                peer->switch_is_prepared = false;
                peer->switch_at = USEC_INFINITY;
                if (wanted)
                        handover_want(&peer->handover, t, delay);
        } else
                handover_hold(&peer->handover, t, wanted, delay);
        peer->held = *path;
        /* A peer whose ICE carries its side goes over with its ICE. */
        if (peer->proxy && carrier_session(peer) == s) {
                proxy_admit(peer->proxy, &path->remote.address);
                /* And so does our ICE with what it has to say: nothing is written past it meanwhile. */
                proxy_forget_connection(peer->proxy);
                s->fed = s->fed || proxy_feeds_agent(peer->proxy);
        }
        log_peer_full(peer, LOG_DEBUG, 0, "Another path is there, %s, %s: %s to %s.",
                      path_kind_to_string(path->kind), wanted ? "and taken soon" : "for the case of need",
                      ICE_CANDIDATE_STR(&path->local), ICE_CANDIDATE_STR(&path->remote));
        if (can_hold)
                (void) begin_move(peer, &path->endpoint, &peer->path.endpoint, on_moved);
        link_refresh(peer->link);
        arm_timer(peer);
}

void path_switch_consider(Session *s)
{
        Peer *peer = s->peer;
        bool ours = carrier_session(peer) == s;
        AttemptsWish wish = try_wish(peer);
        Path path;

        /* A pair that the session before finds late does not take the path back. */
        if (s == peer->old_session && !ours)
                return;
        carrier_describe(s, &path);
        if (!has_working_path(peer) || wish == ATTEMPTS_WISH_ANY || same_endpoint(&path, &peer->path))
                take(s, /* irrevocable= */ true);
        else if (ours && handover_is_switching(&peer->handover))
                take(s, /* irrevocable= */ false);
        else
                hold(s, &path,
                     ours || attempts_prefer(&peer->attempts, &path, &peer->path, wish,
                                             now(CLOCK_BOOTTIME)));
}

void path_switch_heard(Session *s)
{
        Peer *peer = s->peer;

        if (held_session(peer) == s && !carrier_path_is_plain(&peer->held))
                act(peer, handover_heard(&peer->handover));
}

bool path_switch_escape(Peer *peer)
{
        Session *s = held_session(peer);

        if (s) {
                take(s, /* irrevocable= */ true);
                return true;
        }
        if (!handover_is_switching(&peer->handover) || peer->handover.irrevocable)
                return false;
        /* One that has worked may work again soon; and where ICE has lost it, too, that says nothing of
         * WireGuard. */
        go_back(peer, peer->handover.state == HANDOVER_TRYING && !peer->suspect);
        return true;
}

bool path_switch_is_busy(const Peer *peer)
{
        if (handover_is_holding(&peer->handover))
                return peer->handover.wanted;
        /* What was asked for since it was taken is for another one. */
        return peer->handover.state == HANDOVER_TRYING && !peer->renew && !peer->suspect &&
               !peer->path_is_dead;
}

void path_switch_stop(Peer *peer)
{
        over(peer);
        end_move(peer);
}

void path_switch_forget(const Session *s)
{
        Peer *peer = s->peer;

        if (handover_is_holding(&peer->handover) && peer->held.session == s->id)
                path_switch_stop(peer);
        else if (handover_is_switching(&peer->handover) && peer->previous.session == s->id &&
                 !carrier_path_is_plain(&peer->previous))
                peer->handover.irrevocable = true;
}
