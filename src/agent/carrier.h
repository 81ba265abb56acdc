/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "session.h"

/* From a selected pair to a path that WireGuard uses. Which data path carries it is decided here and nowhere
 * else: WireGuard itself, where ICE shares its port; otherwise the proxy. */

/* Where the user has set no PersistentKeepalive= we set this, in seconds: it makes WireGuard shake hands at
 * once instead of at the next packet, and keeps the NATs on the way open. It is what wg(8) recommends. */
#define CARRIER_KEEPALIVE 25

/* What the path would be by the session's pair. The endpoint is unset where the proxy is to carry it. */
void carrier_describe(Session *session, Path *ret);

/* The session's pair is the path from now on, and WireGuard is told so. path-switch.c decides when, and
 * keeps what carried the path before. nudge: there was one, and WireGuard sends a packet by the new one at
 * once, so that the peer hears of it although there is nothing to say. Errors of proxy_new(); nothing has
 * changed then. */
int carrier_take_over(Session *session, bool nudge);

/* A path that was left a moment ago is good again. -ENOTCONN: its session has gone, and it cannot do
 * without. */
int carrier_go_back(Peer *peer, const Path *path);

/* Nothing comes by the proxy any more, if the path does not need it. */
void carrier_close_proxy(Peer *peer);

/* WireGuard's endpoint for the peer is to be the path's. nudge: as above. */
void carrier_set_endpoint(Peer *peer, bool nudge);

/* No path any more: the data path is closed. WireGuard's endpoint stays as it is, for want of a better one.
 */
void carrier_release(Peer *peer);

/* A session is about to go; if it carries the path, nothing does from now on. */
void carrier_forget_session(Session *session);

/* Is a path WireGuard's own business, from the endpoint on? No proxy hears then that nothing comes. */
bool carrier_path_is_plain(const Path *path);
static inline bool carrier_is_plain(const Peer *peer)
{
        return carrier_path_is_plain(&peer->path);
}

/* The session whose pair a path is, lent; NULL: none of ours, or it has gone. */
Session *carrier_session_of(const Peer *peer, const Path *path);
static inline Session *carrier_session(const Peer *peer)
{
        return carrier_session_of(peer, &peer->path);
}

/* What the proxy has received; of a path without one nothing is counted here. */
uint64_t carrier_received_packets(const Peer *peer);

/* WireGuard listens at another port now. */
void carrier_port_changed(Peer *peer);

/* A new reading of the peer is in: has the handshake come that proves the path, and is the endpoint ours? */
void carrier_observe(Peer *peer);
