/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "addresses.h"

#include <criterion/criterion.h>
#include <net/if_arp.h>

#include "rtnl-feed.h"

#define RUNNING (IFF_UP | IFF_RUNNING)

/* --- interfaces --- */

static bool is_uplink(const char *name, const char *kind, bool has_default_route)
{
        RtnlLink link = { .ifindex = 2, .flags = RUNNING, .type = ARPHRD_ETHER };

        snprintf(link.name, sizeof(link.name), "%s", name);
        snprintf(link.kind, sizeof(link.kind), "%s", kind);
        return interface_is_uplink(&link, has_default_route, /* policy= */ NULL);
}

Test(interface, kinds)
{
        static const struct {
                const char *name, *kind;
                bool without_route, with_route;
        } cases[] = {
                { "eth0", "", true, true },
                { "wlp3s0", "", true, true },
                { "bond0", "bond", true, true },
                { "team0", "team", true, true },
                { "vlan7", "vlan", true, true },
                { "macvlan0", "macvlan", true, true },
                { "ipvlan0", "ipvlan", true, true },
                { "wwan0", "wwan", true, true },
                { "br0", "bridge", false, true },
                { "docker0", "bridge", false, true },
                { "ovs0", "openvswitch", false, true },
                { "ppp0", "ppp", false, true },
                { "new0", "never-heard-of", false, true },
                { "tun0", "tun", false, false },
                { "wg0", "wireguard", false, false },
                { "gre1", "gre", false, false },
                { "tunl0", "ipip", false, false },
                { "sit0", "sit", false, false },
                { "flannel.1", "vxlan", false, false },
                { "dummy0", "dummy", false, false },
                { "vrf0", "vrf", false, false },
                { "eth0", "veth", true, true },
                { "to-router", "veth", true, true },
                { "veth1a2b3c", "veth", false, true },
                { "ve-container", "veth", false, true },
                { "vb-container", "veth", false, true },
                { "vnet3", "veth", false, true },
                { "cali123", "veth", false, true },
                { "lxc123", "veth", false, true },
                { "cni0", "veth", false, true },
                { "podman1", "veth", false, true },
                /* Only for the host's end of a pair: hardware may be called what it likes. */
                { "tap-dance", "", true, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                cr_assert_eq(is_uplink(cases[i].name, cases[i].kind, false), cases[i].without_route, "%s %s",
                             cases[i].name, cases[i].kind);
                cr_assert_eq(is_uplink(cases[i].name, cases[i].kind, true), cases[i].with_route, "%s %s",
                             cases[i].name, cases[i].kind);
        }
}

Test(interface, state)
{
        RtnlLink link = { .ifindex = 2, .name = "eth0", .flags = RUNNING, .type = ARPHRD_ETHER };

        cr_assert(interface_is_uplink(&link, false, NULL));
        link.flags = IFF_UP;
        cr_assert_not(interface_is_uplink(&link, true, NULL), "no carrier");
        link.flags = IFF_RUNNING;
        cr_assert_not(interface_is_uplink(&link, true, NULL), "down");
        link.flags = RUNNING | IFF_LOOPBACK;
        cr_assert_not(interface_is_uplink(&link, true, NULL), "loopback");
        link.flags = RUNNING;
        link.type = ARPHRD_TUNNEL6;
        cr_assert_not(interface_is_uplink(&link, true, NULL), "a tunnel by its type");
}

Test(interface, slaves)
{
        RtnlLink link = {
                .ifindex = 2, .name = "eth0", .flags = RUNNING, .type = ARPHRD_ETHER, .master = 5
        };

        strcpy(link.slave_kind, "bridge");
        cr_assert_not(interface_is_uplink(&link, true, NULL));
        strcpy(link.slave_kind, "bond");
        cr_assert_not(interface_is_uplink(&link, true, NULL));
        strcpy(link.slave_kind, "");
        cr_assert_not(interface_is_uplink(&link, true, NULL), "of something unknown");
        strcpy(link.slave_kind, "vrf");
        cr_assert(interface_is_uplink(&link, false, NULL));
}

static bool allowed(const char *name, const char *kind, const AddressPolicy *policy)
{
        RtnlLink link = { .ifindex = 2, .flags = RUNNING, .type = ARPHRD_ETHER };

        snprintf(link.name, sizeof(link.name), "%s", name);
        snprintf(link.kind, sizeof(link.kind), "%s", kind);
        return interface_is_uplink(&link, /* has_default_route= */ false, policy);
}

Test(interface, policy)
{
        char *only[] = { (char *) "eth*", (char *) "tun7", (char *) "wg*", (char *) "lo", NULL };
        char * not[] = { (char *) "eth1", NULL };
        AddressPolicy restricting = { .interfaces = only, .exclude_interfaces = not};
        AddressPolicy excluding = { .exclude_interfaces = not};
        RtnlLink lo = {
                .ifindex = 1, .name = "lo", .flags = RUNNING | IFF_LOOPBACK, .type = ARPHRD_LOOPBACK
        };
        RtnlLink down = { .ifindex = 2, .name = "eth0", .type = ARPHRD_ETHER };

        cr_assert(allowed("eth0", "", &restricting));
        cr_assert_not(allowed("wlan0", "", &restricting), "not named");
        cr_assert(allowed("tun7", "tun", &restricting), "forced");
        cr_assert_not(allowed("tun8", "tun", &restricting));
        cr_assert_not(allowed("eth1", "", &restricting), "exclusion wins");
        cr_assert_not(allowed("wg0", "wireguard", &restricting), "WireGuard never");
        cr_assert_not(interface_is_uplink(&lo, true, &restricting), "loopback never");
        cr_assert_not(interface_is_uplink(&down, true, &restricting), "what is down cannot be forced");
        cr_assert(allowed("wlan0", "", &excluding));
        cr_assert_not(allowed("eth1", "", &excluding));
        cr_assert_not(allowed("tun7", "tun", &excluding));
}

/* --- addresses --- */

static RtnlMonitor *new_monitor(void)
{
        static const RtnlCallbacks none = {};
        RtnlMonitor *monitor;

        cr_assert_eq(rtnl_monitor_new(/* event= */ NULL, &none, /* userdata= */ NULL, &monitor), 0);
        return monitor;
}

/* Joins what was collected with blanks. */
static const char *collect(const RtnlMonitor *monitor, const AddressPolicy *policy, size_t max)
{
        static char text[4096];
        SocketAddress addresses[64];
        size_t n = addresses_collect(monitor, policy, addresses, max), at = 0;

        cr_assert_leq(n, max);
        text[0] = '\0';
        for (size_t i = 0; i < n; i++) {
                cr_assert_eq(socket_address_port(addresses + i), 0);
                at += (size_t) snprintf(text + at, sizeof(text) - at, "%s%s", i > 0 ? " " : "",
                                        SOCKET_ADDRESS_IP_STR(addresses + i));
        }
        return text;
}

Test(collect, takes_the_uplinks_in_order)
{
        _cleanup_(rtnl_monitor_freep) RtnlMonitor *m = new_monitor();
        char *only[] = { (char *) "wlan*", NULL };
        AddressPolicy policy = { .interfaces = only };

        feed_link(m, .ifindex = 1, .name = "lo", .flags = RUNNING | IFF_LOOPBACK, .type = ARPHRD_LOOPBACK);
        feed_address_message(m, RTM_NEWADDR, 1, "127.0.0.1", 8, 0, RT_SCOPE_HOST);
        feed_link(m, .ifindex = 2, .name = "eth0", .flags = RUNNING);
        feed_address(m, 2, "192.0.2.2", 0);
        feed_address(m, 2, "2001:db8::2", 0);
        feed_link(m, .ifindex = 3, .name = "docker0", .kind = "bridge", .flags = RUNNING);
        feed_address(m, 3, "172.17.0.1", 0);
        feed_link(m, .ifindex = 4, .name = "wlan0", .flags = RUNNING);
        feed_address(m, 4, "198.51.100.4", 0);
        feed_link(m, .ifindex = 5, .name = "wg0", .kind = "wireguard", .flags = RUNNING);
        feed_address(m, 5, "10.0.0.1", 0);

        cr_assert_str_eq(collect(m, NULL, 64), "2001:db8::2 192.0.2.2 198.51.100.4");
        feed_route(m, RTM_NEWROUTE, 0, 4, 0, 0);
        cr_assert_str_eq(collect(m, NULL, 64), "198.51.100.4 2001:db8::2 192.0.2.2");
        cr_assert_str_eq(collect(m, NULL, 2), "198.51.100.4 2001:db8::2");
        cr_assert_str_eq(collect(m, NULL, 0), "");
        cr_assert_str_eq(collect(m, &policy, 64), "198.51.100.4");
        feed_route(m, RTM_NEWROUTE, 0, 3, 0, 0);
        cr_assert_str_eq(collect(m, NULL, 64), "172.17.0.1 198.51.100.4 2001:db8::2 192.0.2.2");
}

/* WireGuard sends by the default route, and never by the one that waits for it to go. */
Test(collect, leaves_out_an_uplink_in_reserve)
{
        _cleanup_(rtnl_monitor_freep) RtnlMonitor *m = new_monitor();
        char *only[] = { (char *) "wlan0", NULL };
        AddressPolicy policy = { .interfaces = only };

        feed_link(m, .ifindex = 2, .name = "eth0", .flags = RUNNING);
        feed_address(m, 2, "192.0.2.2", 0);
        feed_link(m, .ifindex = 3, .name = "wlan0", .flags = RUNNING);
        feed_address(m, 3, "198.51.100.3", 0);
        feed_address(m, 3, "2001:db8::3", 0);
        feed_link(m, .ifindex = 4, .name = "storage", .flags = RUNNING);
        feed_address(m, 4, "10.0.0.4", 0);
        feed_route(m, RTM_NEWROUTE, 0, 2, 0, 100);
        feed_route(m, RTM_NEWROUTE, 0, 3, 0, 600);
        /* That of IPv4 alone, and a network that ends there is reached by its own interface. */
        cr_assert_str_eq(collect(m, NULL, 64), "192.0.2.2 2001:db8::3 10.0.0.4");
        cr_assert_str_eq(collect(m, &policy, 64), "2001:db8::3 198.51.100.3");
        feed_route(m, RTM_NEWROUTE, 0, 3, 0, 100);
        cr_assert_str_eq(collect(m, NULL, 64), "192.0.2.2 2001:db8::3 198.51.100.3 10.0.0.4",
                         "both are used");
        feed_route(m, RTM_NEWROUTE, 0, 3, 0, 50);
        cr_assert_str_eq(collect(m, NULL, 64), "2001:db8::3 198.51.100.3 10.0.0.4");
        /* A better one by what is no uplink is none: somebody keeps WireGuard's packets out of it. */
        feed_link(m, .ifindex = 5, .name = "tun0", .kind = "tun", .flags = RUNNING);
        feed_route(m, RTM_NEWROUTE, 0, 5, 0, 1);
        cr_assert_str_eq(collect(m, NULL, 64), "2001:db8::3 198.51.100.3 10.0.0.4");
        feed_link(m, .ifindex = 3, .name = "wlan0", .flags = 0);
        cr_assert_str_eq(collect(m, NULL, 64), "192.0.2.2 10.0.0.4");
}

Test(collect, interfaces_of_addresses)
{
        _cleanup_(rtnl_monitor_freep) RtnlMonitor *m = new_monitor();
        SocketAddress addresses[64];
        int uplinks[64] = {};
        size_t n;

        feed_link(m, .ifindex = 2, .name = "eth0", .flags = RUNNING);
        feed_address(m, 2, "192.0.2.2", 0);
        feed_address(m, 2, "2001:db8::2", 0);
        feed_link(m, .ifindex = 3, .name = "docker0", .kind = "bridge", .flags = RUNNING);
        feed_address(m, 3, "172.17.0.1", 0);
        feed_link(m, .ifindex = 4, .name = "wlan0", .flags = RUNNING);
        feed_address(m, 4, "198.51.100.4", 0);
        /* A server behind a load balancer has the service's address on loopback as well. */
        feed_link(m, .ifindex = 1, .name = "lo", .flags = RUNNING | IFF_LOOPBACK, .type = ARPHRD_LOOPBACK);
        feed_address(m, 1, "198.51.100.4", 0);
        n = addresses_collect(m, NULL, addresses, ELEMENTSOF(addresses));
        cr_assert_eq(addresses_uplinks(m, NULL, addresses, n, uplinks, ELEMENTSOF(uplinks)), 2);
        cr_assert_eq(uplinks[0], 2);
        cr_assert_eq(uplinks[1], 4);
        cr_assert_eq(addresses_uplinks(m, NULL, addresses, n, uplinks, 1), 1);
        cr_assert_eq(addresses_uplinks(m, NULL, addresses, 0, uplinks, ELEMENTSOF(uplinks)), 0);
}

Test(collect, leaves_out_what_cannot_be_used)
{
        _cleanup_(rtnl_monitor_freep) RtnlMonitor *m = new_monitor();

        feed_link(m, .ifindex = 2, .name = "eth0", .flags = RUNNING);
        feed_address(m, 2, "2001:db8::1", IFA_F_TENTATIVE);
        feed_address(m, 2, "2001:db8::2", IFA_F_TENTATIVE | IFA_F_DADFAILED);
        feed_address(m, 2, "2001:db8::3", IFA_F_DEPRECATED);
        feed_address(m, 2, "2001:db8::4", IFA_F_TENTATIVE | IFA_F_OPTIMISTIC);
        feed_address_message(m, RTM_NEWADDR, 2, "fe80::1", 64, 0, RT_SCOPE_LINK);
        feed_address_message(m, RTM_NEWADDR, 2, "192.0.2.1", 24, 0, RT_SCOPE_HOST);
        feed_address(m, 2, "169.254.1.1", 0);
        cr_assert_str_eq(collect(m, NULL, 64), "2001:db8::4");
        /* It was still being checked; now it is good. */
        feed_address(m, 2, "2001:db8::1", 0);
        cr_assert_str_eq(collect(m, NULL, 64), "2001:db8::1 2001:db8::4");
}

Test(collect, takes_ipv4_link_local_if_there_is_nothing_else)
{
        _cleanup_(rtnl_monitor_freep) RtnlMonitor *m = new_monitor();

        feed_link(m, .ifindex = 2, .name = "eth0", .flags = RUNNING);
        feed_address_message(m, RTM_NEWADDR, 2, "169.254.1.1", 16, 0, RT_SCOPE_LINK);
        feed_address_message(m, RTM_NEWADDR, 2, "fe80::1", 64, 0, RT_SCOPE_LINK);
        cr_assert_str_eq(collect(m, NULL, 64), "169.254.1.1");
        feed_address(m, 2, "10.0.0.1", 0);
        cr_assert_str_eq(collect(m, NULL, 64), "10.0.0.1");
}

Test(collect, prefers_stable_addresses)
{
        _cleanup_(rtnl_monitor_freep) RtnlMonitor *m = new_monitor();

        feed_link(m, .ifindex = 2, .name = "eth0", .flags = RUNNING);
        feed_address(m, 2, "2001:db8::1111", IFA_F_TEMPORARY);
        feed_address(m, 2, "2001:db8::2222", IFA_F_TEMPORARY);
        feed_address(m, 2, "2001:db8::3333", IFA_F_TEMPORARY | IFA_F_DEPRECATED);
        feed_address(m, 2, "2001:db8::f", IFA_F_PERMANENT);
        feed_address(m, 2, "fd00::f", IFA_F_PERMANENT);
        feed_address(m, 2, "192.0.2.1", IFA_F_SECONDARY);
        feed_address(m, 2, "192.0.2.9", IFA_F_PERMANENT);
        cr_assert_str_eq(collect(m, NULL, 64), "2001:db8::f fd00::f 2001:db8::1111 192.0.2.9 192.0.2.1");
}

Test(collect, takes_a_few_of_many)
{
        _cleanup_(rtnl_monitor_freep) RtnlMonitor *m = new_monitor();
        char ip[64];

        feed_link(m, .ifindex = 2, .name = "eth0", .flags = RUNNING);
        feed_link(m, .ifindex = 3, .name = "eth1", .flags = RUNNING);
        for (unsigned i = 1; i < 200; i++) {
                snprintf(ip, sizeof(ip), "10.0.0.%u", i);
                feed_address(m, 2, ip, i == 150 ? 0 : IFA_F_SECONDARY);
                snprintf(ip, sizeof(ip), "fd00::%x", i);
                feed_address(m, 2, ip, 0);
        }
        feed_address(m, 3, "192.0.2.1", 0);
        cr_assert_str_eq(collect(m, NULL, 64),
                         "fd00::1 fd00::2 fd00::3 fd00::4 10.0.0.150 10.0.0.1 10.0.0.2 10.0.0.3 192.0.2.1");
}

/* --- the peers' addresses --- */

Test(remote, addresses)
{
        static const struct {
                const char *ip;
                bool usable;
        } cases[] = {
                { "192.0.2.1", true },
                { "10.0.0.1", true },
                { "169.254.3.4", true },
                { "2001:db8::1", true },
                { "fd00::1", true },
                { "0.0.0.0", false },
                { "0.1.2.3", false },
                { "127.0.0.1", false },
                { "127.9.9.9", false },
                { "224.0.0.1", false },
                { "240.0.0.1", false },
                { "255.255.255.255", false },
                { "::", false },
                { "::1", false },
                { "fe80::1", false },
                { "ff02::1", false },
                { "::ffff:127.0.0.1", false },
                /* Inside of a tunnel. */
                { "10.8.0.77", false },
                { "10.9.0.77", true },
                { "fd77::1", false },
                { "fd78::1", true },
        };
        static const char *const prefixes[] = { "10.8.0.0/24", "fd77::/64", "0.0.0.0/0", "::/0",
                                                "128.0.0.0/1" };
        IpPrefix tunnelled[ELEMENTSOF(prefixes)];
        SocketAddress none = {};

        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
                cr_assert_eq(ip_prefix_from_string(prefixes[i], tunnelled + i), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                SocketAddress a;

                cr_assert_eq(socket_address_from_ip(cases[i].ip, 1000, &a), 0);
                cr_assert_eq(address_is_usable_remote(&a, tunnelled, ELEMENTSOF(tunnelled)), cases[i].usable,
                             "%s", cases[i].ip);
        }
        cr_assert_not(address_is_usable_remote(&none, NULL, 0));
}
