/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Backends of the redirect that only remember what they were told, and do what a test wants. */

#include <criterion/criterion.h>

#include "broker-redirect.h"
#include "string-util.h"
#include "udp.h"

#define FAKE_SOCKETS_MAX 32U

typedef struct Fake {
        RedirectBackend backend;
        RedirectKind kind;
        /* What it is to do. */
        int new_error, test_error, uplinks_error, relays_error;
        int unasked_error;
        bool limited; /* what comes unasked has to be rewritten */
        size_t room;  /* for so many sockets */
        const char *message;
        /* What it was told. */
        bool alive;
        unsigned n_made, n_tested, n_unasked;
        uid_t user;
        RedirectSocket sockets[FAKE_SOCKETS_MAX];
        size_t n_sockets;
        int uplinks[8];
        size_t n_uplinks;
        SocketAddress relays[8];
        size_t n_relays;
        struct {
                RedirectMove move;
                usec_t until;
        } moves[8];
        size_t n_moves;
        int move_error;
        redirect_initiation_t initiated;
        void *watcher;
} Fake;

static Fake fakes[_REDIRECT_KIND_MAX];
#define EBPF (&fakes[REDIRECT_EBPF])
#define NFTABLES (&fakes[REDIRECT_NFTABLES])

static int fake_add(RedirectBackend *b, const RedirectSocket *socket)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        if (f->n_sockets >= f->room)
                return -ENOSPC;
        f->sockets[f->n_sockets++] = *socket;
        return 0;
}

static void fake_remove(RedirectBackend *b, const RedirectSocket *socket)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        for (size_t i = 0; i < f->n_sockets; i++)
                if (f->sockets[i].cookie == socket->cookie && streq(f->sockets[i].ufrag, socket->ufrag)) {
                        f->sockets[i] = f->sockets[--f->n_sockets];
                        return;
                }
        cr_assert_fail("removed what was not added");
}

static int fake_set_relays(RedirectBackend *b, const SocketAddress *relays, size_t n)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        if (f->relays_error < 0)
                return f->relays_error;
        memcpy(f->relays, relays, n * sizeof(*relays));
        f->n_relays = n;
        return 0;
}

static int fake_set_uplinks(RedirectBackend *b, const int *ifindexes, size_t n)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        if (n > 0 && f->uplinks_error < 0)
                return f->uplinks_error;
        for (size_t i = 0; i < n; i++)
                f->uplinks[i] = ifindexes[i];
        f->n_uplinks = n;
        return 0;
}

static size_t find_move(const Fake *f, const RedirectMove *move)
{
        size_t i = 0;

        while (i < f->n_moves && (f->moves[i].move.wireguard_port != move->wireguard_port ||
                                  !socket_address_equal(&f->moves[i].move.from, &move->from)))
                i++;
        return i;
}

static int fake_move(RedirectBackend *b, const RedirectMove *move, usec_t until)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);
        size_t i = find_move(f, move);

        if (f->move_error < 0)
                return f->move_error;
        cr_assert_lt(i, ELEMENTSOF(f->moves));
        f->moves[i].move = *move;
        f->moves[i].until = until;
        f->n_moves = MAX(f->n_moves, i + 1);
        return 0;
}

/* Each has moved as many as its port says. */
static uint64_t fake_count_moved(RedirectBackend *b, const RedirectMove *move)
{
        return socket_address_port(&move->from);
}

static void fake_end_move(RedirectBackend *b, const RedirectMove *move)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);
        size_t i = find_move(f, move);

        cr_assert_lt(i, f->n_moves, "ended what was not there");
        f->moves[i] = f->moves[--f->n_moves];
}

static int fake_watch(RedirectBackend *b, sd_event *event, redirect_initiation_t callback, void *userdata)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        f->initiated = callback;
        f->watcher = userdata;
        return 0;
}

static RedirectBackend *fake_free(RedirectBackend *b)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        cr_assert(f->alive);
        cr_assert_eq(f->n_moves, 0, "something is still moved");
        f->alive = false;
        f->n_sockets = f->n_uplinks = f->n_relays = 0;
        return NULL;
}

#define FAKE_OPS(kind_, ...)                                                                                \
        { .kind = (kind_),                                                                                  \
          .add = fake_add,                                                                                  \
          .remove = fake_remove,                                                                            \
          .set_relays = fake_set_relays,                                                                    \
          .set_uplinks = fake_set_uplinks,                                                                  \
          .free = fake_free,                                                                                \
          __VA_ARGS__ }

/* Only one of them moves anything, and sees handshakes. */
static const RedirectBackendOps fake_ops[_REDIRECT_KIND_MAX] = {
        [REDIRECT_NFTABLES] = FAKE_OPS(REDIRECT_NFTABLES, ),
        [REDIRECT_EBPF] = FAKE_OPS(REDIRECT_EBPF, .move = fake_move, .count_moved = fake_count_moved,
                                   .end_move = fake_end_move, .watch = fake_watch),
};

static int fake_new(RedirectKind kind, RedirectBackend **ret, char **ret_message)
{
        Fake *f = &fakes[kind];

        cr_assert(!f->alive, "there are two");
        f->n_made++;
        if (f->new_error < 0) {
                *ret_message = f->message ? strdup(f->message) : NULL;
                return f->new_error;
        }
        f->alive = true;
        f->backend.ops = &fake_ops[kind];
        *ret = &f->backend;
        return 0;
}

static int fake_new_ebpf(void *userdata, RedirectBackend **ret, char **ret_message)
{
        return fake_new(REDIRECT_EBPF, ret, ret_message);
}

static int fake_new_nftables(void *userdata, uid_t user, RedirectBackend **ret, char **ret_message)
{
        NFTABLES->user = user;
        return fake_new(REDIRECT_NFTABLES, ret, ret_message);
}

static int fake_self_test(void *userdata, RedirectBackend *b, char **ret_message)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        f->n_tested++;
        if (f->test_error < 0 && f->message)
                *ret_message = strdup(f->message);
        return f->test_error < 0 ? f->test_error : f->limited;
}

static int fake_test_unasked(void *userdata, RedirectBackend *b)
{
        Fake *f = CONTAINER_OF(b, Fake, backend);

        f->n_unasked++;
        return f->unasked_error < 0 ? f->unasked_error : f->limited;
}

static const BrokerRedirectFactory factory = { fake_new_ebpf, fake_new_nftables, fake_self_test,
                                               fake_test_unasked, NULL };

#define USER 4711U

static void reset(void)
{
        memset(fakes, 0, sizeof(fakes));
        EBPF->room = NFTABLES->room = FAKE_SOCKETS_MAX;
}
