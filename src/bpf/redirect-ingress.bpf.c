/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* On the way in: STUN for W, on an address of this host, goes to the socket that waits for it: a response by
 * its transaction ID, a request by the ufrag in its USERNAME. Everything else, WireGuard's data first of
 * all, passes.
 *
 * What the host's firewall makes of it decides how. A packet from where the socket has just sent to belongs
 * to the flow that conntrack saw leave from P (it looks before the egress program does): its port is
 * rewritten. One that comes unasked has to look like what the administrator has opened, if anything, which
 * is W: it is given to the socket as it is, unless the broker has found that this does not work here.
 *
 * And while a peer changes its path, what still comes by the old one looks as if it came by the new one. */

#include "incoming.bpf.h"
#include "move.bpf.h"
#include "packet.bpf.h"
#include "redirect-maps.bpf.h"
#include "stun.bpf.h"

/* To whom it goes: P, or 0. */
static __always_inline __be16 incoming_port(struct __sk_buff *skb, __u32 offset,
                                            const struct stun_header *stun,
                                            const struct redirect_endpoint *destination)
{
        struct redirect_ufrag key = { .local = destination->address, .wireguard_port = destination->port };
        const struct redirect_waiting *waiting;
        const __u16 *port;

        switch (stun->type & STUN_TYPE_CLASS) {
        case STUN_CLASS_REQUEST:
        case STUN_CLASS_INDICATION:
                if (!stun_ufrag(skb, offset, stun->length, key.ufrag))
                        return 0;
                port = bpf_map_lookup_elem(&redirect_ufrags, &key);
                return port ? *port : 0;
        default:
                waiting = bpf_map_lookup_elem(&redirect_transactions, &stun->transaction);
                return waiting && waiting->wireguard_port == destination->port ? waiting->port : 0;
        }
}

static __always_inline bool incoming_is_solicited(const struct incoming *in, __be16 port)
{
        struct redirect_contact contact = {
                .remote = in->source,
                .local = in->destination.address,
                .port = port,
        };
        const __u64 *last = bpf_map_lookup_elem(&redirect_contacted, &contact);

        return last && bpf_ktime_get_coarse_ns() - *last < REDIRECT_SOLICITED_NSEC;
}

static __always_inline bool incoming_is_rewritten(const struct incoming *in, __be16 port)
{
        __u8 family = in->ipv6 ? REDIRECT_REWRITES_IPV6 : REDIRECT_REWRITES_IPV4;

        return redirect_rewrites & family || incoming_is_solicited(in, port);
}

static __always_inline bool incoming_assign(struct __sk_buff *skb, const struct incoming *in, __be16 port)
{
        struct bpf_sock_tuple tuple;
        __u32 size;
        struct bpf_sock *sock;
        bool assigned;

        if (in->ipv6) {
                __builtin_memcpy(tuple.ipv6.saddr, &in->source.address, sizeof(tuple.ipv6.saddr));
                __builtin_memcpy(tuple.ipv6.daddr, &in->destination.address, sizeof(tuple.ipv6.daddr));
                tuple.ipv6.sport = in->source.port;
                tuple.ipv6.dport = port;
                size = sizeof(tuple.ipv6);
        } else {
                tuple.ipv4.saddr = in->source.address.word[3];
                tuple.ipv4.daddr = in->destination.address.word[3];
                tuple.ipv4.sport = in->source.port;
                tuple.ipv4.dport = port;
                size = sizeof(tuple.ipv4);
        }
        sock = bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
        if (!sock)
                return false;
        assigned = bpf_sk_assign(skb, sock, 0) == 0;
        bpf_sk_release(sock);
        return assigned;
}

/* A UDP packet to a W that has STUN's cookie. */
static __noinline int ingress_stun(struct __sk_buff *skb, __u32 network, __u32 transport)
{
        struct incoming in = {};
        struct stun_header stun;
        struct udphdr udp = {};
        __be16 port;

        /* One WireGuard session in four billion has the cookie for its index. And a train that GRO has
         * merged is longer than its first message says: STUN cannot be taken out. */
        if (!stun_read(skb, transport, &udp, &stun))
                return redirect_ports[udp.dest] & REDIRECT_PORT_MOVES ? move(skb, network, transport)
                                                                      : TCX_NEXT;
        if (!incoming_read(skb, network, transport, &in) || !incoming_is_local(skb, &in))
                return TCX_NEXT;

        port = incoming_port(skb, transport + sizeof(udp), &stun, &in.destination);
        if (port == 0)
                redirect_count(REDIRECT_UNEXPECTED);
        else if (!incoming_is_rewritten(&in, port)) {
                if (incoming_assign(skb, &in, port))
                        redirect_count(REDIRECT_ASSIGNED);
        } else if (packet_set_port(skb, transport, offsetof(struct udphdr, dest), udp.dest, port))
                redirect_count(REDIRECT_RECEIVED);
        return TCX_NEXT;
}

/* What the programs want to know of UDP at once. */
struct incoming_start {
        struct udphdr udp;
        __be32 word;
        __be32 cookie;
};

/* All that does not pass at the first look. */
static __noinline int ingress_look_again(struct __sk_buff *skb, __u32 network)
{
        struct incoming_start start;
        struct packet packet;
        __u8 meaning;

        if (!packet_walk(skb, network, &packet) ||
            !packet_read(skb, packet.transport, &start, sizeof(start)))
                return TCX_NEXT;
        meaning = redirect_ports[start.udp.dest];
        if (!(meaning & REDIRECT_PORT_WIREGUARD))
                return TCX_NEXT;
        if (start.cookie == STUN_COOKIE)
                return ingress_stun(skb, packet.network, packet.transport);
        return meaning & REDIRECT_PORT_MOVES ? move(skb, packet.network, packet.transport) : TCX_NEXT;
}

/* Where the linear part has no more than the headers, as some network cards leave it. */
static __noinline bool ingress_has_cookie(struct __sk_buff *skb, __u32 transport)
{
        __be32 cookie;

        return packet_read(skb, transport + offsetof(struct incoming_start, cookie), &cookie,
                           sizeof(cookie)) &&
               cookie == STUN_COOKIE;
}

/* `transport` is where the UDP header is, a constant. A train of segments is no STUN: it is not looked for
 * where that would cost more than a load. */
static __always_inline bool ingress_udp_passes(struct __sk_buff *skb, const __u32 transport)
{
        const struct incoming_start *start = packet_data(skb) + transport;
        __u8 meaning = redirect_ports[start->udp.dest];

        if (meaning != REDIRECT_PORT_WIREGUARD)
                return !(meaning & REDIRECT_PORT_WIREGUARD);
        if ((const void *) (start + 1) > packet_end(skb))
                return skb->gso_size || !ingress_has_cookie(skb, transport);
        return start->cookie != STUN_COOKIE;
}

static __always_inline bool ingress_passes(struct __sk_buff *skb, const __u32 network)
{
        switch (packet_look(skb, network)) {
        case PACKET_IPV4_UDP:
                return ingress_udp_passes(skb, PACKET_IPV4_TRANSPORT(network));
        case PACKET_IPV6_UDP:
                return ingress_udp_passes(skb, PACKET_IPV6_TRANSPORT(network));
        case PACKET_ODD:
                return false;
        default:
                return true;
        }
}

/* What passes at the first look needs no stack, no register that would have to be saved, and no more than a
 * few lines of the processor's caches, the program's own included: that is WireGuard's data. */
static __always_inline int ingress(struct __sk_buff *skb, const __u32 network)
{
        return ingress_passes(skb, network) ? TCX_NEXT : ingress_look_again(skb, network);
}

SEC("tcx/ingress")
int icewire_ingress(struct __sk_buff *skb)
{
        return ingress(skb, ETH_HLEN);
}

/* For devices without a link-layer header. */
SEC("tcx/ingress")
int icewire_l3_ingress(struct __sk_buff *skb)
{
        return ingress(skb, 0);
}
