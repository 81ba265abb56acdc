/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "manager.h"

/* The TURN servers of the configuration: what speaks TLS to them for libnice, the credentials of each
 * session, and (m->relays) whether they work. */

/* A new configuration: nothing is known of any server, and what spoke TLS for the sessions that there are
 * goes when they go. -ENOMEM. */
int relays_configure(Manager *m);
void relays_free(Manager *m);

/* A resolved server of the configuration is about to be used: *server gets a number and, for TLS, a leg.
 * Errors of tls_leg_new(), which the status has then. */
int relays_prepare(Manager *m, const IceServerConfig *config, IceServer *server);

/* Its name does not resolve. */
void relays_unresolved(Manager *m, const IceServerConfig *config, int error);

/* What of the prepared server's leg an agent on these local addresses is to be told. false: the server is
 * not for it. */
bool relays_adapt(const Manager *m, const SocketAddress *addresses, size_t n, IceServer *server);

/* For a session that begins now. The caller owns both, and erases the password. *ret_expires:
 * CLOCK_REALTIME, USEC_INFINITY: never. -ENOENT: there are none; -ENOMEM, -EIO. */
int relays_credentials(const Manager *m, char **ret_username, char **ret_password, usec_t *ret_expires);

/* A session has got a relay, or none though servers are configured: where that is news, they are asked, at
 * most once a minute. */
void relays_consider(Manager *m, bool got_one);

/* Asks all of them now, unless that is under way; then they are busy. */
void relays_ask(Manager *m);
bool relays_are_busy(const Manager *m);

/* Is this server still one of ours, with the credentials that a session of this generation has? */
bool relays_have(const Manager *m, IceServerKind kind, const SocketAddress *address, unsigned generation);
