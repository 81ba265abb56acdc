/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "message.h"
#include "peer.h"

/* Puts a peer's policy in force, on our side and towards the peer, whom it is told with every message; and
 * heeds what the peer wants. The best that both allow is looked for. What WireGuard does by itself is beyond
 * it: it answers whoever has the key, wherever that comes from. */

/* At once: a path that is no longer allowed is left, for relays only as soon as there is another, or none is
 * found. temporary: until the configuration is read again. cause: for the history. */
void peer_set_policy(Peer *peer, Policy policy, bool temporary, PathCause cause);

/* The configuration was read again: what it says is in force, and what was set meanwhile is not. */
void peer_follow_configured_policy(Peer *peer);

/* The path is another one: one that is not allowed, whoever brought it about, is left by and by. */
void peer_policy_path_changed(Peer *peer);

/* What the peer is told of us, with every message. */
void peer_describe_network(const Peer *peer, Network *ret);

/* May a session be begun, as far as both policies go? */
bool peer_policy_allows_session(const Peer *peer);

/* May such a pair become the path? And is a candidate of this type of any use: ours to gather, or the peer's
 * to try? */
bool peer_policy_allows_pair(const Peer *peer, IceCandidateType local, IceCandidateType remote);
bool peer_policy_allows_relays(const Peer *peer);

/* Our policy is to have nothing to do with the peer: a message that asks for an answer gets the only one
 * that there is, and true is returned. */
bool peer_policy_refuses(Peer *peer, const Message *m, SignallingVerdict verdict);

/* A message that counts: what it says of the peer's network and policy is taken up, and what our policy does
 * not let through is answered. False: there is nothing else to be done about it. */
bool peer_policy_admits(Peer *peer, const Message *m, SignallingVerdict verdict);
