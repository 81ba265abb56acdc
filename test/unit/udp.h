/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <criterion/criterion.h>
#include <sys/socket.h>

#include "socket-address.h"

static inline SocketAddress address(const char *s)
{
        SocketAddress a;

        cr_assert(socket_address_from_string(s, &a) >= 0, "%s", s);
        return a;
}

static inline SocketAddress local_address(int fd)
{
        struct sockaddr_storage storage;
        socklen_t size = sizeof(storage);
        SocketAddress a;

        cr_assert(getsockname(fd, (struct sockaddr *) &storage, &size) >= 0);
        cr_assert(socket_address_from_sockaddr(&storage, size, &a) >= 0);
        return a;
}

static inline int udp_socket(const char *s)
{
        SocketAddress a = address(s);
        int fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        cr_assert(fd >= 0);
        cr_assert(bind(fd, &a.sa, socket_address_length(&a)) >= 0);
        return fd;
}
