/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "session.h"

/* Which selected pair becomes the path, when, and how the one in use before goes: handover.h with real
 * sessions, a broker that moves what comes late, and timers. */

/* The session has selected a (better) pair. Where there is no path that works, or it is that session's, or
 * it is worse (attempts.h), the pair becomes the path: at once if nothing is lost by that. Otherwise it is
 * held a while, for the case that the peer thinks otherwise, or that the path dies. */
void path_switch_consider(Session *session);

/* Data came by a session that does not carry the path. */
void path_switch_heard(Session *session);

/* The path in use has died, or what is wished for has changed otherwise: what is held may be just right, or
 * what was left before. True if there is another path now. */
bool path_switch_escape(Peer *peer);

/* A new reading of the peer is in. */
void path_switch_observe(Peer *peer);

/* Is another path held that is wanted, or one just being tried? Then nobody looks for yet another. */
bool path_switch_is_busy(const Peer *peer);

/* Is the endpoint that WireGuard has now that of the other one of the two paths? It is not followed, and no
 * stranger has set it. */
bool path_switch_expects(const Peer *peer);

/* There is no path any more, or a session makes room for another: the switch is over, as it is. */
void path_switch_stop(Peer *peer);

/* The session goes. */
void path_switch_forget(const Session *session);
