/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "rtnl.h"

#include "event-util.h"
#include "rtnl-feed.h"
#include "sandbox.h"

/* What the callbacks told. */
typedef struct Record {
        RtnlMonitor *monitor;
        unsigned n_ready;
        unsigned n_links;
        unsigned n_removed;
        unsigned n_changed;
        int last_link;
        int last_removed;
        int changes[64]; /* by ifindex, since the last reset */
        /* Free the monitor in this callback. */
        bool free_in_link, free_in_changed, free_in_ready;
} Record;

static void maybe_free(Record *record, bool now_)
{
        if (now_)
                record->monitor = rtnl_monitor_free(record->monitor);
}

static void on_link(RtnlMonitor *monitor, const RtnlLink *link, bool removed, void *userdata)
{
        Record *record = userdata;

        if (removed) {
                record->n_removed++;
                record->last_removed = link->ifindex;
                cr_assert_null(rtnl_monitor_find_link(monitor, link->ifindex));
        } else {
                record->n_links++;
                record->last_link = link->ifindex;
        }
        maybe_free(record, record->free_in_link);
}

static void on_changed(RtnlMonitor *monitor, int ifindex, int changes, void *userdata)
{
        Record *record = userdata;

        cr_assert_neq(changes, 0);
        record->n_changed++;
        record->changes[ifindex % 64] |= changes;
        maybe_free(record, record->free_in_changed);
}

static void on_ready(RtnlMonitor *monitor, void *userdata)
{
        Record *record = userdata;

        record->n_ready++;
        maybe_free(record, record->free_in_ready);
}

static const RtnlCallbacks callbacks = { .link = on_link, .changed = on_changed, .ready = on_ready };

static const RtnlLink *link_by_name(const RtnlMonitor *monitor, const char *name)
{
        size_t n;
        const RtnlLink *links = rtnl_monitor_links(monitor, &n);

        for (size_t i = 0; i < n; i++)
                if (streq(links[i].name, name))
                        return links + i;
        return NULL;
}

static const RtnlAddress *address_by_ip(const RtnlMonitor *monitor, const char *ip)
{
        size_t n;
        const RtnlAddress *addresses = rtnl_monitor_addresses(monitor, &n);

        for (size_t i = 0; i < n; i++)
                if (streq(SOCKET_ADDRESS_IP_STR(&addresses[i].address), ip))
                        return addresses + i;
        return NULL;
}

static unsigned default_routes(const RtnlMonitor *monitor, const char *name)
{
        const RtnlLink *link = link_by_name(monitor, name);

        cr_assert_not_null(link);
        return link->default_routes;
}

static void start(sd_event **event, Record *record)
{
        cr_assert_geq(sd_event_new(event), 0);
        cr_assert_eq(rtnl_monitor_new(*event, &callbacks, record, &record->monitor), 0);
        cr_assert_not(rtnl_monitor_is_ready(record->monitor));
        cr_assert_eq(record->n_links, 0, "nothing from inside the constructor");
        RUN_UNTIL(*event, record->n_ready > 0);
        cr_assert(rtnl_monitor_is_ready(record->monitor));
        cr_assert_eq(record->n_changed, 0, "nothing changed yet");
}

/* --- against the kernel --- */

#define ADDRESSES                                                                                           \
        "ip addr add 192.0.2.1/24 dev v0; ip addr add 2001:db8::1/64 dev v0 nodad; "                        \
        "ip addr add 198.51.100.1/24 dev v1; "

Test(rtnl, reads_what_is_there)
{
        _cleanup_event_ sd_event *event = NULL;
        Record record = {};
        const RtnlAddress *address;
        const RtnlLink *link;

        sandbox_need_root();
        sandbox_enter_bare();
        sandbox_shell(
                "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; " ADDRESSES
                "ip link add br0 type bridge; ip link set v1 master br0; "
                "ip route add default via 192.0.2.254; ip -6 route add default via 2001:db8::2");
        start(&event, &record);

        link = link_by_name(record.monitor, "lo");
        cr_assert_not_null(link);
        cr_assert(link->flags & IFF_LOOPBACK);
        cr_assert_str_eq(link->kind, "");

        link = link_by_name(record.monitor, "v0");
        cr_assert_str_eq(link->kind, "veth");
        cr_assert_eq(link->flags & (IFF_UP | IFF_RUNNING), IFF_UP | IFF_RUNNING);
        cr_assert_eq(link->default_routes, 2);
        cr_assert_eq(link->mtu, 1500);
        cr_assert_eq(rtnl_monitor_find_link(record.monitor, link->ifindex), link);
        cr_assert_null(rtnl_monitor_find_link(record.monitor, 9999));

        link = link_by_name(record.monitor, "v1");
        cr_assert_eq(link->master, link_by_name(record.monitor, "br0")->ifindex);
        cr_assert_str_eq(link->slave_kind, "bridge");
        cr_assert_str_eq(link_by_name(record.monitor, "br0")->kind, "bridge");

        address = address_by_ip(record.monitor, "192.0.2.1");
        cr_assert_not_null(address);
        cr_assert_eq(address->prefix_length, 24);
        cr_assert_eq(address->scope, RT_SCOPE_UNIVERSE);
        cr_assert_eq(address->ifindex, link_by_name(record.monitor, "v0")->ifindex);
        cr_assert_eq(socket_address_port(&address->address), 0);
        cr_assert_not_null(address_by_ip(record.monitor, "2001:db8::1"));
        cr_assert_not_null(address_by_ip(record.monitor, "198.51.100.1"));
        rtnl_monitor_free(record.monitor);
}

Test(rtnl, follows_links)
{
        _cleanup_event_ sd_event *event = NULL;
        Record record = {};
        int ifindex;

        sandbox_need_root();
        sandbox_enter_bare();
        start(&event, &record);
        sandbox_shell("ip link add v0 type veth peer name v1");
        RUN_UNTIL(event, link_by_name(record.monitor, "v0"));
        ifindex = link_by_name(record.monitor, "v0")->ifindex;
        cr_assert(record.changes[ifindex] & RTNL_CHANGE_LINK);

        sandbox_shell("ip link set v0 name uplink");
        RUN_UNTIL(event, link_by_name(record.monitor, "uplink"));
        cr_assert_eq(link_by_name(record.monitor, "uplink")->ifindex, ifindex);
        cr_assert_null(link_by_name(record.monitor, "v0"));

        sandbox_shell("ip link add br0 type bridge; ip link set uplink master br0");
        RUN_UNTIL(event, link_by_name(record.monitor, "uplink")->master != 0);
        /* The bridge says DELLINK, family AF_BRIDGE: it means the port, not the link. */
        sandbox_shell("ip link set uplink nomaster");
        RUN_UNTIL(event, link_by_name(record.monitor, "uplink")->master == 0);
        run_pending(event);
        cr_assert_eq(record.n_removed, 0);

        sandbox_shell("ip link del uplink");
        RUN_UNTIL(event, record.n_removed == 2);
        cr_assert_null(link_by_name(record.monitor, "uplink"));
        cr_assert_null(link_by_name(record.monitor, "v1"));
        rtnl_monitor_free(record.monitor);
}

Test(rtnl, follows_addresses)
{
        _cleanup_event_ sd_event *event = NULL;
        Record record = {};
        unsigned n;
        int ifindex;

        sandbox_need_root();
        sandbox_enter_bare();
        sandbox_shell("ip link add v0 type veth peer name v1");
        start(&event, &record);
        ifindex = link_by_name(record.monitor, "v0")->ifindex;
        sandbox_shell("ip addr add 192.0.2.1/24 dev v0; ip addr add 2001:db8::1/64 dev v0 nodad");
        RUN_UNTIL(event, address_by_ip(record.monitor, "192.0.2.1") &&
                                 address_by_ip(record.monitor, "2001:db8::1"));
        cr_assert_eq(record.changes[ifindex], RTNL_CHANGE_ADDRESS);

        /* New lifetimes, as with every router advertisement, are no news. */
        run_pending(event);
        n = record.n_changed;
        sandbox_shell("ip addr change 2001:db8::1/64 dev v0 valid_lft 4000 preferred_lft 3000; "
                      "ip addr add 192.0.2.9/24 dev v0");
        RUN_UNTIL(event, address_by_ip(record.monitor, "192.0.2.9"));
        cr_assert_leq(record.n_changed, n + 2, "lifetimes clear IFA_F_PERMANENT once");
        n = record.n_changed;
        sandbox_shell("ip addr change 2001:db8::1/64 dev v0 valid_lft 4001 preferred_lft 3001; "
                      "ip addr del 192.0.2.9/24 dev v0");
        RUN_UNTIL(event, !address_by_ip(record.monitor, "192.0.2.9"));
        cr_assert_eq(record.n_changed, n + 1);

        sandbox_shell("ip link del v0");
        RUN_UNTIL(event, record.n_removed == 2);
        cr_assert_null(address_by_ip(record.monitor, "192.0.2.1"));
        cr_assert_null(address_by_ip(record.monitor, "2001:db8::1"));
        rtnl_monitor_free(record.monitor);
}

Test(rtnl, follows_default_routes)
{
        _cleanup_event_ sd_event *event = NULL;
        Record record = {};
        int v0, v1;

        sandbox_need_root();
        sandbox_enter_bare();
        sandbox_shell(
                "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; " ADDRESSES);
        start(&event, &record);
        v0 = link_by_name(record.monitor, "v0")->ifindex;
        v1 = link_by_name(record.monitor, "v1")->ifindex;

        sandbox_shell("ip route add 203.0.113.0/24 dev v0; ip route add default via 192.0.2.254");
        RUN_UNTIL(event, default_routes(record.monitor, "v0") == 1);
        cr_assert(record.changes[v0] & RTNL_CHANGE_ROUTE);
        cr_assert_not(record.changes[v1] & RTNL_CHANGE_ROUTE);

        sandbox_shell("ip route add default dev v0 metric 100; ip route add default dev v0 table 77; "
                      "ip route add unreachable default metric 5000");
        RUN_UNTIL(event, default_routes(record.monitor, "v0") == 3);

        /* Replaced: the kernel says nothing about the old one. */
        sandbox_shell("ip route replace default via 198.51.100.254");
        RUN_UNTIL(event, default_routes(record.monitor, "v1") == 1);
        cr_assert_eq(default_routes(record.monitor, "v0"), 2);

        sandbox_shell("ip route add default metric 7 nexthop via 192.0.2.253 nexthop via 198.51.100.253");
        RUN_UNTIL(event, default_routes(record.monitor, "v1") == 2);
        cr_assert_eq(default_routes(record.monitor, "v0"), 3);
        sandbox_shell("ip route del default metric 7");
        RUN_UNTIL(event, default_routes(record.monitor, "v1") == 1);
        cr_assert_eq(default_routes(record.monitor, "v0"), 2);

        sandbox_shell("ip -6 route add default via 2001:db8::2");
        RUN_UNTIL(event, default_routes(record.monitor, "v0") == 3);

        /* Down: the IPv4 routes go in silence. */
        sandbox_shell("ip link set v0 down");
        RUN_UNTIL(event, default_routes(record.monitor, "v0") == 0);
        cr_assert_eq(default_routes(record.monitor, "v1"), 1);
        rtnl_monitor_free(record.monitor);
}

/* A route with a preferred source goes with the address, and nobody says so. */
Test(rtnl, notices_routes_that_go_with_an_address)
{
        _cleanup_event_ sd_event *event = NULL;
        Record record = {};

        sandbox_need_root();
        sandbox_enter_bare();
        sandbox_shell(
                "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; " ADDRESSES
                "ip addr add 192.0.2.2/32 dev v0; ip route add default dev v0 src 192.0.2.2");
        start(&event, &record);
        cr_assert_eq(default_routes(record.monitor, "v0"), 1);
        sandbox_shell("ip addr del 192.0.2.2/32 dev v0");
        RUN_UNTIL(event, default_routes(record.monitor, "v0") == 0);
        cr_assert_eq(record.n_ready, 1, "a few routes read again are no new start");
        rtnl_monitor_free(record.monitor);
}

Test(rtnl, is_at_ease_with_many)
{
        _cleanup_event_ sd_event *event = NULL;
        Record record = {};
        size_t n;

        sandbox_need_root();
        sandbox_enter_bare();
        sandbox_shell(
                "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; "
                "(for i in $(seq 0 599); do echo addr add 10.$((i / 200)).$((i %% 200)).1/32 dev v0; done; "
                "for i in $(seq 0 1999); do echo route add 172.16.$((i / 200)).$((i %% 200))/32 dev v0; "
                "done; "
                "echo route add default dev v0) | ip -batch -");
        start(&event, &record);
        (void) rtnl_monitor_addresses(record.monitor, &n);
        cr_assert_geq(n, 600);
        cr_assert_not_null(address_by_ip(record.monitor, "10.2.199.1"));
        cr_assert_eq(default_routes(record.monitor, "v0"), 1);
        sandbox_shell("ip addr flush dev v0");
        RUN_UNTIL(event, !address_by_ip(record.monitor, "10.0.0.1") &&
                                 !address_by_ip(record.monitor, "10.2.199.1"));
        rtnl_monitor_free(record.monitor);
}

Test(rtnl, reads_everything_again_when_messages_were_lost)
{
        _cleanup_event_ sd_event *event = NULL;
        Record record = {};

        sandbox_need_root();
        sandbox_enter_bare();
        sandbox_shell("ip link add v0 type veth peer name v1; ip link add w0 type veth peer name w1; "
                      "ip addr add 192.0.2.1/24 dev w0; ip addr add 192.0.2.2/24 dev v0");
        start(&event, &record);
        /* None of this is read while it happens. */
        sandbox_shell(
                "(for i in $(seq 8000); do echo link set lo mtu $((2000 + i %% 2)); done) | ip -batch -; "
                "ip link del v0; ip addr del 192.0.2.1/24 dev w0; ip addr add 192.0.2.3/24 dev w0; "
                "ip link add x0 type veth peer name x1");
        RUN_UNTIL(event, record.n_ready == 2);
        cr_assert_null(link_by_name(record.monitor, "v0"));
        cr_assert_eq(record.n_removed, 2);
        cr_assert_not_null(link_by_name(record.monitor, "x0"));
        cr_assert_null(address_by_ip(record.monitor, "192.0.2.1"));
        cr_assert_null(address_by_ip(record.monitor, "192.0.2.2"));
        cr_assert_not_null(address_by_ip(record.monitor, "192.0.2.3"));
        /* And goes on following. */
        sandbox_shell("ip link del x0");
        RUN_UNTIL(event, !link_by_name(record.monitor, "x0"));
        rtnl_monitor_free(record.monitor);
}

Test(rtnl, may_be_freed_in_any_callback)
{
        for (int i = 0; i < 3; i++) {
                _cleanup_event_ sd_event *event = NULL;
                Record record = { .free_in_link = i == 0, .free_in_ready = i == 1 };

                cr_assert_geq(sd_event_new(&event), 0);
                cr_assert_eq(rtnl_monitor_new(event, &callbacks, &record, &record.monitor), 0);
                if (i < 2)
                        RUN_UNTIL(event, !record.monitor);
                else
                        rtnl_monitor_free(record.monitor);
                run_pending(event);
                cr_assert_leq(record.n_links, i == 0 ? 1 : 1000);
        }
        cr_assert_null(rtnl_monitor_free(NULL));
}

/* --- without a kernel --- */

static void start_detached(Record *record)
{
        cr_assert_eq(rtnl_monitor_new(/* event= */ NULL, &callbacks, record, &record->monitor), 0);
        cr_assert(rtnl_monitor_is_ready(record->monitor));
}

Test(rtnl, tells_of_every_route_by_a_wireguard_link)
{
        Record record = {};

        start_detached(&record);
        feed_link(record.monitor, .ifindex = 5, .name = "wg0", .kind = "wireguard", .flags = IFF_UP);
        feed_link(record.monitor, .ifindex = 6, .name = "eth0", .flags = IFF_UP);
        memset(record.changes, 0, sizeof(record.changes));
        feed_route(record.monitor, RTM_NEWROUTE, 0, 5, 24, 0);
        cr_assert_eq(record.changes[5], RTNL_CHANGE_ROUTE);
        feed_route(record.monitor, RTM_NEWROUTE, 0, 6, 24, 0);
        cr_assert_eq(record.changes[6], 0);
        record.changes[5] = 0;
        feed_route(record.monitor, RTM_DELROUTE, 0, 5, 24, 0);
        cr_assert_eq(record.changes[5], RTNL_CHANGE_ROUTE);
        cr_assert_eq(default_routes(record.monitor, "wg0"), 0);
        rtnl_monitor_free(record.monitor);
}

Test(rtnl, counts_each_route_once)
{
        Record record = {};
        unsigned n;

        start_detached(&record);
        /* A route may be told before its link. */
        feed_route(record.monitor, RTM_NEWROUTE, 0, 6, 0, 0);
        feed_link(record.monitor, .ifindex = 6, .name = "eth0", .flags = IFF_UP);
        cr_assert_eq(default_routes(record.monitor, "eth0"), 1);
        n = record.n_changed;
        feed_route(record.monitor, RTM_NEWROUTE, 0, 6, 0, 0);
        cr_assert_eq(default_routes(record.monitor, "eth0"), 1);
        cr_assert_eq(record.n_changed, n);
        feed_route(record.monitor, RTM_NEWROUTE, 0, 6, 0, 10);
        cr_assert_eq(default_routes(record.monitor, "eth0"), 2);
        feed_route(record.monitor, RTM_NEWROUTE, NLM_F_REPLACE, 7, 0, 10);
        cr_assert_eq(default_routes(record.monitor, "eth0"), 1);
        feed_route(record.monitor, RTM_DELROUTE, 0, 6, 0, 0);
        cr_assert_eq(default_routes(record.monitor, "eth0"), 0);
        rtnl_monitor_free(record.monitor);
}

static void check_default_route(RtnlMonitor *monitor, int ifindex)
{
        cr_assert_eq(rtnl_monitor_default_route(monitor, AF_INET).ifindex, ifindex);
        cr_assert_eq(rtnl_monitor_default_route(monitor, AF_INET6).ifindex, 0);
}

Test(rtnl, knows_the_default_route_that_is_preferred)
{
        Record record = {};
        RtnlMonitor *monitor;

        start_detached(&record);
        monitor = record.monitor;
        check_default_route(monitor, 0);
        feed_link(monitor, .ifindex = 2, .name = "eth0", .flags = IFF_UP);
        feed_link(monitor, .ifindex = 3, .name = "wlan0", .flags = IFF_UP);
        feed_route(monitor, RTM_NEWROUTE, 0, 3, 0, 600);
        check_default_route(monitor, 3);
        feed_route(monitor, RTM_NEWROUTE, 0, 2, 0, 100);
        check_default_route(monitor, 2);
        feed_route(monitor, RTM_NEWROUTE, 0, 3, 1, 10); /* half of everything is no default route */
        check_default_route(monitor, 2);
        /* The metric is changed by adding it with another one, and removing it with the old one. */
        feed_route(monitor, RTM_NEWROUTE, 0, 3, 0, 50);
        check_default_route(monitor, 3);
        feed_route(monitor, RTM_DELROUTE, 0, 3, 0, 600);
        check_default_route(monitor, 3);
        feed_route(monitor, RTM_DELROUTE, 0, 3, 0, 50);
        check_default_route(monitor, 2);
        feed_link(monitor, .ifindex = 2, .name = "eth0", .flags = 0);
        check_default_route(monitor, 0);
        rtnl_monitor_free(monitor);
}

Test(rtnl, keeps_links_in_order)
{
        Record record = {};
        const RtnlLink *links;
        size_t n;

        start_detached(&record);
        for (int i = 0; i < 100; i++) {
                int ifindex = 1 + i * 37 % 100;

                RtnlLink link = { .ifindex = ifindex, .mtu = 1000 + (unsigned) ifindex };

                snprintf(link.name, sizeof(link.name), "l%d", ifindex);
                cr_assert_eq(feed_link_message(record.monitor, RTM_NEWLINK, &link), 0);
        }
        links = rtnl_monitor_links(record.monitor, &n);
        cr_assert_eq(n, 100);
        for (size_t i = 0; i < n; i++) {
                cr_assert_eq(links[i].ifindex, (int) i + 1);
                cr_assert_eq(links[i].mtu, 1001 + i);
        }
        rtnl_monitor_free(record.monitor);
}

Test(rtnl, may_be_freed_when_a_link_goes)
{
        for (int i = 0; i < 2; i++) {
                Record record = {};

                start_detached(&record);
                feed_link(record.monitor, .ifindex = 5, .name = "a0", .flags = IFF_UP);
                feed_address(record.monitor, 5, "192.0.2.1", 0);
                record.free_in_changed = i == 0;
                record.free_in_link = i == 1;
                cr_assert_eq(feed_link_message(record.monitor, RTM_DELLINK,
                                               &(RtnlLink) { .ifindex = 5, .name = "a0" }),
                             0);
                cr_assert_null(record.monitor);
                cr_assert_eq(record.n_removed, i == 0 ? 0 : 1);
        }
}

Test(rtnl, refuses_malformed_messages)
{
        Record record = {};
        FeedMessage m;
        struct nlmsghdr *message;
        struct ifinfomsg *ifi;
        struct rtmsg *rt;
        struct nlattr *multipath;
        size_t n;

        start_detached(&record);
        for (uint16_t type = RTM_NEWLINK; type <= RTM_DELROUTE; type++) {
                if (type % 4 > 1)
                        continue;
                message = feed_start(&m, type);
                mnl_nlmsg_put_extra_header(message, 4);
                cr_assert_eq(rtnl_monitor_process(record.monitor, message), -EBADMSG, "type %u", type);
        }

        message = feed_start(&m, RTM_NEWLINK);
        ifi = mnl_nlmsg_put_extra_header(message, sizeof(*ifi));
        ifi->ifi_index = 3;
        cr_assert_eq(rtnl_monitor_process(record.monitor, message), -EBADMSG, "no name");
        mnl_attr_put_strz(message, IFLA_IFNAME, "a-name-that-is-too-long");
        cr_assert_eq(rtnl_monitor_process(record.monitor, message), -EBADMSG);

        /* A wireless event: a link without properties. */
        message = feed_start(&m, RTM_NEWLINK);
        ifi = mnl_nlmsg_put_extra_header(message, sizeof(*ifi));
        ifi->ifi_index = 3;
        mnl_attr_put_strz(message, IFLA_IFNAME, "wlan0");
        mnl_attr_put(message, IFLA_WIRELESS, 8, "whatever");
        cr_assert_eq(rtnl_monitor_process(record.monitor, message), 0);

        message = feed_start(&m, RTM_NEWADDR);
        mnl_nlmsg_put_extra_header(message, sizeof(struct ifaddrmsg));
        ((struct ifaddrmsg *) mnl_nlmsg_get_payload(message))->ifa_family = AF_INET6;
        mnl_attr_put(message, IFA_ADDRESS, 4, "abcd");
        cr_assert_eq(rtnl_monitor_process(record.monitor, message), -EBADMSG, "IPv4 as IPv6");

        message = feed_start(&m, RTM_NEWROUTE);
        rt = mnl_nlmsg_put_extra_header(message, sizeof(*rt));
        rt->rtm_family = AF_INET;
        rt->rtm_type = RTN_UNICAST;
        multipath = mnl_attr_nest_start(message, RTA_MULTIPATH);
        mnl_attr_put_u32(message, 0x0404, 1);
        mnl_attr_nest_end(message, multipath);
        ((struct rtnexthop *) mnl_attr_get_payload(multipath))->rtnh_len = 200;
        cr_assert_eq(rtnl_monitor_process(record.monitor, message), -EBADMSG, "next hop beyond the end");
        ((struct rtnexthop *) mnl_attr_get_payload(multipath))->rtnh_len = 0;
        cr_assert_eq(rtnl_monitor_process(record.monitor, message), -EBADMSG, "empty next hop");

        (void) rtnl_monitor_links(record.monitor, &n);
        cr_assert_eq(n, 0);
        rtnl_monitor_free(record.monitor);
}
