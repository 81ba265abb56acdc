/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "macro.h"
#include "socket-address.h"

/* TLS to a server for somebody in this process who speaks only TCP (libnice, for TURN): a listening socket
 * on loopback, and for each connection that it accepts one by TLS to the server, whose certificate must be
 * valid for its name. Bytes go both ways, with bounded buffers: who sends faster than the other side takes
 * has to wait. Nobody but this process is let in. */

typedef struct TlsLeg TlsLeg;

/* Connections of one leg at the same time; further ones are closed at once. */
#define TLS_LEG_CONNECTIONS_MAX 1024

/* None is called from inside a call of the owner's. */
typedef struct TlsLegCallbacks {
        /* A connection has got through: the certificate was good. The leg must stay. */
        void (*established)(TlsLeg *leg, void *userdata);
        /* One has not. error: -EKEYREJECTED (its certificate), -EPROTO (TLS), -ECONNREFUSED, -ETIMEDOUT, …;
         * reason: for people. The leg may be freed. */
        void (*failed)(TlsLeg *leg, int error, const char *reason, void *userdata);
        /* After tls_leg_retire(): the last connection has gone; the leg may be freed. */
        void (*idle)(TlsLeg *leg, void *userdata);
} TlsLegCallbacks;

/* server: where to connect; name: what its certificate must be valid for (tls.h); ca_file: PEM, NULL: the
 * system's. The callbacks' table must outlive the leg. Errors of tls_context_new() and of the system calls.
 */
int tls_leg_new(sd_event *event, const SocketAddress *server, const char *name, const char *ca_file,
                const TlsLegCallbacks *callbacks, void *userdata, TlsLeg **ret);
/* Breaks off what is under way. */
TlsLeg *tls_leg_free(TlsLeg *leg);
DEFINE_TRIVIAL_CLEANUP_FUNC(TlsLeg *, tls_leg_free);

/* Where to connect in place of the server, for those who bind to addresses of this family (AF_INET,
 * AF_INET6); NULL: this host has no loopback of it. */
const SocketAddress *tls_leg_address(const TlsLeg *leg, int family);

/* Lets nobody in any more; the connections that there are go on. `idle` is called when none is left, also if
 * there is none now. */
void tls_leg_retire(TlsLeg *leg);

size_t tls_leg_n_connections(const TlsLeg *leg);
