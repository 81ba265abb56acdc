/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* On the way out: what one of our sockets sends from P leaves from W, so that the NAT mapping that ICE opens
 * is WireGuard's. What the answer will be told by is remembered: the transaction, and the contact.
 *
 * And when WireGuard itself begins a handshake, the broker hears of it: it has no other way to know when a
 * peer is wanted. */

#include "packet.bpf.h"
#include "redirect-maps.bpf.h"
#include "stun.bpf.h"

/* The first message of a handshake (WireGuard's paper, section 5.4.2): its type, and what UDP makes of its
 * length. */
#define WIREGUARD_INITIATION bpf_htonl(0x01000000)
#define WIREGUARD_INITIATION_LENGTH bpf_htons(sizeof(struct udphdr) + 148)

static __always_inline void remember_transaction(struct __sk_buff *skb, __u32 transport,
                                                 const struct redirect_socket *socket)
{
        struct redirect_waiting waiting = { .port = socket->port, .wireguard_port = socket->wireguard_port };
        struct stun_header stun;
        struct udphdr udp;

        if (stun_read(skb, transport, &udp, &stun) && (stun.type & STUN_TYPE_CLASS) == STUN_CLASS_REQUEST)
                (void) bpf_map_update_elem(&redirect_transactions, &stun.transaction, &waiting, BPF_ANY);
}

static __always_inline void remember_contact(const struct redirect_contact *contact)
{
        __u64 now = bpf_ktime_get_coarse_ns(), *last = bpf_map_lookup_elem(&redirect_contacted, contact);

        if (last)
                *last = now;
        else
                (void) bpf_map_update_elem(&redirect_contacted, contact, &now, BPF_ANY);
}

/* A UDP packet from the port of one of our sockets. */
static __noinline int egress_port(struct __sk_buff *skb, __u32 network, __u32 transport)
{
        struct redirect_contact contact = {};
        const struct redirect_socket *socket;
        __u64 cookie = bpf_get_socket_cookie(skb);
        __be16 ports[2];
        bool ipv6;

        /* Forwarded packets have no socket, hence cookie 0. */
        socket = bpf_map_lookup_elem(&redirect_sockets, &cookie);
        if (!socket || !packet_read(skb, transport, ports, sizeof(ports)) || ports[0] != socket->port ||
            !packet_addresses(skb, network, &contact.local, &contact.remote.address, &ipv6))
                return TCX_NEXT;

        contact.port = ports[0];
        contact.remote.port = ports[1];
        if (socket->flags & REDIRECT_SOCKET_KEEPS_RELAYS &&
            bpf_map_lookup_elem(&redirect_relays, &contact.remote)) {
                redirect_count(REDIRECT_KEPT);
                return TCX_NEXT;
        }

        remember_transaction(skb, transport, socket);
        remember_contact(&contact);
        if (packet_set_port(skb, transport, offsetof(struct udphdr, source), socket->port,
                            socket->wireguard_port))
                redirect_count(REDIRECT_SENT);
        return TCX_NEXT;
}

static __always_inline bool initiation_is_too_soon(const struct redirect_flow *flow)
{
        __u64 now = bpf_ktime_get_coarse_ns(), *last = bpf_map_lookup_elem(&redirect_initiated, flow);

        if (last && now - *last < REDIRECT_INITIATION_NSEC)
                return true;
        (void) bpf_map_update_elem(&redirect_initiated, flow, &now, BPF_ANY);
        return false;
}

/* A UDP packet from a W, as long as a handshake initiation. Those that are forwarded are not WireGuard's
 * here; the kernel's own have no socket, but nor have they come in by a link. */
static __noinline int egress_initiation(struct __sk_buff *skb, __u32 network, __u32 transport)
{
        struct {
                struct udphdr udp;
                __le32 type;
        } start;
        struct redirect_address local;
        struct redirect_flow flow = {};
        bool ipv6;

        if (!packet_read(skb, transport, &start, sizeof(start)) || start.type != WIREGUARD_INITIATION ||
            skb->ingress_ifindex != 0 ||
            !packet_addresses(skb, network, &local, &flow.remote.address, &ipv6))
                return TCX_NEXT;
        flow.remote.port = start.udp.dest;
        flow.wireguard_port = start.udp.source;
        if (!initiation_is_too_soon(&flow))
                (void) bpf_ringbuf_output(&redirect_initiations, &flow, sizeof(flow), 0);
        return TCX_NEXT;
}

/* All that does not pass at the first look. */
static __noinline int egress_look_again(struct __sk_buff *skb, __u32 network)
{
        struct packet packet;
        struct udphdr udp;
        __u8 meaning;

        if (!packet_walk(skb, network, &packet) || !packet_read(skb, packet.transport, &udp, sizeof(udp)))
                return TCX_NEXT;
        meaning = redirect_ports[udp.source];
        if (meaning & REDIRECT_PORT_SOCKET)
                return egress_port(skb, packet.network, packet.transport);
        if (meaning & REDIRECT_PORT_WIREGUARD && udp.len == WIREGUARD_INITIATION_LENGTH)
                return egress_initiation(skb, packet.network, packet.transport);
        return TCX_NEXT;
}

/* `transport` is where the UDP header is, a constant. */
static __always_inline bool egress_udp_passes(const struct __sk_buff *skb, const __u32 transport)
{
        const struct udphdr *udp = packet_data(skb) + transport;
        __u8 meaning = redirect_ports[udp->source];

        return !(meaning & REDIRECT_PORT_SOCKET) &&
               (meaning == 0 || udp->len != WIREGUARD_INITIATION_LENGTH);
}

static __always_inline bool egress_passes(const struct __sk_buff *skb, const __u32 network)
{
        switch (packet_look(skb, network)) {
        case PACKET_IPV4_UDP:
                return egress_udp_passes(skb, PACKET_IPV4_TRANSPORT(network));
        case PACKET_IPV6_UDP:
                return egress_udp_passes(skb, PACKET_IPV6_TRANSPORT(network));
        case PACKET_ODD:
                return false;
        default:
                return true;
        }
}

/* As on the way in: WireGuard's data passes at the first look, and costs as little. */
static __always_inline int egress(struct __sk_buff *skb, const __u32 network)
{
        return egress_passes(skb, network) ? TCX_NEXT : egress_look_again(skb, network);
}

/* TCX_NEXT is clsact's TC_ACT_UNSPEC: whoever comes after us, and the kernel, decide what becomes of it. */
SEC("tcx/egress")
int icewire_egress(struct __sk_buff *skb)
{
        return egress(skb, ETH_HLEN);
}

/* For devices without a link-layer header. */
SEC("tcx/egress")
int icewire_l3_egress(struct __sk_buff *skb)
{
        return egress(skb, 0);
}
