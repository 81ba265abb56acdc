/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "carrier.h"

#include "event-util.h"
#include "fd-util.h"
#include "log-event.h"
#include "manager.h"
#include "path-switch.h"
#include "peer-call.h"
#include "reliance.h"
#include "try.h"

/* Two initiations that cross undo each other: each side takes the other's, forgets its own, and refuses the
 * answer to it; WireGuard tries again after 5 s. So the controlled side, which selects its pair last,
 * begins; the controlling one learns the endpoint from its packet, and sets it itself only if nothing has
 * come by then. Often nothing does: a WireGuard in userspace that had something to send before there was an
 * endpoint has wasted its initiation, and makes no other for 5 s. What a negotiation takes, a round trip
 * over the path and more, is time enough for a packet to come. */
#define HANDSHAKE_COURTESY_MIN (100 * USEC_PER_MSEC)
#define HANDSHAKE_COURTESY_MAX USEC_PER_SEC
#define INITIATION_SIZE 148

/* How long WireGuard may take for its handshake on a new path: it tries again every 5 s (Rekey-Timeout), so
 * three tries. */
#define HANDSHAKE_TIMEOUT (16 * USEC_PER_SEC)
/* There is no event for a handshake: ask at first quickly, then ever more slowly. */
#define HANDSHAKE_POLL_FIRST (25 * USEC_PER_MSEC)
#define HANDSHAKE_STEPS_MAX 6

/* How often to set an endpoint again that somebody else has rewritten. */
#define ENDPOINT_INTERVAL (10 * USEC_PER_SEC)
#define ENDPOINT_BURST 3

/* A handshake as young as this is proof that both sides have the right keys. */
#define HANDSHAKE_RECENT (120 * USEC_PER_SEC)

static int on_handshake_timer(sd_event_source *source, uint64_t t, void *userdata);

static void on_grown(int fd, void *userdata)
{
        Manager *m = userdata;

        if (m->broker && m->broker->connected)
                (void) m->broker->ops->grow_buffers(m->broker, &fd, 1);
}

/* Not while a handshake is waited for, which has its own time; and a negotiation is under way already when
 * another session is newer than the one that carries the path. */
static void on_silence(Proxy *proxy, void *userdata)
{
        Peer *peer = userdata;
        bool waits = peer->state != PEER_STATE_CONNECTED && !peer->handshake_overdue;
        Session *s = carrier_session(peer);

        if (!waits && s && !session_is_negotiating(peer->session))
                try_session_failed(s, /* answered= */ true);
}

/* The broker would tell of it within half a minute. */
static void on_traffic(Proxy *proxy, void *userdata)
{
        Peer *peer = userdata;

        if (watch_due(&peer->link->watch) == USEC_INFINITY)
                link_watch(peer->link);
}

static int ensure_proxy(Peer *peer)
{
        Manager *m = peer->link->manager;
        int r;

        if (!m->proxies) {
                r = proxy_pool_new(m->event, on_grown, m, &m->proxies);
                if (r < 0)
                        return r;
        }
        if (peer->proxy)
                return 0;
        r = proxy_new(m->proxies, peer->link->listen_port, &peer->proxy);
        if (r < 0)
                return r;
        proxy_on_silence(peer->proxy, on_silence, peer);
        proxy_on_traffic(peer->proxy, on_traffic, peer);
        return 0;
}

/* A socket of our own beside libnice's is faster; what it cannot carry goes through libnice. */
static int attach_proxy(Peer *peer, Session *s)
{
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = ensure_proxy(peer);
        if (r < 0)
                return r;
        r = ice_agent_open_data_socket(s->ice, &fd);
        if (r >= 0)
                return proxy_set_socket(peer->proxy, TAKE_FD(fd), &s->remote.address);
        if (r != -EOPNOTSUPP)
                log_peer_full(peer, LOG_DEBUG, r, "No data socket, libnice carries the data: %m");
        proxy_set_agent(peer->proxy, s->ice, ice_agent_connection(s->ice, &s->remote),
                        s->local.type != ICE_CANDIDATE_RELAY && !s->fed);
        s->fed = s->fed || proxy_feeds_agent(peer->proxy);
        return 0;
}

bool carrier_path_is_plain(const Path *path)
{
        return socket_address_is_set(&path->endpoint) && !proxy_address_is_ours(&path->endpoint);
}

static int on_endpoint_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        Peer *peer = userdata;

        link_refresh(peer->link);
        return 0;
}

/* The reading shows whether it still has to be set. */
static void look_later(Peer *peer)
{
        (void) event_arm_timer_jittered(peer->link->manager->event, &peer->endpoint_timer, ENDPOINT_INTERVAL,
                                        on_endpoint_timer, peer, "peer-endpoint");
}

static bool has_our_endpoint(const Peer *peer)
{
        return socket_address_equal(&peer->endpoint, &peer->path.endpoint);
}

static void on_endpoint_set(Broker *b, int error, void *userdata)
{
        Peer *peer = peer_call_finish(userdata);

        peer->endpoint_is_being_set = false;
        if (error < 0) {
                log_peer_full(peer, LOG_WARNING, error, "Failed to set WireGuard's endpoint: %m");
                look_later(peer);
                return;
        }
        peer->follows_peer = true;
        link_refresh(peer->link);
}

static int ask_for_endpoint(Peer *peer, const SocketAddress *endpoint, int keepalive,
                            broker_done_callback_t callback)
{
        Broker *b = peer->link->manager->broker;
        PeerCall *c;
        int r;

        c = peer_call_new(peer);
        if (!c)
                return -ENOMEM;
        r = b->ops->set_endpoint(b, peer->link->name, &peer->public_key, endpoint, keepalive, callback, c,
                                 &c->call);
        if (r < 0)
                peer_call_free(c);
        return r;
}

static void on_keepalive_off(Broker *b, int error, void *userdata)
{
        (void) peer_call_finish(userdata);
}

void carrier_set_endpoint(Peer *peer, bool nudge)
{
        const Broker *b = peer->link->manager->broker;
        int keepalive = peer->persistent_keepalive == 0 ? CARRIER_KEEPALIVE : -1, r;

        if (!b || !b->connected)
                return; /* done when it is back: carrier_observe() */
        /* WireGuard sends a keepalive when they are switched on. */
        if (nudge && keepalive < 0 && ask_for_endpoint(peer, &(SocketAddress) {}, 0, on_keepalive_off) >= 0)
                keepalive = peer->persistent_keepalive;
        r = ask_for_endpoint(peer, &peer->path.endpoint, keepalive, on_endpoint_set);
        if (r < 0) {
                log_peer_full(peer, LOG_WARNING, r, "Failed to have WireGuard's endpoint set: %m");
                return;
        }
        peer->endpoint_is_being_set = true;
}

static bool endpoint_is_settled(const Peer *peer)
{
        return has_our_endpoint(peer) && peer->persistent_keepalive != 0;
}

/* For how long the handshake is still left to the peer. */
static usec_t courtesy_left(const Peer *peer)
{
        if (peer->handshake_wanted_since == 0)
                return 0;
        return usec_sub(peer->handshake_courtesy,
                        usec_sub(now(CLOCK_BOOTTIME), peer->handshake_wanted_since));
}

static bool leaves_handshake_to_peer(const Peer *peer)
{
        return courtesy_left(peer) > 0;
}

static void arm_handshake_timer(Peer *peer)
{
        usec_t wait = HANDSHAKE_POLL_FIRST << MIN(peer->handshake_step, (unsigned) HANDSHAKE_STEPS_MAX);
        int r;

        if (leaves_handshake_to_peer(peer))
                wait = MIN(wait, courtesy_left(peer));
        r = event_arm_timer(peer->link->manager->event, &peer->handshake_timer, wait, on_handshake_timer,
                            peer, "peer-handshake");
        if (r < 0)
                log_peer_full(peer, LOG_WARNING, r, "Failed to wait for the handshake, ignoring: %m");
}

static void stop_waiting_for_handshake(Peer *peer)
{
        event_disarm_timer(peer->handshake_timer);
        peer->handshake_wanted_since = 0;
        peer->handshake_overdue = false;
}

static int on_handshake_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        Peer *peer = userdata;

        if (usec_sub(now(CLOCK_BOOTTIME), peer->handshake_wanted_since) > HANDSHAKE_TIMEOUT) {
                /* From here on the broker tells when there is one after all. */
                peer->handshake_overdue = true;
                reliance_begin(peer);
                peer_update_reason(peer);
                return 0;
        }
        peer->handshake_step++;
        link_refresh(peer->link);
        arm_handshake_timer(peer);
        return 0;
}

/* Message type 1 with its reserved zeros, of the size that it always has (the WireGuard paper, section
 * 5.4.2). */
static bool is_initiation(const void *packet, size_t size)
{
        return packet && size == INITIATION_SIZE && memcmp(packet, (const uint8_t[]) { 1, 0, 0, 0 }, 4) == 0;
}

/* How long the handshake is left to the peer. One that has begun already has all the time. */
static usec_t courtesy(const Session *s)
{
        usec_t took = usec_sub(now(CLOCK_BOOTTIME), s->started);

        if (is_initiation(s->early, s->early_size))
                return HANDSHAKE_COURTESY_MAX;
        if (!s->peer->signalling.controlling)
                return 0;
        return CLAMP(took, HANDSHAKE_COURTESY_MIN, HANDSHAKE_COURTESY_MAX);
}

static void wait_for_handshake(Session *s)
{
        Peer *peer = s->peer;
        usec_t t = now(CLOCK_BOOTTIME);

        if (peer->state == PEER_STATE_CONNECTED)
                return;
        if (peer->last_handshake > 0 && usec_sub(t, peer->handshake_at) < HANDSHAKE_RECENT) {
                peer_set_state(peer, PEER_STATE_CONNECTED);
                return;
        }
        peer->handshake_wanted_since = t;
        peer->handshake_before = peer->last_handshake;
        peer->handshake_courtesy = courtesy(s);
        peer->handshake_overdue = false;
        peer->handshake_step = 0;
        arm_handshake_timer(peer);
        peer_set_state(peer, PEER_STATE_CONNECTING);
}

static PathKind path_kind_of(const Session *s)
{
        if (s->local.type == ICE_CANDIDATE_RELAY || s->remote.type == ICE_CANDIDATE_RELAY)
                return PATH_RELAYED;
        return session_is_plain(s) ? PATH_DIRECT : PATH_PROXIED;
}

/* Where WireGuard is to send to: the peer itself, or its relay; or the proxy. */
static int choose_endpoint(Session *s, SocketAddress *ret)
{
        int r;

        if (session_is_plain(s)) {
                *ret = s->remote.address;
                return 0;
        }
        r = attach_proxy(s->peer, s);
        if (r < 0)
                return r;
        *ret = *proxy_endpoint(s->peer->proxy);
        return 0;
}

void carrier_describe(Session *s, Path *ret)
{
        *ret = (Path) {
                .kind = path_kind_of(s),
                .transport = session_transport(s),
                .local = s->local,
                .remote = s->remote,
                .negotiated = true,
                .session = s->id,
                .since = now(CLOCK_BOOTTIME),
                .round_trip_time = ice_agent_round_trip_time(s->ice),
        };
        if (session_is_plain(s))
                ret->endpoint = s->remote.address;
}

int carrier_take_over(Session *s, bool nudge)
{
        Peer *peer = s->peer;
        Path path;
        int r;

        carrier_describe(s, &path);
        r = choose_endpoint(s, &path.endpoint);
        if (r < 0) {
                log_peer_full(peer, LOG_ERR, r, "Failed to carry the path: %m");
                return r;
        }
        peer->counters.paths++;
        peer_set_path(peer, &path);
        peer->follows_peer = has_our_endpoint(peer);
        wait_for_handshake(s);
        if (!leaves_handshake_to_peer(peer) && (nudge || !endpoint_is_settled(peer)))
                carrier_set_endpoint(peer, nudge);
        return 0;
}

int carrier_go_back(Peer *peer, const Path *path)
{
        Session *s = carrier_session_of(peer, path);
        Path back = *path;
        int r;

        if (!carrier_path_is_plain(path)) {
                r = s ? choose_endpoint(s, &back.endpoint) : -ENOTCONN;
                if (r < 0)
                        return r;
        }
        peer_set_path(peer, &back);
        peer->follows_peer = has_our_endpoint(peer);
        carrier_set_endpoint(peer, /* nudge= */ true);
        return 0;
}

void carrier_close_proxy(Peer *peer)
{
        if (carrier_is_plain(peer))
                peer->proxy = proxy_free(peer->proxy);
}

uint64_t carrier_received_packets(const Peer *peer)
{
        return peer->proxy ? proxy_counters(peer->proxy)->in_packets : 0;
}

void carrier_release(Peer *peer)
{
        path_switch_stop(peer);
        stop_waiting_for_handshake(peer);
        event_disarm_timer(peer->endpoint_timer);
        peer->proxy = proxy_free(peer->proxy);
        peer_set_path(peer, &peer_no_path);
}

void carrier_forget_session(Session *s)
{
        path_switch_forget(s);
        if (s->peer->proxy && s->ice)
                proxy_forget_agent(s->peer->proxy, s->ice);
}

void carrier_port_changed(Peer *peer)
{
        if (peer->proxy && peer->link->listen_port != 0)
                proxy_set_wireguard_port(peer->proxy, peer->link->listen_port);
}

/* Without a proxy WireGuard may have followed the peer, to another address of it or from its relay to it, or
 * somebody knows a better one; reliance.c sees if it is no good. But what it has had since before this path
 * is no news. */
static void follow_peer(Peer *peer)
{
        Path path = peer->path;

        if (peer->state != PEER_STATE_CONNECTED || !carrier_is_plain(peer) || !peer->follows_peer ||
            !socket_address_is_set(&peer->endpoint) || proxy_address_is_ours(&peer->endpoint) ||
            has_our_endpoint(peer) || path_switch_expects(peer) || !peace_admits(peer))
                return;
        log_peer_full(peer, LOG_DEBUG, 0, "WireGuard reaches it at %s now.",
                      SOCKET_ADDRESS_STR(&peer->endpoint));
        path.endpoint = peer->endpoint;
        path.remote = (IceCandidate) { .type = ICE_CANDIDATE_PRFLX, .address = peer->endpoint };
        peer_because(peer, PATH_CAUSE_ENDPOINT_BY_OTHERS);
        peer_set_path(peer, &path);
}

/* The endpoint may be ours because the peer's packet came from there, and nothing come of it: only with a
 * keepalive does WireGuard begin by itself. But one that is switched off on a path that works is somebody's
 * wish. */
static bool endpoint_is_good(const Peer *peer)
{
        return has_our_endpoint(peer) &&
               (peer->persistent_keepalive != 0 || peer->handshake_wanted_since == 0);
}

/* Somebody has rewritten the peer while our path is good. We insist at once a few times, and then no oftener
 * than that: we are no party to a war. */
static void restore_endpoint(Peer *peer)
{
        if (leaves_handshake_to_peer(peer) || endpoint_is_good(peer) || path_switch_expects(peer))
                return;
        if (peer->endpoint_is_being_set)
                return; /* and looked at again afterwards */
        /* One that others set on a path through a proxy. */
        if (peer->state == PEER_STATE_CONNECTED && !carrier_is_plain(peer) &&
            socket_address_is_set(&peer->endpoint) && !has_our_endpoint(peer) && peace_admits(peer))
                return;
        if (peer->endpoint_limit.interval == 0)
                peer->endpoint_limit = (RateLimit) { .interval = ENDPOINT_INTERVAL,
                                                     .burst = ENDPOINT_BURST };
        if (!ratelimit_ok(&peer->endpoint_limit, now(CLOCK_BOOTTIME))) {
                look_later(peer);
                return;
        }
        log_peer_full(peer, LOG_DEBUG, 0, "The endpoint is %s, keepalive %u s; setting ours.",
                      SOCKET_ADDRESS_STR(&peer->endpoint), peer->persistent_keepalive);
        carrier_set_endpoint(peer, /* nudge= */ false);
}

static void handshake_came(Peer *peer)
{
        stop_waiting_for_handshake(peer);
        peer->handshakes_missed = 0;
        peer->follows_peer = true;
        log_peer_event(peer, LOG_INFO, 0, LOG_EVENT_PEER_CONNECTED,
                       (LOG_FIELD("ICEWIRE_PATH=%s", path_kind_to_string(peer->path.kind))), "Connected.");
        peer_set_state(peer, PEER_STATE_CONNECTED);
        try_better_later(peer);
        follow_peer(peer);
        if (!endpoint_is_settled(peer))
                carrier_set_endpoint(peer, /* nudge= */ false);
}

Session *carrier_session_of(const Peer *peer, const Path *path)
{
        Session *sessions[] = { peer->session, peer->old_session };

        for (size_t i = 0; i < ELEMENTSOF(sessions) && path->session != 0; i++)
                if (session_is_selected(sessions[i]) && sessions[i]->id == path->session)
                        return sessions[i];
        return NULL;
}

void carrier_observe(Peer *peer)
{
        peer->follows_peer = peer->follows_peer || has_our_endpoint(peer);
        if (peer->handshake_wanted_since != 0 && peer->last_handshake > 0 &&
            peer->last_handshake != peer->handshake_before)
                handshake_came(peer);
        else {
                follow_peer(peer);
                if (peer->path.negotiated)
                        restore_endpoint(peer);
        }
        path_switch_observe(peer);
}
