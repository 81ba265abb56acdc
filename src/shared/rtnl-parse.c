/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "rtnl-parse.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>

/* All headers of rtnetlink are multiples of 4 bytes. */
static int parse_payload(const struct nlmsghdr *message, size_t header, const NetlinkPolicy *policy,
                         unsigned max, const struct nlattr **table)
{
        return netlink_parse_attributes(mnl_nlmsg_get_payload_offset(message, header),
                                        mnl_nlmsg_get_payload_len(message) - header, policy, max, table);
}

/* --- links --- */

static const NetlinkPolicy link_policy[IFLA_MAX + 1] = {
        [IFLA_IFNAME] = { .type = MNL_TYPE_NUL_STRING }, [IFLA_MTU] = { .type = MNL_TYPE_U32 },
        [IFLA_MASTER] = { .type = MNL_TYPE_U32 },        [IFLA_LINKINFO] = { .type = MNL_TYPE_NESTED },
        [IFLA_WIRELESS] = { .type = MNL_TYPE_BINARY },
};

static const NetlinkPolicy linkinfo_policy[IFLA_INFO_MAX + 1] = {
        [IFLA_INFO_KIND] = { .type = MNL_TYPE_NUL_STRING },
        [IFLA_INFO_SLAVE_KIND] = { .type = MNL_TYPE_NUL_STRING },
};

/* A kind that does not fit is none that we know; cut short it is still not "". */
static void copy_kind(char ret[static 16], const struct nlattr *kind)
{
        if (kind)
                snprintf(ret, 16, "%.15s", mnl_attr_get_str(kind));
}

static int parse_linkinfo(const struct nlattr *info, RtnlLink *link)
{
        const struct nlattr *table[IFLA_INFO_MAX + 1];
        int r;

        r = netlink_parse_nested(info, linkinfo_policy, IFLA_INFO_MAX, table);
        if (r < 0)
                return r;
        copy_kind(link->kind, table[IFLA_INFO_KIND]);
        copy_kind(link->slave_kind, table[IFLA_INFO_SLAVE_KIND]);
        return 0;
}

static int fill_link(const struct ifinfomsg *ifi, const struct nlattr **table, RtnlLink *link)
{
        const char *name;

        if (!table[IFLA_IFNAME] || ifi->ifi_index <= 0)
                return -EBADMSG;
        name = mnl_attr_get_str(table[IFLA_IFNAME]);
        if (strlen(name) >= IF_NAMESIZE)
                return -EBADMSG;
        *link = (RtnlLink) {
                .ifindex = ifi->ifi_index,
                .flags = ifi->ifi_flags,
                .type = ifi->ifi_type,
                .master = table[IFLA_MASTER] ? (int) mnl_attr_get_u32(table[IFLA_MASTER]) : 0,
                .mtu = table[IFLA_MTU] ? mnl_attr_get_u32(table[IFLA_MTU]) : 0,
        };
        strcpy(link->name, name);
        return table[IFLA_LINKINFO] ? parse_linkinfo(table[IFLA_LINKINFO], link) : 0;
}

int rtnl_parse_link(const struct nlmsghdr *message, RtnlLink *ret)
{
        const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(message);
        const struct nlattr *table[IFLA_MAX + 1];
        RtnlLink link;
        int r;

        if (mnl_nlmsg_get_payload_len(message) < sizeof(*ifi))
                return -EBADMSG;
        /* A bridge reports its ports with AF_BRIDGE, and says DELLINK when one leaves. */
        if (ifi->ifi_family != AF_UNSPEC)
                return 0;
        r = parse_payload(message, sizeof(*ifi), link_policy, IFLA_MAX, table);
        if (r < 0)
                return r;
        /* Wireless drivers report their events as links without properties. */
        if (table[IFLA_WIRELESS])
                return 0;
        r = fill_link(ifi, table, &link);
        if (r < 0)
                return r;
        *ret = link;
        return 1;
}

/* --- addresses --- */

static const NetlinkPolicy address_policy[IFA_MAX + 1] = {
        [IFA_ADDRESS] = { .type = MNL_TYPE_BINARY, .min_size = 4 },
        [IFA_LOCAL] = { .type = MNL_TYPE_BINARY, .min_size = 4 },
        [IFA_FLAGS] = { .type = MNL_TYPE_U32 },
};

static bool is_address(const struct nlattr *attribute, int family)
{
        return attribute && mnl_attr_get_payload_len(attribute) == (family == AF_INET ? 4 : 16);
}

static int fill_address(const struct ifaddrmsg *ifa, const struct nlattr **table, RtnlAddress *address)
{
        /* On a point-to-point link IFA_ADDRESS is the other end. */
        const struct nlattr *local = table[IFA_LOCAL] ?: table[IFA_ADDRESS];

        if (!is_address(local, ifa->ifa_family))
                return -EBADMSG;
        *address = (RtnlAddress) {
                .ifindex = (int) ifa->ifa_index,
                .prefix_length = ifa->ifa_prefixlen,
                .scope = ifa->ifa_scope,
                .flags = table[IFA_FLAGS] ? mnl_attr_get_u32(table[IFA_FLAGS]) : ifa->ifa_flags,
        };
        socket_address_from_bytes(ifa->ifa_family, mnl_attr_get_payload(local), /* port= */ 0,
                                  &address->address);
        if (ifa->ifa_family == AF_INET6 && socket_address_is_link_local(&address->address))
                address->address.in6.sin6_scope_id = ifa->ifa_index;
        return 0;
}

int rtnl_parse_address(const struct nlmsghdr *message, RtnlAddress *ret)
{
        const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(message);
        const struct nlattr *table[IFA_MAX + 1];
        RtnlAddress address;
        int r;

        if (mnl_nlmsg_get_payload_len(message) < sizeof(*ifa))
                return -EBADMSG;
        if (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6)
                return 0;
        r = parse_payload(message, sizeof(*ifa), address_policy, IFA_MAX, table);
        if (r < 0)
                return r;
        r = fill_address(ifa, table, &address);
        if (r < 0)
                return r;
        *ret = address;
        return 1;
}

/* --- routes --- */

static const NetlinkPolicy route_policy[RTA_MAX + 1] = {
        [RTA_OIF] = { .type = MNL_TYPE_U32 },
        [RTA_PRIORITY] = { .type = MNL_TYPE_U32 },
        [RTA_TABLE] = { .type = MNL_TYPE_U32 },
        [RTA_GATEWAY] = { .type = MNL_TYPE_BINARY, .min_size = 4 },
        [RTA_MULTIPATH] = { .type = MNL_TYPE_BINARY },
};

static bool route_is_wanted(const struct rtmsg *rt)
{
        return (rt->rtm_family == AF_INET || rt->rtm_family == AF_INET6) && rt->rtm_type == RTN_UNICAST &&
               rt->rtm_table != RT_TABLE_LOCAL && !(rt->rtm_flags & RTM_F_CLONED);
}

int rtnl_parse_route(const struct nlmsghdr *message, RtnlRoute *ret)
{
        const struct rtmsg *rt = mnl_nlmsg_get_payload(message);
        const struct nlattr *table[RTA_MAX + 1];
        int r;

        if (mnl_nlmsg_get_payload_len(message) < sizeof(*rt))
                return -EBADMSG;
        if (!route_is_wanted(rt))
                return 0;
        r = parse_payload(message, sizeof(*rt), route_policy, RTA_MAX, table);
        if (r < 0)
                return r;
        *ret = (RtnlRoute) {
                .family = rt->rtm_family,
                .destination_length = rt->rtm_dst_len,
                .tos = rt->rtm_tos,
                .table = table[RTA_TABLE] ? mnl_attr_get_u32(table[RTA_TABLE]) : rt->rtm_table,
                .priority = table[RTA_PRIORITY] ? mnl_attr_get_u32(table[RTA_PRIORITY]) : 0,
        };
        return 1;
}

static int next_hop(const RtnlRoute *route, int ifindex, const struct nlattr *gateway,
                    rtnl_next_hop_callback_t on_next_hop, void *userdata)
{
        RtnlRoute hop = *route;

        hop.ifindex = ifindex;
        if (is_address(gateway, route->family))
                socket_address_from_bytes(route->family, mnl_attr_get_payload(gateway), /* port= */ 0,
                                          &hop.gateway);
        return on_next_hop(&hop, userdata);
}

/* RTA_MULTIPATH: struct rtnexthop, each followed by its own attributes. */
static int parse_multipath(const struct nlattr *multipath, const RtnlRoute *route,
                           rtnl_next_hop_callback_t on_next_hop, void *userdata)
{
        const uint8_t *p = mnl_attr_get_payload(multipath);
        size_t left = mnl_attr_get_payload_len(multipath);

        while (left > 0) {
                const struct nlattr *table[RTA_MAX + 1];
                const struct rtnexthop *hop = (const struct rtnexthop *) p;
                int r;

                if (left < sizeof(*hop) || hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > left)
                        return -EBADMSG;
                r = netlink_parse_attributes(p + sizeof(*hop), hop->rtnh_len - sizeof(*hop), route_policy,
                                             RTA_MAX, table);
                if (r < 0)
                        return r;
                if (!(hop->rtnh_flags & RTNH_F_DEAD)) {
                        r = next_hop(route, hop->rtnh_ifindex, table[RTA_GATEWAY], on_next_hop, userdata);
                        if (r < 0)
                                return r;
                }
                p += RTNH_ALIGN((size_t) hop->rtnh_len);
                left -= MIN(RTNH_ALIGN((size_t) hop->rtnh_len), left);
        }
        return 0;
}

int rtnl_parse_next_hops(const struct nlmsghdr *message, const RtnlRoute *route,
                         rtnl_next_hop_callback_t on_next_hop, void *userdata)
{
        const struct nlattr *table[RTA_MAX + 1];
        int r;

        if (mnl_nlmsg_get_payload_len(message) < sizeof(struct rtmsg))
                return -EBADMSG;
        r = parse_payload(message, sizeof(struct rtmsg), route_policy, RTA_MAX, table);
        if (r < 0)
                return r;
        if (table[RTA_MULTIPATH])
                return parse_multipath(table[RTA_MULTIPATH], route, on_next_hop, userdata);
        if (!table[RTA_OIF])
                return 0;
        return next_hop(route, (int) mnl_attr_get_u32(table[RTA_OIF]), table[RTA_GATEWAY], on_next_hop,
                        userdata);
}
