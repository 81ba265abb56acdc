/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "endpoint-trial.h"
#include "path.h"

typedef struct Peer Peer;

/* Endpoints that others set on a peer with a path of ours (endpoint-trial.h), put into practice. */
typedef struct Peace {
        EndpointTrial trial;
        Path before; /* while one is on trial: as it was without */
} Peace;

/* WireGuard has another endpoint than the path's, which is good. True: it is on trial, and left alone for
 * now; false: it was tried before, and ours is to be set again. */
bool peace_admits(Peer *peer);

/* A new reading of the peer is in, and the carrier has seen it. */
void peace_follow(Peer *peer);

/* Nothing comes through. True: that is the fault of somebody else's endpoint, and ours is being set again.
 */
bool peace_restores(Peer *peer);
