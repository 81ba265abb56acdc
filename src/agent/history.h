/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "path.h"

/* How a peer's path has changed: a ring of the last changes, with when, from what, to what, and why. Plain
 * data; the clocks are arguments. What has never changed costs nothing, and the ring grows with what is in
 * it. */

/* How many changes are told. */
#define HISTORY_MAX 64

typedef enum PathCause {
        PATH_CAUSE_UNKNOWN,     /* what there is to say follows from the change: history_default_cause() */
        PATH_CAUSE_FIRST_PATH,  /* the first since icewired knows the peer */
        PATH_CAUSE_PATH_FOUND,  /* again one, after there was none */
        PATH_CAUSE_BETTER_PATH, /* another pair is better than the one in use */
        PATH_CAUSE_PATH_LOST,   /* nothing comes through any more */
        PATH_CAUSE_ADDRESS_CHANGED,     /* this host has other addresses */
        PATH_CAUSE_PORT_CHANGED,        /* the link has another port */
        PATH_CAUSE_SHARING_CHANGED,     /* ICE shares WireGuard's port in another way, or no longer */
        PATH_CAUSE_PEER_RESTARTED,      /* the peer's icewired has started anew */
        PATH_CAUSE_PEER_LEFT,           /* it said goodbye */
        PATH_CAUSE_PEER_ASKED,          /* it began a negotiation beside a path in use */
        PATH_CAUSE_RECONNECT_REQUESTED, /* a person asked for it */
        PATH_CAUSE_ENDPOINT_BY_OTHERS,  /* somebody else has set the endpoint, or WireGuard has followed the
                                         * peer
                                         */
        PATH_CAUSE_POLICY,              /* the peer's policy is another one, here or there */
        PATH_CAUSE_CONFIGURATION,       /* icewire.conf was read again */
        PATH_CAUSE_RESUMED,             /* this host has slept */
        PATH_CAUSE_ROUTE_CHANGED,       /* the default route of this host leads elsewhere */
        PATH_CAUSE_ENDPOINT_RESTORED,   /* one that somebody else had set did not work: ours is set again */
        _PATH_CAUSE_MAX,
        _PATH_CAUSE_INVALID = -EINVAL,
} PathCause;

DECLARE_STRING_TABLE(path_cause, PathCause); /* "unknown", "first-path", … */

/* What people want to know of a path; small, since many are kept. */
typedef struct HistoryPath {
        PathKind kind : 8;
        IceTransport transport : 8;
        IceCandidateType local_type : 8, remote_type : 8;
        SocketAddress local, remote; /* unset: unknown */
} HistoryPath;

typedef struct HistoryEntry {
        usec_t realtime, boottime; /* CLOCK_REALTIME, CLOCK_BOOTTIME */
        PathCause cause;
        HistoryPath to;
} HistoryEntry;

/* A change as it is told. */
typedef struct HistoryChange {
        usec_t realtime, boottime;
        PathCause cause;
        HistoryPath from, to;
} HistoryChange;

/* All zero: nothing has happened yet, there is no path. */
typedef struct History {
        HistoryEntry
                *entries; /* entry number n is at n % (HISTORY_MAX + 1): one more, for where it came from */
        size_t allocated;
        size_t n; /* ever */
} History;

void history_done(History *h);

/* The path is this one now. 1: recorded; 0: it is what it was before (round-trip time and age do not count),
 * nothing is recorded; -ENOMEM: nothing is recorded, the next change will be from what was known last.
 * PATH_CAUSE_UNKNOWN becomes history_default_cause(). */
int history_record(History *h, const Path *path, PathCause cause, usec_t realtime, usec_t boottime);

/* How many changes there are to tell, at most HISTORY_MAX; and number i of them, 0 being the oldest. */
size_t history_count(const History *h);
void history_get(const History *h, size_t i, HistoryChange *ret);

/* What a change is called for which nobody has named a cause. */
PathCause history_default_cause(const History *h, PathKind to);
