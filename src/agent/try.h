/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "message.h"
#include "peer.h"

/* When to try to connect a peer, and what to do with what it says. */

/* Something may have become possible: try at once, and then again on the back-off until there is a path. */
void try_now(Peer *peer);

/* Likewise, although there may be a good path already: a new one is looked for beside it. */
void try_again(Peer *peer);

/* The path in use seems to be dead: the best other one that is known takes over at once, even if it is
 * worse, and if there is none it is looked for. The path itself stays until then, or until it is dropped. */
void try_path_is_dead(Peer *peer);
/* … or is not. */
void try_path_is_alive(Peer *peer);

/* The path is of no use any more, and nor is whatever carries it. */
void try_drop_path(Peer *peer);

/* No further attempts until the next try_now(). */
void try_cancel(Peer *peer);

/* A message that counts; see signalling.h for the verdicts. */
void try_handle_message(Peer *peer, const Message *m, SignallingVerdict verdict);

/* From carrier.c: the peer is connected, perhaps not by the best kind of path. */
void try_better_later(Peer *peer);

/* Has the peer no path that works, as far as we know? The other side is told, and takes what it gets. */
bool try_is_stranded(const Peer *peer);

/* From path-switch.c: what a path has to be to replace the one in use; another one has, in place of
 * `before`; the session's path is not needed. The session is freed. */
AttemptsWish try_wish(const Peer *peer);
void try_path_taken(Peer *peer, const Path *before);
void try_session_unneeded(Session *session);

/* From session.c: its peer did not answer, or no pair works (any more). The session may be freed. */
void try_session_failed(Session *session, bool answered);

/* From session.c: it could not even begin. The session is freed. */
void try_session_aborted(Session *session);

/* From session.c: the checks of its pair get through again. */
void try_session_revived(Session *session);
