/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the redirect's programs and the broker, which loads them, tell each other.
 *
 * W is WireGuard's UDP port of a link, P the port of one UDP socket of ICE (or of our STUN client) that
 * shares W. On the way out, what such a socket sends leaves from W; on the way in, STUN that arrives at W
 * goes to the socket that it is meant for. All ports and addresses here are in network order.
 *
 * The programs and this file need no kernel types: there is nothing to relocate. */

#include <linux/types.h>

/* All local ufrags have this length, so that the one in USERNAME is at a fixed place, and is a key. */
#define REDIRECT_UFRAG_SIZE 8

/* An IPv6 address, or an IPv4 one as ::ffff:a.b.c.d. */
struct redirect_address {
        __u32 word[4];
};

struct redirect_endpoint {
        struct redirect_address address;
        __u16 port;
        __u16 zero;
};

/* redirect_ports, an array in .bss that the broker writes through the skeleton: what a port means, indexed
 * by the port AS READ FROM THE PACKET, so that whatever is not ours costs one load. Flags: */
#define REDIRECT_PORTS 65536
#define REDIRECT_PORT_WIREGUARD 1 /* W of at least one link */
#define REDIRECT_PORT_SOCKET 2    /* P of at least one socket */
#define REDIRECT_PORT_MOVES 4     /* beside WIREGUARD: something that comes to this W is moved */

/* redirect_rewrites, likewise in .bss: of which IP versions what comes unasked is rewritten to P like
 * everything else. For a host with NAT rules, where the kernel (nf_nat's hook at LOCAL_IN, at least up to
 * Linux 6.18) takes an assigned socket from the packet again. Flags: */
#define REDIRECT_REWRITES_IPV4 1
#define REDIRECT_REWRITES_IPV6 2

/* Map redirect_sockets: SO_COOKIE (__u64, never 0) → this. The cookie keeps foreign and forwarded packets
 * that happen to come from P out of it. */
#define REDIRECT_SOCKETS_MAX 16384
struct redirect_socket {
        __u16 port;           /* P */
        __u16 wireguard_port; /* W */
        __u16 flags;
        __u16 ufrags; /* how many it serves: the broker's own count */
};
/* What the socket sends to a TURN server keeps P: an allocation belongs to its 5-tuple. */
#define REDIRECT_SOCKET_KEEPS_RELAYS 1

/* Map redirect_relays: struct redirect_endpoint → __u8 (any value): the TURN servers. */
#define REDIRECT_RELAYS_MAX 256

/* Map redirect_ufrags: this → P (__u16). A session has one socket for each local address. */
#define REDIRECT_UFRAGS_MAX 16384
struct redirect_ufrag {
        char ufrag[REDIRECT_UFRAG_SIZE];
        struct redirect_address local;
        __u16 wireguard_port;
        __u16 zero[3];
};

/* Map redirect_transactions, LRU, filled on the way out: the ID of each STUN request of ours → the socket
 * that waits for the response. */
#define REDIRECT_TRANSACTIONS_MAX 16384
struct redirect_transaction {
        __u8 id[12];
};
struct redirect_waiting {
        __u16 port;           /* P */
        __u16 wireguard_port; /* W, where the response has to arrive */
};

/* Map redirect_contacted, LRU, filled on the way out: this → when the last packet went from P to there, ns
 * of CLOCK_MONOTONIC_COARSE (__u64). That clock stands still during suspend, and so do conntrack's timeouts.
 */
#define REDIRECT_CONTACTED_MAX 16384
struct redirect_contact {
        struct redirect_endpoint remote;
        struct redirect_address local;
        __u16 port; /* P */
        __u16 zero;
};

/* What comes to W from there, or goes there from W. */
struct redirect_flow {
        struct redirect_endpoint remote;
        __u16 wireguard_port; /* W */
        __u16 zero;
};

/* Map redirect_moves: what comes by this flow, and is no STUN, is made to look as if it came from `to`, to
 * W. Where `to` is reached by another link than the one it comes by, its destination becomes this host's
 * address there, and it goes through that link's way in: from a proxy's address on lo to the uplink, and
 * from one uplink to another. */
#define REDIRECT_MOVES_MAX 4096
struct redirect_move {
        struct redirect_endpoint to;
        struct redirect_address local;
        __u32 ifindex; /* of the link; 0: whichever it comes by */
        __u8 mac[6];   /* of the link; zero if it has none */
        __u16 zero;
        __u64 until;   /* CLOCK_MONOTONIC_COARSE, ns */
        __u64 packets; /* so many were moved */
};

/* Ring buffer redirect_initiations: struct redirect_flow, for each handshake initiation that WireGuard
 * sends, but for those that follow the last one to there too soon (map redirect_initiated, LRU: the flow →
 * when, as above). */
#define REDIRECT_INITIATIONS_SIZE 65536 /* bytes, a multiple of every page size */
#define REDIRECT_INITIATED_MAX 4096
#define REDIRECT_INITIATION_NSEC (200 * 1000000ULL)

/* For so long after the last packet out, one from there counts as solicited. Less than the 30 s that
 * conntrack gives a UDP flow without an answer (nf_conntrack_udp_timeout). */
#define REDIRECT_SOLICITED_NSEC (25 * 1000000000ULL)

/* Map redirect_statistics, per CPU: index → __u64. */
enum redirect_statistic {
        REDIRECT_SENT,       /* left from W in place of P */
        REDIRECT_KEPT,       /* left from P, to a relay */
        REDIRECT_RECEIVED,   /* solicited, or redirect_rewrites: the header says P now */
        REDIRECT_ASSIGNED,   /* unsolicited: given to the socket, the header still says W */
        REDIRECT_UNEXPECTED, /* STUN at W that no socket waits for: WireGuard gets it */
        _REDIRECT_STATISTIC_MAX,
};
