/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "macro.h"
#include "socket-address.h"
#include "time-util.h"

/* A STUN Binding request (RFC 8489) to one server and its answer, on the sd-event loop; the bytes are
 * libnice's stun library's. */

typedef struct StunQuery StunQuery;

/* error: 0 and the mapped address with the time it took; -ETIMEDOUT (39.5 s at RTO 500 ms, RFC 8489
 * section 6.2.1); -ECONNREFUSED and other errors of the socket; -EPROTO: the server answered with an error.
 * The query may be freed inside. */
typedef void (*stun_query_callback_t)(StunQuery *query, int error, const SocketAddress *mapped, usec_t rtt,
                                      void *userdata);

/* Asks from a socket that shares the port of `base_fd`, a bound, unconnected UDP socket of ours. It gets
 * SO_REUSEADDR while ours is being bound, and the kernel prefers our connected socket for this server's
 * packets, so that the owner of base_fd never sees them; a packet from elsewhere that arrives in the few
 * microseconds between bind and connect is lost. base_fd may be -EBADF: any port. Not for a server that
 * base_fd also uses for TURN: its Allocate answer tells the mapping. One query per server and port at a
 * time. errno of the system calls (-ENETUNREACH: no route). */
int stun_query_new(sd_event *event, int base_fd, const SocketAddress *server, stun_query_callback_t callback,
                   void *userdata, StunQuery **ret);
StunQuery *stun_query_free(StunQuery *query);
DEFINE_TRIVIAL_CLEANUP_FUNC(StunQuery *, stun_query_free);
