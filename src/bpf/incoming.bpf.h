/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A UDP packet that comes in: between whom, and whether it is for this host. */

#include "packet.bpf.h"

/* From linux/socket.h, which is not for BPF. */
#define AF_INET 2
#define AF_INET6 10

struct incoming {
        struct redirect_endpoint source;
        struct redirect_endpoint destination;
        bool ipv6;
};

static __always_inline bool incoming_read(struct __sk_buff *skb, __u32 network, __u32 transport,
                                          struct incoming *ret)
{
        __be16 ports[2];

        if (!packet_read(skb, transport, ports, sizeof(ports)) ||
            !packet_addresses(skb, network, &ret->source.address, &ret->destination.address, &ret->ipv6))
                return false;
        ret->source.port = ports[0];
        ret->destination.port = ports[1];
        return true;
}

/* Is it for this host? The kernel need not ask itself where it does not forward. */
static __always_inline bool incoming_is_local(struct __sk_buff *skb, const struct incoming *in)
{
        struct bpf_fib_lookup fib = {
                .ifindex = skb->ifindex,
                .l4_protocol = IPPROTO_UDP,
                .sport = in->source.port,
                .dport = in->destination.port,
        };
        long r;

        /* Of another host on the wire, of a virtual device on top of this one; or to many. */
        if (skb->pkt_type != PACKET_HOST)
                return false;
        if (in->ipv6) {
                fib.family = AF_INET6;
                __builtin_memcpy(fib.ipv6_src, &in->source.address, sizeof(fib.ipv6_src));
                __builtin_memcpy(fib.ipv6_dst, &in->destination.address, sizeof(fib.ipv6_dst));
        } else {
                fib.family = AF_INET;
                fib.ipv4_src = in->source.address.word[3];
                fib.ipv4_dst = in->destination.address.word[3];
        }
        r = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
        return r == BPF_FIB_LKUP_RET_NOT_FWDED || r == BPF_FIB_LKUP_RET_FWD_DISABLED;
}
