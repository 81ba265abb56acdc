/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "macro.h"
#include "socket-address.h"
#include "time-util.h"

/* STUN Binding requests (RFC 8489) from one unconnected UDP socket to several servers, each at its own pace,
 * on the sd-event loop. The socket may be shared with a port that is not its own (a redirect). */

typedef struct StunClient StunClient;

#define STUN_CLIENT_SERVERS_MAX 32

/* None is called from inside a call of the owner's; each may free the client. */
typedef struct StunClientCallbacks {
        /* error: 0 and the mapped address, with the time since the last request; -ETIMEDOUT (39.5 s, RFC
         * 8489 section 6.2.1); -EPROTO: the server answered with an error or with nonsense; errno of
         * sendto(2) (-ENETUNREACH, -EPERM: a firewall here). */
        void (*answered)(StunClient *client, const SocketAddress *server, int error,
                         const SocketAddress *mapped, usec_t round_trip_time, void *userdata);
        /* The hairpin test is over. */
        void (*hairpin)(StunClient *client, bool came, void *userdata);
} StunClientCallbacks;

/* Binds a socket to local's address and any port. The callbacks' table must outlive it. errno of the system
 * calls. */
int stun_client_new(sd_event *event, const SocketAddress *local, const StunClientCallbacks *callbacks,
                    void *userdata, StunClient **ret);
StunClient *stun_client_free(StunClient *client);
DEFINE_TRIVIAL_CLEANUP_FUNC(StunClient *, stun_client_free);

/* Borrowed, to share it; and where it is bound. */
int stun_client_fd(const StunClient *client);
const SocketAddress *stun_client_local(const StunClient *client);

/* Asks this server (again); a question to it that is still open is given up for the new one. The answer
 * comes by callback, unless an error is returned: -EAFNOSUPPORT, -ENOBUFS (more than
 * STUN_CLIENT_SERVERS_MAX), errno of sendto(2). */
int stun_client_ask(StunClient *client, const SocketAddress *server);

/* Its answer will not come. */
void stun_client_forget(StunClient *client, const SocketAddress *server);

/* Sends a Binding request for "UFRAG:hairpin" to our own mapped address, a few times within 3.5 s, and tells
 * whether it came back to this socket. One at a time; a new one replaces the one under way. errno of
 * sendto(2). */
int stun_client_test_hairpin(StunClient *client, const char *ufrag, const SocketAddress *mapped);
