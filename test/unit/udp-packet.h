/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whole packets, byte by byte, and the STUN messages in them. The checksums are computed from scratch:
 * nothing here is shared with the programs that the packets are for. */

#include <criterion/criterion.h>
#include <endian.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#include "socket-address.h"

#define STUN_COOKIE 0x2112A442U
#define STUN_BINDING_REQUEST 0x0001
#define STUN_BINDING_INDICATION 0x0011
#define STUN_BINDING_SUCCESS 0x0101
#define STUN_BINDING_ERROR 0x0111
#define STUN_USERNAME 0x0006
#define STUN_MESSAGE_INTEGRITY 0x0008
#define STUN_PRIORITY 0x0024
#define STUN_SOFTWARE 0x8022
#define STUN_FINGERPRINT 0x8028
#define STUN_ICE_CONTROLLING 0x802a

/* What is in a datagram. */
typedef struct Message {
        uint8_t bytes[8000];
        size_t size;
} Message;

static inline void put16(void *p, uint16_t v)
{
        memcpy(p, &(uint16_t) { htobe16(v) }, sizeof(v));
}

static inline void put32(void *p, uint32_t v)
{
        memcpy(p, &(uint32_t) { htobe32(v) }, sizeof(v));
}

static inline uint16_t get16(const void *p)
{
        uint16_t v;

        memcpy(&v, p, sizeof(v));
        return be16toh(v);
}

/* The transaction ID is made of `id`. */
static inline Message stun_message(uint16_t type, uint32_t id)
{
        Message m = { .size = 20 };

        put16(m.bytes, type);
        put32(m.bytes + 4, STUN_COOKIE);
        memset(m.bytes + 8, 0xa5, 12);
        put32(m.bytes + 12, id);
        return m;
}

static inline void stun_add(Message *m, uint16_t type, const void *value, size_t size)
{
        size_t padded = (size + 3) & ~(size_t) 3;

        cr_assert_leq(m->size + 4 + padded, sizeof(m->bytes));
        put16(m->bytes + m->size, type);
        put16(m->bytes + m->size + 2, (uint16_t) size);
        memcpy(m->bytes + m->size + 4, value, size);
        memset(m->bytes + m->size + 4 + size, 0, padded - size);
        m->size += 4 + padded;
        put16(m->bytes + 2, (uint16_t) (m->size - 20));
}

static inline void stun_add_username(Message *m, const char *username)
{
        stun_add(m, STUN_USERNAME, username, strlen(username));
}

/* As an ICE agent asks. */
static inline Message stun_request(uint32_t id, const char *username)
{
        Message m = stun_message(STUN_BINDING_REQUEST, id);

        stun_add(&m, STUN_PRIORITY, "\x6e\xff\xff\xff", 4);
        stun_add(&m, STUN_ICE_CONTROLLING, "controls", 8);
        if (username)
                stun_add_username(&m, username);
        stun_add(&m, STUN_MESSAGE_INTEGRITY, "01234567890123456789", 20);
        stun_add(&m, STUN_FINGERPRINT, "crc!", 4);
        return m;
}

static inline Message stun_response(uint32_t id)
{
        Message m = stun_message(STUN_BINDING_SUCCESS, id);

        stun_add(&m, STUN_MESSAGE_INTEGRITY, "01234567890123456789", 20);
        return m;
}

/* WireGuard's shape, with STUN's cookie where its index is. */
static inline Message wireguard_message(uint8_t type, size_t size)
{
        Message m = { .size = size };

        memset(m.bytes, 0x5a, size);
        memcpy(m.bytes, (uint8_t[]) { type, 0, 0, 0 }, 4);
        put32(m.bytes + 4, STUN_COOKIE);
        return m;
}

typedef struct Packet {
        uint8_t bytes[9000];
        size_t size;
        size_t network; /* offsets of the headers and of what is in the datagram */
        size_t transport;
        size_t payload;
} Packet;

typedef struct PacketSpec {
        SocketAddress source, destination; /* of one family */
        Message message;
        bool no_link;         /* begins with the IP header */
        uint8_t to[ETH_ALEN]; /* link-layer addresses */
        uint8_t from[ETH_ALEN];
        unsigned vlan_tags;     /* in the frame */
        unsigned options;       /* bytes of IPv4 options, a multiple of 4 */
        uint8_t extensions[12]; /* IPv6 extension headers, by protocol */
        unsigned n_extensions;
        uint16_t fragment; /* the field of IPv4; IPv6 takes it for a fragment header, the last of
                              `extensions` */
        uint8_t protocol;
        unsigned id; /* IPv4's identification, above the first one */
        bool no_checksum;
        unsigned padding; /* bytes behind the IP packet */
        uint8_t filler;   /* what they are */
} PacketSpec;

static inline uint32_t sum16(const void *p, size_t size, uint32_t sum)
{
        const uint8_t *bytes = p;

        for (size_t i = 0; i < size; i++)
                sum += i % 2 == 0 ? (uint32_t) bytes[i] << 8 : bytes[i];
        return sum;
}

static inline uint16_t fold16(uint32_t sum)
{
        while (sum >> 16)
                sum = (sum & 0xffff) + (sum >> 16);
        return (uint16_t) sum;
}

static inline uint32_t sum_addresses(const SocketAddress *a, uint32_t sum)
{
        return a->sa.sa_family == AF_INET ? sum16(&a->in.sin_addr, 4, sum)
                                          : sum16(&a->in6.sin6_addr, 16, sum);
}

/* RFC 768, RFC 8200 section 8.1: of the pseudo header, not yet inverted. */
static inline uint32_t udp_pseudo_sum(const SocketAddress *source, const SocketAddress *destination,
                                      size_t size)
{
        return sum_addresses(source, sum_addresses(destination, (uint32_t) size + IPPROTO_UDP));
}

/* What belongs into the checksum field of the `size` bytes at `udp`; the field counts as zero. */
static inline uint16_t udp_checksum(const SocketAddress *source, const SocketAddress *destination,
                                    const uint8_t *udp, size_t size)
{
        uint32_t sum = sum16(udp, 6, udp_pseudo_sum(source, destination, size));
        uint16_t check = (uint16_t) ~fold16(sum16(udp + 8, size - 8, sum));

        return check ?: 0xffff;
}

static inline uint8_t *packet_put(Packet *p, const void *bytes, size_t size)
{
        uint8_t *at = p->bytes + p->size;

        cr_assert_leq(p->size + size, sizeof(p->bytes));
        if (bytes)
                memcpy(at, bytes, size);
        else
                memset(at, 0, size);
        p->size += size;
        return at;
}

static inline void packet_put_link(Packet *p, const PacketSpec *spec)
{
        uint16_t type = spec->source.sa.sa_family == AF_INET ? ETH_P_IP : ETH_P_IPV6;

        if (spec->no_link)
                return;
        packet_put(p, spec->to, ETH_ALEN);
        packet_put(p, spec->from, ETH_ALEN);
        for (unsigned i = 0; i < spec->vlan_tags; i++) {
                put16(packet_put(p, NULL, 2), i + 1 < spec->vlan_tags ? ETH_P_8021AD : ETH_P_8021Q);
                put16(packet_put(p, NULL, 2), 5);
        }
        put16(packet_put(p, NULL, 2), type);
}

static inline void packet_put_ipv4(Packet *p, const PacketSpec *spec, size_t size)
{
        uint8_t *ip = packet_put(p, NULL, 20 + spec->options);

        memset(ip + 20, 1, spec->options); /* no operation */
        ip[0] = (uint8_t) (0x45 + spec->options / 4);
        put16(ip + 2, (uint16_t) (20 + spec->options + size));
        put16(ip + 4, (uint16_t) (4711 + spec->id));
        put16(ip + 6, spec->fragment);
        ip[8] = 64;
        ip[9] = spec->protocol;
        memcpy(ip + 12, &spec->source.in.sin_addr, 4);
        memcpy(ip + 16, &spec->destination.in.sin_addr, 4);
        put16(ip + 10, (uint16_t) ~fold16(sum16(ip, 20 + spec->options, 0)));
}

static inline void packet_put_ipv6(Packet *p, const PacketSpec *spec, size_t size)
{
        uint8_t *ip = packet_put(p, NULL, 40), *next = ip + 6;

        ip[0] = 0x60;
        ip[7] = 64;
        memcpy(ip + 8, &spec->source.in6.sin6_addr, 16);
        memcpy(ip + 24, &spec->destination.in6.sin6_addr, 16);
        for (unsigned i = 0; i < spec->n_extensions; i++) {
                uint8_t *extension = packet_put(p, NULL, 8 + (i % 2) * 8);

                *next = spec->extensions[i];
                next = extension;
                if (spec->extensions[i] == IPPROTO_FRAGMENT) {
                        p->size -= (i % 2) * 8;
                        put16(extension + 2, spec->fragment);
                } else {
                        extension[1] = i % 2; /* every other one is longer */
                        /* An option for experiments (RFC 4727), to be skipped. */
                        if (spec->extensions[i] != IPPROTO_ROUTING)
                                memcpy(extension + 2, (uint8_t[]) { 0x1e, (uint8_t) (4 + (i % 2) * 8) }, 2);
                }
        }
        *next = spec->protocol;
        put16(ip + 4, (uint16_t) (p->size - p->network - 40 + size));
}

static inline Packet packet_build(const PacketSpec *spec)
{
        Packet p = {};
        uint8_t *udp;
        size_t size = 8 + spec->message.size;

        packet_put_link(&p, spec);
        p.network = p.size;
        if (spec->source.sa.sa_family == AF_INET)
                packet_put_ipv4(&p, spec, size);
        else
                packet_put_ipv6(&p, spec, size);
        p.transport = p.size;
        udp = packet_put(&p, NULL, 8);
        put16(udp, socket_address_port(&spec->source));
        put16(udp + 2, socket_address_port(&spec->destination));
        put16(udp + 4, (uint16_t) size);
        p.payload = p.size;
        packet_put(&p, spec->message.bytes, spec->message.size);
        if (!spec->no_checksum)
                put16(udp + 6, udp_checksum(&spec->source, &spec->destination, udp, size));
        memset(packet_put(&p, NULL, spec->padding), spec->filler, spec->padding);
        return p;
}

/* Bytes, not only their number; says which one is wrong. */
static inline void assert_packet_eq(const Packet *a, const uint8_t *bytes, size_t size, const char *what)
{
        cr_assert_eq(size, a->size, "%s: %zu bytes instead of %zu", what, size, a->size);
        for (size_t i = 0; i < size; i++)
                cr_assert_eq(bytes[i], a->bytes[i],
                             "%s: byte %zu is %02x instead of %02x (IP at %zu, UDP at %zu)", what, i,
                             bytes[i], a->bytes[i], a->network, a->transport);
}
