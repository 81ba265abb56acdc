/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "path.h"

static const char *const path_kind_table[_PATH_KIND_MAX] = {
        [PATH_NONE] = "none",
        [PATH_DIRECT] = "direct",
        [PATH_PROXIED] = "proxied",
        [PATH_RELAYED] = "relayed",
};
DEFINE_STRING_TABLE(path_kind, PathKind);

/* A shorter round-trip time counts if it is shorter by that, and by a quarter. */
#define MARGIN (10 * USEC_PER_MSEC)

static const char *const path_transport_table[_PATH_TRANSPORT_MAX] = {
        [PATH_TRANSPORT_UDP] = "udp",
        [PATH_TRANSPORT_TCP] = "tcp",
        [PATH_TRANSPORT_TLS] = "tls",
};
DEFINE_STRING_TABLE(path_transport, PathTransport);

static int grade(const Path *path)
{
        int transport = _PATH_TRANSPORT_MAX - path->transport;

        switch (path->kind) {
        case PATH_DIRECT:
                return 2 * _PATH_TRANSPORT_MAX + 1;
        case PATH_PROXIED:
                return _PATH_TRANSPORT_MAX + transport;
        case PATH_RELAYED:
                return transport;
        default:
                return 0;
        }
}

static bool is_quicker(usec_t a, usec_t b)
{
        return a != USEC_INFINITY && b != USEC_INFINITY && usec_add(a, MAX((usec_t) MARGIN, b / 4)) < b;
}

int path_compare(const Path *a, const Path *b)
{
        if (grade(a) != grade(b))
                return grade(a) - grade(b);
        return is_quicker(a->round_trip_time, b->round_trip_time) -
               is_quicker(b->round_trip_time, a->round_trip_time);
}

bool path_is_best(const Path *path, bool shared)
{
        return path->kind == PATH_DIRECT ||
               (!shared && path->kind == PATH_PROXIED && path->transport == PATH_TRANSPORT_UDP);
}
