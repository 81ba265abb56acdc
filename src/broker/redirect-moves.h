/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "redirect-backend.h"

/* The moves of the backend in force: who wants them, and for how long. Time is an argument, CLOCK_MONOTONIC.
 */

#define REDIRECT_MOVES_IN_FORCE_MAX 1024U

typedef struct RedirectMoveEntry RedirectMoveEntry;

/* All zero: none. */
typedef struct RedirectMoves {
        RedirectMoveEntry *entries; /* owned, an utlist */
        size_t n;
} RedirectMoves;

/* Begins it, or lets it go on until then. It belongs to `owner` (an address that is compared) from now on.
 * What comes from its `to` is not moved any more, and what was moved to its `from` goes on to its `to`. The
 * backend's errors; -ENOTSUP: it has no moves; -EINVAL: from there to there; -ENOSPC. Nothing has changed
 * then, but that it may have ended. */
int redirect_moves_set(RedirectMoves *moves, RedirectBackend *b, const void *owner, const RedirectMove *move,
                       usec_t until, uint64_t *ret_packets);

/* Ends it, if it is there; returns how many packets there were. */
uint64_t redirect_moves_end(RedirectMoves *moves, RedirectBackend *b, const RedirectMove *move);

/* Ends those of an owner. NULL: all. */
void redirect_moves_forget(RedirectMoves *moves, RedirectBackend *b, const void *owner);

/* Ends those whose time is over. When the next one's will be; USEC_INFINITY: there is none. */
usec_t redirect_moves_expire(RedirectMoves *moves, RedirectBackend *b, usec_t now);
