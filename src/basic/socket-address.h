/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IPv4 or IPv6 address with a port. All zero (AF_UNSPEC) means "none". Ports are in host order at this
 * interface. */
typedef union SocketAddress {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
} SocketAddress;

static inline bool socket_address_is_set(const SocketAddress *a)
{
        return a->sa.sa_family != AF_UNSPEC;
}

/* The length that bind(2) and sendto(2) want. */
socklen_t socket_address_length(const SocketAddress *a);

uint16_t socket_address_port(const SocketAddress *a);
void socket_address_set_port(SocketAddress *a, uint16_t port);

/* From what recvfrom(2) or a netlink attribute holds: `size` bytes of a struct sockaddr. -EINVAL if it is
 * neither family or too short. An IPv4-mapped IPv6 address becomes the IPv4 address it stands for. */
int socket_address_from_sockaddr(const void *p, size_t size, SocketAddress *ret);

/* From the 4 or 16 raw bytes of an address, network order; IPv4-mapped as above, so that nothing slips past
 * a check in that disguise. */
void socket_address_from_bytes(int family, const void *bytes, uint16_t port, SocketAddress *ret);

/* "192.0.2.1:51820", "[2001:db8::1]:51820", "[fe80::1%2]:51820" (a zone is an interface index or name). */
int socket_address_from_string(const char *s, SocketAddress *ret);

/* "192.0.2.1", "2001:db8::1" or "fe80::1%2"; literals only, never a name; IPv4-mapped as above. */
int socket_address_from_ip(const char *ip, uint16_t port, SocketAddress *ret);

#define SOCKET_ADDRESS_STRLEN 72
char *socket_address_format(const SocketAddress *a, char buf[static SOCKET_ADDRESS_STRLEN]);
char *socket_address_format_ip(const SocketAddress *a, char buf[static SOCKET_ADDRESS_STRLEN]);
#define SOCKET_ADDRESS_STR(a) socket_address_format((a), (char[SOCKET_ADDRESS_STRLEN]) {})
#define SOCKET_ADDRESS_IP_STR(a) socket_address_format_ip((a), (char[SOCKET_ADDRESS_STRLEN]) {})

/* Family, address and port; a zone counts only where both have one. */
bool socket_address_equal(const SocketAddress *a, const SocketAddress *b);
bool socket_address_ip_equal(const SocketAddress *a, const SocketAddress *b);

/* Is one of them `a`, whatever the ports? */
bool socket_addresses_contain_ip(const SocketAddress *addresses, size_t n, const SocketAddress *a);

bool socket_address_is_unspecified(const SocketAddress *a);
bool socket_address_is_loopback(const SocketAddress *a);
bool socket_address_is_link_local(const SocketAddress *a);
bool socket_address_is_multicast(const SocketAddress *a);

/* An address block, as in AllowedIPs. Host bits are zero. */
typedef struct IpPrefix {
        int family;        /* AF_INET, AF_INET6 */
        uint8_t length;    /* bits */
        uint8_t bytes[16]; /* network order, 4 used for AF_INET */
} IpPrefix;

/* "192.0.2.0/24", "2001:db8::/32", "192.0.2.1"; host bits are cleared, as `wg` does. */
int ip_prefix_from_string(const char *s, IpPrefix *ret);
void ip_prefix_from_bytes(int family, const void *bytes, uint8_t length, IpPrefix *ret);
#define IP_PREFIX_STRLEN (INET6_ADDRSTRLEN + 4)
char *ip_prefix_format(const IpPrefix *p, char buf[static IP_PREFIX_STRLEN]);
#define IP_PREFIX_STR(p) ip_prefix_format((p), (char[IP_PREFIX_STRLEN]) {})
bool ip_prefix_equal(const IpPrefix *a, const IpPrefix *b);
bool ip_prefix_contains(const IpPrefix *p, const SocketAddress *a);
