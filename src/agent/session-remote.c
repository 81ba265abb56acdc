/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "host-network.h"
#include "log.h"
#include "peer-policy.h"
#include "session-internal.h"

/* What the peer has told of itself, as far as it is of use here. */

static void refuse_relay(Session *s, const IceCandidate *c)
{
        if (!session_is_refused_relay(s, c) && s->n_refused_relays < SESSION_REFUSED_RELAYS_MAX)
                s->refused_relays[s->n_refused_relays++] = c->address;
}

bool session_is_refused_relay(const Session *s, const IceCandidate *remote)
{
        for (size_t i = 0; i < s->n_refused_relays; i++)
                if (socket_address_equal(&s->refused_relays[i], &remote->address))
                        return true;
        return false;
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

void session_take_remote_candidates(Session *s, const SdpDescription *sdp)
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
        session_consider_peers_tcp(s, sdp);
        session_consider_tcp(s); /* what the peer tells of its network may be news, too */
}

int session_take_description(Session *s, const SdpDescription *sdp)
{
        int r;

        r = ice_agent_set_remote_credentials(s->ice, sdp->ufrag, sdp->pwd);
        if (r < 0)
                return r;
        s->answered = true;
        strcpy(s->credentials.remote_ufrag, sdp->ufrag);
        strcpy(s->credentials.remote_pwd, sdp->pwd);
        r = session_begin_patience(s);
        if (r < 0)
                return r;
        session_take_remote_candidates(s, sdp);
        return 0;
}

void session_take_answer(Session *s, const Message *answer)
{
        int r;

        if (s->answered) {
                session_take_remote_candidates(s, &answer->sdp);
                return;
        }
        s->answer = answer->sequence;
        r = session_take_description(s, &answer->sdp);
        if (r < 0)
                log_peer_full(s->peer, LOG_WARNING, r, "Failed to take the peer's answer: %m");
}

void session_take_candidates(Session *s, const Message *candidates)
{
        if (s->answered)
                session_take_remote_candidates(s, &candidates->sdp);
}
