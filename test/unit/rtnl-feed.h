/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>

#include "rtnl.h"
#include "socket-address.h"
#include "string-util.h"

/* rtnetlink messages made by hand, for a monitor that asks no kernel. */

typedef struct FeedMessage {
        _Alignas(8) uint8_t bytes[2048];
} FeedMessage;

static inline struct nlmsghdr *feed_start(FeedMessage *m, uint16_t type)
{
        struct nlmsghdr *message = mnl_nlmsg_put_header(m->bytes);

        message->nlmsg_type = type;
        return message;
}

static inline int feed_link_message(RtnlMonitor *monitor, uint16_t type, const RtnlLink *link)
{
        FeedMessage m;
        struct nlmsghdr *message = feed_start(&m, type);
        struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(message, sizeof(*ifi));
        struct nlattr *info;

        ifi->ifi_index = link->ifindex;
        ifi->ifi_flags = link->flags;
        ifi->ifi_type = link->type;
        mnl_attr_put_strz(message, IFLA_IFNAME, link->name);
        mnl_attr_put_u32(message, IFLA_MTU, link->mtu);
        if (link->master != 0)
                mnl_attr_put_u32(message, IFLA_MASTER, (uint32_t) link->master);
        info = mnl_attr_nest_start(message, IFLA_LINKINFO);
        if (*link->kind)
                mnl_attr_put_strz(message, IFLA_INFO_KIND, link->kind);
        if (*link->slave_kind)
                mnl_attr_put_strz(message, IFLA_INFO_SLAVE_KIND, link->slave_kind);
        mnl_attr_nest_end(message, info);
        return rtnl_monitor_process(monitor, message);
}

#define feed_link(monitor, ...)                                                                             \
        cr_assert_eq(feed_link_message((monitor), RTM_NEWLINK, &(RtnlLink) { __VA_ARGS__ }), 0)

static inline void feed_address_message(RtnlMonitor *monitor, uint16_t type, int ifindex, const char *ip,
                                        uint8_t prefix_length, uint32_t flags, uint8_t scope)
{
        FeedMessage m;
        struct nlmsghdr *message = feed_start(&m, type);
        struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(message, sizeof(*ifa));
        SocketAddress a;

        cr_assert_eq(socket_address_from_ip(ip, 0, &a), 0, "%s", ip);
        ifa->ifa_family = (uint8_t) a.sa.sa_family;
        ifa->ifa_index = (uint32_t) ifindex;
        ifa->ifa_prefixlen = prefix_length;
        ifa->ifa_scope = scope;
        if (a.sa.sa_family == AF_INET) {
                mnl_attr_put(message, IFA_LOCAL, 4, &a.in.sin_addr);
                mnl_attr_put(message, IFA_ADDRESS, 4, &a.in.sin_addr);
        } else
                mnl_attr_put(message, IFA_ADDRESS, 16, &a.in6.sin6_addr);
        mnl_attr_put_u32(message, IFA_FLAGS, flags);
        cr_assert_eq(rtnl_monitor_process(monitor, message), 0);
}

static inline void feed_address(RtnlMonitor *monitor, int ifindex, const char *ip, uint32_t flags)
{
        feed_address_message(monitor, RTM_NEWADDR, ifindex, ip, 24, flags, RT_SCOPE_UNIVERSE);
}

/* An IPv4 route to 0.0.0.0/destination_length. */
static inline void feed_route(RtnlMonitor *monitor, uint16_t type, uint16_t flags, int ifindex,
                              uint8_t destination_length, uint32_t priority)
{
        FeedMessage m;
        struct nlmsghdr *message = feed_start(&m, type);
        struct rtmsg *rt = mnl_nlmsg_put_extra_header(message, sizeof(*rt));

        message->nlmsg_flags = flags;
        rt->rtm_family = AF_INET;
        rt->rtm_dst_len = destination_length;
        rt->rtm_table = RT_TABLE_MAIN;
        rt->rtm_type = RTN_UNICAST;
        if (priority != 0)
                mnl_attr_put_u32(message, RTA_PRIORITY, priority);
        mnl_attr_put_u32(message, RTA_OIF, (uint32_t) ifindex);
        cr_assert_eq(rtnl_monitor_process(monitor, message), 0);
}
