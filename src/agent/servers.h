/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "manager.h"

/* The STUN and TURN servers of the configuration, from names to addresses (m->ice_servers). What is special
 * about TURN servers is in relays.h. */

/* Forgets what was known, and resolves them; when all are, or after two seconds, peers that have no good
 * path try (manager_can_negotiate()). -ENOMEM; errors of resolver_new(). */
int servers_look_up(Manager *m);

/* No look-up goes on, so that the configuration may be freed. */
void servers_cancel(Manager *m);

/* If the server that carries the peer's path is no longer ours to use, another path is looked for. */
void servers_leave_lost_relay(Peer *peer);
