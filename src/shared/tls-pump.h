/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "socket-address.h"
#include "tls.h"

/* Bytes between a plain TCP connection and one by TLS that is made for it, both ways, with a buffer of
 * TLS_PUMP_BUFFER_SIZE each: a side is read from only when the other one has taken what there was. When one
 * side ends, what it has sent is passed on, and then the other one is closed. */

typedef struct TlsPump TlsPump;

#define TLS_PUMP_BUFFER_SIZE 16384 /* bytes; what fits a record of TLS */

/* For TCP and TLS to be made. */
#define TLS_PUMP_TIMEOUT (10 * USEC_PER_SEC)

/* None is called from inside a call of the owner's. */
typedef struct TlsPumpCallbacks {
        void (*established)(TlsPump *pump, void *userdata); /* the pump must stay */
        /* Nothing comes any more, both sides are closed; the pump may be freed. error: 0: one side has
         * ended, or as in tls-stream.h, or of connect(2); reason: for people, NULL without error. */
        void (*ended)(TlsPump *pump, int error, const char *reason, void *userdata);
} TlsPumpCallbacks;

/* plain: a connected socket; becomes the pump's, also on failure. The context and the callbacks' table must
 * outlive it. errno of the system calls: of connect(2) when that fails at once. */
int tls_pump_new(sd_event *event, TlsContext *context, const SocketAddress *server, int plain,
                 const TlsPumpCallbacks *callbacks, void *userdata, TlsPump **ret);
TlsPump *tls_pump_free(TlsPump *pump);
DEFINE_TRIVIAL_CLEANUP_FUNC(TlsPump *, tls_pump_free);

bool tls_pump_is_established(const TlsPump *pump);
