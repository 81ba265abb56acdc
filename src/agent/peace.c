/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "peace.h"

#include "carrier.h"
#include "log-event.h"
#include "manager.h"
#include "try.h"

/* A device that is written anew has lost its keys, and nothing passes before WireGuard has shaken hands; a
 * lost message is repeated after 5 s. */
#define PATIENCE_REWRITTEN (6 * USEC_PER_SEC)
/* Nobody probes a path through a proxy, and ours works. */
#define PATIENCE_PROXIED (3 * USEC_PER_SEC)
/* Nor where the peer does not answer probes; whoever only receives says so after 10 s. */
#define PATIENCE_UNPROBED (15 * USEC_PER_SEC)

static usec_t patience(const Peer *peer)
{
        if (peer->rewritten)
                return PATIENCE_REWRITTEN;
        if (!carrier_is_plain(peer))
                return PATIENCE_PROXIED;
        return peer->pulse.liveness.trusted ? USEC_INFINITY : PATIENCE_UNPROBED;
}

bool peace_admits(Peer *peer)
{
        EndpointTrial *trial = &peer->peace.trial;
        bool was_on = endpoint_trial_is_on(trial), admits;

        admits = endpoint_trial_admits(trial, now(CLOCK_BOOTTIME), &peer->path.endpoint, &peer->endpoint,
                                       patience(peer), peer->rewritten, peer->tx_bytes, peer->rx_bytes);
        if (admits && !was_on) {
                peer->peace.before = peer->path;
                log_peer_full(peer, LOG_DEBUG, 0, "The endpoint is %s now, in place of %s.",
                              SOCKET_ADDRESS_STR(&peer->endpoint), SOCKET_ADDRESS_STR(&peer->path.endpoint));
        }
        if (admits)
                link_watch(peer->link);
        return admits;
}

bool peace_restores(Peer *peer)
{
        SocketAddress ours;

        if (!endpoint_trial_fail(&peer->peace.trial, now(CLOCK_BOOTTIME), &ours))
                return false;
        log_peer_event(peer, LOG_NOTICE, 0, LOG_EVENT_ENDPOINT_RESTORED,
                       (LOG_FIELD("ICEWIRE_ENDPOINT=%s", SOCKET_ADDRESS_STR(&ours)),
                        LOG_FIELD("ICEWIRE_ENDPOINT_BEFORE=%s", SOCKET_ADDRESS_STR(&peer->endpoint))),
                       "Nothing comes by endpoint %s, which others have set; setting %s again.",
                       SOCKET_ADDRESS_STR(&peer->endpoint), SOCKET_ADDRESS_STR(&ours));
        if (!socket_address_equal(&peer->path.endpoint, &ours)) {
                peer_because(peer, PATH_CAUSE_ENDPOINT_RESTORED);
                peer_set_path(peer, &peer->peace.before);
        }
        pulse_start_over(peer);
        carrier_set_endpoint(peer, /* nudge= */ true);
        return true;
}

/* It came with a device that was written anew: WireGuard has no keys any more, and begins nothing by itself.
 */
static void have_it_tried(Peer *peer)
{
        if (endpoint_trial_is_on(&peer->peace.trial) && peer->last_handshake == 0 &&
            peer->persistent_keepalive == 0 && !peer->endpoint_is_being_set &&
            socket_address_equal(&peer->path.endpoint, &peer->endpoint))
                carrier_set_endpoint(peer, /* nudge= */ false);
}

static void keep_watching(Peer *peer)
{
        const EndpointTrial *trial = &peer->peace.trial;

        if (endpoint_trial_is_on(trial) &&
            usec_sub(now(CLOCK_BOOTTIME), trial->since) < ENDPOINT_TRIAL_WATCHED)
                link_watch(peer->link);
}

/* There is no need for ours. */
static void theirs_works(Peer *peer)
{
        log_peer_full(peer, LOG_DEBUG, 0, "It is heard at the new endpoint.");
        if (carrier_is_plain(peer))
                return;
        peer_because(peer, PATH_CAUSE_ENDPOINT_BY_OTHERS);
        try_drop_path(peer); /* what WireGuard does by itself now is seen in reliance.c */
}

void peace_follow(Peer *peer)
{
        switch (endpoint_trial_read(&peer->peace.trial, now(CLOCK_BOOTTIME), &peer->endpoint, peer->tx_bytes,
                                    peer->rx_bytes)) {
        case ENDPOINT_TRIAL_PASSED:
                theirs_works(peer);
                break;
        case ENDPOINT_TRIAL_FAILED:
                (void) peace_restores(peer);
                break;
        default:
                have_it_tried(peer);
                keep_watching(peer);
        }
}
