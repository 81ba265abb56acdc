/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "message.h"
#include "peer.h"

/* When to try to connect a peer, and what to do with what it says. */

/* Something may have become possible: try at once, and then again on the back-off until there is a path. */
void try_now(Peer *peer);

/* Likewise, although there may be a good path already: a new one is looked for beside it. */
void try_again(Peer *peer);

/* The path is of no use any more, and nor is whatever carries it. */
void try_drop_path(Peer *peer);

/* No further attempts until the next try_now(). */
void try_cancel(Peer *peer);

/* A message that counts; see signalling.h for the verdicts. */
void try_handle_message(Peer *peer, const Message *m, SignallingVerdict verdict);

/* From session.c: its peer did not answer, or no pair works (any more). The session may be freed. */
void try_session_failed(Session *session, bool answered);

/* From session.c: it could not even begin. The session is freed. */
void try_session_aborted(Session *session);

/* From session.c: the checks of its pair get through again. */
void try_session_revived(Session *session);
