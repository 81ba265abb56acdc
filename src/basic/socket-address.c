/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "socket-address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "macro.h"
#include "parse-util.h"

static size_t family_size(int family)
{
        return family == AF_INET ? 4 : 16;
}

static const void *address_bytes(const SocketAddress *a)
{
        return a->sa.sa_family == AF_INET ? (const void *) &a->in.sin_addr
                                          : (const void *) &a->in6.sin6_addr;
}

socklen_t socket_address_length(const SocketAddress *a)
{
        return a->sa.sa_family == AF_INET ? sizeof(a->in) : sizeof(a->in6);
}

uint16_t socket_address_port(const SocketAddress *a)
{
        return ntohs(a->sa.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port);
}

void socket_address_set_port(SocketAddress *a, uint16_t port)
{
        if (a->sa.sa_family == AF_INET)
                a->in.sin_port = htons(port);
        else
                a->in6.sin6_port = htons(port);
}

void socket_address_from_bytes(int family, const void *bytes, uint16_t port, SocketAddress *ret)
{
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
        SocketAddress a = {};

        if (family == AF_INET6 && memcmp(bytes, mapped, sizeof(mapped)) == 0) {
                family = AF_INET;
                bytes = (const uint8_t *) bytes + 12;
        }
        if (family == AF_INET) {
                a.in.sin_family = AF_INET;
                memcpy(&a.in.sin_addr, bytes, 4);
        } else {
                a.in6.sin6_family = AF_INET6;
                memcpy(&a.in6.sin6_addr, bytes, 16);
        }
        socket_address_set_port(&a, port);
        *ret = a;
}

int socket_address_from_sockaddr(const void *p, size_t size, SocketAddress *ret)
{
        SocketAddress a = {};

        if (size < sizeof(sa_family_t))
                return -EINVAL;
        memcpy(&a, p, MIN(size, sizeof(a)));
        if (a.sa.sa_family != AF_INET && a.sa.sa_family != AF_INET6)
                return -EINVAL;
        if (size < socket_address_length(&a))
                return -EINVAL;
        socket_address_from_bytes(a.sa.sa_family, address_bytes(&a), socket_address_port(&a), ret);
        if (ret->sa.sa_family == AF_INET6)
                ret->in6.sin6_scope_id = a.in6.sin6_scope_id;
        return 0;
}

static int parse_zone(const char *s, uint32_t *ret)
{
        unsigned index;

        if (parse_u32(s, ret) >= 0)
                return *ret > 0 ? 0 : -EINVAL;
        index = if_nametoindex(s);
        if (index == 0)
                return -EINVAL;
        *ret = index;
        return 0;
}

int socket_address_from_ip(const char *ip, uint16_t port, SocketAddress *ret)
{
        char buf[INET6_ADDRSTRLEN + 1];
        const char *zone = strchr(ip, '%');
        size_t n = zone ? (size_t) (zone - ip) : strlen(ip);
        struct in6_addr bytes; /* or, in its first four, an IPv4 address */
        uint32_t scope = 0;
        SocketAddress a;

        if (n >= sizeof(buf))
                return -EINVAL;
        memcpy(buf, ip, n);
        buf[n] = '\0';

        if (!zone && inet_pton(AF_INET, buf, &bytes) == 1) {
                socket_address_from_bytes(AF_INET, &bytes, port, ret);
                return 0;
        }
        if (inet_pton(AF_INET6, buf, &bytes) != 1 || (zone && parse_zone(zone + 1, &scope) < 0))
                return -EINVAL;
        socket_address_from_bytes(AF_INET6, &bytes, port, &a);
        if (a.sa.sa_family == AF_INET6)
                a.in6.sin6_scope_id = scope;
        else if (zone)
                return -EINVAL;
        *ret = a;
        return 0;
}

int socket_address_from_string(const char *s, SocketAddress *ret)
{
        const char *colon = strrchr(s, ':'), *end;
        char ip[INET6_ADDRSTRLEN + IF_NAMESIZE + 2];
        SocketAddress a;
        uint16_t port;
        size_t n;

        if (!colon || parse_u16(colon + 1, &port) < 0)
                return -EINVAL;
        end = colon;
        if (*s == '[') {
                s++;
                if (end == s || *--end != ']')
                        return -EINVAL;
        }
        n = (size_t) (end - s);
        if (n >= sizeof(ip))
                return -EINVAL;
        memcpy(ip, s, n);
        ip[n] = '\0';
        if (socket_address_from_ip(ip, port, &a) < 0)
                return -EINVAL;
        /* Brackets belong to IPv6 and only to IPv6: "::1:80" would be ambiguous. */
        if (!!strchr(ip, ':') != (*end == ']'))
                return -EINVAL;
        *ret = a;
        return 0;
}

char *socket_address_format_ip(const SocketAddress *a, char buf[static SOCKET_ADDRESS_STRLEN])
{
        if (!socket_address_is_set(a) ||
            !inet_ntop(a->sa.sa_family, address_bytes(a), buf, SOCKET_ADDRESS_STRLEN))
                return strcpy(buf, "n/a");
        if (a->sa.sa_family == AF_INET6 && a->in6.sin6_scope_id != 0) {
                size_t n = strlen(buf);

                snprintf(buf + n, SOCKET_ADDRESS_STRLEN - n, "%%%" PRIu32, a->in6.sin6_scope_id);
        }
        return buf;
}

char *socket_address_format(const SocketAddress *a, char buf[static SOCKET_ADDRESS_STRLEN])
{
        char ip[SOCKET_ADDRESS_STRLEN];

        socket_address_format_ip(a, ip);
        if (!socket_address_is_set(a))
                return strcpy(buf, ip);
        snprintf(buf, SOCKET_ADDRESS_STRLEN, a->sa.sa_family == AF_INET6 ? "[%.62s]:%u" : "%.62s:%u", ip,
                 socket_address_port(a));
        return buf;
}

bool socket_address_ip_equal(const SocketAddress *a, const SocketAddress *b)
{
        if (a->sa.sa_family != b->sa.sa_family)
                return false;
        if (!socket_address_is_set(a))
                return true;
        if (a->sa.sa_family == AF_INET6 && a->in6.sin6_scope_id != 0 && b->in6.sin6_scope_id != 0 &&
            a->in6.sin6_scope_id != b->in6.sin6_scope_id)
                return false;
        return memcmp(address_bytes(a), address_bytes(b), family_size(a->sa.sa_family)) == 0;
}

bool socket_address_equal(const SocketAddress *a, const SocketAddress *b)
{
        return socket_address_ip_equal(a, b) && socket_address_port(a) == socket_address_port(b);
}

bool socket_addresses_contain_ip(const SocketAddress *addresses, size_t n, const SocketAddress *a)
{
        for (size_t i = 0; i < n; i++)
                if (socket_address_ip_equal(addresses + i, a))
                        return true;
        return false;
}

bool socket_address_is_unspecified(const SocketAddress *a)
{
        static const uint8_t zero[16];

        return !socket_address_is_set(a) ||
               memcmp(address_bytes(a), zero, family_size(a->sa.sa_family)) == 0;
}

bool socket_address_is_loopback(const SocketAddress *a)
{
        return a->sa.sa_family == AF_INET ? ntohl(a->in.sin_addr.s_addr) >> 24 == 127
                                          : IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

bool socket_address_is_link_local(const SocketAddress *a)
{
        return a->sa.sa_family == AF_INET ? ntohl(a->in.sin_addr.s_addr) >> 16 == 0xa9fe
                                          : IN6_IS_ADDR_LINKLOCAL(&a->in6.sin6_addr);
}

bool socket_address_is_multicast(const SocketAddress *a)
{
        /* 255.255.255.255 is nobody's own address either. */
        return a->sa.sa_family == AF_INET ? ntohl(a->in.sin_addr.s_addr) >> 28 >= 0xe
                                          : IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr);
}

void ip_prefix_from_bytes(int family, const void *bytes, uint8_t length, IpPrefix *ret)
{
        size_t n = family_size(family);

        *ret = (IpPrefix) { .family = family, .length = length };
        memcpy(ret->bytes, bytes, n);
        for (size_t i = 0; i < n; i++) {
                int keep = (int) length - (int) i * 8;

                if (keep <= 0)
                        ret->bytes[i] = 0;
                else if (keep < 8)
                        ret->bytes[i] &= (uint8_t) (0xff << (8 - keep));
        }
}

int ip_prefix_from_string(const char *s, IpPrefix *ret)
{
        const char *slash = strchr(s, '/');
        char ip[INET6_ADDRSTRLEN];
        size_t n = slash ? (size_t) (slash - s) : strlen(s);
        struct in6_addr bytes; /* or, in its first four, an IPv4 address */
        uint64_t length;
        int family;

        if (n >= sizeof(ip))
                return -EINVAL;
        memcpy(ip, s, n);
        ip[n] = '\0';
        family = strchr(ip, ':') ? AF_INET6 : AF_INET;
        if (inet_pton(family, ip, &bytes) != 1)
                return -EINVAL;
        length = family_size(family) * 8;
        if (slash && parse_u64(slash + 1, 0, length, &length) < 0)
                return -EINVAL;
        ip_prefix_from_bytes(family, &bytes, (uint8_t) length, ret);
        return 0;
}

char *ip_prefix_format(const IpPrefix *p, char buf[static IP_PREFIX_STRLEN])
{
        char ip[INET6_ADDRSTRLEN];

        if (!inet_ntop(p->family, p->bytes, ip, sizeof(ip)))
                return strcpy(buf, "n/a");
        snprintf(buf, IP_PREFIX_STRLEN, "%s/%u", ip, p->length);
        return buf;
}

bool ip_prefix_equal(const IpPrefix *a, const IpPrefix *b)
{
        return a->family == b->family && a->length == b->length &&
               memcmp(a->bytes, b->bytes, family_size(a->family)) == 0;
}

bool ip_prefix_contains(const IpPrefix *p, const SocketAddress *a)
{
        IpPrefix q;

        if (a->sa.sa_family != p->family)
                return false;
        ip_prefix_from_bytes(p->family, address_bytes(a), p->length, &q);
        return ip_prefix_equal(p, &q);
}
