/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "own-sockets.h"

#include <dirent.h>
#include <errno.h>

#include "parse-util.h"

typedef union Name {
        struct sockaddr_storage storage;
        struct sockaddr sa;
} Name;

int socket_get_remote(int fd, SocketAddress *ret)
{
        Name name;
        socklen_t size = sizeof(name);

        if (getpeername(fd, &name.sa, &size) < 0)
                return -errno;
        return socket_address_from_sockaddr(&name, size, ret);
}

int socket_get_local(int fd, SocketAddress *ret)
{
        Name name;
        socklen_t size = sizeof(name);

        if (getsockname(fd, &name.sa, &size) < 0)
                return -errno;
        return socket_address_from_sockaddr(&name, size, ret);
}

static bool is_stream(int fd)
{
        int type = 0;
        socklen_t size = sizeof(type);

        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) >= 0 && type == SOCK_STREAM;
}

static bool is_between(int fd, const SocketAddress *remote, const SocketAddress *local)
{
        SocketAddress a;

        if (socket_get_remote(fd, &a) < 0 || !socket_address_equal(&a, remote) || !is_stream(fd))
                return false;
        return !local || (socket_get_local(fd, &a) >= 0 && socket_address_equal(&a, local));
}

size_t own_connections_find(const SocketAddress *remote, const SocketAddress *local, int *ret_fds,
                            size_t max)
{
        struct dirent *entry;
        uint32_t number;
        size_t n = 0;
        DIR *folder;

        folder = opendir("/proc/self/fd");
        if (!folder)
                return 0;
        while (n < max && (entry = readdir(folder)))
                if (parse_u32(entry->d_name, &number) >= 0 && is_between((int) number, remote, local))
                        ret_fds[n++] = (int) number;
        closedir(folder);
        return n;
}
