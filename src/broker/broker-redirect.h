/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "redirect-backend.h"
#include "redirect-moves.h"

/* Which sockets share WireGuard's ports, and by what: the registry behind the Varlink methods SetRedirect,
 * AddSockets, RemoveSockets and MoveSource. An owner is a Varlink connection, here only an address that is
 * compared; what it added or asked for goes with it. */

#define BROKER_REDIRECT_SOCKETS_MAX 16384U
#define BROKER_REDIRECT_RELAYS_MAX 256U
#define BROKER_REDIRECT_UPLINKS_MAX 256U

typedef struct BrokerRedirect BrokerRedirect;

/* How the backends are made and tried out; a test has others. */
typedef struct BrokerRedirectFactory {
        int (*new_ebpf)(void *userdata, RedirectBackend **ret, char **ret_message);
        int (*new_nftables)(void *userdata, uid_t user, RedirectBackend **ret, char **ret_message);
        int (*self_test)(void *userdata, RedirectBackend *b, char **ret_message); /* redirect_self_test() */
        int (*test_unasked)(void *userdata, RedirectBackend *b); /* redirect_self_test_unasked() */
        void *userdata;
} BrokerRedirectFactory;

typedef struct BrokerRedirectRequest {
        RedirectMode mode;
        const int *uplinks; /* ifindexes */
        size_t n_uplinks;
        const SocketAddress *relays; /* TURN servers */
        size_t n_relays;
} BrokerRedirectRequest;

/* Loads the eBPF programs, while the rights for it are there; whether that worked is for later. user: whose
 * sockets they are. factory NULL: the real backends. -ENOMEM. */
int broker_redirect_new(uid_t user, const BrokerRedirectFactory *factory, BrokerRedirect **ret);
/* Takes everything back. */
BrokerRedirect *broker_redirect_free(BrokerRedirect *redirect);
DEFINE_TRIVIAL_CLEANUP_FUNC(BrokerRedirect *, broker_redirect_free);

/* Finds out what works, with the rights that are left; blocks, for a second at most for each kind. Logs in
 * one line why eBPF does not work, and what takes over. */
void broker_redirect_test(BrokerRedirect *redirect);

/* Puts into force what is asked, or the next best; the last call counts, whoever made it. Best is eBPF, then
 * nftables, then eBPF where NAT rules limit it. *ret_reason says in a sentence why *ret_kind is nothing
 * better, and what does not work with it; lent until the next call; NULL: it is the best, without a limit.
 * -E2BIG: too many relays or uplinks; -ENOMEM; nothing has changed then. */
int broker_redirect_set(BrokerRedirect *redirect, const void *owner, const BrokerRedirectRequest *request,
                        RedirectKind *ret_kind, const char **ret_reason);

/* NAT rules may have come or gone: finds out whether they limit eBPF now, whatever is in force. Blocks as
 * redirect_self_test_unasked() does. True: broker_redirect_set() may decide otherwise than before. Until
 * then what is in force still is, with the limit or without. */
bool broker_redirect_check(BrokerRedirect *redirect);

/* What is in force. */
RedirectKind broker_redirect_kind(const BrokerRedirect *redirect);

/* All of them or none. -ENOTCONN: the proxy is in force; -EEXIST: a (ufrag, address, WireGuard's port)
 * is there already, or a cookie with something else than another ufrag; -ENOSPC: too many; the backend's
 * error. */
int broker_redirect_add(BrokerRedirect *redirect, const void *owner, const RedirectSocket *sockets,
                        size_t n);

/* Those that this owner added with the ufrag; there may be none. */
void broker_redirect_remove(BrokerRedirect *redirect, const void *owner, const char *ufrag);

/* As redirect_moves_set(), for `duration` from `now` on (CLOCK_MONOTONIC); 0: as redirect_moves_end(). It
 * ends also when something else comes into force. -ENOTCONN: the proxy is in force; -ENOTSUP: what is does
 * not do it. */
int broker_redirect_move(BrokerRedirect *redirect, const void *owner, const RedirectMove *move,
                         usec_t duration, usec_t now, uint64_t *ret_packets);

/* As redirect_moves_expire(). */
usec_t broker_redirect_expire(BrokerRedirect *redirect, usec_t now);

/* Calls back for the handshake initiations that are seen, in whatever is in force, until it is freed. Once.
 */
int broker_redirect_watch(BrokerRedirect *redirect, sd_event *event, redirect_initiation_t callback,
                          void *userdata);

/* The owner is gone. If the last broker_redirect_set() was its own, nothing is in force any more. */
void broker_redirect_forget(BrokerRedirect *redirect, const void *owner);
