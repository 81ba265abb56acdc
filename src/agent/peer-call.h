/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "peer.h"

/* One call in flight at the broker for a peer, so that a peer that goes can call it back. */
struct PeerCall {
        Peer *peer;
        BrokerCall *call;
        size_t opening;        /* bytes of the envelope that it opens; 0: another call */
        unsigned move;         /* peer->move when it was made: which one it is about */
        PeerCall *prev, *next; /* in peer->calls */
};

/* Owned by the peer; NULL without memory. */
PeerCall *peer_call_new(Peer *peer);

/* Counts `size` bytes in manager->opening for as long as the call lives. */
void peer_call_set_opening(PeerCall *c, size_t size);

/* The callback will not come. */
PeerCall *peer_call_free(PeerCall *c);

/* First thing in the call's callback: frees the PeerCall, whose BrokerCall is over, and says whose it was.
 */
Peer *peer_call_finish(PeerCall *c);
