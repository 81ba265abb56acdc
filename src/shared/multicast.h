/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "macro.h"
#include "socket-address.h"

/* Datagrams to and from whoever else on the link has joined our two groups. Several processes of one host
 * may do so at the same time and hear each other, and themselves. Needs no privilege. */

/* IPv4: from the Local Scope 239.255.0.0/16, free for use without registration (RFC 2365 section 6.1), as
 * SSDP does: where UPnP gets through, so do we. 224.0.0.0/24 would be as local, but is all IANA's. The TTL
 * of 1 keeps it on the link. IPv6: link-local scope, transient (RFC 4291 section 2.7: T = 1 for what IANA
 * has not assigned), the group identifier from the dynamic range (RFC 3307 section 4.3), hop limit 1. The
 * port is below Linux's ephemeral range, so that no client's socket is there by chance. */
#define MULTICAST_GROUP_IPV4 "239.255.73.87"
#define MULTICAST_GROUP_IPV6 "ff12::e963:6577"
#define MULTICAST_PORT 21871

/* ---- What is in a datagram: magic "icew", version 1, topic, envelope ---- */

#define MULTICAST_TOPIC_SIZE 32
#define MULTICAST_HEADER_SIZE (4 + 1 + MULTICAST_TOPIC_SIZE)
#define MULTICAST_ENVELOPE_MAX 16384
#define MULTICAST_PACKET_MAX (MULTICAST_HEADER_SIZE + MULTICAST_ENVELOPE_MAX)

typedef struct MulticastPacket {
        uint8_t topic[MULTICAST_TOPIC_SIZE];
        const void *envelope; /* lent: part of the datagram */
        size_t size;
} MulticastPacket;

/* -EBADMSG: not ours, or nothing in it; -EPROTONOSUPPORT: another version; -EMSGSIZE: too long. */
int multicast_packet_parse(const void *data, size_t size, MulticastPacket *ret);

/* Fills buf and returns how much of it; -EMSGSIZE, -EINVAL for an empty envelope. */
ssize_t multicast_packet_build(const MulticastPacket *packet, uint8_t buf[static MULTICAST_PACKET_MAX]);

/* ---- The sockets: one for each interface and family ---- */

typedef struct Multicast Multicast;

typedef struct MulticastMembership {
        int ifindex;
        int family; /* AF_INET, AF_INET6 */
} MulticastMembership;

#define MULTICAST_MEMBERSHIPS_MAX 64

/* Any datagram, whole; size may be more than MULTICAST_PACKET_MAX, of which then only that many bytes are
 * there. May change the memberships and free the object. Returns whether it was of any use: by more than
 * 4000 at once, or 2000 a second for long, that are of none we make ourselves deaf for a quarter of a
 * second, so that a flood costs us little time. */
typedef bool (*multicast_callback_t)(Multicast *m, const void *data, size_t size, void *userdata);

int multicast_new(sd_event *event, multicast_callback_t callback, void *userdata, Multicast **ret);
Multicast *multicast_free(Multicast *m);
DEFINE_TRIVIAL_CLEANUP_FUNC(Multicast *, multicast_free);

/* Joins what is new in the list and leaves what is no longer in it. Returns how many were joined now. What
 * cannot be joined (no IPv6, an interface that is gone) is left out and tried again by the next call. */
size_t multicast_set_memberships(Multicast *m, const MulticastMembership *memberships, size_t n);
size_t multicast_n_memberships(const Multicast *m);

/* On every interface and family joined. Returns on how many it was sent; -ENOTCONN if none is joined,
 * otherwise the last error if it was sent on none. */
int multicast_send(Multicast *m, const void *data, size_t size);
