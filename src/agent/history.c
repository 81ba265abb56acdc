/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "history.h"

#include "alloc-util.h"

#define KEPT_MAX (HISTORY_MAX + 1)
#define KEPT_FIRST 4

static const char *const path_cause_table[_PATH_CAUSE_MAX] = {
        [PATH_CAUSE_UNKNOWN] = "unknown",
        [PATH_CAUSE_FIRST_PATH] = "first-path",
        [PATH_CAUSE_PATH_FOUND] = "path-found",
        [PATH_CAUSE_BETTER_PATH] = "better-path",
        [PATH_CAUSE_PATH_LOST] = "path-lost",
        [PATH_CAUSE_ADDRESS_CHANGED] = "address-changed",
        [PATH_CAUSE_PORT_CHANGED] = "port-changed",
        [PATH_CAUSE_SHARING_CHANGED] = "sharing-changed",
        [PATH_CAUSE_PEER_RESTARTED] = "peer-restarted",
        [PATH_CAUSE_PEER_LEFT] = "peer-left",
        [PATH_CAUSE_PEER_ASKED] = "peer-asked",
        [PATH_CAUSE_RECONNECT_REQUESTED] = "reconnect-requested",
        [PATH_CAUSE_ENDPOINT_BY_OTHERS] = "endpoint-by-others",
        [PATH_CAUSE_POLICY] = "policy",
        [PATH_CAUSE_CONFIGURATION] = "configuration",
        [PATH_CAUSE_RESUMED] = "resumed",
        [PATH_CAUSE_ROUTE_CHANGED] = "route-changed",
        [PATH_CAUSE_ENDPOINT_RESTORED] = "endpoint-restored",
};
DEFINE_STRING_TABLE(path_cause, PathCause);

void history_done(History *h)
{
        h->entries = mfree(h->entries);
        h->allocated = h->n = 0;
}

/* A path that WireGuard has found by itself has no candidates, only an endpoint. */
static HistoryPath summarise(const Path *path)
{
        bool pair = socket_address_is_set(&path->remote.address);

        if (path->kind == PATH_NONE)
                return (HistoryPath) {};
        return (HistoryPath) {
                .kind = path->kind,
                .transport = pair ? path->remote.transport : ICE_TRANSPORT_UDP,
                .local_type = path->local.type,
                .remote_type = pair ? path->remote.type : ICE_CANDIDATE_HOST,
                .local = path->local.address,
                .remote = pair ? path->remote.address : path->endpoint,
        };
}

static bool paths_equal(const HistoryPath *a, const HistoryPath *b)
{
        return a->kind == b->kind && a->transport == b->transport && a->local_type == b->local_type &&
               a->remote_type == b->remote_type && socket_address_equal(&a->local, &b->local) &&
               socket_address_equal(&a->remote, &b->remote);
}

static HistoryPath path_after(const History *h, size_t n)
{
        return n == 0 ? (HistoryPath) {} : h->entries[(n - 1) % KEPT_MAX].to;
}

static int make_room(History *h)
{
        size_t wanted = h->allocated == 0 ? KEPT_FIRST : MIN(h->allocated * 4, (size_t) KEPT_MAX);
        HistoryEntry *entries;

        if (h->n < h->allocated || h->allocated == KEPT_MAX)
                return 0;
        entries = reallocarray(h->entries, wanted, sizeof(*entries));
        if (!entries)
                return -ENOMEM;
        h->entries = entries;
        h->allocated = wanted;
        return 0;
}

PathCause history_default_cause(const History *h, PathKind to)
{
        if (to == PATH_NONE)
                return PATH_CAUSE_PATH_LOST;
        if (h->n == 0)
                return PATH_CAUSE_FIRST_PATH;
        return path_after(h, h->n).kind == PATH_NONE ? PATH_CAUSE_PATH_FOUND : PATH_CAUSE_BETTER_PATH;
}

int history_record(History *h, const Path *path, PathCause cause, usec_t realtime, usec_t boottime)
{
        HistoryPath to = summarise(path), before = path_after(h, h->n);
        int r;

        if (paths_equal(&before, &to))
                return 0;
        r = make_room(h);
        if (r < 0)
                return r;
        h->entries[h->n % KEPT_MAX] = (HistoryEntry) {
                .realtime = realtime,
                .boottime = boottime,
                .cause = cause == PATH_CAUSE_UNKNOWN ? history_default_cause(h, to.kind) : cause,
                .to = to,
        };
        h->n++;
        return 1;
}

size_t history_count(const History *h)
{
        return MIN(h->n, (size_t) HISTORY_MAX);
}

void history_get(const History *h, size_t i, HistoryChange *ret)
{
        size_t n = h->n - history_count(h) + i;
        const HistoryEntry *entry = &h->entries[n % KEPT_MAX];

        assert(i < history_count(h));
        *ret = (HistoryChange) {
                .realtime = entry->realtime,
                .boottime = entry->boottime,
                .cause = entry->cause,
                .from = path_after(h, n),
                .to = entry->to,
        };
}
