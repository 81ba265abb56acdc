/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where things are in a packet. The plain one (linear, IPv4 without options or IPv6 without extension
 * headers, no VLAN tag in the frame) is looked at in place, at offsets that are constants, since that is
 * what WireGuard's data is made of. Every other packet is read by bpf_skb_load_bytes() at a cursor. */

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "redirect.h"

#define PACKET_HOST 0                   /* skb->pkt_type, from linux/if_packet.h */
#define IPV4_PLAIN 0x45                 /* version, header length: no options */
#define IPV4_FRAGMENT bpf_htons(0x3fff) /* more fragments, or an offset */
#define IPV6_VERSION 0x60

#define VLAN_TAGS_MAX 2
#define IPV6_EXTENSIONS_MAX 8

enum packet_look {
        PACKET_OTHER,    /* no UDP, or a fragment: none of our business */
        PACKET_IPV4_UDP, /* plain, where PACKET_IPV4_TRANSPORT says; the header may be read */
        PACKET_IPV6_UDP,
        PACKET_ODD, /* to be seen by packet_walk() */
};

#define PACKET_IPV4_TRANSPORT(network) ((network) + sizeof(struct iphdr))
#define PACKET_IPV6_TRANSPORT(network) ((network) + sizeof(struct ipv6hdr))

static __always_inline const void *packet_data(const struct __sk_buff *skb)
{
        return (const void *) (long) skb->data;
}

static __always_inline const void *packet_end(const struct __sk_buff *skb)
{
        return (const void *) (long) skb->data_end;
}

static __always_inline enum packet_look packet_look_ipv4(const struct iphdr *ip)
{
        if (*(const __u8 *) ip != IPV4_PLAIN)
                return PACKET_ODD;
        return ip->protocol == IPPROTO_UDP && !(ip->frag_off & IPV4_FRAGMENT) ? PACKET_IPV4_UDP
                                                                              : PACKET_OTHER;
}

static __always_inline bool ipv6_is_extension(__u8 protocol)
{
        return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS;
}

static __always_inline enum packet_look packet_look_ipv6(const struct ipv6hdr *ip)
{
        if (ip->nexthdr == IPPROTO_UDP)
                return PACKET_IPV6_UDP;
        return ipv6_is_extension(ip->nexthdr) ? PACKET_ODD : PACKET_OTHER;
}

/* The first look, at a packet whose IP header is at `network`, a constant. */
static __always_inline enum packet_look packet_look(const struct __sk_buff *skb, const __u32 network)
{
        const void *ip = packet_data(skb) + network, *end = packet_end(skb);
        __u32 protocol = skb->protocol;

        if (protocol == bpf_htons(ETH_P_IP))
                return PACKET_IPV4_TRANSPORT(ip) + sizeof(struct udphdr) <= end ? packet_look_ipv4(ip)
                                                                                : PACKET_ODD;
        if (protocol == bpf_htons(ETH_P_IPV6))
                return PACKET_IPV6_TRANSPORT(ip) + sizeof(struct udphdr) <= end ? packet_look_ipv6(ip)
                                                                                : PACKET_ODD;
        return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD) ? PACKET_ODD
                                                                                         : PACKET_OTHER;
}

/* Offsets of the two headers. */
struct packet {
        __u32 network;
        __u32 transport;
};

static __always_inline bool packet_read(struct __sk_buff *skb, __u32 offset, void *p, __u32 size)
{
        return bpf_skb_load_bytes(skb, offset, p, size) == 0;
}

/* Past the tags that are still in the frame (a second one, or a device that takes none into metadata). */
static __always_inline bool packet_walk_vlan(struct __sk_buff *skb, struct packet *packet,
                                             __u16 *ret_protocol)
{
        struct {
                __be16 tci;
                __be16 protocol;
        } tag;
        __u16 protocol = skb->protocol;

        for (unsigned i = 0; i < VLAN_TAGS_MAX; i++) {
                if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
                        break;
                if (!packet_read(skb, packet->network, &tag, sizeof(tag)))
                        return false;
                packet->network += sizeof(tag);
                protocol = tag.protocol;
        }
        *ret_protocol = protocol;
        return true;
}

static __always_inline bool packet_walk_ipv4(struct __sk_buff *skb, struct packet *packet)
{
        struct iphdr ip;

        if (!packet_read(skb, packet->network, &ip, sizeof(ip)) || ip.protocol != IPPROTO_UDP ||
            ip.frag_off & IPV4_FRAGMENT)
                return false;
        packet->transport = packet->network + ip.ihl * 4;
        return true;
}

static __always_inline bool packet_walk_ipv6(struct __sk_buff *skb, struct packet *packet)
{
        struct ipv6hdr ip;
        struct ipv6_opt_hdr extension;
        __u8 protocol;

        if (!packet_read(skb, packet->network, &ip, sizeof(ip)))
                return false;
        packet->transport = packet->network + sizeof(ip);
        protocol = ip.nexthdr;
        for (unsigned i = 0; i < IPV6_EXTENSIONS_MAX && ipv6_is_extension(protocol); i++) {
                if (!packet_read(skb, packet->transport, &extension, sizeof(extension)))
                        return false;
                packet->transport += (extension.hdrlen + 1) * 8;
                protocol = extension.nexthdr;
        }
        /* A fragment header ends the walk as well. */
        return protocol == IPPROTO_UDP;
}

/* Finds the UDP header of an odd packet; `network` is where the first look took the IP header to be. Where
 * an IP header lies about its version or size, this reads nonsense, and the kernel drops the packet anyway.
 */
static __always_inline bool packet_walk(struct __sk_buff *skb, __u32 network, struct packet *ret)
{
        __u16 protocol;

        ret->network = network;
        if (!packet_walk_vlan(skb, ret, &protocol))
                return false;
        if (protocol == bpf_htons(ETH_P_IP))
                return packet_walk_ipv4(skb, ret);
        return protocol == bpf_htons(ETH_P_IPV6) && packet_walk_ipv6(skb, ret);
}

static __always_inline void redirect_address_from_ipv4(__be32 a, struct redirect_address *ret)
{
        *ret = (struct redirect_address) { .word = { 0, 0, bpf_htonl(0xffff), a } };
}

/* Source and destination. */
static __always_inline bool packet_addresses(struct __sk_buff *skb, __u32 network,
                                             struct redirect_address *ret_source,
                                             struct redirect_address *ret_destination, bool *ret_ipv6)
{
        __be32 ipv4[2];
        struct redirect_address ipv6[2];
        __u8 version;

        if (!packet_read(skb, network, &version, sizeof(version)))
                return false;
        *ret_ipv6 = (version & 0xf0) == IPV6_VERSION;
        if (*ret_ipv6) {
                if (!packet_read(skb, network + offsetof(struct ipv6hdr, saddr), ipv6, sizeof(ipv6)))
                        return false;
                *ret_source = ipv6[0];
                *ret_destination = ipv6[1];
                return true;
        }
        if (!packet_read(skb, network + offsetof(struct iphdr, saddr), ipv4, sizeof(ipv4)))
                return false;
        redirect_address_from_ipv4(ipv4[0], ret_source);
        redirect_address_from_ipv4(ipv4[1], ret_destination);
        return true;
}

/* Replaces the port at `offset` of the UDP header at `transport`, and keeps the checksum right: whole,
 * partial (a port is not in the pseudo header), absent, and the device's own sum over all of it.
 *
 * A train that the kernel is to take apart (UDP_SEGMENT) holds the sum of the pseudo header alone, and does
 * not always say so: not on its way to a device that makes no checksums (udp_send_skb() in Linux 6.18). Each
 * segment's sum is made later, of the new port. */
static __always_inline bool packet_set_port(struct __sk_buff *skb, __u32 transport, __u32 offset, __be16 old,
                                            __be16 new)
{
        const __u32 check_offset = transport + offsetof(struct udphdr, check);
        __sum16 check;

        if (skb->gso_size)
                return bpf_skb_store_bytes(skb, transport + offset, &new, sizeof(new), 0) == 0;
        if (!packet_read(skb, check_offset, &check, sizeof(check)))
                return false;
        /* Once this has made the header writable, the store cannot fail. */
        if (bpf_l4_csum_replace(skb, check_offset, old, new, BPF_F_MARK_MANGLED_0 | sizeof(new)) < 0)
                return false;
        /* The two changes cancel out in a sum over the whole packet, unless there is only one. */
        return bpf_skb_store_bytes(skb, transport + offset, &new, sizeof(new),
                                   check ? 0 : BPF_F_RECOMPUTE_CSUM) == 0;
}

enum packet_side {
        PACKET_SOURCE,
        PACKET_DESTINATION,
};

/* The checksum of the header, too. Both are changed together, so that a sum over the whole packet stays. */
static __always_inline bool packet_store_ipv4(struct __sk_buff *skb, __u32 network, enum packet_side side,
                                              __be32 old, __be32 new)
{
        __u32 offset = side == PACKET_SOURCE ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr);

        return bpf_l3_csum_replace(skb, network + offsetof(struct iphdr, check), old, new, sizeof(new)) ==
                       0 &&
               bpf_skb_store_bytes(skb, network + offset, &new, sizeof(new), 0) == 0;
}

/* Replaces an address, and keeps the UDP checksum right as packet_set_port() does, in trains as well: the
 * pseudo header (RFC 768, RFC 8200 section 8.1) has it. The kernel takes what it changes in the checksum out
 * of the device's own sum, and the new address back in if it is told to: with IPv6 it has to be, since there
 * is no checksum of the header to cancel it out. */
static __always_inline bool packet_set_address(struct __sk_buff *skb, __u32 network, __u32 transport,
                                               bool ipv6, enum packet_side side,
                                               const struct redirect_address *old,
                                               const struct redirect_address *new)
{
        const __u32 check = transport + offsetof(struct udphdr, check);
        const __u64 flags = BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0;
        struct redirect_address to = *new;
        __u32 offset;

        if (!ipv6)
                return bpf_l4_csum_replace(skb, check, old->word[3], to.word[3],
                                           flags | sizeof(to.word[3])) == 0 &&
                       packet_store_ipv4(skb, network, side, old->word[3], to.word[3]);

        offset = side == PACKET_SOURCE ? offsetof(struct ipv6hdr, saddr) : offsetof(struct ipv6hdr, daddr);
        return bpf_l4_csum_replace(skb, check, 0,
                                   bpf_csum_diff((__be32 *) old, sizeof(*old), to.word, sizeof(to), 0),
                                   flags) == 0 &&
               bpf_skb_store_bytes(skb, network + offset, &to, sizeof(to), BPF_F_RECOMPUTE_CSUM) == 0;
}
