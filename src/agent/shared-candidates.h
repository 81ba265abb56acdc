/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "link.h"

/* What the candidates of sockets that share a link's port look like from outside: libnice knows only the
 * ports that they are bound to. Pure functions. */

/* Fills `ret` with what the peer is told, at most `max`: host candidates at the link's port, and for each
 * one at the address where STUN servers see that port; relays as they are. Returns how many. */
size_t shared_candidates_build(const Link *link, const IceCandidate *own, size_t n, IceCandidate *ret,
                               size_t max);

/* The local candidate of a selected pair by what it is. libnice takes an address that the peer has seen for
 * a discovered (prflx) one, since it does not know that its own port is not the one that leaves. */
void shared_candidates_name(const Link *link, const IceCandidate *own, size_t n, IceCandidate *local);
