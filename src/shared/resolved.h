/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "macro.h"
#include "socket-address.h"

/* Names to addresses by systemd-resolved (io.systemd.Resolve over Varlink), which knows the name servers of
 * each interface, also where /etc/resolv.conf does not point to it. */

#define RESOLVED_SOCKET "/run/systemd/resolve/io.systemd.Resolve"
#define RESOLVED_ADDRESSES_MAX 16

typedef struct ResolvedQuery ResolvedQuery;

/* error: 0 with at least one address, those that there is a route to first (RFC 6724 section 6, rule 1);
 * -ESRCH: no such name; -ETIMEDOUT; -ECONNREFUSED: no name server; -EIO: the name servers' answers are no
 * good; -ENOTCONN: resolved is not there after all, or does not make sense: ask somebody else. Never called
 * from inside resolved_query(). The query may be freed inside. */
typedef void (*resolved_callback_t)(ResolvedQuery *query, int error, const SocketAddress *addresses,
                                    size_t n, void *userdata);

/* Addresses carry `port`. -ENOENT, -ECONNREFUSED and other errors of connect(2): there is no resolved. */
int resolved_query_new(sd_event *event, const char *host, uint16_t port, resolved_callback_t callback,
                       void *userdata, ResolvedQuery **ret);
ResolvedQuery *resolved_query_free(ResolvedQuery *query);
DEFINE_TRIVIAL_CLEANUP_FUNC(ResolvedQuery *, resolved_query_free);
