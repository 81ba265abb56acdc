/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "link.h"
#include "mapping.h"

/* A link's mappings: where STUN servers see its port, one for each of our addresses, while ICE shares the
 * port. They are the link's own. */

/* Addresses, servers, the port, or whether it is shared, may have changed. again: the broker has forgotten
 * what it shared. */
void link_mappings_update(Link *link, bool again);

void link_mappings_clear(Link *link);

/* Whom to ask: the STUN servers, and TURN servers, which answer the same questions and may be all that is
 * configured (what they say of the sessions' own sockets is about other ports). Returns how many, at most
 * `max`. */
size_t link_mappings_servers(const Manager *m, SocketAddress *ret, size_t max);

/* The broker is gone: nothing is asked until link_mappings_update(…, again). */
void link_mappings_lost(Link *link);

/* The NAT may be another one: every server is asked anew. */
void link_mappings_ask(Link *link);

/* A peer of the link has got a direct path, or looks for another one. */
void link_mappings_consider_need(Link *link);

/* What is known of the network by the link's port, in each family: the best of what is known of our
 * addresses of it. The policy is left as it is. */
void link_mappings_describe(const Link *link, Network *ret);

/* Where the port is seen from outside at our address `local` (its port is ignored); NULL: unknown. */
const SocketAddress *link_mapped_address(const Link *link, const SocketAddress *local);

/* Were servers asked from all our addresses, and has none answered? UDP is blocked then, most likely. */
bool link_udp_is_silent(const Link *link);

/* Have all servers answered, or had their time? */
bool link_mappings_are_settled(const Link *link);
