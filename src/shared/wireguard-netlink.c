/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wireguard-netlink.h"

#include <linux/genetlink.h>
#include <linux/wireguard.h>

#include "alloc-util.h"
#include "wireguard-call.h"
#include "wireguard-renewal.h"

/* How often a call is tried again when the device changed while it was read, or the family's number did. */
#define ATTEMPTS_MAX 10

/* --- attributes --- */

static const NetlinkPolicy device_policy[WGDEVICE_A_MAX + 1] = {
        [WGDEVICE_A_IFINDEX] = { .type = MNL_TYPE_U32 },
        [WGDEVICE_A_IFNAME] = { .type = MNL_TYPE_NUL_STRING },
        [WGDEVICE_A_PRIVATE_KEY] = { .type = MNL_TYPE_BINARY, .min_size = WG_KEY_LEN },
        [WGDEVICE_A_PUBLIC_KEY] = { .type = MNL_TYPE_BINARY, .min_size = WG_KEY_LEN },
        [WGDEVICE_A_LISTEN_PORT] = { .type = MNL_TYPE_U16 },
        [WGDEVICE_A_FWMARK] = { .type = MNL_TYPE_U32 },
        [WGDEVICE_A_PEERS] = { .type = MNL_TYPE_NESTED },
};

static const NetlinkPolicy peer_policy[WGPEER_A_MAX + 1] = {
        [WGPEER_A_PUBLIC_KEY] = { .type = MNL_TYPE_BINARY, .min_size = WG_KEY_LEN },
        [WGPEER_A_PRESHARED_KEY] = { .type = MNL_TYPE_BINARY, .min_size = WG_KEY_LEN },
        [WGPEER_A_ENDPOINT] = { .type = MNL_TYPE_BINARY, .min_size = sizeof(struct sockaddr_in) },
        [WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL] = { .type = MNL_TYPE_U16 },
        [WGPEER_A_LAST_HANDSHAKE_TIME] = { .type = MNL_TYPE_BINARY, .min_size = 16 },
        [WGPEER_A_RX_BYTES] = { .type = MNL_TYPE_U64 },
        [WGPEER_A_TX_BYTES] = { .type = MNL_TYPE_U64 },
        [WGPEER_A_ALLOWEDIPS] = { .type = MNL_TYPE_NESTED },
};

static const NetlinkPolicy allowedip_policy[WGALLOWEDIP_A_MAX + 1] = {
        [WGALLOWEDIP_A_FAMILY] = { .type = MNL_TYPE_U16 },
        [WGALLOWEDIP_A_IPADDR] = { .type = MNL_TYPE_BINARY, .min_size = sizeof(struct in_addr) },
        [WGALLOWEDIP_A_CIDR_MASK] = { .type = MNL_TYPE_U8 },
};

static void read_key(const struct nlattr *attribute, WireguardKey *ret)
{
        if (attribute)
                memcpy(ret->bytes, mnl_attr_get_payload(attribute), WIREGUARD_KEY_SIZE);
}

/* struct __kernel_timespec, CLOCK_REALTIME; zero: there was none. */
static usec_t read_handshake_time(const struct nlattr *attribute)
{
        int64_t t[2];

        memcpy(t, mnl_attr_get_payload(attribute), sizeof(t));
        if (t[0] <= 0 || (uint64_t) t[0] > USEC_INFINITY / USEC_PER_SEC / 2 || t[1] < 0 ||
            t[1] >= 1000000000)
                return 0;
        return (usec_t) t[0] * USEC_PER_SEC + (usec_t) t[1] / 1000;
}

static int parse_allowed_ip(const struct nlattr *nest, WireguardPeer *peer)
{
        const struct nlattr *table[WGALLOWEDIP_A_MAX + 1];
        IpPrefix prefix;
        size_t size;
        int family, r;

        r = netlink_parse_nested(nest, allowedip_policy, WGALLOWEDIP_A_MAX, table);
        if (r < 0)
                return r;
        if (!table[WGALLOWEDIP_A_FAMILY] || !table[WGALLOWEDIP_A_IPADDR] || !table[WGALLOWEDIP_A_CIDR_MASK])
                return -EBADMSG;
        family = mnl_attr_get_u16(table[WGALLOWEDIP_A_FAMILY]);
        size = family == AF_INET ? 4 : 16;
        if ((family != AF_INET && family != AF_INET6) ||
            mnl_attr_get_payload_len(table[WGALLOWEDIP_A_IPADDR]) != size ||
            mnl_attr_get_u8(table[WGALLOWEDIP_A_CIDR_MASK]) > size * 8)
                return -EBADMSG;
        ip_prefix_from_bytes(family, mnl_attr_get_payload(table[WGALLOWEDIP_A_IPADDR]),
                             mnl_attr_get_u8(table[WGALLOWEDIP_A_CIDR_MASK]), &prefix);
        return wireguard_peer_add_allowed_ip(peer, &prefix);
}

/* What the elements of an array ("0: NLA_NESTED" in linux/wireguard.h) are given to. */
static int for_each_nested(const struct nlattr *array,
                           int (*parse)(const struct nlattr *nest, void *userdata), void *userdata)
{
        const uint8_t *p = mnl_attr_get_payload(array);
        size_t left = mnl_attr_get_payload_len(array);
        int r;

        while (left > 0) {
                const struct nlattr *nest = (const struct nlattr *) p;
                size_t step;

                if (!mnl_attr_ok(nest, (int) left))
                        return -EBADMSG;
                r = parse(nest, userdata);
                if (r < 0)
                        return r;
                step = MNL_ALIGN((size_t) nest->nla_len);
                left -= MIN(step, left);
                p += step;
        }
        return 0;
}

static int on_allowed_ip(const struct nlattr *nest, void *userdata)
{
        return parse_allowed_ip(nest, userdata);
}

/* The second part of a peer has its key and further allowed IPs only: what is absent stays as it is. */
static int parse_peer(const struct nlattr **table, WireguardPeer *peer)
{
        const struct nlattr *endpoint = table[WGPEER_A_ENDPOINT];

        read_key(table[WGPEER_A_PRESHARED_KEY], &peer->preshared_key);
        if (endpoint &&
            socket_address_from_sockaddr(mnl_attr_get_payload(endpoint), mnl_attr_get_payload_len(endpoint),
                                         &peer->endpoint) < 0)
                return -EBADMSG;
        if (table[WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL])
                peer->persistent_keepalive = mnl_attr_get_u16(table[WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL]);
        if (table[WGPEER_A_LAST_HANDSHAKE_TIME])
                peer->last_handshake = read_handshake_time(table[WGPEER_A_LAST_HANDSHAKE_TIME]);
        if (table[WGPEER_A_RX_BYTES])
                peer->rx_bytes = mnl_attr_get_u64(table[WGPEER_A_RX_BYTES]);
        if (table[WGPEER_A_TX_BYTES])
                peer->tx_bytes = mnl_attr_get_u64(table[WGPEER_A_TX_BYTES]);
        if (!table[WGPEER_A_ALLOWEDIPS])
                return 0;
        return for_each_nested(table[WGPEER_A_ALLOWEDIPS], on_allowed_ip, peer);
}

static int on_peer(const struct nlattr *nest, void *userdata)
{
        const struct nlattr *table[WGPEER_A_MAX + 1];
        WireguardDevice *device = userdata;
        WireguardPeer *peer;
        WireguardKey key;
        int r;

        r = netlink_parse_nested(nest, peer_policy, WGPEER_A_MAX, table);
        if (r < 0)
                return r;
        if (!table[WGPEER_A_PUBLIC_KEY])
                return -EBADMSG;
        read_key(table[WGPEER_A_PUBLIC_KEY], &key);
        r = wireguard_device_add_peer(device, &key, &peer);
        if (r < 0)
                return r;
        return parse_peer(table, peer);
}

int wireguard_netlink_parse(const void *attributes, size_t size, WireguardDevice *device)
{
        const struct nlattr *table[WGDEVICE_A_MAX + 1];
        int r;

        r = netlink_parse_attributes(attributes, size, device_policy, WGDEVICE_A_MAX, table);
        if (r < 0)
                return r;
        if (table[WGDEVICE_A_IFNAME]) {
                const char *name = mnl_attr_get_str(table[WGDEVICE_A_IFNAME]);

                if (!wireguard_device_name_is_valid(name))
                        return -EBADMSG;
                strcpy(device->name, name);
        }
        if (table[WGDEVICE_A_IFINDEX])
                device->ifindex = (int) mnl_attr_get_u32(table[WGDEVICE_A_IFINDEX]);
        read_key(table[WGDEVICE_A_PRIVATE_KEY], &device->private_key);
        read_key(table[WGDEVICE_A_PUBLIC_KEY], &device->public_key);
        if (table[WGDEVICE_A_LISTEN_PORT])
                device->listen_port = mnl_attr_get_u16(table[WGDEVICE_A_LISTEN_PORT]);
        if (table[WGDEVICE_A_FWMARK])
                device->fwmark = mnl_attr_get_u32(table[WGDEVICE_A_FWMARK]);
        return table[WGDEVICE_A_PEERS] ? for_each_nested(table[WGDEVICE_A_PEERS], on_peer, device) : 0;
}

/* --- calls --- */

typedef struct KernelCall KernelCall;

struct KernelCall {
        WireguardCall call;  /* first */
        WireguardNetlink *w; /* NULL once it is finished */
        KernelCall *next;
        NetlinkSlot *slot; /* of the request that is under way */
        unsigned attempts;
        char name[IF_NAMESIZE];
        WireguardDevice *device;  /* what is being read, owned; NULL: a change */
        struct nlmsghdr *renewal; /* the message of wireguard_netlink_renew_peer(), owned */
        WireguardKey peer;
        SocketAddress endpoint;
        int keepalive;
};

struct WireguardNetlink {
        Netlink *nl;
        uint16_t family; /* 0: not asked for yet */
        KernelCall *calls;
};

uint16_t wireguard_netlink_family(const WireguardNetlink *w)
{
        return w->family;
}

uint32_t wireguard_netlink_port(const WireguardNetlink *w)
{
        return netlink_port(w->nl);
}

static void call_unlink(KernelCall *c)
{
        if (!c->w)
                return;
        for (KernelCall **p = &c->w->calls; *p; p = &(*p)->next)
                if (*p == c) {
                        *p = c->next;
                        break;
                }
        c->w = NULL;
}

static void kernel_call_destroy(WireguardCall *call)
{
        KernelCall *c = CONTAINER_OF(call, KernelCall, call);

        call_unlink(c);
        netlink_slot_free(c->slot);
        wireguard_device_free(c->device);
        wireguard_renewal_free(c->renewal);
        free(c);
}

static void call_finish(KernelCall *c, int error)
{
        WireguardDevice *device = error >= 0 ? TAKE_PTR(c->device) : NULL;

        /* The callback may free everything that the call belongs to. */
        call_unlink(c);
        wireguard_call_finish(&c->call, MIN(error, 0), device);
}

static int on_device_message(Netlink *nl, const struct nlmsghdr *message, void *userdata)
{
        KernelCall *c = userdata;
        const struct genlmsghdr *genl = mnl_nlmsg_get_payload(message);

        if (message->nlmsg_type != c->w->family)
                return 0;
        if (mnl_nlmsg_get_payload_len(message) < GENL_HDRLEN || genl->cmd != WG_CMD_GET_DEVICE)
                return -EBADMSG;
        return wireguard_netlink_parse(mnl_nlmsg_get_payload_offset(message, GENL_HDRLEN),
                                       mnl_nlmsg_get_payload_len(message) - GENL_HDRLEN, c->device);
}

static void on_request_done(Netlink *nl, int error, void *userdata);

static int send_get(KernelCall *c)
{
        uint8_t buf[128] __attribute__((aligned(NLMSG_ALIGNTO)));
        struct nlmsghdr *message;
        WireguardDevice *device;
        int r;

        /* Nothing of an earlier attempt may stay. */
        r = wireguard_device_new(c->name, WIREGUARD_KIND_KERNEL, &device);
        if (r < 0)
                return r;
        wireguard_device_free(c->device);
        c->device = device;
        message = genl_start_message(buf, c->w->family, NLM_F_DUMP, WG_CMD_GET_DEVICE, WG_GENL_VERSION);
        mnl_attr_put_strz(message, WGDEVICE_A_IFNAME, c->name);
        return netlink_call(c->w->nl, message, on_device_message, on_request_done, c, &c->slot);
}

static int send_set(KernelCall *c)
{
        uint8_t buf[256] __attribute__((aligned(NLMSG_ALIGNTO)));
        struct nlattr *peers, *peer;
        struct nlmsghdr *message;

        message = genl_start_message(buf, c->w->family, /* flags= */ 0, WG_CMD_SET_DEVICE, WG_GENL_VERSION);
        mnl_attr_put_strz(message, WGDEVICE_A_IFNAME, c->name);
        peers = mnl_attr_nest_start(message, WGDEVICE_A_PEERS);
        peer = mnl_attr_nest_start(message, 0);
        mnl_attr_put(message, WGPEER_A_PUBLIC_KEY, WG_KEY_LEN, c->peer.bytes);
        mnl_attr_put_u32(message, WGPEER_A_FLAGS, WGPEER_F_UPDATE_ONLY);
        if (socket_address_is_set(&c->endpoint))
                mnl_attr_put(message, WGPEER_A_ENDPOINT, socket_address_length(&c->endpoint), &c->endpoint);
        if (c->keepalive >= 0)
                mnl_attr_put_u16(message, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, (uint16_t) c->keepalive);
        mnl_attr_nest_end(message, peer);
        mnl_attr_nest_end(message, peers);
        return netlink_call(c->w->nl, message, /* on_message= */ NULL, on_request_done, c, &c->slot);
}

static int send_renewal(KernelCall *c)
{
        c->renewal->nlmsg_type = c->w->family;
        return netlink_call(c->w->nl, c->renewal, /* on_message= */ NULL, on_request_done, c, &c->slot);
}

static int send_request(KernelCall *c)
{
        if (c->call.on_device)
                return send_get(c);
        return c->renewal ? send_renewal(c) : send_set(c);
}

static void on_family(int error, uint16_t family, void *userdata)
{
        KernelCall *c = userdata;

        c->slot = NULL;
        if (error >= 0) {
                c->w->family = family;
                error = send_request(c);
        }
        if (error < 0)
                call_finish(c, error == -ENOENT ? -EOPNOTSUPP : error);
}

static int call_start(KernelCall *c)
{
        c->attempts++;
        if (c->w->family != 0)
                return send_request(c);
        return genl_resolve_family(c->w->nl, WG_GENL_NAME, on_family, c, &c->slot);
}

static bool is_repeated_after(const KernelCall *c, int error)
{
        /* What a renewal says of the peer may be out of date by now. All others may be repeated without
         * harm. */
        return !c->renewal && (error == -ENOENT || error == -EINTR || error == -ENOBUFS);
}

static void on_request_done(Netlink *nl, int error, void *userdata)
{
        KernelCall *c = userdata;

        c->slot = NULL;
        /* The module went and may have come again under another number. */
        if (error == -ENOENT)
                c->w->family = 0;
        if (is_repeated_after(c, error) && c->attempts < ATTEMPTS_MAX) {
                error = call_start(c);
                if (error >= 0)
                        return;
        }
        call_finish(c, error == -ENOENT ? -EOPNOTSUPP : error);
}

static int call_new(WireguardNetlink *w, const char *name, KernelCall **ret)
{
        KernelCall *c;

        if (!wireguard_device_name_is_valid(name))
                return -EINVAL;
        c = new (KernelCall, 1);
        if (!c)
                return -ENOMEM;
        *c = (KernelCall) { .call.destroy = kernel_call_destroy, .w = w, .next = w->calls, .keepalive = -1 };
        strcpy(c->name, name);
        w->calls = c;
        *ret = c;
        return 0;
}

static int call_launch(KernelCall *c, WireguardCall **ret)
{
        int r;

        r = call_start(c);
        if (r < 0) {
                kernel_call_destroy(&c->call);
                return r;
        }
        if (ret)
                *ret = &c->call;
        return 0;
}

int wireguard_netlink_get(WireguardNetlink *w, const char *name, wireguard_device_callback_t callback,
                          void *userdata, WireguardCall **ret)
{
        KernelCall *c;
        int r;

        r = call_new(w, name, &c);
        if (r < 0)
                return r;
        c->call.on_device = callback;
        c->call.userdata = userdata;
        return call_launch(c, ret);
}

int wireguard_netlink_set_endpoint(WireguardNetlink *w, const char *name, const WireguardKey *peer,
                                   const SocketAddress *endpoint, int keepalive,
                                   wireguard_done_callback_t callback, void *userdata, WireguardCall **ret)
{
        KernelCall *c;
        int r;

        if (keepalive < -1 || keepalive > UINT16_MAX)
                return -EINVAL;
        r = call_new(w, name, &c);
        if (r < 0)
                return r;
        c->call.on_done = callback;
        c->call.userdata = userdata;
        c->peer = *peer;
        if (endpoint)
                c->endpoint = *endpoint;
        c->keepalive = keepalive;
        return call_launch(c, ret);
}

int wireguard_netlink_renew_peer(WireguardNetlink *w, const char *name, const WireguardPeer *peer,
                                 wireguard_done_callback_t callback, void *userdata, WireguardCall **ret)
{
        KernelCall *c;
        int r;

        r = call_new(w, name, &c);
        if (r < 0)
                return r;
        c->call.on_done = callback;
        c->call.userdata = userdata;
        r = wireguard_renewal_new(name, peer, &c->renewal);
        if (r < 0) {
                kernel_call_destroy(&c->call);
                return r;
        }
        return call_launch(c, ret);
}

int wireguard_netlink_new(sd_event *event, WireguardNetlink **ret)
{
        WireguardNetlink *w;
        int r;

        w = new0(WireguardNetlink, 1);
        if (!w)
                return -ENOMEM;
        r = netlink_open(event, NETLINK_GENERIC, &w->nl);
        if (r < 0) {
                free(w);
                return r;
        }
        *ret = w;
        return 0;
}

WireguardNetlink *wireguard_netlink_free(WireguardNetlink *w)
{
        if (!w)
                return NULL;
        while (w->calls)
                kernel_call_destroy(&w->calls->call);
        netlink_close(w->nl);
        return mfree(w);
}
