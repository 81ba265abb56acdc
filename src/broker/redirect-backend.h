/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <string.h>
#include <systemd/sd-event.h>

#include "redirect-kind.h"
#include "socket-address.h"
#include "time-util.h"

/* What makes UDP sockets share WireGuard's port W: what such a socket sends leaves with source port W, and
 * STUN that arrives for W comes to the socket that it is for. One interface, an implementation for each
 * kernel feature that can do it. All of it is undone when the backend is freed, or its process dies. */

/* The length of every ufrag; bpf/redirect.h has the same for the programs. */
#define REDIRECT_UFRAG_SIZE 8

typedef struct RedirectSocket {
        uint64_t cookie;         /* SO_COOKIE */
        SocketAddress local;     /* where it is bound: address and its own port, P */
        uint16_t wireguard_port; /* W, host order */
        bool keeps_relays;       /* what goes to a relay (set_relays) keeps P */
        /* Whose STUN requests come to it, if they were sent to its address; unique with (address, W). A
         * socket can be there several times, with a ufrag each time and all else the same. */
        char ufrag[REDIRECT_UFRAG_SIZE + 1];
} RedirectSocket;

static inline bool redirect_socket_is_same(const RedirectSocket *a, const RedirectSocket *b)
{
        return a->cookie == b->cookie && socket_address_equal(&a->local, &b->local) &&
               a->wireguard_port == b->wireguard_port && a->keeps_relays == b->keeps_relays;
}

/* Has one of them a (ufrag, address, W) that can be the other's? */
static inline bool redirect_socket_ufrags_clash(const RedirectSocket *a, const RedirectSocket *b)
{
        return a->wireguard_port == b->wireguard_port && socket_address_ip_equal(&a->local, &b->local) &&
               memcmp(a->ufrag, b->ufrag, sizeof(a->ufrag)) == 0;
}

/* What arrives at W from `from`, and is no STUN, is to look as if it came from `to`. */
typedef struct RedirectMove {
        uint16_t wireguard_port; /* W, host order */
        uint32_t mark; /* what WireGuard marks its packets with: it decides by which link `to` is reached */
        SocketAddress from, to; /* of one family */
} RedirectMove;

typedef struct RedirectBackend RedirectBackend;

/* WireGuard has sent a handshake initiation from this port (host order) to there. */
typedef void (*redirect_initiation_t)(uint16_t wireguard_port, const SocketAddress *remote, void *userdata);

typedef struct RedirectBackendOps {
        RedirectKind kind;

        /* -EEXIST: this (ufrag, address, W) is there already, or this cookie with something else than
         * another ufrag; -ENOSPC: there are too many. Then nothing has changed. The socket need not live on,
         * but its owner removes it before long. */
        int (*add)(RedirectBackend *b, const RedirectSocket *socket);

        /* One that was added, as it was then: that ufrag, and with the last one the socket. */
        void (*remove)(RedirectBackend *b, const RedirectSocket *socket);

        /* Exactly these addresses and ports of TURN servers, from now on. */
        int (*set_relays)(RedirectBackend *b, const SocketAddress *relays, size_t n);

        /* Exactly these links of this network namespace; those that are gone are skipped. */
        int (*set_uplinks)(RedirectBackend *b, const int *ifindexes, size_t n);

        /* lo beside the uplinks, or not: for redirect_self_test_unasked(). NULL: not needed. */
        int (*set_loopback)(RedirectBackend *b, bool attached);

        /* Whether STUN of an IP version (AF_INET, AF_INET6) that comes unasked meets the firewall with P in
         * its header, in place of W. Not, to begin with. Returns what was. NULL: it is as it should be. */
        bool (*set_rewriting)(RedirectBackend *b, int family, bool rewriting);

        /* Until `until` (CLOCK_MONOTONIC) at the latest, by itself. One with the same W and `from` is there
         * already: it is this one from now on, and its packets count on. -ENOTSUP: not with these two;
         * -ENOSPC: there are too many. NULL: it cannot do this at all, and has not the next two either. */
        int (*move)(RedirectBackend *b, const RedirectMove *move, usec_t until);
        /* How many packets one that is there has moved. */
        uint64_t (*count_moved)(RedirectBackend *b, const RedirectMove *move);
        /* One that was there, which may have ended by itself. */
        void (*end_move)(RedirectBackend *b, const RedirectMove *move);

        /* Calls back for handshake initiations, each endpoint's several times a second at most, until the
         * backend is freed. NULL: it does not see them. */
        int (*watch)(RedirectBackend *b, sd_event *event, redirect_initiation_t callback, void *userdata);

        /* Takes everything back. Returns NULL. */
        RedirectBackend *(*free)(RedirectBackend *b);
} RedirectBackendOps;

struct RedirectBackend {
        const RedirectBackendOps *ops;
};

static inline RedirectBackend *redirect_backend_free(RedirectBackend *b)
{
        return b ? b->ops->free(b) : NULL;
}
DEFINE_TRIVIAL_CLEANUP_FUNC(RedirectBackend *, redirect_backend_free);

/* These three say on failure, beside errno, what is missing (a kernel's feature, a right) or does not work:
 * a clause, without capital and full stop, in *ret_message, that the caller owns; NULL: errno says it all.
 *
 * tc programs (tcx; clsact before Linux 6.6). Loads them and attaches nothing. The caller owns *ret. */
int redirect_ebpf_new(RedirectBackend **ret, char **ret_message);

/* A table of ours. user: whose sockets they are; those of others are none of its business. */
int redirect_nftables_new(uid_t user, RedirectBackend **ret, char **ret_message);

/* STUN and what looks like WireGuard's packets through lo, in both directions, with sockets of this process;
 * the backend is attached to lo for that time only. Blocks, for a second at most if something does not
 * arrive. 0; 1: all works, but what comes unasked has to be rewritten (set_rewriting), which is done from
 * now on: a firewall that opens W alone stops it. */
int redirect_self_test(RedirectBackend *b, char **ret_message);

/* Finds out anew whether what comes unasked has to be rewritten, with the backend in force or not: NAT
 * rules, which decide it, come and go. 0: no; 1: yes; either is done from now on. On failure nothing is
 * known, and nothing has changed. Blocks, for a millisecond as a rule; for a tenth of a second if nothing
 * arrives. */
int redirect_self_test_unasked(RedirectBackend *b);
