/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ice-candidate.h"
#include "time-util.h"

/* What carries a peer's traffic now: a candidate pair, and how. Plain data: who carries it is the business
 * of carrier.h. */

typedef enum PathKind {
        PATH_NONE,
        PATH_DIRECT,  /* WireGuard and the network, nothing between */
        PATH_PROXIED, /* a direct pair, but every packet passes through icewired */
        PATH_RELAYED, /* at least one side of the pair is a TURN relay */
        _PATH_KIND_MAX,
        _PATH_KIND_INVALID = -EINVAL,
} PathKind;

DECLARE_STRING_TABLE(path_kind, PathKind); /* "none", "direct", "proxied", "relayed" */

/* What carries the packets from this host to the peer, or to the TURN server of our end. */
typedef enum PathTransport {
        PATH_TRANSPORT_UDP,
        PATH_TRANSPORT_TCP,
        PATH_TRANSPORT_TLS, /* to a TURN server only */
        _PATH_TRANSPORT_MAX,
        _PATH_TRANSPORT_INVALID = -EINVAL,
} PathTransport;

DECLARE_STRING_TABLE(path_transport, PathTransport); /* "udp", "tcp", "tls" */

typedef struct Path {
        PathKind kind;
        PathTransport transport;
        IceCandidate local;
        IceCandidate remote;
        SocketAddress endpoint; /* what WireGuard was told */
        bool negotiated;        /* by a session of ours, that may have gone since */
        uint64_t session;       /* which; 0: none */
        usec_t since;           /* CLOCK_BOOTTIME */
        usec_t round_trip_time; /* USEC_INFINITY: unknown */
} Path;

/* Which of two paths is better: > 0 for the first, < 0 for the second, 0: none is so much better that
 * anybody should change for it. Direct pairs before relayed ones, UDP before TCP, WireGuard itself before
 * the proxy (but for relayed pairs, where one side has the relay and so the proxy), and then the round-trip
 * time, with a margin. */
int path_compare(const Path *a, const Path *b);

/* Is there no better kind? shared: WireGuard's port is, on this host; otherwise the proxy carries
 * everything. */
bool path_is_best(const Path *path, bool shared);
