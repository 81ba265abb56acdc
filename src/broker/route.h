/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "socket-address.h"

/* How the kernel reaches a host. */
typedef struct Route {
        int ifindex;         /* of the link */
        SocketAddress local; /* this host's address then, port 0 */
} Route;

/* mark: of the packet (SO_MARK), for rules that look at it; 0: none. Asks the kernel, which answers inside
 * of the system call. The kernel's errors: -ENETUNREACH, -EHOSTUNREACH, …; -EBADMSG. */
int route_find(const SocketAddress *to, uint32_t mark, Route *ret);
