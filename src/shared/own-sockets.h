/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "socket-address.h"

/* The TCP connections of this very process, also those that a library has made and tells nobody of. Read
 * from /proc/self/fd: for what happens now and then. */

/* Fills ret_fds with those whose other end is `remote` and, unless local is NULL, whose own end is `local`;
 * at most `max`. The descriptors are borrowed. Returns how many. */
size_t own_connections_find(const SocketAddress *remote, const SocketAddress *local, int *ret_fds,
                            size_t max);

/* The two ends of a socket. Errors of getpeername(2), getsockname(2); -EINVAL: of another family. */
int socket_get_remote(int fd, SocketAddress *ret);
int socket_get_local(int fd, SocketAddress *ret);
