/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "macro.h"
#include "socket-address.h"
#include "time-util.h"

/* Names to addresses without blocking, on the sd-event loop: by systemd-resolved where that runs, or else by
 * c-ares: /etc/hosts, then the servers of /etc/resolv.conf. */

typedef struct Resolver Resolver;
typedef struct ResolverQuery ResolverQuery;

#define RESOLVER_ADDRESSES_MAX 16

/* A query that has no answer by then ends with -ETIMEDOUT. systemd-resolved gets 20 s, and c-ares left to
 * itself asks three name servers that are dead for 42 s; but /etc/resolv.conf may say "timeout:30
 * attempts:5", and search domains multiply that, while others take silence for a daemon that hangs
 * (health.h). */
#define RESOLVER_TIMEOUT (60 * USEC_PER_SEC)

/* error: 0 with at least one address (in the order of RFC 6724); -ESRCH (no such name), -ETIMEDOUT,
 * -ECONNREFUSED (no server answers), -EIO. Never called from inside resolver_query(). The query is gone
 * after this. */
typedef void (*resolver_callback_t)(int error, const SocketAddress *addresses, size_t n, void *userdata);

int resolver_new(sd_event *event, Resolver **ret);
Resolver *resolver_free(Resolver *resolver); /* after all its queries */
DEFINE_TRIVIAL_CLEANUP_FUNC(Resolver *, resolver_free);

/* For queries from now on, in place of RESOLVER_TIMEOUT. */
void resolver_set_timeout(Resolver *resolver, usec_t timeout);

/* A literal is answered as well. Addresses carry `port`. */
int resolver_query(Resolver *resolver, const char *host, uint16_t port, resolver_callback_t callback,
                   void *userdata, ResolverQuery **ret);
/* The callback will not come; accepts NULL, returns NULL. */
ResolverQuery *resolver_query_free(ResolverQuery *query);
DEFINE_TRIVIAL_CLEANUP_FUNC(ResolverQuery *, resolver_query_free);
