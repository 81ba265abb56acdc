/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* STUN (RFC 8489) inside of UDP, and what tells it from WireGuard: bytes 1 to 3 of a WireGuard message are
 * zero, so that it would be a STUN message without attributes, of 20 bytes; WireGuard's shortest has 32. */

#include "packet.bpf.h"

#define STUN_COOKIE bpf_htonl(0x2112A442)
#define STUN_TYPE_RESERVED bpf_htons(0xc000) /* always zero */
#define STUN_TYPE_CLASS bpf_htons(0x0110)
#define STUN_CLASS_REQUEST 0
#define STUN_CLASS_INDICATION bpf_htons(0x0010)
#define STUN_ATTRIBUTE_USERNAME bpf_htons(0x0006)

/* ICE's messages have less than ten attributes. */
#define STUN_ATTRIBUTES_MAX 24

struct stun_header {
        __be16 type;
        __be16 length; /* of the attributes */
        __be32 cookie;
        struct redirect_transaction transaction;
};

struct stun_attribute {
        __be16 type;
        __be16 length; /* without the padding to a multiple of 4 */
};

/* Reads the ports and sizes, and the STUN header behind them; false if it is no STUN or not all of it is
 * there. */
static __always_inline bool stun_read(struct __sk_buff *skb, __u32 transport, struct udphdr *ret_udp,
                                      struct stun_header *ret)
{
        __u32 length;

        if (!packet_read(skb, transport, ret_udp, sizeof(*ret_udp)) ||
            !packet_read(skb, transport + sizeof(*ret_udp), ret, sizeof(*ret)))
                return false;
        length = bpf_ntohs(ret->length);
        return ret->cookie == STUN_COOKIE && !(ret->type & STUN_TYPE_RESERVED) && length % 4 == 0 &&
               sizeof(*ret_udp) + sizeof(*ret) + length == bpf_ntohs(ret_udp->len) &&
               transport + sizeof(*ret_udp) + sizeof(*ret) + length <= skb->len;
}

/* Copies the first part of USERNAME, our ufrag, of a message at `offset` that stun_read() has found good. It
 * must be as long as all our ufrags are. */
static __always_inline bool stun_ufrag(struct __sk_buff *skb, __u32 offset, __be16 length,
                                       char ret[REDIRECT_UFRAG_SIZE])
{
        struct {
                char ufrag[REDIRECT_UFRAG_SIZE];
                char colon;
        } username;
        struct stun_attribute attribute;
        __u32 at = offset + sizeof(struct stun_header), end = at + bpf_ntohs(length);

        for (unsigned i = 0; i < STUN_ATTRIBUTES_MAX && at + sizeof(attribute) <= end; i++) {
                if (!packet_read(skb, at, &attribute, sizeof(attribute)))
                        return false;
                at += sizeof(attribute);
                if (attribute.type == STUN_ATTRIBUTE_USERNAME) {
                        if (bpf_ntohs(attribute.length) < sizeof(username) || at + sizeof(username) > end ||
                            !packet_read(skb, at, &username, sizeof(username)) || username.colon != ':')
                                return false;
                        __builtin_memcpy(ret, username.ufrag, REDIRECT_UFRAG_SIZE);
                        return true;
                }
                at += (bpf_ntohs(attribute.length) + 3) & ~3U;
        }
        return false;
}
