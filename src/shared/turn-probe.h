/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "macro.h"
#include "socket-address.h"
#include "time-util.h"

/* Does a TURN server give us an allocation (RFC 8656 section 7), and if not, why? One is asked for with
 * long-term credentials and given back at once. libnice does not tell why it got none. */

typedef struct TurnProbe TurnProbe;

/* For all of it; over UDP each request is repeated meanwhile. */
#define TURN_PROBE_PATIENCE (5 * USEC_PER_SEC)

/* error: 0: it does; -EACCES: it refuses our credentials; -EDQUOT: it has no allocation for us now (quota,
 * capacity); -EPROTO: another error of the server; -ETIMEDOUT; -ECONNREFUSED and other errors of the
 * socket. reason: for people, NULL with 0. Never from inside turn_probe_new(); the probe may be freed. */
typedef void (*turn_probe_callback_t)(TurnProbe *probe, int error, const char *reason, void *userdata);

/* type: SOCK_DGRAM or SOCK_STREAM. errno of the system calls (-ENETUNREACH: no route). */
int turn_probe_new(sd_event *event, int type, const SocketAddress *server, const char *username,
                   const char *password, turn_probe_callback_t callback, void *userdata, TurnProbe **ret);
TurnProbe *turn_probe_free(TurnProbe *probe);
DEFINE_TRIVIAL_CLEANUP_FUNC(TurnProbe *, turn_probe_free);
