/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "manager.h"

/* The network of this host as the model sees it: its addresses, its default routes, and what their changes
 * call for. */

/* Follows them from now on. Errors of rtnl_monitor_new(). */
int host_network_start(Manager *m);

/* Looks at them now, which the configuration may have made others; after host_network_start(), once the
 * monitor is ready. */
void host_network_collect(Manager *m);

/* Our addresses and the default routes, of IPv4 and IPv6 (unset: the family has none), have become these. */
void manager_set_network(Manager *m, const SocketAddress *addresses, size_t n,
                         const RtnlDefaultRoute routes[static 2]);

/* Likewise, and the routes are as they were. */
void manager_set_addresses(Manager *m, const SocketAddress *addresses, size_t n);

/* The host has slept, for who knows how long. */
void manager_resumed(Manager *m);

/* Would a packet to this address go into one of our tunnels? */
bool manager_address_is_tunnelled(const Manager *m, const SocketAddress *a);
