/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "network.h"
#include "peer.h"
#include "relay-status.h"

/* Why a peer has not a direct path: decided from evidence alone, and explained. docs/REASONS.md is the table
 * for people; a test compares the two. */

/* All that counts for a peer's reason; gathered by peer_update_reason(). */
typedef struct PeerEvidence {
        bool broker_connected;
        bool has_private_key;  /* the link */
        bool has_listen_port;  /* the link */
        bool has_address;      /* this host has one to offer */
        bool rendezvous_up;    /* at least one */
        bool envelope_refused; /* since the last one that opened */
        bool heard;            /* a message of the peer's has counted */
        bool unanswered;       /* it has said goodbye since, or left several questions unanswered */
        bool handshake_overdue;
        bool direct_refused; /* a direct path was there, and WireGuard did not get through on it */
        PeerState state;
        PathKind path;
        bool path_is_tcp;
        bool path_is_dead;   /* nothing comes by it, and nothing has replaced it */
        Network here, there; /* there: what the peer has told last */
        RelayState relay;    /* the best of our TURN servers' */
} PeerEvidence;

/* The first cause in the order in which a person would look: what somebody wants so, what is broken here,
 * then on the way, then there; and of what the network does, the most specific. */
PeerReason peer_reason_decide(const PeerEvidence *e);

/* Is it the network, as both sides describe it, that the reason is about? Then evidence about it is worth
 * showing. */
bool peer_reason_is_about_network(PeerReason reason);
