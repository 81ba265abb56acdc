/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "session.h"

/* From a selected pair to a path that WireGuard uses. Which data path carries it is decided here and nowhere
 * else: WireGuard itself, where ICE shares its port; otherwise the proxy. */

/* Where the user has set no PersistentKeepalive= we set this, in seconds: it makes WireGuard shake hands at
 * once instead of at the next packet, and keeps the NATs on the way open. It is what wg(8) recommends. */
#define CARRIER_KEEPALIVE 25

/* The session has selected a (better) pair: it takes over the peer's path. */
void carrier_take_over(Session *session);

/* No path any more: the data path is closed. WireGuard's endpoint stays as it is, for want of a better one.
 */
void carrier_release(Peer *peer);

/* A session is about to go; if it carries the path, nothing does from now on. */
void carrier_forget_session(Session *session);

/* Is the path WireGuard's own business, from the endpoint on? No proxy hears then that nothing comes. */
bool carrier_is_plain(const Peer *peer);

/* Is the path, if there is one, that of a session of ours? */
bool carrier_has_session(const Peer *peer);

/* What the proxy has received; of a path without one nothing is counted here. */
uint64_t carrier_received_packets(const Peer *peer);

/* WireGuard listens at another port now. */
void carrier_port_changed(Peer *peer);

/* A new reading of the peer is in: has the handshake come that proves the path, and is the endpoint ours? */
void carrier_observe(Peer *peer);
