/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* While a peer's traffic changes from one path to another, what still comes by the old one is made to look
 * as if it came by the new one: WireGuard takes the source of whatever is authentic for the peer's endpoint.
 */

#include "incoming.bpf.h"
#include "packet.bpf.h"
#include "redirect-maps.bpf.h"

static __always_inline struct redirect_move *move_find(const struct incoming *in)
{
        struct redirect_flow flow = { .remote = in->source, .wireguard_port = in->destination.port };
        struct redirect_move *move = bpf_map_lookup_elem(&redirect_moves, &flow);

        return move && bpf_ktime_get_coarse_ns() < move->until ? move : NULL;
}

static __always_inline void move_count(const struct __sk_buff *skb, struct redirect_move *move)
{
        __u32 packets = skb->gso_segs ?: 1;

        __sync_fetch_and_add(&move->packets, packets);
}

/* By that link it would have come. Not where the two begin with different headers: then it looks so but for
 * the link. */
static __always_inline bool move_is_elsewhere(const struct __sk_buff *skb, __u32 network,
                                              const struct redirect_move *move)
{
        return move->ifindex != 0 && move->ifindex != skb->ifindex && network == ETH_HLEN &&
               !skb->vlan_present;
}

/* Into the other link's way in, where the kernel sees it for the first time: it has no route yet, which on
 * lo is the one back to where it came from. */
static __always_inline int move_elsewhere(struct __sk_buff *skb, const struct redirect_move *move)
{
        if (bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_dest), move->mac, sizeof(move->mac), 0) < 0)
                return TCX_DROP;
        return bpf_redirect(move->ifindex, BPF_F_INGRESS);
}

/* A UDP packet to a W that has moves, and no STUN. */
static __noinline int move(struct __sk_buff *skb, __u32 network, __u32 transport)
{
        struct incoming in = {};
        struct redirect_move *move;
        bool elsewhere;

        if (!incoming_read(skb, network, transport, &in))
                return TCX_NEXT;
        move = move_find(&in);
        if (!move || !incoming_is_local(skb, &in))
                return TCX_NEXT;
        elsewhere = move_is_elsewhere(skb, network, move);
        /* Once the first of these has made the headers writable, none can fail. */
        if (!packet_set_address(skb, network, transport, in.ipv6, PACKET_SOURCE, &in.source.address,
                                &move->to.address) ||
            (elsewhere && !packet_set_address(skb, network, transport, in.ipv6, PACKET_DESTINATION,
                                              &in.destination.address, &move->local)) ||
            !packet_set_port(skb, transport, offsetof(struct udphdr, source), in.source.port, move->to.port))
                return TCX_NEXT;
        move_count(skb, move);
        return elsewhere ? move_elsewhere(skb, move) : TCX_NEXT;
}
