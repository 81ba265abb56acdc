/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "carrier.h"
#include "link-mappings.h"
#include "peer-policy.h"
#include "session-internal.h"

/* Whether a session has TCP candidates, and when one without them makes room for one that has. */

static bool has_tcp_candidate(const SdpDescription *sdp)
{
        for (size_t i = 0; i < sdp->n_candidates; i++)
                if (sdp->candidates[i].transport != ICE_TRANSPORT_UDP)
                        return true;
        return false;
}

bool session_wants_tcp(const Peer *peer, const Message *offer)
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
        return session_is_negotiating(s) && s->tcp && !session_wants_tcp(s->peer, /* offer= */ NULL);
}

void session_remember_what_was_tried(Session *s)
{
        bool direct = s->selected && s->local.type != ICE_CANDIDATE_RELAY &&
                      s->remote.type != ICE_CANDIDATE_RELAY && s->local.transport == ICE_TRANSPORT_UDP;

        s->peer->wants_tcp = !direct && !s->tcp;
        s->peer->needs_tcp = false;
}

/* Another session in its place, which has TCP candidates; where that one would have none either, this one
 * goes on. */
static void restart_with_tcp(Session *s)
{
        if (s->tcp || s->selected || s->peer->policy == POLICY_RELAY ||
            s->peer->link->manager->config->tcp != TCP_MODE_AUTO)
                return;
        s->restart = true;
        (void) session_arm_timer(s, 0);
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
        (void) session_arm_timer(s, 0);
}

static bool udp_is_blocked(const Peer *peer)
{
        Network here;
        NetworkObstacle obstacle;

        peer_describe_network(peer, &here);
        obstacle = network_obstacle(&here, &peer->network);
        return obstacle == NETWORK_BLOCKED_HERE || obstacle == NETWORK_BLOCKED_THERE;
}

void session_consider_tcp(Session *s)
{
        /* The checks over UDP lead nowhere. */
        if (link_udp_is_silent(s->peer->link))
                restart_with_tcp(s);
        if (udp_is_blocked(s->peer))
                look_beyond_relay(s);
}

void session_consider_peers_tcp(Session *s, const SdpDescription *sdp)
{
        if (s->controlling && has_tcp_candidate(sdp))
                restart_with_tcp(s);
}
