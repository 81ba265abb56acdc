/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "carrier.h"
#include "link-mappings.h"
#include "log-event.h"
#include "manager.h"
#include "peer-policy.h"
#include "peer-reason.h"
#include "string-util.h"

/* So many questions in a row without an answer are no accident; the last one may still get it. */
#define UNANSWERED_MIN 3

static bool path_is_tcp(const Path *path)
{
        return path->local.transport != ICE_TRANSPORT_UDP || path->remote.transport != ICE_TRANSPORT_UDP;
}

static PeerEvidence gather(const Peer *peer)
{
        const Manager *m = peer->link->manager;
        const RelayStatus *relay = relay_status_best(m->relays, m->n_relays);
        PeerEvidence e = {
                .broker_connected = m->broker && m->broker->connected,
                .has_private_key = !wireguard_key_is_zero(&peer->link->public_key),
                .has_listen_port = peer->link->listen_port != 0,
                .has_address = m->n_addresses > 0,
                .rendezvous_up = manager_n_rendezvous_up(m) > 0,
                .envelope_refused = peer->refused_since_accepted,
                .heard = peer->signalling.peer_instance != 0,
                .unanswered = peer->said_goodbye || peer->n_asked >= UNANSWERED_MIN,
                .handshake_overdue = peer->handshake_overdue,
                .direct_refused = attempts_shun(&peer->attempts, &(Path) { .kind = PATH_DIRECT },
                                                now(CLOCK_BOOTTIME)),
                .state = peer->state,
                .path = peer->path.kind,
                .path_is_tcp = path_is_tcp(&peer->path),
                .path_is_dead = peer->path_is_dead,
                .there = peer->network,
                .relay = relay ? relay->state : RELAY_STATE_UNKNOWN,
        };

        peer_describe_network(peer, &e.here);
        return e;
}

static const char *rendezvous_trouble(const Manager *m)
{
        for (size_t i = 0; i < m->n_rendezvous; i++)
                if (m->rendezvous[i]->error)
                        return m->rendezvous[i]->error;
        return m->n_rendezvous == 0 ? "none is configured" : NULL;
}

static char *describe_relay(const Manager *m)
{
        const RelayStatus *relay = relay_status_best(m->relays, m->n_relays);

        if (!relay)
                return NULL;
        return asprintf_safe("%s: %s", relay->name, relay->text ?: relay_state_to_string(relay->state));
}

static char *describe_networks(const PeerEvidence *e)
{
        return asprintf_safe(
                "here: IPv4 %s, IPv6 %s; there: IPv4 %s, IPv6 %s", network_mapping_to_string(e->here.ipv4),
                network_mapping_to_string(e->here.ipv6), network_mapping_to_string(e->there.ipv4),
                network_mapping_to_string(e->there.ipv6));
}

/* What shows that the reason is right, for people; NULL: nothing. The caller owns it. */
static char *describe(const Peer *peer, const PeerEvidence *e, PeerReason reason)
{
        const Manager *m = peer->link->manager;
        const char *text = NULL;

        switch (reason) {
        case PEER_REASON_POLICY_HERE:
        case PEER_REASON_POLICY_THERE:
                return asprintf_safe("policy here: %s; there: %s", policy_to_string(e->here.policy),
                                     policy_to_string(e->there.policy));
        case PEER_REASON_RELAY_REFUSED:
        case PEER_REASON_RELAY_UNREACHABLE:
                return describe_relay(m);
        case PEER_REASON_RENDEZVOUS_DOWN:
                text = rendezvous_trouble(m);
                break;
        case PEER_REASON_PEER_OFFLINE:
                text = peer->said_goodbye ? "it said goodbye" : NULL;
                break;
        case PEER_REASON_NO_REDIRECT:
                text = m->redirect_reason;
                break;
        default:
                if (peer_reason_is_about_network(reason))
                        return describe_networks(e);
        }
        return text ? strdup(text) : NULL;
}

void peer_update_reason(Peer *peer)
{
        PeerEvidence e = gather(peer);
        PeerReason reason = peer_reason_decide(&e);
        _cleanup_free_ char *detail = describe(peer, &e, reason);

        if (free_and_strdup(&peer->reason_detail, detail) > 0)
                peer_changed(peer);
        if (peer->reason == reason)
                return;
        peer->reason = reason;
        peer_changed(peer);
        if (reason != PEER_REASON_NONE && reason != PEER_REASON_NEGOTIATING)
                log_peer_event(peer, LOG_INFO, 0, LOG_EVENT_PEER_NOT_DIRECT,
                               (LOG_FIELD("ICEWIRE_REASON=%s", peer_reason_to_string(reason)),
                                LOG_FIELD("ICEWIRE_REASON_DETAIL=%s", strempty(peer->reason_detail)),
                                LOG_FIELD("ICEWIRE_PATH=%s", path_kind_to_string(peer->path.kind))),
                               "%s", peer_reason_explain(reason));
}
