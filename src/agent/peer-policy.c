/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "peer-policy.h"

#include "event-util.h"
#include "exchange.h"
#include "link-mappings.h"
#include "log-event.h"
#include "manager.h"
#include "session.h"
#include "try.h"

/* How long a path that is no longer allowed is kept while another one is looked for; a negotiation that is
 * under way by then gets as long again, and no more than so often. */
#define LEAVE_INTERVAL (10 * USEC_PER_SEC)
#define LEAVE_NEGOTIATION_MAX (40 * USEC_PER_SEC)

void peer_describe_network(const Peer *peer, Network *ret)
{
        *ret = (Network) { .policy = peer->policy };
        /* Whom we do not talk to need not know more. */
        if (peer->policy != POLICY_OFF)
                link_mappings_describe(peer->link, ret);
}

bool peer_policy_allows_session(const Peer *peer)
{
        return !policies_conflict(peer->policy, peer->network.policy);
}

bool peer_policy_allows_pair(const Peer *peer, IceCandidateType local, IceCandidateType remote)
{
        return policy_allows_pair(peer->policy, local, remote) &&
               policy_allows_pair(peer->network.policy, local, remote);
}

bool peer_policy_allows_relays(const Peer *peer)
{
        return peer->policy != POLICY_DIRECT && peer->network.policy != POLICY_DIRECT;
}

static bool path_is_allowed(const Peer *peer)
{
        return policy_allows_path(peer->policy, peer->path.kind);
}

static int on_leave_timer(sd_event_source *source, uint64_t t, void *userdata);

static void arm_leave_timer(Peer *peer)
{
        int r;

        r = event_arm_timer(peer->link->manager->event, &peer->policy_timer, LEAVE_INTERVAL, on_leave_timer,
                            peer, "peer-policy");
        if (r < 0)
                try_drop_path(peer);
}

static bool is_looking(const Peer *peer)
{
        return session_is_negotiating(peer->session) &&
               usec_sub(now(CLOCK_BOOTTIME), peer->session->started) < LEAVE_NEGOTIATION_MAX;
}

static int on_leave_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        Peer *peer = userdata;

        if (path_is_allowed(peer))
                return 0;
        if (is_looking(peer)) {
                arm_leave_timer(peer);
                return 0;
        }
        log_peer_full(peer, LOG_INFO, 0,
                      "No path that its policy allows was found, leaving the one in use.");
        peer_because(peer, PATH_CAUSE_POLICY);
        try_drop_path(peer);
        try_now(peer);
        return 0;
}

void peer_policy_path_changed(Peer *peer)
{
        if (!path_is_allowed(peer) && !event_timer_is_armed(peer->policy_timer))
                arm_leave_timer(peer);
}

/* It is to know at once, and whoever it is by now. */
static void say_off(Peer *peer, uint64_t to)
{
        Message m = { .type = MESSAGE_BYE };

        if (to != 0 || peer->signalling.peer_instance != 0)
                exchange_send(peer, to, &m);
}

static void stop(Peer *peer)
{
        say_off(peer, /* to= */ 0);
        event_disarm_timer(peer->policy_timer);
        try_cancel(peer);
        if (peer->path.negotiated || peer->session)
                try_drop_path(peer);
        /* Perhaps WireGuard reaches the peer all the same. */
        link_refresh(peer->link);
}

static void drop_negotiation(Peer *peer)
{
        if (session_is_negotiating(peer->session))
                try_session_aborted(peer->session);
}

/* Nothing that may be has a chance. The peer is to know why. */
static void give_up(Peer *peer)
{
        drop_negotiation(peer);
        if (peer->path.negotiated)
                try_drop_path(peer);
        try_now(peer);
}

static void enforce(Peer *peer)
{
        if (peer->policy == POLICY_OFF) {
                stop(peer);
                return;
        }
        if (!peer_policy_allows_session(peer)) {
                give_up(peer);
                exchange_send_hello(peer, /* to= */ 0);
                return;
        }
        if (peer->policy == POLICY_DIRECT && !path_is_allowed(peer))
                try_drop_path(peer);
        if (!path_is_allowed(peer))
                arm_leave_timer(peer);
        if (peer->path.kind == PATH_DIRECT && path_is_allowed(peer) &&
            !session_is_negotiating(peer->session))
                return;
        peer_reconnect(peer);
}

void peer_set_policy(Peer *peer, Policy policy, bool temporary, PathCause cause)
{
        if (peer->policy_temporary != temporary) {
                peer->policy_temporary = temporary;
                peer_changed(peer);
        }
        if (peer->policy == policy)
                return;
        log_peer_event(peer, LOG_INFO, 0, LOG_EVENT_POLICY_CHANGED,
                       (LOG_FIELD("ICEWIRE_POLICY=%s", policy_to_string(policy)),
                        LOG_FIELD("ICEWIRE_POLICY_OF=here")),
                       "Its policy is %s now.", policy_to_string(policy));
        peer->policy = policy;
        peer_changed(peer);
        peer_because(peer, cause);
        enforce(peer);
        peer_update_reason(peer);
}

void peer_follow_configured_policy(Peer *peer)
{
        Policy policy = peer_configs_policy(&peer->link->manager->config->peers, &peer->public_key);

        peer_set_policy(peer, policy, /* temporary= */ false, PATH_CAUSE_CONFIGURATION);
}

/* What it says is what counts from now on. */
static void take_network(Peer *peer, const Message *m)
{
        bool conflicted = !peer_policy_allows_session(peer);

        peer->said_goodbye = m->type == MESSAGE_BYE;
        peer->n_asked = 0;
        if (peer->network.policy != m->network.policy)
                log_peer_event(peer, LOG_INFO, 0, LOG_EVENT_POLICY_CHANGED,
                               (LOG_FIELD("ICEWIRE_POLICY=%s", policy_to_string(m->network.policy)),
                                LOG_FIELD("ICEWIRE_POLICY_OF=peer")),
                               "Its own policy for us is %s.", policy_to_string(m->network.policy));
        peer->network = m->network;
        if (m->type != MESSAGE_BYE && !conflicted && !peer_policy_allows_session(peer)) {
                peer_because(peer, PATH_CAUSE_POLICY);
                give_up(peer);
        }
}

/* The two want what excludes each other: whoever does not know of our part yet is told. */
static void answer_conflict(Peer *peer, const Message *m, SignallingVerdict verdict)
{
        bool greets = m->type == MESSAGE_HELLO && verdict != SIGNALLING_ACCEPT;

        if (greets || m->type == MESSAGE_OFFER || m->type == MESSAGE_ANSWER)
                exchange_send_hello(peer, m->instance);
}

bool peer_policy_refuses(Peer *peer, const Message *m, SignallingVerdict verdict)
{
        if (peer->policy != POLICY_OFF)
                return false;
        if (verdict <= SIGNALLING_SAY_HELLO && m->type != MESSAGE_BYE)
                say_off(peer, m->instance);
        return true;
}

bool peer_policy_admits(Peer *peer, const Message *m, SignallingVerdict verdict)
{
        bool proven = verdict != SIGNALLING_ANSWER_HELLO;

        /* What proves nothing may be from long ago. */
        if (proven)
                take_network(peer, m);
        if (m->type == MESSAGE_BYE || peer_policy_allows_session(peer))
                return true;
        answer_conflict(peer, m, verdict);
        peer_update_reason(peer);
        return false;
}
