/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "peer.h"

/* All that counts for a peer's reason; gathered by peer_update_reason(). */
typedef struct PeerEvidence {
        bool broker_connected;
        bool has_private_key;  /* the link */
        bool has_listen_port;  /* the link */
        bool has_address;      /* this host has one to offer */
        bool rendezvous_up;    /* at least one */
        bool envelope_refused; /* since the last one that opened */
        bool handshake_overdue;
        PeerState state;
        PathKind path;
} PeerEvidence;

/* The first cause in the order in which a person would look: what is broken here, then on the way, then
 * there. */
PeerReason peer_reason_decide(const PeerEvidence *e);
