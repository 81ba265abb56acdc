/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "reliance.h"

#include "carrier.h"
#include "event-util.h"
#include "log.h"
#include "manager.h"
#include "session.h"
#include "try.h"

/* WireGuard gives a session up this long after its handshake (REJECT_AFTER_TIME of the WireGuard paper,
 * section 6.1). */
#define HANDSHAKE_VALID (180 * USEC_PER_SEC)

/* How often to look at a peer whose handshake is older than that. When paths come one after the other and
 * none gets a handshake (the two disagree about their keys, or WireGuard alone is filtered), twice as long
 * each time, up to 8 min. */
#define STALE_INTERVAL (30 * USEC_PER_SEC)
#define HANDSHAKES_MISSED_MAX 5U

/* When ICE has nothing more to find: a negotiation is given up after 40 s. */
#define REST_AFTER (60 * USEC_PER_SEC)

static bool handshake_is_fresh(const Peer *peer)
{
        return peer->handshake_at > 0 && usec_sub(now(CLOCK_BOOTTIME), peer->handshake_at) < HANDSHAKE_VALID;
}

static bool handshake_is_doubtful(const Peer *peer)
{
        return peer->handshake_at < peer->doubted;
}

static usec_t handshake_patience(const Peer *peer)
{
        return STALE_INTERVAL << (peer->handshakes_missed - 1);
}

/* The link may be read at any time, for other peers of it. */
static bool handshake_is_missed(const Peer *peer)
{
        return peer->handshake_overdue &&
               usec_sub(now(CLOCK_BOOTTIME), peer->handshake_wanted_since) > handshake_patience(peer);
}

/* Does WireGuard get through, at an endpoint that needs no proxy? */
static bool endpoint_works(const Peer *peer)
{
        /* carrier.c sets that of a path of ours again. */
        if (!peer->path.negotiated &&
            (!socket_address_is_set(&peer->endpoint) || proxy_address_is_ours(&peer->endpoint)))
                return false;
        if (peer->path.kind == PATH_NONE)
                return handshake_is_fresh(peer) && !handshake_is_doubtful(peer);
        if (!carrier_is_plain(peer))
                return false;
        /* The first handshake over a path of ours has its own time, in carrier.c. */
        if (peer->state != PEER_STATE_CONNECTED)
                return !handshake_is_missed(peer) || !peer->unanswered;
        return handshake_is_fresh(peer) || !peer->unanswered;
}

bool peer_is_self_reliant(const Peer *peer)
{
        return peer->policy != POLICY_RELAY && !carrier_session(peer) && !handshake_is_doubtful(peer) &&
               !pulse_is_dead(peer) && endpoint_works(peer);
}

static void judge(Peer *peer)
{
        if (handshake_is_fresh(peer))
                peer->stale = peer->unanswered = false;
        else if (!peer->stale) {
                peer->stale = true;
                peer->stale_tx_bytes = peer->tx_bytes;
        } else if (peer->tx_bytes > peer->stale_tx_bytes)
                peer->unanswered = true;
}

void reliance_begin(Peer *peer)
{
        peer->stale = peer->unanswered = false;
        peer->handshakes_missed = MIN(peer->handshakes_missed + 1, HANDSHAKES_MISSED_MAX);
        link_refresh(peer->link);
}

static int on_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        Peer *peer = userdata;

        link_refresh(peer->link);
        return 0;
}

static usec_t interval(const Peer *peer)
{
        usec_t age = usec_sub(now(CLOCK_BOOTTIME), peer->handshake_at);

        if (peer->handshake_overdue)
                return handshake_patience(peer);
        return peer->stale ? STALE_INTERVAL : usec_sub(HANDSHAKE_VALID, age) + USEC_PER_SEC;
}

static void arm_timer(Peer *peer)
{
        int r;

        r = event_arm_timer_jittered(peer->link->manager->event, &peer->reliance_timer, interval(peer),
                                     on_timer, peer, "peer-reliance");
        if (r < 0)
                log_peer_full(peer, LOG_WARNING, r, "Failed to watch the endpoint, ignoring: %m");
}

static void leave_alone(Peer *peer)
{
        Path path = peer->path;

        path.kind = PATH_DIRECT;
        path.since = now(CLOCK_BOOTTIME);
        path.endpoint = peer->endpoint;
        log_peer_full(peer, LOG_INFO, 0, "WireGuard reaches it at %s by itself.",
                      SOCKET_ADDRESS_STR(&peer->endpoint));
        try_cancel(peer);
        peer->session = session_free(peer->session);
        peer_because(peer, PATH_CAUSE_ENDPOINT_BY_OTHERS);
        peer_set_path(peer, &path);
        peer->follows_peer = true;
        peer_set_state(peer, PEER_STATE_CONNECTED);
}

static void take_care(Peer *peer)
{
        log_peer_full(peer, LOG_INFO, 0, "WireGuard no longer reaches it at %s.",
                      SOCKET_ADDRESS_STR(&peer->path.endpoint));
        event_disarm_timer(peer->reliance_timer);
        peer->stale = peer->unanswered = false;
        try_drop_path(peer);
        try_now(peer);
}

/* A direct path is WireGuard's own, and its keepalives hold the NATs on the way open as ICE's would. */
static bool can_do_without_session(const Peer *peer)
{
        return peer->session && carrier_session(peer) == peer->session && !peer->old_session &&
               !peer->proxy && !peer->renew && peer->path.kind == PATH_DIRECT &&
               peer->state == PEER_STATE_CONNECTED && peer->persistent_keepalive > 0 &&
               peer->persistent_keepalive <= CARRIER_KEEPALIVE && handshake_is_fresh(peer) &&
               usec_sub(now(CLOCK_BOOTTIME), peer->path.since) > REST_AFTER;
}

/* What it cost is free for others: memory, descriptors, allocations at the TURN servers, and wake-ups. */
static void end_session(Peer *peer)
{
        log_peer_full(peer, LOG_DEBUG, 0, "WireGuard has the path, ICE is over.");
        peer->session = session_free(peer->session);
        manager_schedule_trim(peer->link->manager);
}

void reliance_follow(Peer *peer)
{
        bool works;

        judge(peer);
        works = endpoint_works(peer);
        if (works && peer->path.kind == PATH_NONE && !session_is_negotiating(peer->session) &&
            peer->policy != POLICY_RELAY)
                leave_alone(peer);
        else if (!works && carrier_is_plain(peer))
                take_care(peer);
        if (can_do_without_session(peer))
                end_session(peer);
        if (works && (peer->state == PEER_STATE_CONNECTED || peer->handshake_overdue))
                arm_timer(peer);
}
