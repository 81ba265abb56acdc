/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "peer.h"

/* Does a path that WireGuard uses by itself still work? A peer that it reaches at an endpoint that somebody
 * else has set, that it has learned, or that we set before we were started anew, is left alone. WireGuard
 * tells nobody when that stops to work, nor when a direct path of ours does: its last handshake grows old,
 * as it does when there is nothing to say. So when it is old, the link is read now and then, and only what
 * was sent since then without an answer is a sign of death.
 *
 * The negotiation that has found a direct path is over a minute later, at the next reading: ICE is not
 * needed any more. */

/* A handshake is overdue: what is sent from now on must be answered. */
void reliance_begin(Peer *peer);

/* A new reading of the peer is in. */
void reliance_follow(Peer *peer);
