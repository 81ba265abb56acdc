/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "redirect-moves.h"

#include <utlist.h>

#include "alloc-util.h"
#include "log.h"

struct RedirectMoveEntry {
        const void *owner;
        RedirectMove move;
        usec_t until;
        RedirectMoveEntry *prev, *next;
};

/* Each (W, from) is there once. */
static RedirectMoveEntry *find(const RedirectMoves *moves, uint16_t wireguard_port,
                               const SocketAddress *from)
{
        RedirectMoveEntry *entry;

        DL_FOREACH (moves->entries, entry)
                if (entry->move.wireguard_port == wireguard_port &&
                    socket_address_equal(&entry->move.from, from))
                        return entry;
        return NULL;
}

static uint64_t entry_free(RedirectMoves *moves, RedirectBackend *b, RedirectMoveEntry *entry)
{
        uint64_t packets = b->ops->count_moved(b, &entry->move);

        b->ops->end_move(b, &entry->move);
        DL_DELETE(moves->entries, entry);
        moves->n--;
        free(entry);
        return packets;
}

/* What had been moved to where it is left now. */
static void lead_on(RedirectMoves *moves, RedirectBackend *b, const RedirectMove *move)
{
        RedirectMoveEntry *entry, *tmp;
        int r;

        DL_FOREACH_SAFE (moves->entries, entry, tmp) {
                if (entry->move.wireguard_port != move->wireguard_port ||
                    !socket_address_equal(&entry->move.to, &move->from))
                        continue;
                entry->move.to = move->to;
                r = b->ops->move(b, &entry->move, entry->until);
                if (r < 0) {
                        log_debug_errno(r, "Failed to move on what came from %s, ignoring: %m",
                                        SOCKET_ADDRESS_STR(&entry->move.from));
                        entry_free(moves, b, entry);
                }
        }
}

/* Its packets count from now on if it leads elsewhere than before. */
static RedirectMoveEntry *find_same(RedirectMoves *moves, RedirectBackend *b, const RedirectMove *move)
{
        RedirectMoveEntry *entry = find(moves, move->wireguard_port, &move->from);

        if (!entry || socket_address_equal(&entry->move.to, &move->to))
                return entry;
        entry_free(moves, b, entry);
        return NULL;
}

static int entry_new(RedirectMoves *moves, RedirectMoveEntry **ret)
{
        RedirectMoveEntry *entry;

        if (moves->n >= REDIRECT_MOVES_IN_FORCE_MAX)
                return -ENOSPC;
        entry = new0(RedirectMoveEntry, 1);
        if (!entry)
                return -ENOMEM;
        DL_APPEND(moves->entries, entry);
        moves->n++;
        *ret = entry;
        return 0;
}

int redirect_moves_set(RedirectMoves *moves, RedirectBackend *b, const void *owner, const RedirectMove *move,
                       usec_t until, uint64_t *ret_packets)
{
        RedirectMoveEntry *entry, *back;
        int r;

        if (!b->ops->move)
                return -ENOTSUP;
        if (socket_address_equal(&move->from, &move->to))
                return -EINVAL;
        entry = find_same(moves, b, move);
        r = b->ops->move(b, move, until);
        if (r >= 0 && !entry) {
                r = entry_new(moves, &entry);
                if (r < 0)
                        b->ops->end_move(b, move);
        }
        if (r < 0)
                return r;
        entry->owner = owner;
        entry->move = *move;
        entry->until = until;
        back = find(moves, move->wireguard_port, &move->to);
        if (back)
                entry_free(moves, b, back);
        lead_on(moves, b, move);
        *ret_packets = b->ops->count_moved(b, move);
        return 0;
}

uint64_t redirect_moves_end(RedirectMoves *moves, RedirectBackend *b, const RedirectMove *move)
{
        RedirectMoveEntry *entry = find(moves, move->wireguard_port, &move->from);

        return entry ? entry_free(moves, b, entry) : 0;
}

void redirect_moves_forget(RedirectMoves *moves, RedirectBackend *b, const void *owner)
{
        RedirectMoveEntry *entry, *tmp;

        DL_FOREACH_SAFE (moves->entries, entry, tmp)
                if (!owner || entry->owner == owner)
                        entry_free(moves, b, entry);
}

usec_t redirect_moves_expire(RedirectMoves *moves, RedirectBackend *b, usec_t now)
{
        RedirectMoveEntry *entry, *tmp;
        usec_t next = USEC_INFINITY;

        DL_FOREACH_SAFE (moves->entries, entry, tmp)
                if (entry->until <= now)
                        entry_free(moves, b, entry);
                else
                        next = MIN(next, entry->until);
        return next;
}
