/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "rtnl.h"

/* rtnetlink messages (rtnetlink(7), linux/rtnetlink.h) to plain data. What rtnl.c and its tests use. */

/* One next hop of a unicast route. The kernel replaces a route by (family, table, priority, TOS). */
typedef struct RtnlRoute {
        int ifindex;
        uint8_t family;
        uint8_t destination_length; /* 0: a default route */
        uint8_t tos;
        uint32_t table;
        uint32_t priority;
        SocketAddress gateway; /* unset: on link, or of the other family */
        unsigned generation;   /* rtnl.c's own */
} RtnlRoute;

/* 1: *ret is filled in (except what is rtnl.c's own); 0: the message is of another sense; -EBADMSG. */
int rtnl_parse_link(const struct nlmsghdr *message, RtnlLink *ret);
int rtnl_parse_address(const struct nlmsghdr *message, RtnlAddress *ret);

/* *ret is what all next hops have in common; on_next_hop is called for each that is alive, with all that
 * belongs to it, and ends the parsing with a negative errno. 1, 0, errors as above. */
typedef int (*rtnl_next_hop_callback_t)(const RtnlRoute *route, void *userdata);
int rtnl_parse_route(const struct nlmsghdr *message, RtnlRoute *ret);
int rtnl_parse_next_hops(const struct nlmsghdr *message, const RtnlRoute *route,
                         rtnl_next_hop_callback_t on_next_hop, void *userdata);
