/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "peer.h"

#include "carrier.h"
#include "exchange.h"
#include "link-mappings.h"
#include "log-event.h"
#include "manager.h"
#include "path-switch.h"
#include "peer-policy.h"
#include "reliance.h"
#include "session.h"
#include "string-util.h"
#include "try.h"

/* What one rendezvous may bring for one peer before it is looked at, as each envelope costs the broker some
 * 300 µs of arithmetic: a negotiation takes about ten. */
#define INCOMING_BURST 40
#define INCOMING_INTERVAL (100 * USEC_PER_MSEC)

static const char *const peer_state_table[_PEER_STATE_MAX] = {
        [PEER_STATE_WAITING] = "waiting",       [PEER_STATE_NEGOTIATING] = "negotiating",
        [PEER_STATE_CONNECTING] = "connecting", [PEER_STATE_CONNECTED] = "connected",
        [PEER_STATE_FAILED] = "failed",
};
DEFINE_STRING_TABLE(peer_state, PeerState);

const char *peer_link_name(const Peer *peer)
{
        return peer->link->name;
}

int peer_new(Link *link, const WireguardPeer *observed, Peer **ret)
{
        Peer *peer;

        peer = new0(Peer, 1);
        if (!peer)
                return -ENOMEM;

        peer->link = link;
        peer->public_key = observed->public_key;
        peer->preshared_key_changes = observed->preshared_key_changes;
        peer->path = peer_no_path;
        peer->switch_at = USEC_INFINITY;
        peer->reason = PEER_REASON_PEER_SILENT;
        peer->policy = peer_configs_policy(&link->manager->config->peers, &observed->public_key);
        peer->hello_limit = (RateLimit) { .interval = USEC_PER_SEC, .burst = 4 };
        for (size_t i = 0; i < RENDEZVOUS_MAX; i++)
                peer->incoming[i] = (RateLimit) { .interval = INCOMING_INTERVAL, .burst = INCOMING_BURST };
        signalling_init(&peer->signalling,
                        wireguard_key_compare(&link->public_key, &observed->public_key) < 0);
        HASH_ADD(hh, link->peers, public_key, sizeof(peer->public_key), peer);
        peer_observe(peer, observed);
        peer_changed(peer);
        exchange_start(peer);
        peer_update_reason(peer);
        *ret = peer;
        return 0;
}

Peer *peer_free(Peer *peer)
{
        if (!peer)
                return NULL;

        try_cancel(peer);
        path_switch_stop(peer); /* the broker is told, and its answer not waited for */
        exchange_stop(peer);
        pulse_done(peer);
        carrier_release(peer);
        peer->session = session_free(peer->session);
        peer->old_session = session_free(peer->old_session);
        sd_event_source_disable_unref(peer->policy_timer);
        sd_event_source_disable_unref(peer->retry_timer);
        sd_event_source_disable_unref(peer->reliance_timer);
        sd_event_source_disable_unref(peer->handover_timer);
        sd_event_source_disable_unref(peer->handshake_timer);
        sd_event_source_disable_unref(peer->endpoint_timer);
        HASH_DEL(peer->link->peers, peer);
        exchange_free_early(peer);
        history_done(&peer->history);
        free(peer->allowed_ips);
        free(peer->reason_detail);
        free(peer);
        return NULL;
}

static void copy_allowed_ips(Peer *peer, const WireguardPeer *observed)
{
        IpPrefix *copy;

        if (peer->n_allowed_ips == observed->n_allowed_ips &&
            (peer->n_allowed_ips == 0 ||
             memcmp(peer->allowed_ips, observed->allowed_ips, sizeof(IpPrefix) * peer->n_allowed_ips) == 0))
                return;
        copy = new (IpPrefix, MAX(observed->n_allowed_ips, (size_t) 1));
        if (!copy) {
                log_oom();
                return;
        }
        if (observed->n_allowed_ips > 0)
                memcpy(copy, observed->allowed_ips, sizeof(IpPrefix) * observed->n_allowed_ips);
        free(peer->allowed_ips);
        peer->allowed_ips = copy;
        peer->n_allowed_ips = observed->n_allowed_ips;
        peer_changed(peer);
}

/* WireGuard counts in wall-clock time, which may be set; how old a handshake is we know when we see it
 * first. */
static void follow_handshake(Peer *peer, usec_t handshake)
{
        usec_t t = now(CLOCK_BOOTTIME), age = usec_sub(now(CLOCK_REALTIME), handshake);

        if (peer->last_handshake == handshake)
                return;
        peer->last_handshake = handshake;
        /* A device that is written anew has forgotten its own; that there was one is still true. */
        if (handshake > 0)
                peer->handshake_at = usec_sub(t, age);
        peer_changed(peer);
}

/* Is there more to see than that WireGuard is there? */
static bool is_busy(const Peer *peer, const WireguardPeer *observed)
{
        usec_t interval = usec_sub(now(CLOCK_BOOTTIME), peer->observed);
        bool handshake = peer->last_handshake != observed->last_handshake;

        return peer->path.kind != PATH_NONE &&
               (!socket_address_equal(&peer->endpoint, &observed->endpoint) ||
                observed->rx_bytes < peer->rx_bytes || observed->tx_bytes < peer->tx_bytes ||
                traffic_is_loud(observed->rx_bytes - peer->rx_bytes, interval, handshake) ||
                traffic_is_loud(observed->tx_bytes - peer->tx_bytes, interval, handshake));
}

/* Envelopes that did not open may, and WireGuard, which waits for its next handshake with the new one,
 * needs nobody; but who has none yet need not wait for the end of its pause. */
static void follow_preshared_key(Peer *peer, const WireguardPeer *observed)
{
        if (peer->preshared_key_changes == observed->preshared_key_changes)
                return;
        peer->preshared_key_changes = observed->preshared_key_changes;
        peer->refused_since_accepted = false;
        if (peer->state == PEER_STATE_CONNECTING)
                peer_reconnect(peer);
        else if (peer->state != PEER_STATE_CONNECTED)
                try_now(peer);
}

void peer_observe(Peer *peer, const WireguardPeer *observed)
{
        peer->link->busy = peer->link->busy || is_busy(peer, observed);
        peer->observed = now(CLOCK_BOOTTIME);
        peer->rewritten = observed->rx_bytes < peer->rx_bytes || observed->tx_bytes < peer->tx_bytes ||
                          (observed->last_handshake == 0 && peer->last_handshake > 0);
        if (!socket_address_equal(&peer->endpoint, &observed->endpoint) ||
            peer->persistent_keepalive != observed->persistent_keepalive)
                peer_changed(peer);
        peer->endpoint = observed->endpoint;
        follow_handshake(peer, observed->last_handshake);
        peer->rx_bytes = observed->rx_bytes;
        peer->tx_bytes = observed->tx_bytes;
        peer->persistent_keepalive = observed->persistent_keepalive;
        copy_allowed_ips(peer, observed);
        carrier_observe(peer);
        peace_follow(peer);
        pulse_follow(peer);
        reliance_follow(peer);
        follow_preshared_key(peer, observed);
}

void peer_changed(Peer *peer)
{
        peer->dirty = true;
        manager_schedule_flush(peer->link->manager);
        link_mappings_consider_need(peer->link);
}

void peer_set_state(Peer *peer, PeerState state)
{
        if (peer->state != state) {
                /* A link is told of with how many of its peers are connected. */
                if (peer->state == PEER_STATE_CONNECTED || state == PEER_STATE_CONNECTED)
                        peer->link->dirty = true;
                peer->state = state;
                peer_changed(peer);
        }
        peer_update_reason(peer);
}

const Path peer_no_path = { .round_trip_time = USEC_INFINITY };

static PathCause known_cause(const Peer *peer, usec_t t)
{
        return usec_sub(t, peer->because_since) < PEER_BECAUSE_MAX ? peer->because : PATH_CAUSE_UNKNOWN;
}

/* As the history has it: what is no change there is not worth a line. */
static void log_path(Peer *peer)
{
        const Path *path = &peer->path;
        HistoryChange change;
        const char *cause;

        history_get(&peer->history, history_count(&peer->history) - 1, &change);
        cause = path_cause_to_string(change.cause);
        if (path->kind == PATH_NONE) {
                log_peer_event(peer, LOG_INFO, 0, LOG_EVENT_PATH_CHANGED,
                               (LOG_FIELD("ICEWIRE_PATH=%s", path_kind_to_string(path->kind)),
                                LOG_FIELD("ICEWIRE_PATH_BEFORE=%s", path_kind_to_string(change.from.kind)),
                                LOG_FIELD("ICEWIRE_CAUSE=%s", cause)),
                               "There is no path any more (%s).", cause);
                return;
        }
        log_peer_event(peer, LOG_INFO, 0, LOG_EVENT_PATH_CHANGED,
                       (PATH_LOG_FIELDS(path),
                        LOG_FIELD("ICEWIRE_PATH_BEFORE=%s", path_kind_to_string(change.from.kind)),
                        LOG_FIELD("ICEWIRE_CAUSE=%s", cause)),
                       "Path is %s (%s): %s to %s.", path_kind_to_string(path->kind), cause,
                       ICE_CANDIDATE_STR(&path->local), ICE_CANDIDATE_STR(&path->remote));
}

void peer_set_path(Peer *peer, const Path *path)
{
        usec_t t = now(CLOCK_BOOTTIME);
        Path before = peer->path;
        int r;

        r = history_record(&peer->history, path, known_cause(peer, t), now(CLOCK_REALTIME), t);
        peer->because = PATH_CAUSE_UNKNOWN;
        peer->path = *path;
        if (r < 0)
                log_oom();
        else if (r > 0)
                log_path(peer);
        peer_changed(peer);
        pulse_path_changed(peer, &before);
        peer_policy_path_changed(peer);
        /* One that is connected stays so, when the path moves. */
        peer_update_reason(peer);
}

void peer_because(Peer *peer, PathCause cause)
{
        peer->because = cause;
        peer->because_since = now(CLOCK_BOOTTIME);
}

void peer_because_unless_known(Peer *peer, PathCause cause)
{
        if (known_cause(peer, now(CLOCK_BOOTTIME)) == PATH_CAUSE_UNKNOWN)
                peer_because(peer, cause);
}

void peer_reconnect(Peer *peer)
{
        peer->sharing_failures = 0;
        attempts_forgive(&peer->attempts);
        try_again(peer);
}

void peer_reconnect_regardless(Peer *peer)
{
        peer->doubted = now(CLOCK_BOOTTIME);
        peer_reconnect(peer);
}
