/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stun-socket.h"

#include "event-util.h"
#include "fd-util.h"
#include "stun-transaction.h"

/* Datagrams looked at per wake-up. */
#define RECEIVE_MAX 16

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        StunSocket *s = userdata;

        for (unsigned i = 0; i < RECEIVE_MAX; i++) {
                struct sockaddr_storage storage;
                socklen_t storage_size = sizeof(storage);
                uint8_t data[STUN_RESPONSE_MAX];
                SocketAddress from;
                ssize_t n;

                n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *) &storage, &storage_size);
                if (n < 0)
                        return 0; /* a pending error is told once, and says less than the silence */
                if (socket_address_from_sockaddr(&storage, storage_size, &from) >= 0 &&
                    s->receive(data, (size_t) n, &from, s->userdata))
                        return 0;
        }
        return 0;
}

static int bind_any_port(StunSocket *s, const SocketAddress *local)
{
        SocketAddress any_port = *local;
        struct sockaddr_storage storage;
        socklen_t size = sizeof(storage);

        socket_address_set_port(&any_port, 0);
        s->fd = socket(local->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->fd < 0 || bind(s->fd, &any_port.sa, socket_address_length(&any_port)) < 0 ||
            getsockname(s->fd, (struct sockaddr *) &storage, &size) < 0)
                return -errno;
        return socket_address_from_sockaddr(&storage, size, &s->local);
}

int stun_socket_open(StunSocket *s, sd_event *event, const SocketAddress *local, const char *description,
                     stun_socket_receive_t receive, void *userdata)
{
        int r;

        *s = (StunSocket) { .fd = -EBADF, .receive = receive, .userdata = userdata };
        r = bind_any_port(s, local);
        if (r < 0)
                return r;
        return event_add_io(event, &s->io, s->fd, EPOLLIN, on_io, s, description);
}

void stun_socket_close(StunSocket *s)
{
        s->io = event_source_disable_unref(s->io);
        s->fd = safe_close(s->fd);
}
