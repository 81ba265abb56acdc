/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "peer.h"

/* A peer that WireGuard reaches by itself, at an endpoint that somebody else has set or that it has learned,
 * is left alone. WireGuard tells nobody when that stops to work: its last handshake grows old, as it does
 * when there is nothing to say. So when it is old, the link is read now and then, and only what was sent
 * since then without an answer is a sign of death. */

/* A new reading of the peer is in. */
void reliance_follow(Peer *peer);
