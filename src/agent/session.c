/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "session.h"

#include <netinet/tcp.h>

#include "carrier.h"
#include "event-util.h"
#include "exchange.h"
#include "host-network.h"
#include "link-mappings.h"
#include "log.h"
#include "path-switch.h"
#include "peer-policy.h"
#include "random-util.h"
#include "relays.h"
#include "session-probes.h"
#include "shared-candidates.h"
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

/* When the other end acknowledges nothing for so long, the kernel gives up. */
#define TCP_TIMEOUT_MSEC 20000

/* A relayed path is renewed so long before its credentials run out. */
#define RENEW_BEFORE (60 * 60 * USEC_PER_SEC)

static int on_timer(sd_event_source *source, uint64_t t, void *userdata);
static int arm_timer(Session *s, usec_t delay);

size_t session_candidates(const Session *s, IceCandidate ret[static SDP_CANDIDATES_MAX], bool *ret_complete)
{
        const Link *link = s->peer->link;

        *ret_complete = s->gathering_done && (!s->shared || link_mappings_are_settled(link));
        if (s->shared)
                return shared_candidates_build(link, s->candidates, s->n_candidates, ret,
                                               SDP_CANDIDATES_MAX);
        memcpy(ret, s->candidates, sizeof(IceCandidate) * s->n_candidates);
        return s->n_candidates;
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

static void on_candidate(IceAgent *ice, const IceCandidate *candidate, void *userdata)
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

static void on_gathering_done(IceAgent *ice, void *userdata)
{
        Session *s = userdata;

        s->gathering_done = true;
        relays_consider(s->peer->link->manager, has_relay(s) || !peer_policy_allows_relays(s->peer));
        schedule_trickle(s);
}

/* Another session in its place, which has TCP candidates; where that one would have none either, this one
 * goes on. */
static void restart_with_tcp(Session *s)
{
        if (s->tcp || s->selected || s->peer->policy == POLICY_RELAY ||
            s->peer->link->manager->config->tcp != TCP_MODE_AUTO)
                return;
        s->restart = true;
        (void) arm_timer(s, 0);
}

/* A relay was quicker than the news that UDP leads nowhere directly: what TCP can do is not left to the next
 * look for a better path. Once. */
static void look_beyond_relay(Session *s)
{
        bool relayed = s->local.type == ICE_CANDIDATE_RELAY || s->remote.type == ICE_CANDIDATE_RELAY;

        if (s->tcp || s->restart || !s->selected || !relayed || s != carrier_session(s->peer) ||
            s->peer->state != PEER_STATE_CONNECTED || s->peer->policy == POLICY_RELAY ||
            s->peer->link->manager->config->tcp != TCP_MODE_AUTO)
                return;
        s->restart = true;
        (void) arm_timer(s, 0);
}

static bool udp_is_blocked(const Peer *peer)
{
        Network here;
        NetworkObstacle obstacle;

        peer_describe_network(peer, &here);
        obstacle = network_obstacle(&here, &peer->network);
        return obstacle == NETWORK_BLOCKED_HERE || obstacle == NETWORK_BLOCKED_THERE;
}

static void consider_tcp(Session *s)
{
        /* The checks over UDP lead nowhere. */
        if (link_udp_is_silent(s->peer->link))
                restart_with_tcp(s);
        if (udp_is_blocked(s->peer))
                look_beyond_relay(s);
}

void session_mapping_changed(Session *s)
{
        consider_tcp(s);
        if (s->shared)
                schedule_trickle(s);
}

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

/* libnice knows no candidate at the link's port, so it has discovered what leaves from there. A pair of a
 * candidate that it knows goes by an interface where nothing is shared (the route to the peer is not by the
 * address's own interface): WireGuard would leave from another port than the one that works. */
static bool leaves_from_link_port(const IceCandidate *local)
{
        return local->type == ICE_CANDIDATE_PRFLX && local->transport == ICE_TRANSPORT_UDP;
}

static bool is_refused_relay(const Session *s, const IceCandidate *remote)
{
        for (size_t i = 0; i < s->n_refused_relays; i++)
                if (socket_address_equal(&s->refused_relays[i], &remote->address))
                        return true;
        return false;
}

/* ICE discovers also what it was not told: a check of the peer's may come from a relay. */
static bool pair_is_allowed(const Session *s, const IceCandidate *local, const IceCandidate *remote)
{
        return peer_policy_allows_pair(s->peer, local->type,
                                       is_refused_relay(s, remote) ? ICE_CANDIDATE_RELAY : remote->type);
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

/* A TCP connection that is dead is to end soon: libnice has no other way to notice. */
static void limit_silence(Session *s)
{
        int fd = ice_agent_connection(s->ice, &s->remote), limit = TCP_TIMEOUT_MSEC;

        if (fd >= 0)
                (void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof(limit));
}

/* A controlling agent with TCP candidates nominates only once (RFC 6544 section 8), and may have been too
 * quick: so what has not led to a direct path over UDP is tried the other way next time. */
static void remember_what_was_tried(Session *s)
{
        bool direct = s->selected && s->local.type != ICE_CANDIDATE_RELAY &&
                      s->remote.type != ICE_CANDIDATE_RELAY && s->local.transport == ICE_TRANSPORT_UDP;

        s->peer->wants_tcp = !direct && !s->tcp;
        s->peer->needs_tcp = false;
}

/* With it goes a restart that was about to come: what is known then is considered anew. One that has been is
 * remembered. */
static void disarm_timer(Session *s)
{
        s->restart = s->restart && !event_timer_is_armed(s->timer);
        event_disarm_timer(s->timer);
}

static void on_selected(IceAgent *ice, const IceCandidate *local, const IceCandidate *remote, void *userdata)
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
        remember_what_was_tried(s);
        s->pair_shared = s->shared && leaves_from_link_port(local);
        if (s->pair_shared)
                shared_candidates_name(s->peer->link, s->candidates, s->n_candidates, &s->local);
        disarm_timer(s);
        path_switch_consider(s);
}

static void on_state(IceAgent *ice, IceState state, void *userdata)
{
        Session *s = userdata;

        log_peer_full(s->peer, LOG_DEBUG, 0, "ICE is %s.", ice_state_to_string(state));
        /* Without a pair FAILED is soft: more candidates may come, and checks of the peer's longer than our
         * own last (with TCP candidates those are few). The timer decides. */
        if (s != s->peer->session && s != s->peer->old_session)
                return; /* still in the making: whoever makes it sees the error, or the timer does */
        session_probes_state_changed(s);
        if (s->selected && (state == ICE_STATE_CONNECTED || state == ICE_STATE_READY))
                try_session_revived(s);
        if (state == ICE_STATE_FAILED && s->selected) {
                remember_what_was_tried(s);
                try_session_failed(s, /* answered= */ true);
        }
}

static void on_data(IceAgent *ice, const void *data, size_t size, void *userdata)
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

static const IceAgentCallbacks ice_callbacks = {
        .candidate = on_candidate,
        .gathering_done = on_gathering_done,
        .state = on_state,
        .selected = on_selected,
        .data = on_data,
};

/* Where the link's port is seen from outside is asked for the link, not for each session. */
static size_t choose_servers(Session *s, const char *username, const char *password, IceServer *ret)
{
        const Manager *m = s->peer->link->manager;
        size_t n = 0;

        for (size_t i = 0; i < m->n_ice_servers; i++) {
                IceServer server = m->ice_servers[i];
                bool turn = server.kind != ICE_SERVER_STUN;

                if (turn ? !password || !peer_policy_allows_relays(s->peer) ||
                                    !relays_adapt(m, m->addresses, m->n_addresses, &server)
                         : s->shared)
                        continue;
                if (turn) {
                        server.username = username;
                        server.password = password;
                }
                if (server.kind == ICE_SERVER_TURN_UDP && s->n_udp_relays < ELEMENTSOF(s->udp_relays))
                        s->udp_relays[s->n_udp_relays++] = server.address;
                ret[n++] = server;
        }
        return n;
}

static int make_agent(Session *s)
{
        Manager *m = s->peer->link->manager;
        _cleanup_free_ IceServer *servers = NULL;
        _cleanup_free_ char *username = NULL;
        _cleanup_erase_free_ char *password = NULL;
        int r;

        servers = new0(IceServer, m->n_ice_servers + 1);
        if (!servers)
                return -ENOMEM;
        s->relay_expires = USEC_INFINITY;
        s->relay_generation = m->relay_generation;
        r = relays_credentials(m, &username, &password, &s->relay_expires);
        if (r < 0 && r != -ENOENT)
                return r;
        r = ice_agent_new(m->event,
                          &(IceAgentParameters) {
                                  .controlling = s->controlling,
                                  .relay_only = s->peer->policy == POLICY_RELAY,
                                  .tcp = s->tcp,
                                  .local_addresses = m->addresses,
                                  .n_local_addresses = m->n_addresses,
                                  .servers = servers,
                                  .n_servers = choose_servers(s, username, password, servers),
                          },
                          &ice_callbacks, s, &s->ice);
        if (r < 0)
                return r;
        return ice_agent_gather(s->ice);
}

/* Its sockets share the link's port from now on, or as soon as the broker has answered. */
static int share_sockets(Session *s, broker_done_callback_t callback, BrokerCall **ret)
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
        (void) share_sockets(s, on_shared_again, &s->sharing_again);
}

bool session_is_plain(const Session *s)
{
        return s->selected && s->pair_shared && s->remote.transport == ICE_TRANSPORT_UDP;
}

/* libnice's own sockets carry STUN, and the data of relayed pairs. */
static void grow_buffers(Session *s)
{
        Broker *b = s->peer->link->manager->broker;
        _cleanup_free_ int *fds = NULL;
        size_t n;

        if (b && b->connected && ice_agent_sockets(s->ice, &fds, &n) >= 0 && n > 0)
                (void) b->ops->grow_buffers(b, fds, n);
}

static bool has_tcp_candidate(const SdpDescription *sdp)
{
        for (size_t i = 0; i < sdp->n_candidates; i++)
                if (sdp->candidates[i].transport != ICE_TRANSPORT_UDP)
                        return true;
        return false;
}

/* offer: the peer's; NULL: it is ours. A path that is lost is not the time for it, since libnice takes
 * longer to settle on a pair then; unless a session without was broken off for that. */
static bool wants_tcp(const Peer *peer, const Message *offer)
{
        if (peer->policy == POLICY_RELAY)
                return false;
        switch (peer->link->manager->config->tcp) {
        case TCP_MODE_YES:
                return true;
        case TCP_MODE_NO:
                return false;
        default:
                return (offer ? has_tcp_candidate(&offer->sdp)
                              : peer->needs_tcp ||
                                        (peer->wants_tcp && !peer->suspect && !peer->path_is_dead)) ||
                       link_udp_is_silent(peer->link);
        }
}

bool session_is_too_slow(const Session *s)
{
        return session_is_negotiating(s) && s->tcp && !wants_tcp(s->peer, /* offer= */ NULL);
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
        s->tcp = wants_tcp(peer, offer);
        s->started = now(CLOCK_BOOTTIME);
        s->probe_limit = (RateLimit) { .interval = PROBE_REQUEST_INTERVAL, .burst = PROBE_REQUEST_BURST };
        s->shared = sharing_is_on(peer->link->manager) && peer->sharing_failures < SHARING_FAILURES_MAX;
        r = make_agent(s);
        if (r < 0)
                return r;
        strcpy(s->credentials.local_ufrag, ice_agent_ufrag(s->ice));
        strcpy(s->credentials.local_pwd, ice_agent_pwd(s->ice));
        s->credentials.controlling = s->controlling;
        grow_buffers(s);
        peer->counters.sessions++;
        *ret = TAKE_PTR(s);
        return 0;
}

static void forget_offer(Session *s)
{
        if (s->offer)
                erase(s->offer, sizeof(*s->offer)); /* has an ICE password */
        s->offer = mfree(s->offer);
}

static void stop_sharing(Session *s)
{
        Broker *b = s->peer->link->manager->broker;

        broker_call_free(s->sharing);
        broker_call_free(s->sharing_again);
        if (s->shared && s->ice && b && b->connected)
                (void) b->ops->remove_sockets(b, ice_agent_ufrag(s->ice));
}

Session *session_free(Session *s)
{
        if (!s)
                return NULL;
        carrier_forget_session(s);
        stop_sharing(s);
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

static int arm_timer(Session *s, usec_t delay)
{
        return event_arm_timer(s->peer->link->manager->event, &s->timer, delay, on_timer, s,
                               "session-timer");
}

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
                (void) arm_timer(s, OFFER_INTERVAL << (s->n_offers - 1));
                return 0;
        }
        if (s->answered)
                remember_what_was_tried(s);
        /* A TURN server that does not answer has kept it gathering until now. */
        if (!s->gathering_done)
                relays_consider(s->peer->link->manager, has_relay(s));
        try_session_failed(s, s->answered);
        return 0;
}

static void refuse_relay(Session *s, const IceCandidate *c)
{
        if (!is_refused_relay(s, c) && s->n_refused_relays < SESSION_REFUSED_RELAYS_MAX)
                s->refused_relays[s->n_refused_relays++] = c->address;
}

static void take_candidate(Session *s, const IceCandidate *c)
{
        int r;

        if (c->type == ICE_CANDIDATE_RELAY && !peer_policy_allows_relays(s->peer)) {
                refuse_relay(s, c);
                return;
        }
        if (!address_is_usable_remote(&c->address, NULL, 0) ||
            manager_address_is_tunnelled(s->peer->link->manager, &c->address)) {
                log_peer_full(s->peer, LOG_DEBUG, 0, "Remote candidate %s is of no use here.",
                              ICE_CANDIDATE_STR(c));
                return;
        }
        r = ice_agent_add_remote_candidate(s->ice, c);
        if (r > 0)
                log_peer_full(s->peer, LOG_DEBUG, 0, "Remote candidate %s.", ICE_CANDIDATE_STR(c));
}

/* The peer has found out that UDP leads nowhere, which only the controlling side can act on. */
static void consider_peers_tcp(Session *s, const SdpDescription *sdp)
{
        if (s->controlling && has_tcp_candidate(sdp))
                restart_with_tcp(s);
}

static void take_candidates(Session *s, const SdpDescription *sdp)
{
        /* Those over TCP first: libnice takes none of them once its checks have begun. */
        for (unsigned pass = 0; pass < 2; pass++)
                for (size_t i = 0; i < sdp->n_candidates; i++)
                        if ((sdp->candidates[i].transport == ICE_TRANSPORT_UDP) == (pass == 1))
                                take_candidate(s, &sdp->candidates[i]);
        if (sdp->end_of_candidates && !s->remote_ended) {
                s->remote_ended = true;
                (void) ice_agent_end_of_candidates(s->ice);
        }
        consider_peers_tcp(s, sdp);
        consider_tcp(s); /* what the peer tells of its network may be news, too */
}

static int take_description(Session *s, const SdpDescription *sdp)
{
        int r;

        r = ice_agent_set_remote_credentials(s->ice, sdp->ufrag, sdp->pwd);
        if (r < 0)
                return r;
        s->answered = true;
        strcpy(s->credentials.remote_ufrag, sdp->ufrag);
        strcpy(s->credentials.remote_pwd, sdp->pwd);
        r = arm_timer(s, PATIENCE);
        if (r < 0)
                return r;
        take_candidates(s, sdp);
        return 0;
}

static int begin_offer(Session *s)
{
        int r;

        s->n_offers = 1;
        r = arm_timer(s, OFFER_INTERVAL);
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
        r = take_description(s, &s->offer->sdp);
        forget_offer(s);
        if (r >= 0 && early && early->session == s->id)
                take_candidates(s, &early->sdp);
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
        return s->shared ? share_sockets(s, on_shared, &s->sharing) : begin(s);
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

void session_take_answer(Session *s, const Message *answer)
{
        int r;

        if (s->answered) {
                take_candidates(s, &answer->sdp);
                return;
        }
        s->answer = answer->sequence;
        r = take_description(s, &answer->sdp);
        if (r < 0)
                log_peer_full(s->peer, LOG_WARNING, r, "Failed to take the peer's answer: %m");
}

void session_take_candidates(Session *s, const Message *candidates)
{
        if (s->answered)
                take_candidates(s, &candidates->sdp);
}
