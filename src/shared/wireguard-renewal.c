/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wireguard-renewal.h"

#include <linux/genetlink.h>
#include <linux/wireguard.h>

#include "alloc-util.h"
#include "genl.h"

/* All but the allowed IPs, and more than one of these: headers and padding included. */
#define FIXED_SIZE 512
#define ALLOWED_IP_SIZE 48

static void put_removal(struct nlmsghdr *message, const WireguardPeer *peer)
{
        struct nlattr *nest = mnl_attr_nest_start(message, 0);

        mnl_attr_put(message, WGPEER_A_PUBLIC_KEY, WG_KEY_LEN, peer->public_key.bytes);
        mnl_attr_put_u32(message, WGPEER_A_FLAGS, WGPEER_F_REMOVE_ME);
        mnl_attr_nest_end(message, nest);
}

static void put_allowed_ip(struct nlmsghdr *message, const IpPrefix *prefix)
{
        struct nlattr *nest = mnl_attr_nest_start(message, 0);

        mnl_attr_put_u16(message, WGALLOWEDIP_A_FAMILY, (uint16_t) prefix->family);
        mnl_attr_put(message, WGALLOWEDIP_A_IPADDR, prefix->family == AF_INET ? 4 : 16, prefix->bytes);
        mnl_attr_put_u8(message, WGALLOWEDIP_A_CIDR_MASK, prefix->length);
        mnl_attr_nest_end(message, nest);
}

static void put_allowed_ips(struct nlmsghdr *message, const WireguardPeer *peer)
{
        struct nlattr *nest = mnl_attr_nest_start(message, WGPEER_A_ALLOWEDIPS);

        for (size_t i = 0; i < peer->n_allowed_ips; i++)
                put_allowed_ip(message, peer->allowed_ips + i);
        mnl_attr_nest_end(message, nest);
}

static void put_peer(struct nlmsghdr *message, const WireguardPeer *peer)
{
        struct nlattr *nest = mnl_attr_nest_start(message, 0);

        mnl_attr_put(message, WGPEER_A_PUBLIC_KEY, WG_KEY_LEN, peer->public_key.bytes);
        mnl_attr_put(message, WGPEER_A_PRESHARED_KEY, WG_KEY_LEN, peer->preshared_key.bytes);
        if (socket_address_is_set(&peer->endpoint))
                mnl_attr_put(message, WGPEER_A_ENDPOINT, socket_address_length(&peer->endpoint),
                             &peer->endpoint);
        mnl_attr_put_u16(message, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, peer->persistent_keepalive);
        if (peer->n_allowed_ips > 0)
                put_allowed_ips(message, peer);
        mnl_attr_nest_end(message, nest);
}

int wireguard_renewal_new(const char *name, const WireguardPeer *peer, struct nlmsghdr **ret)
{
        struct nlmsghdr *message;
        struct nlattr *peers;
        void *buf;

        if (peer->n_allowed_ips > WIREGUARD_RENEWAL_ALLOWED_IPS_MAX)
                return -EMSGSIZE;
        buf = calloc(1, FIXED_SIZE + peer->n_allowed_ips * ALLOWED_IP_SIZE);
        if (!buf)
                return -ENOMEM;
        message = genl_start_message(buf, /* family= */ 0, /* flags= */ 0, WG_CMD_SET_DEVICE,
                                     WG_GENL_VERSION);
        mnl_attr_put_strz(message, WGDEVICE_A_IFNAME, name);
        peers = mnl_attr_nest_start(message, WGDEVICE_A_PEERS);
        put_removal(message, peer);
        put_peer(message, peer);
        mnl_attr_nest_end(message, peers);
        *ret = message;
        return 0;
}

struct nlmsghdr *wireguard_renewal_free(struct nlmsghdr *message)
{
        if (!message)
                return NULL;
        erase(message, message->nlmsg_len);
        return mfree(message);
}
