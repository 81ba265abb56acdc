/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <net/if.h>
#include <systemd/sd-event.h>

#include "macro.h"
#include "netlink.h"
#include "socket-address.h"

/* Follows links, addresses and default routes of the network namespace by rtnetlink; needs no privilege. */

typedef struct RtnlLink {
        int ifindex;
        char name[IF_NAMESIZE];
        char kind[16];       /* IFLA_INFO_KIND: "wireguard", "veth", "bridge", …; "" for hardware */
        unsigned flags;      /* IFF_* */
        unsigned short type; /* ARPHRD_* */
        int master;          /* ifindex of the bridge, bond, VRF it belongs to; 0: none */
        char slave_kind[16]; /* IFLA_INFO_SLAVE_KIND: what the master is: "bridge", "bond", "vrf", …; "":
                                none or unknown */
        unsigned mtu;
        unsigned default_routes; /* number of unicast default routes by this link: both families, all tables
                                  */
        /* rtnl.c's own */
        unsigned generation;
        int changes;
} RtnlLink;

typedef struct RtnlAddress {
        int ifindex;
        SocketAddress address; /* port 0 */
        uint8_t prefix_length;
        uint8_t scope;       /* RT_SCOPE_* */
        uint32_t flags;      /* IFA_F_* */
        unsigned generation; /* rtnl.c's own */
} RtnlAddress;

/* Where what has no route of its own goes. */
typedef struct RtnlDefaultRoute {
        int ifindex;           /* 0: there is none */
        SocketAddress gateway; /* unset: on link, or of the other family */
} RtnlDefaultRoute;

typedef struct RtnlMonitor RtnlMonitor;

typedef enum RtnlChange {
        RTNL_CHANGE_LINK = 1 << 0,
        RTNL_CHANGE_ADDRESS = 1 << 1,
        RTNL_CHANGE_ROUTE = 1 << 2, /* a default route, or (see rtnl_monitor_new) any route by a link of kind
                                       "wireguard" */
} RtnlChange;

typedef struct RtnlCallbacks {
        /* One link appeared or changed (link is the new state), or went (removed; after `changed`). A
         * different number of default routes is told by `changed` alone. Links are told from the first dump
         * on, before `ready`. */
        void (*link)(RtnlMonitor *monitor, const RtnlLink *link, bool removed, void *userdata);
        /* Something of these kinds (RtnlChange set) changed at this interface; after `link`. Not before the
         * first `ready`. The same address announced again (lifetimes) is no change. */
        void (*changed)(RtnlMonitor *monitor, int ifindex, int changes, void *userdata);
        /* The first dump, or one after the kernel dropped messages (ENOBUFS), is complete. */
        void (*ready)(RtnlMonitor *monitor, void *userdata);
} RtnlCallbacks;

/* Any callback may be NULL; each may free the monitor. event: NULL makes a monitor that asks no kernel and
 * knows what rtnl_monitor_process() told it (tests). */
int rtnl_monitor_new(sd_event *event, const RtnlCallbacks *callbacks, void *userdata, RtnlMonitor **ret);
RtnlMonitor *rtnl_monitor_free(RtnlMonitor *monitor);
DEFINE_TRIVIAL_CLEANUP_FUNC(RtnlMonitor *, rtnl_monitor_free);

bool rtnl_monitor_is_ready(const RtnlMonitor *monitor);

/* Takes in one RTM_{NEW,DEL}{LINK,ADDR,ROUTE} message and calls back; others are ignored. -EBADMSG. */
int rtnl_monitor_process(RtnlMonitor *monitor, const struct nlmsghdr *message);

/* Lent arrays (links by ifindex, addresses by ifindex with IPv4 first), good until the loop runs again. */
const RtnlLink *rtnl_monitor_links(const RtnlMonitor *monitor, size_t *ret_n);
const RtnlAddress *rtnl_monitor_addresses(const RtnlMonitor *monitor, size_t *ret_n);
const RtnlLink *rtnl_monitor_find_link(const RtnlMonitor *monitor, int ifindex);

/* The one of the main table that the kernel prefers; of several next hops the one by the lowest ifindex.
 * family: AF_INET, AF_INET6. */
RtnlDefaultRoute rtnl_monitor_default_route(const RtnlMonitor *monitor, int family);

/* The lowest metric of the interface's default routes of this family in the main table; -ENOENT: it has none
 * there. */
int64_t rtnl_monitor_default_metric(const RtnlMonitor *monitor, int ifindex, int family);
