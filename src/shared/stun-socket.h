/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "socket-address.h"

/* A UDP socket on any port of one of our addresses, and what comes to it, on the sd-event loop. Embedded in
 * whoever speaks STUN by it. */

/* One datagram, good until the return; it may be changed. True: the socket may be closed by now. */
typedef bool (*stun_socket_receive_t)(uint8_t *data, size_t size, const SocketAddress *from, void *userdata);

typedef struct StunSocket {
        int fd;              /* non-blocking; -EBADF: closed */
        SocketAddress local; /* where it is bound */
        sd_event_source *io;
        stun_socket_receive_t receive;
        void *userdata;
} StunSocket;

#define STUN_SOCKET_CLOSED ((StunSocket) { .fd = -EBADF })

/* local: its port is of no matter. errno of the system calls, sd-event's errors; what is half open then is
 * for stun_socket_close() as well. */
int stun_socket_open(StunSocket *s, sd_event *event, const SocketAddress *local, const char *description,
                     stun_socket_receive_t receive, void *userdata);
void stun_socket_close(StunSocket *s);
