/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "route.h"

#include <errno.h>
#include <linux/rtnetlink.h>

#include "fd-util.h"
#include "netlink.h"

static size_t address_bytes(const SocketAddress *a, const void **ret)
{
        *ret = a->sa.sa_family == AF_INET ? (const void *) &a->in.sin_addr : &a->in6.sin6_addr;
        return a->sa.sa_family == AF_INET ? 4 : 16;
}

static void build_question(struct nlmsghdr *message, const SocketAddress *to, uint32_t mark)
{
        struct rtmsg *route;
        const void *bytes;
        size_t size = address_bytes(to, &bytes);

        message->nlmsg_type = RTM_GETROUTE;
        message->nlmsg_flags = NLM_F_REQUEST;
        route = mnl_nlmsg_put_extra_header(message, sizeof(*route));
        route->rtm_family = (unsigned char) to->sa.sa_family;
        route->rtm_dst_len = (unsigned char) (size * 8);
        mnl_attr_put(message, RTA_DST, size, bytes);
        if (mark != 0)
                mnl_attr_put_u32(message, RTA_MARK, mark);
        if (to->sa.sa_family == AF_INET6 && to->in6.sin6_scope_id != 0)
                mnl_attr_put_u32(message, RTA_OIF, to->in6.sin6_scope_id);
}

static int parse_answer(const struct nlmsghdr *message, int family, Route *ret)
{
        static const NetlinkPolicy policy[RTA_MAX + 1] = {
                [RTA_OIF] = { MNL_TYPE_U32 },
                [RTA_PREFSRC] = { MNL_TYPE_BINARY, 4 },
        };
        const struct nlattr *attributes[RTA_MAX + 1];
        int r;

        if (message->nlmsg_type == NLMSG_ERROR &&
            mnl_nlmsg_get_payload_len(message) >= sizeof(struct nlmsgerr))
                return ((const struct nlmsgerr *) mnl_nlmsg_get_payload(message))->error ?: -EBADMSG;
        if (message->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(message) < sizeof(struct rtmsg))
                return -EBADMSG;
        r = netlink_parse_attributes(mnl_nlmsg_get_payload_offset(message, sizeof(struct rtmsg)),
                                     mnl_nlmsg_get_payload_len(message) - sizeof(struct rtmsg), policy,
                                     RTA_MAX, attributes);
        if (r < 0)
                return r;
        if (!attributes[RTA_OIF] || !attributes[RTA_PREFSRC] ||
            mnl_attr_get_payload_len(attributes[RTA_PREFSRC]) != (family == AF_INET ? 4 : 16))
                return -EBADMSG;
        ret->ifindex = (int) mnl_attr_get_u32(attributes[RTA_OIF]);
        socket_address_from_bytes(family, mnl_attr_get_payload(attributes[RTA_PREFSRC]), 0, &ret->local);
        return 0;
}

int route_find(const SocketAddress *to, uint32_t mark, Route *ret)
{
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        union {
                struct nlmsghdr header;
                uint8_t bytes[4096];
        } buffer = {};
        struct nlmsghdr *message;
        Route route = {};
        ssize_t n;
        int r;

        if (fd < 0)
                return -errno;
        message = mnl_nlmsg_put_header(&buffer);
        build_question(message, to, mark);
        if (send(fd, message, message->nlmsg_len, 0) < 0)
                return -errno;
        n = recv(fd, &buffer, sizeof(buffer), MSG_DONTWAIT);
        if (n < 0)
                return -errno;
        if (!mnl_nlmsg_ok(&buffer.header, (int) n))
                return -EBADMSG;
        r = parse_answer(&buffer.header, to->sa.sa_family, &route);
        if (r < 0)
                return r;
        *ret = route;
        return 0;
}
