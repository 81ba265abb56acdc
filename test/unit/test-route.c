/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "route.h"
#include "sandbox.h"
#include "udp.h"

static void setup(void)
{
        sandbox_need_root();
        sandbox_enter();
        for (unsigned i = 0; i < 2; i++)
                sandbox_shell(
                        "ip link add up%u type veth peer name out%u && ip link set out%u up && "
                        "ip address add 192.0.%u.1/24 dev up%u && ip address add 2001:db8:%u::1/64 dev "
                        "up%u nodad && ip link set up%u up",
                        i, i, i, i, i, i, i, i);
        sandbox_shell("ip route add default via 192.0.0.2 && ip route add default via 2001:db8:0::2 && "
                      "ip route add default via 192.0.1.2 table 7 && ip rule add fwmark 5 table 7 && "
                      "ip route add unreachable 198.51.100.0/24");
}

TestSuite(route, .init = setup, .timeout = 60);

static void expect(const char *to, uint32_t mark, const char *link, const char *local)
{
        SocketAddress a = address(to), wanted;
        Route route;

        cr_assert_eq(socket_address_from_ip(local, 0, &wanted), 0);
        cr_assert_eq(route_find(&a, mark, &route), 0, "%s", to);
        cr_assert_eq(route.ifindex, (int) if_nametoindex(link), "%s: by link %d", to, route.ifindex);
        cr_assert(socket_address_equal(&route.local, &wanted), "%s: from %s", to,
                  SOCKET_ADDRESS_STR(&route.local));
}

Test(route, is_the_kernels)
{
        expect("192.0.1.9:1", 0, "up1", "192.0.1.1");
        expect("203.0.113.1:1", 0, "up0", "192.0.0.1");
        expect("203.0.113.1:1", 5, "up1", "192.0.1.1");
        expect("[2001:db8:1::9]:1", 0, "up1", "2001:db8:1::1");
        expect("[2001:db9::1]:1", 0, "up0", "2001:db8::1");
        expect("192.0.0.1:1", 0, "lo", "192.0.0.1");
        expect("127.128.0.1:1", 0, "lo", "127.0.0.1");
        expect("[::1]:1", 0, "lo", "::1");
}

Test(route, errors_are_the_kernels)
{
        SocketAddress a = address("198.51.100.1:1");
        Route route = { .ifindex = 4711 };

        cr_assert_eq(route_find(&a, 0, &route), -EHOSTUNREACH);
        sandbox_shell("ip route flush default && ip -6 route flush default");
        a = address("203.0.113.1:1");
        cr_assert_eq(route_find(&a, 0, &route), -ENETUNREACH);
        a = address("[2001:db9::1]:1");
        cr_assert_eq(route_find(&a, 0, &route), -ENETUNREACH);
        cr_assert_eq(route.ifindex, 4711);
}
