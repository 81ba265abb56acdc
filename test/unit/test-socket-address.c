/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <string.h>
#include <sys/un.h>

#include "macro.h"
#include "socket-address.h"

static SocketAddress parse(const char *s)
{
        SocketAddress a = {};

        cr_assert_eq(socket_address_from_string(s, &a), 0, "%s", s);
        return a;
}

static SocketAddress parse_ip(const char *s)
{
        SocketAddress a = {};

        cr_assert_eq(socket_address_from_ip(s, 0, &a), 0, "%s", s);
        return a;
}

static IpPrefix parse_prefix(const char *s)
{
        IpPrefix p = {};

        cr_assert_eq(ip_prefix_from_string(s, &p), 0, "%s", s);
        return p;
}

Test(socket_address, parse_and_format)
{
        static const struct {
                const char *s, *formatted;
        } cases[] = {
                { "192.0.2.1:51820", NULL },
                { "0.0.0.0:0", NULL },
                { "255.255.255.255:65535", NULL },
                { "[2001:db8::1]:51820", NULL },
                { "[::]:1", NULL },
                { "[2001:0DB8:0:0:0:0:0:1]:80", "[2001:db8::1]:80" },
                { "[fe80::1%2]:51820", NULL },
                { "[fe80::1%4294967295]:1", NULL },
                { "[fe80::1%lo]:1", "[fe80::1%1]:1" },
                { "[::ffff:192.0.2.1]:80", "192.0.2.1:80" },
                { "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535",
                  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535" },
                { "192.0.2.1:007", "192.0.2.1:7" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                SocketAddress a = parse(cases[i].s);

                cr_expect_str_eq(SOCKET_ADDRESS_STR(&a), cases[i].formatted ?: cases[i].s);
        }
}

Test(socket_address, malformed)
{
        static const char *const malformed[] = {
                "",
                ":",
                ":80",
                "192.0.2.1",
                "192.0.2.1:",
                "192.0.2.1:65536",
                "192.0.2.1:-1",
                "192.0.2.1:+1",
                "192.0.2.1: 1",
                "192.0.2.1:1 ",
                " 192.0.2.1:1",
                "192.0.2:1",
                "192.0.2.256:1",
                "192.0.2.01:1",
                "0x7f.1:1",
                "[192.0.2.1]:1",
                "192.0.2.1%1:1",
                "192.0.2.1]:1",
                "[192.0.2.1:1",
                "::1",
                "::1:80",
                "[::1]",
                "[::1]80",
                "[::1]:",
                "[::1:80",
                "::1]:80",
                "[[::1]]:80",
                "[]:80",
                "[",
                "[:",
                "[:80",
                "]:80",
                "[::1%]:80",
                "[fe80::1%0]:80",
                "[fe80::1%-1]:80",
                "[fe80::1%4294967296]:80",
                "[fe80::1%1%1]:80",
                "[fe80::1%no-such-link]:80",
                "[::ffff:192.0.2.1%1]:80",
                "[1:2:3:4:5:6:7:8:9]:80",
                "[12345::]:80",
                "example.org:80",
                "localhost:80",
                "[0000000000000000000000000000000000000000000000000000000000000000000000000000::1]:80",
                "[fe80::1%aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]:"
                "80",
        };

        for (size_t i = 0; i < ELEMENTSOF(malformed); i++) {
                SocketAddress a = parse("192.0.2.7:7"), before = a;

                cr_expect_eq(socket_address_from_string(malformed[i], &a), -EINVAL, "%s", malformed[i]);
                cr_expect_eq(memcmp(&a, &before, sizeof(a)), 0, "%s: not untouched", malformed[i]);
        }
}

Test(socket_address, from_ip)
{
        SocketAddress a;

        cr_assert_eq(socket_address_from_ip("2001:db8::1", 80, &a), 0);
        cr_expect_str_eq(SOCKET_ADDRESS_STR(&a), "[2001:db8::1]:80");
        cr_expect_str_eq(SOCKET_ADDRESS_IP_STR(&a), "2001:db8::1");
        socket_address_set_port(&a, 81);
        cr_expect_eq(socket_address_port(&a), 81);
        cr_assert_eq(socket_address_from_ip("192.0.2.1", 80, &a), 0);
        cr_expect_str_eq(SOCKET_ADDRESS_IP_STR(&a), "192.0.2.1");
        socket_address_set_port(&a, 65535);
        cr_expect_eq(socket_address_port(&a), 65535);
        cr_expect_eq(socket_address_from_ip("", 0, &a), -EINVAL);
        cr_expect_eq(socket_address_from_ip("[::1]", 0, &a), -EINVAL);
        cr_expect_eq(socket_address_from_ip("%1", 0, &a), -EINVAL);
        cr_expect_eq(socket_address_from_ip("192.0.2.1:1", 0, &a), -EINVAL);
}

Test(socket_address, none)
{
        SocketAddress none = {}, a = parse("192.0.2.1:1");

        cr_expect(!socket_address_is_set(&none) && socket_address_is_set(&a));
        cr_expect_str_eq(SOCKET_ADDRESS_STR(&none), "n/a");
        cr_expect_str_eq(SOCKET_ADDRESS_IP_STR(&none), "n/a");
        cr_expect(socket_address_equal(&none, &none));
        cr_expect(!socket_address_equal(&none, &a) && !socket_address_equal(&a, &none));
        cr_expect(socket_address_is_unspecified(&none));
        cr_expect(!socket_address_is_loopback(&none) && !socket_address_is_multicast(&none));
}

Test(socket_address, from_sockaddr)
{
        SocketAddress v4 = parse("192.0.2.1:80"), v6 = parse("[fe80::1%2]:80"), a;
        struct sockaddr_storage big;
        struct sockaddr_un local = { .sun_family = AF_UNIX };

        cr_assert_eq(socket_address_from_sockaddr(&v4.in, sizeof(v4.in), &a), 0);
        cr_expect(socket_address_equal(&a, &v4));
        cr_expect_eq(socket_address_length(&a), sizeof(struct sockaddr_in));
        cr_assert_eq(socket_address_from_sockaddr(&v6.in6, sizeof(v6.in6), &a), 0);
        cr_expect(socket_address_equal(&a, &v6));
        cr_expect_eq(a.in6.sin6_scope_id, 2);
        cr_expect_eq(socket_address_length(&a), sizeof(struct sockaddr_in6));

        /* Nothing of what stands behind a short address gets into ours. */
        memset(&big, 0xff, sizeof(big));
        memcpy(&big, &v4.in, offsetof(struct sockaddr_in, sin_zero));
        cr_assert_eq(socket_address_from_sockaddr(&big, sizeof(big), &a), 0);
        cr_expect_eq(memcmp(&a, &v4, sizeof(a)), 0);

        a = v4;
        cr_expect_eq(socket_address_from_sockaddr(&v4, sizeof(v4.in) - 1, &a), -EINVAL);
        cr_expect_eq(socket_address_from_sockaddr(&v6, sizeof(v6.in6) - 1, &a), -EINVAL);
        cr_expect_eq(socket_address_from_sockaddr(&v6, 1, &a), -EINVAL);
        cr_expect_eq(socket_address_from_sockaddr(&v6, 0, &a), -EINVAL);
        cr_expect_eq(socket_address_from_sockaddr(&local, sizeof(local), &a), -EINVAL);
        cr_expect_eq(memcmp(&a, &v4, sizeof(a)), 0);
}

/* However an IPv4 address is dressed up, it is the IPv4 address: for equality and for every check. */
Test(socket_address, v4_mapped)
{
        struct sockaddr_in6 mapped = { .sin6_family = AF_INET6, .sin6_port = htons(80) };
        uint8_t unaligned[17] = { 42, [11] = 0xff, [12] = 0xff, 127, 0, 0, 1 };
        SocketAddress expected = parse("127.0.0.1:80"), a[4];

        memcpy(&mapped.sin6_addr, unaligned + 1, 16);
        cr_assert_eq(socket_address_from_sockaddr(&mapped, sizeof(mapped), &a[0]), 0);
        socket_address_from_bytes(AF_INET6, unaligned + 1, 80, &a[1]);
        cr_assert_eq(socket_address_from_ip("::ffff:127.0.0.1", 80, &a[2]), 0);
        a[3] = parse("[::ffff:7f00:1]:80");
        for (size_t i = 0; i < ELEMENTSOF(a); i++) {
                cr_expect(socket_address_equal(&a[i], &expected), "%zu", i);
                cr_expect(socket_address_is_loopback(&a[i]), "%zu", i);
        }
}

Test(socket_address, equality)
{
        static const struct {
                const char *a, *b;
                bool equal, ip_equal;
        } cases[] = {
                { "192.0.2.1:1", "192.0.2.1:1", true, true },
                { "192.0.2.1:1", "192.0.2.1:2", false, true },
                { "192.0.2.1:1", "192.0.2.2:1", false, false },
                { "192.0.2.1:1", "[2001:db8::1]:1", false, false },
                { "[2001:db8::1]:1", "[2001:db8::1]:1", true, true },
                { "[2001:db8::1]:1", "[2001:db8::2]:1", false, false },
                { "[fe80::1%1]:1", "[fe80::1%1]:1", true, true },
                { "[fe80::1%1]:1", "[fe80::1%2]:1", false, false },
                { "[fe80::1%1]:1", "[fe80::1]:1", true, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                SocketAddress a = parse(cases[i].a), b = parse(cases[i].b);

                cr_expect_eq(socket_address_equal(&a, &b), cases[i].equal, "%s %s", cases[i].a, cases[i].b);
                cr_expect_eq(socket_address_equal(&b, &a), cases[i].equal);
                cr_expect_eq(socket_address_ip_equal(&a, &b), cases[i].ip_equal);
        }
}

Test(socket_address, kinds)
{
        static const struct {
                const char *ip;
                bool unspecified, loopback, link_local, multicast;
        } cases[] = {
                { "0.0.0.0", .unspecified = true },
                { "0.0.0.1" },
                { "126.255.255.255" },
                { "127.0.0.0", .loopback = true },
                { "127.255.255.255", .loopback = true },
                { "128.0.0.0" },
                { "169.253.255.255" },
                { "169.254.0.0", .link_local = true },
                { "169.254.255.255", .link_local = true },
                { "169.255.0.0" },
                { "223.255.255.255" },
                { "224.0.0.0", .multicast = true },
                { "239.255.255.255", .multicast = true },
                { "255.255.255.255", .multicast = true },
                { "::", .unspecified = true },
                { "::1", .loopback = true },
                { "::2" },
                { "fe7f::1" },
                { "fe80::1", .link_local = true },
                { "febf::1", .link_local = true },
                { "fec0::1" },
                { "feff::1" },
                { "ff00::", .multicast = true },
                { "ff02::1", .multicast = true },
                { "2001:db8::1" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                SocketAddress a = parse_ip(cases[i].ip);

                cr_expect_eq(socket_address_is_unspecified(&a), cases[i].unspecified, "%s", cases[i].ip);
                cr_expect_eq(socket_address_is_loopback(&a), cases[i].loopback, "%s", cases[i].ip);
                cr_expect_eq(socket_address_is_link_local(&a), cases[i].link_local, "%s", cases[i].ip);
                cr_expect_eq(socket_address_is_multicast(&a), cases[i].multicast, "%s", cases[i].ip);
        }
}

Test(ip_prefix, parse_and_format)
{
        static const struct {
                const char *s, *formatted;
        } cases[] = {
                { "192.0.2.0/24", NULL },
                { "192.0.2.255/24", "192.0.2.0/24" },
                { "192.0.2.255/25", "192.0.2.128/25" },
                { "192.0.2.255/31", "192.0.2.254/31" },
                { "192.0.2.1", "192.0.2.1/32" },
                { "255.255.255.255/0", "0.0.0.0/0" },
                { "2001:db8::/32", NULL },
                { "2001:db8:ffff::/33", "2001:db8:8000::/33" },
                { "2001:db8::1", "2001:db8::1/128" },
                { "ffff::/0", "::/0" },
                { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127",
                  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127" },
                /* AllowedIPs may name it, and there it is an IPv6 block. */
                { "::ffff:192.0.2.0/120", "::ffff:192.0.2.0/120" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                IpPrefix p = parse_prefix(cases[i].s);

                cr_expect_str_eq(IP_PREFIX_STR(&p), cases[i].formatted ?: cases[i].s);
        }
}

Test(ip_prefix, malformed)
{
        static const char *const malformed[] = {
                "",
                "/",
                "/24",
                "192.0.2.0/",
                "192.0.2.0/33",
                "192.0.2.0/-1",
                "192.0.2.0/+1",
                "192.0.2.0/ 1",
                "192.0.2.0/24 ",
                "192.0.2.0/24/24",
                "192.0.2/24",
                "192.0.2.0.0/24",
                "::/129",
                "fe80::1%1/64",
                "[::]/0",
                "example.org/24",
                "::/18446744073709551616",
                "0000000000000000000000000000000000000000000000000000000000000000/1",
        };

        for (size_t i = 0; i < ELEMENTSOF(malformed); i++) {
                IpPrefix p = { .family = 42 };

                cr_expect_eq(ip_prefix_from_string(malformed[i], &p), -EINVAL, "%s", malformed[i]);
                cr_expect_eq(p.family, 42);
        }
}

Test(ip_prefix, contains)
{
        static const struct {
                const char *prefix, *ip;
                bool contains;
        } cases[] = {
                { "192.0.2.0/24", "192.0.2.0", true },
                { "192.0.2.0/24", "192.0.2.255", true },
                { "192.0.2.0/24", "192.0.3.0", false },
                { "192.0.2.0/24", "192.0.1.255", false },
                { "192.0.2.128/25", "192.0.2.127", false },
                { "192.0.2.1/32", "192.0.2.1", true },
                { "192.0.2.1/32", "192.0.2.0", false },
                { "0.0.0.0/0", "255.255.255.255", true },
                { "0.0.0.0/0", "::", false },
                { "::/0", "192.0.2.1", false },
                { "::/0", "2001:db8::1", true },
                { "2001:db8::/33", "2001:db8:7fff::", true },
                { "2001:db8::/33", "2001:db8:8000::", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                IpPrefix p = parse_prefix(cases[i].prefix);
                SocketAddress a = parse_ip(cases[i].ip);

                cr_expect_eq(ip_prefix_contains(&p, &a), cases[i].contains, "%s %s", cases[i].prefix,
                             cases[i].ip);
        }
}

Test(ip_prefix, equality)
{
        IpPrefix a = parse_prefix("192.0.2.0/24"), b = parse_prefix("192.0.2.9/24"),
                 c = parse_prefix("192.0.2.0/25"), d = parse_prefix("::/24"), e = parse_prefix("0.0.0.0/24");

        cr_expect(ip_prefix_equal(&a, &b));
        cr_expect(!ip_prefix_equal(&a, &c));
        cr_expect(!ip_prefix_equal(&d, &e));
}
