/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "device-watch.h"
#include "wireguard-netlink.h"

/* Sets the endpoint of a peer that somebody has just written with a keepalive and without an endpoint.
 *
 * WireGuard has then tried to shake hands at once, while it was being written, with nobody; and whatever is
 * set, it does not try again for 5 s (REKEY_TIMEOUT: send.c, wg_packet_send_handshake_initiation(), Linux
 * 5.6 to 6.18). What makes it forget that is another private key, or the interface down, either of which
 * ends the sessions of all peers, or that the peer is made anew. So the peer is read, and in one message
 * taken out and put back as it was, with the endpoint (wireguard_netlink_renew_peer()). It loses nothing:
 * without an endpoint it has never received anything, and so has no session.
 *
 * In between the kernel waits (wg_peer_remove(), synchronize_net()), and routes packets by what is left. If
 * another peer's allowed IPs cover some of this one's, as an exit node's do, they would go to that one, and
 * not be refused as they were: such a peer is left alone.
 *
 * Between the reading and the message somebody else may write the device, and generic netlink has no
 * conditions: a peer that was removed would come back. So the renewal happens only if nobody else was
 * writing when the peer was read, and nobody has begun to before the message is sent, which is looked up in
 * memory right before that (device-watch.h). What is left are the microseconds until the kernel has the
 * message. Should somebody begin in these, that is known afterwards, and logged.
 *
 * If it cannot be (others write on and on, or there are more allowed IPs than fit into the message), if it
 * is not needed any more, or not known what others do, the endpoint alone is set, and WireGuard waits. */

/* Written with a keepalive, without an endpoint, and never heard of. */
bool peer_renewal_helps(const WireguardPeer *peer);

/* The endpoint (unset: leave it) and the keepalive (-1: leave it) of a peer are being set by another call:
 * of renewals that are under way the last wish counts as well, since what we write ourselves does not
 * disturb them. */
void peer_renewal_amend(const WireguardNetlink *w, const char *name, const WireguardKey *peer,
                        const SocketAddress *endpoint, int keepalive);

/* As wireguard_netlink_set_endpoint(), with an endpoint. If the peer may be missing afterwards that is
 * logged as an error, and whoever called reads the link, whatever the error. `w` and `watch` must outlive
 * the call. */
int peer_renewal_new(WireguardNetlink *w, const DeviceWatch *watch, const char *name,
                     const WireguardKey *peer, const SocketAddress *endpoint, int keepalive,
                     wireguard_done_callback_t callback, void *userdata, WireguardCall **ret);
