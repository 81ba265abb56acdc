/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wireguard-netlink.h"

#include <linux/genetlink.h>
#include <linux/wireguard.h>

#include "event-util.h"
#include "sandbox.h"
#include "string-util.h"
#include "wireguard-renewal.h"

/* --- messages made by hand, as drivers/net/wireguard/netlink.c makes them --- */

typedef struct Builder {
        _Alignas(8) uint8_t bytes[16384];
        struct nlmsghdr *message;
        struct nlattr *peers, *peer, *allowed_ips;
} Builder;

static WireguardKey key_of(uint8_t n)
{
        WireguardKey key;

        memset(key.bytes, n, sizeof(key.bytes));
        return key;
}

static void begin(Builder *b)
{
        b->message = mnl_nlmsg_put_header(b->bytes);
}

static void put_key(Builder *b, uint16_t type, uint8_t n)
{
        WireguardKey key = key_of(n);

        mnl_attr_put(b->message, type, sizeof(key.bytes), key.bytes);
}

static void put_device(Builder *b)
{
        mnl_attr_put_u16(b->message, WGDEVICE_A_LISTEN_PORT, 51820);
        mnl_attr_put_u32(b->message, WGDEVICE_A_FWMARK, 0xca6c);
        mnl_attr_put_u32(b->message, WGDEVICE_A_IFINDEX, 12);
        mnl_attr_put_strz(b->message, WGDEVICE_A_IFNAME, "wg0");
        put_key(b, WGDEVICE_A_PRIVATE_KEY, 0xaa);
        put_key(b, WGDEVICE_A_PUBLIC_KEY, 0xbb);
}

static void begin_peers(Builder *b)
{
        b->peers = mnl_attr_nest_start(b->message, WGDEVICE_A_PEERS);
}

static void begin_peer(Builder *b, uint8_t n)
{
        b->peer = mnl_attr_nest_start(b->message, 0);
        put_key(b, WGPEER_A_PUBLIC_KEY, n);
}

static void put_peer(Builder *b, uint8_t n, const char *endpoint)
{
        const int64_t handshake[2] = { 1700000000, 123456789 };
        SocketAddress a;

        begin_peer(b, n);
        put_key(b, WGPEER_A_PRESHARED_KEY, (uint8_t) (n + 100));
        mnl_attr_put(b->message, WGPEER_A_LAST_HANDSHAKE_TIME, sizeof(handshake), handshake);
        mnl_attr_put_u16(b->message, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 25);
        mnl_attr_put_u64(b->message, WGPEER_A_TX_BYTES, UINT64_C(1) << 40);
        mnl_attr_put_u64(b->message, WGPEER_A_RX_BYTES, 77);
        mnl_attr_put_u32(b->message, WGPEER_A_PROTOCOL_VERSION, 1);
        cr_assert_eq(socket_address_from_string(endpoint, &a), 0);
        mnl_attr_put(b->message, WGPEER_A_ENDPOINT, socket_address_length(&a), &a);
}

static void put_allowed_ip(Builder *b, const char *s)
{
        struct nlattr *nest = mnl_attr_nest_start(b->message, 0);
        IpPrefix p;

        cr_assert_eq(ip_prefix_from_string(s, &p), 0);
        mnl_attr_put_u16(b->message, WGALLOWEDIP_A_FAMILY, (uint16_t) p.family);
        mnl_attr_put(b->message, WGALLOWEDIP_A_IPADDR, p.family == AF_INET ? 4 : 16, p.bytes);
        mnl_attr_put_u8(b->message, WGALLOWEDIP_A_CIDR_MASK, p.length);
        mnl_attr_nest_end(b->message, nest);
}

static int parse(const Builder *b, WireguardDevice *device)
{
        size_t size = mnl_nlmsg_get_payload_len(b->message);
        _cleanup_free_ void *exact = malloc(size);

        memcpy(exact, mnl_nlmsg_get_payload(b->message), size);
        return wireguard_netlink_parse(exact, size, device);
}

static WireguardDevice *new_device(void)
{
        WireguardDevice *device;

        cr_assert_eq(wireguard_device_new("other", WIREGUARD_KIND_KERNEL, &device), 0);
        return device;
}

/* Two messages; the first peer's allowed IPs go on in the second. */
static void put_first_message(Builder *b)
{
        begin(b);
        put_device(b);
        begin_peers(b);
        put_peer(b, 1, "192.0.2.1:1000");
        b->allowed_ips = mnl_attr_nest_start(b->message, WGPEER_A_ALLOWEDIPS);
        put_allowed_ip(b, "10.0.0.0/24");
        put_allowed_ip(b, "fd00::/64");
        mnl_attr_nest_end(b->message, b->allowed_ips);
        mnl_attr_nest_end(b->message, b->peer);
        mnl_attr_nest_end(b->message, b->peers);
}

static void put_second_message(Builder *b)
{
        begin(b);
        begin_peers(b);
        begin_peer(b, 1);
        b->allowed_ips = mnl_attr_nest_start(b->message, WGPEER_A_ALLOWEDIPS);
        put_allowed_ip(b, "10.0.1.0/24");
        mnl_attr_nest_end(b->message, b->allowed_ips);
        mnl_attr_nest_end(b->message, b->peer);
        put_peer(b, 2, "[2001:db8::1]:2000");
        mnl_attr_nest_end(b->message, b->peer);
        mnl_attr_nest_end(b->message, b->peers);
}

Test(parse, joins_several_messages)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = new_device();
        WireguardKey one = key_of(1), two = key_of(2), expected;
        const WireguardPeer *peer;
        Builder b;

        put_first_message(&b);
        cr_assert_eq(parse(&b, device), 0);
        put_second_message(&b);
        cr_assert_eq(parse(&b, device), 0);

        cr_assert_str_eq(device->name, "wg0");
        cr_assert_eq(device->ifindex, 12);
        cr_assert_eq(device->listen_port, 51820);
        cr_assert_eq(device->fwmark, 0xca6c);
        expected = key_of(0xaa);
        cr_assert(wireguard_key_equal(&device->private_key, &expected));
        expected = key_of(0xbb);
        cr_assert(wireguard_key_equal(&device->public_key, &expected));
        cr_assert_eq(device->n_peers, 2);

        peer = wireguard_device_find_peer(device, &one);
        expected = key_of(101);
        cr_assert(wireguard_key_equal(&peer->preshared_key, &expected),
                  "the continuation does not erase it");
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&peer->endpoint), "192.0.2.1:1000");
        cr_assert_eq(peer->persistent_keepalive, 25);
        cr_assert_eq(peer->last_handshake, 1700000000 * USEC_PER_SEC + 123456);
        cr_assert_eq(peer->tx_bytes, UINT64_C(1) << 40);
        cr_assert_eq(peer->rx_bytes, 77);
        cr_assert_eq(peer->n_allowed_ips, 3);
        cr_assert_str_eq(IP_PREFIX_STR(peer->allowed_ips + 0), "10.0.0.0/24");
        cr_assert_str_eq(IP_PREFIX_STR(peer->allowed_ips + 1), "fd00::/64");
        cr_assert_str_eq(IP_PREFIX_STR(peer->allowed_ips + 2), "10.0.1.0/24");

        peer = wireguard_device_find_peer(device, &two);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&peer->endpoint), "[2001:db8::1]:2000");
        cr_assert_eq(peer->n_allowed_ips, 0);
}

Test(parse, takes_a_bare_device)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = new_device();
        Builder b;

        begin(&b);
        mnl_attr_put_u16(b.message, WGDEVICE_A_LISTEN_PORT, 0);
        mnl_attr_put_u32(b.message, WGDEVICE_A_FWMARK, 0);
        mnl_attr_put_u32(b.message, WGDEVICE_A_IFINDEX, 3);
        mnl_attr_put_strz(b.message, WGDEVICE_A_IFNAME, "wg1");
        begin_peers(&b);
        mnl_attr_nest_end(b.message, b.peers);
        /* What a later kernel may add. */
        mnl_attr_put_u32(b.message, 200, 1);
        cr_assert_eq(parse(&b, device), 0);
        cr_assert(wireguard_key_is_zero(&device->private_key));
        cr_assert(wireguard_key_is_zero(&device->public_key));
        cr_assert_eq(device->n_peers, 0);
}

/* Every single byte that is wrong must be either harmless or refused, never worse: the sanitizers watch. */
Test(parse, survives_damage)
{
        Builder b;
        unsigned n_refused = 0;

        put_first_message(&b);
        for (size_t i = NLMSG_HDRLEN; i < b.message->nlmsg_len; i++) {
                _cleanup_(wireguard_device_freep) WireguardDevice *device = new_device();
                uint8_t saved = b.bytes[i];

                b.bytes[i] ^= 0xff;
                n_refused += parse(&b, device) == -EBADMSG;
                b.bytes[i] = saved;
        }
        cr_assert_gt(n_refused, 20);
        for (size_t cut = 1; cut < 60; cut++) {
                _cleanup_(wireguard_device_freep) WireguardDevice *device = new_device();
                uint32_t saved = b.message->nlmsg_len;

                b.message->nlmsg_len -= (uint32_t) cut;
                cr_assert_eq(parse(&b, device), -EBADMSG, "cut by %zu", cut);
                b.message->nlmsg_len = saved;
        }
}

typedef void (*spoil_t)(Builder *b);

static void spoil_no_key(Builder *b)
{
        b->peer = mnl_attr_nest_start(b->message, 0);
        mnl_attr_put_u16(b->message, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 1);
        mnl_attr_nest_end(b->message, b->peer);
}

static void spoil_short_key(Builder *b)
{
        b->peer = mnl_attr_nest_start(b->message, 0);
        mnl_attr_put(b->message, WGPEER_A_PUBLIC_KEY, 31, "0123456789012345678901234567890");
        mnl_attr_nest_end(b->message, b->peer);
}

static void spoil_endpoint(Builder *b)
{
        struct sockaddr_in6 a = { .sin6_family = AF_INET6 };

        begin_peer(b, 9);
        mnl_attr_put(b->message, WGPEER_A_ENDPOINT, sizeof(struct sockaddr_in), &a);
        mnl_attr_nest_end(b->message, b->peer);
}

static void spoil_endpoint_family(Builder *b)
{
        struct sockaddr_in a = { .sin_family = AF_UNIX };

        begin_peer(b, 9);
        mnl_attr_put(b->message, WGPEER_A_ENDPOINT, sizeof(a), &a);
        mnl_attr_nest_end(b->message, b->peer);
}

static void put_raw_allowed_ip(Builder *b, uint16_t family, size_t size, int mask)
{
        struct nlattr *list, *nest;

        begin_peer(b, 9);
        list = mnl_attr_nest_start(b->message, WGPEER_A_ALLOWEDIPS);
        nest = mnl_attr_nest_start(b->message, 0);
        mnl_attr_put_u16(b->message, WGALLOWEDIP_A_FAMILY, family);
        mnl_attr_put(b->message, WGALLOWEDIP_A_IPADDR, size, "0123456789abcdef");
        if (mask >= 0)
                mnl_attr_put_u8(b->message, WGALLOWEDIP_A_CIDR_MASK, (uint8_t) mask);
        mnl_attr_nest_end(b->message, nest);
        mnl_attr_nest_end(b->message, list);
        mnl_attr_nest_end(b->message, b->peer);
}

static void spoil_mask(Builder *b)
{
        put_raw_allowed_ip(b, AF_INET, 4, 33);
}

static void spoil_mask6(Builder *b)
{
        put_raw_allowed_ip(b, AF_INET6, 16, 129);
}

static void spoil_no_mask(Builder *b)
{
        put_raw_allowed_ip(b, AF_INET, 4, -1);
}

static void spoil_address_size(Builder *b)
{
        put_raw_allowed_ip(b, AF_INET6, 4, 8);
}

static void spoil_address_family(Builder *b)
{
        put_raw_allowed_ip(b, AF_UNIX, 16, 8);
}

Test(parse, refuses_what_the_kernel_never_sends)
{
        static const spoil_t spoilers[] = {
                spoil_no_key, spoil_short_key, spoil_endpoint,     spoil_endpoint_family, spoil_mask,
                spoil_mask6,  spoil_no_mask,   spoil_address_size, spoil_address_family
        };

        for (size_t i = 0; i < ELEMENTSOF(spoilers); i++) {
                _cleanup_(wireguard_device_freep) WireguardDevice *device = new_device();
                Builder b;

                begin(&b);
                put_device(&b);
                begin_peers(&b);
                spoilers[i](&b);
                mnl_attr_nest_end(b.message, b.peers);
                cr_assert_eq(parse(&b, device), -EBADMSG, "case %zu", i);
        }
}

Test(parse, refuses_a_name_that_is_none)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = new_device();
        Builder b;

        begin(&b);
        mnl_attr_put_strz(b.message, WGDEVICE_A_IFNAME, "sixteen-letters!");
        cr_assert_eq(parse(&b, device), -EBADMSG);
        begin(&b);
        mnl_attr_put_strz(b.message, WGDEVICE_A_IFNAME, "../etc");
        cr_assert_eq(parse(&b, device), -EBADMSG);
        cr_assert_str_eq(device->name, "other");
}

/* --- what makes a peer anew --- */

static void add_allowed_ip(WireguardPeer *peer, const char *s)
{
        IpPrefix p;

        cr_assert_eq(ip_prefix_from_string(s, &p), 0);
        cr_assert_eq(wireguard_peer_add_allowed_ip(peer, &p), 0);
}

static WireguardPeer *new_peer(WireguardDevice *device, const char *endpoint)
{
        WireguardKey key = key_of(1);
        WireguardPeer *peer;

        cr_assert_eq(wireguard_device_add_peer(device, &key, &peer), 0);
        peer->preshared_key = key_of(101);
        peer->persistent_keepalive = 25;
        cr_assert_eq(socket_address_from_string(endpoint, &peer->endpoint), 0);
        return peer;
}

/* The flags of the first peer and of the second: in this order the kernel goes through them. */
static void read_flags(const struct nlmsghdr *message, uint32_t ret[static 2])
{
        static const NetlinkPolicy device_policy[WGDEVICE_A_MAX + 1] = { [WGDEVICE_A_PEERS] = {
                                                                                 .type = MNL_TYPE_NESTED } };
        static const NetlinkPolicy peer_policy[WGPEER_A_MAX + 1] = { [WGPEER_A_FLAGS] = {
                                                                             .type = MNL_TYPE_U32 } };
        const struct nlattr *device[WGDEVICE_A_MAX + 1], *peer[WGPEER_A_MAX + 1], *nest;

        cr_assert_eq(netlink_parse_attributes(mnl_nlmsg_get_payload_offset(message, GENL_HDRLEN),
                                              mnl_nlmsg_get_payload_len(message) - GENL_HDRLEN,
                                              device_policy, WGDEVICE_A_MAX, device),
                     0);
        nest = mnl_attr_get_payload(device[WGDEVICE_A_PEERS]);
        for (int i = 0; i < 2; i++, nest = mnl_attr_next(nest)) {
                cr_assert_eq(netlink_parse_nested(nest, peer_policy, WGPEER_A_MAX, peer), 0);
                ret[i] = peer[WGPEER_A_FLAGS] ? mnl_attr_get_u32(peer[WGPEER_A_FLAGS]) : 0;
        }
        cr_assert_eq((const uint8_t *) nest - (const uint8_t *) message, message->nlmsg_len,
                     "there is no third");
}

static WireguardDevice *parse_renewal(const struct nlmsghdr *message)
{
        WireguardDevice *device = new_device();

        cr_assert_eq(wireguard_netlink_parse(mnl_nlmsg_get_payload_offset(message, GENL_HDRLEN),
                                             mnl_nlmsg_get_payload_len(message) - GENL_HDRLEN, device),
                     0);
        return device;
}

static void check_renewal(const char *endpoint, size_t n_more)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *before = new_device(), *after = NULL;
        WireguardPeer *peer = new_peer(before, endpoint);
        struct nlmsghdr *message;
        uint32_t flags[2];

        strcpy(before->name, "wg0");
        add_allowed_ip(peer, "10.0.0.0/24");
        add_allowed_ip(peer, "fd00::/64");
        for (size_t i = 0; i < n_more; i++) {
                char s[64];

                (void) snprintf(s, sizeof(s), "2001:db8:%zx::/48", i);
                add_allowed_ip(peer, s);
        }
        cr_assert_eq(wireguard_renewal_new("wg0", peer, &message), 0);
        read_flags(message, flags);
        cr_assert_eq(flags[0], WGPEER_F_REMOVE_ME);
        cr_assert_eq(flags[1], 0, "no WGPEER_F_UPDATE_ONLY: it is not there any more");
        after = parse_renewal(message);
        cr_assert_str_eq(after->name, "wg0");
        cr_assert_eq(after->n_peers, 1);
        cr_assert_eq(wireguard_device_compare(before, after), 0);
        for (size_t i = 0; i < peer->n_allowed_ips; i++)
                cr_assert(ip_prefix_equal(&peer->allowed_ips[i], &after->peers[0].allowed_ips[i]),
                          "in their order");
        wireguard_renewal_free(message);
}

Test(renewal, has_all_of_the_peer)
{
        check_renewal("192.0.2.1:1000", 0);
        check_renewal("[2001:db8::1]:2000", 0);
        check_renewal("[2001:db8::1]:2000", WIREGUARD_RENEWAL_ALLOWED_IPS_MAX - 2);
}

Test(renewal, is_refused_when_it_is_too_long)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = new_device();
        WireguardPeer *peer = new_peer(device, "192.0.2.1:1000");
        struct nlmsghdr *message;

        for (size_t i = 0; i <= WIREGUARD_RENEWAL_ALLOWED_IPS_MAX; i++) {
                char s[64];

                (void) snprintf(s, sizeof(s), "10.%zu.%zu.0/24", i / 256, i % 256);
                add_allowed_ip(peer, s);
        }
        cr_assert_eq(wireguard_renewal_new("wg0", peer, &message), -EMSGSIZE);
        cr_assert_null(wireguard_renewal_free(NULL));
}

/* --- against the kernel, with WireGuard or without --- */

typedef struct Result {
        unsigned n;
        int error;
        WireguardDevice *device;
        WireguardCall *call;
        WireguardNetlink **close;
} Result;

static void on_device(int error, WireguardDevice *device, void *userdata)
{
        Result *result = userdata;

        result->n++;
        result->error = error;
        result->device = device;
        cr_assert_eq(error < 0, device == NULL);
        /* Allowed and without effect. */
        result->call = wireguard_call_free(result->call);
        if (result->close)
                *result->close = wireguard_netlink_free(*result->close);
}

static void on_done(int error, void *userdata)
{
        Result *result = userdata;

        result->n++;
        result->error = error;
}

static void on_family(int error, uint16_t family, void *userdata)
{
        *(int *) userdata = error < 0 ? error : 0;
}

/* What a call for an interface that does not exist gives in this kernel. */
static int expected_error(sd_event *event)
{
        _cleanup_(netlink_closep) Netlink *nl = NULL;
        int error = 1;

        cr_assert_eq(netlink_open(event, NETLINK_GENERIC, &nl), 0);
        cr_assert_eq(genl_resolve_family(nl, WG_GENL_NAME, on_family, &error, /* ret_slot= */ NULL), 0);
        RUN_UNTIL(event, error <= 0);
        return error == -ENOENT ? -EOPNOTSUPP : geteuid() == 0 ? -ENODEV : -EPERM;
}

Test(calls, tell_what_is_missing)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(wireguard_netlink_freep) WireguardNetlink *w = NULL;
        Result get = {}, set = {}, cancelled = {}, left = {};
        WireguardKey peer = key_of(1);
        int expected;

        cr_assert_geq(sd_event_new(&event), 0);
        expected = expected_error(event);
        cr_assert_eq(wireguard_netlink_new(event, &w), 0);
        cr_assert_eq(wireguard_netlink_get(w, "no-such-link", on_device, &get, &get.call), 0);
        cr_assert_eq(wireguard_netlink_get(w, "no-such-link", on_device, &cancelled, &cancelled.call), 0);
        cr_assert_eq(wireguard_netlink_set_endpoint(w, "no-such-link", &peer, /* endpoint= */ NULL, 25,
                                                    on_done, &set, /* ret= */ NULL),
                     0);
        wireguard_call_free(cancelled.call);
        cr_assert_eq(get.n + set.n, 0, "never from inside the starting function");
        RUN_UNTIL(event, get.n > 0 && set.n > 0);
        cr_assert_eq(get.error, expected);
        cr_assert_eq(set.error, expected);
        cr_assert_eq(cancelled.n, 0);

        cr_assert_eq(wireguard_netlink_get(w, "a/b", on_device, &left, NULL), -EINVAL);
        cr_assert_eq(wireguard_netlink_get(w, "a-name-too-long-", on_device, &left, NULL), -EINVAL);
        cr_assert_eq(wireguard_netlink_set_endpoint(w, "wg0", &peer, NULL, 65536, on_done, &left, NULL),
                     -EINVAL);
        cr_assert_eq(wireguard_netlink_set_endpoint(w, "wg0", &peer, NULL, -2, on_done, &left, NULL),
                     -EINVAL);
        /* One that is under way when everything goes. */
        cr_assert_eq(wireguard_netlink_get(w, "no-such-link", on_device, &left, NULL), 0);
        w = wireguard_netlink_free(w);
        run_pending(event);
        cr_assert_eq(left.n, 0);
}

Test(calls, may_end_everything_in_their_callback)
{
        _cleanup_event_ sd_event *event = NULL;
        WireguardNetlink *w;
        Result get = { .close = &w }, other = {};

        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(wireguard_netlink_new(event, &w), 0);
        cr_assert_eq(wireguard_netlink_get(w, "no-such-link", on_device, &get, &get.call), 0);
        cr_assert_eq(wireguard_netlink_get(w, "no-such-link", on_device, &other, &other.call), 0);
        RUN_UNTIL(event, get.n > 0);
        run_pending(event);
        cr_assert_null(w);
        cr_assert_eq(other.n, 0);
}

/* The whole way, where the kernel has WireGuard: a device with more peers than fit into one message, written
 * by wg(8), read and changed by us. */
Test(kernel, is_read_and_written)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(wireguard_netlink_freep) WireguardNetlink *w = NULL;
        Result before = {}, set = {}, absent = {}, after = {};
        WireguardKey peer, nobody = key_of(9);
        SocketAddress endpoint;
        size_t chosen = 0, n_large = 0;

        sandbox_need_root();
        sandbox_enter_bare();
        if (system("ip link add wgtest type wireguard 2>/dev/null") != 0)
                cr_skip_test("this kernel has no WireGuard");
        sandbox_shell(
                "wg genkey | wg set wgtest private-key /dev/stdin listen-port 51820 fwmark 7; "
                "for i in $(seq 300); do wg set wgtest peer $(wg genkey | wg pubkey) "
                "allowed-ips 10.$((i / 200)).$((i %% 200)).0/24,fd00:$i::/64 endpoint 192.0.2.1:$i; done; "
                "wg set wgtest peer $(wg show wgtest peers | head -n 1) allowed-ips "
                "$(for i in $(seq 2000); do printf '172.16.%%d.%%d/32,' $((i / 200)) $((i %% 200)); done | "
                "sed 's/,$//')");
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(wireguard_netlink_new(event, &w), 0);
        cr_assert_eq(wireguard_netlink_get(w, "wgtest", on_device, &before, &before.call), 0);
        RUN_UNTIL(event, before.n > 0);
        cr_assert_eq(before.error, 0);
        cr_assert_eq(before.device->n_peers, 300);
        cr_assert_eq(before.device->listen_port, 51820);
        cr_assert_eq(before.device->fwmark, 7);
        cr_assert_not(wireguard_key_is_zero(&before.device->private_key));
        cr_assert_not(wireguard_key_is_zero(&before.device->public_key));
        cr_assert_eq(before.device->ifindex, (int) if_nametoindex("wgtest"));
        for (size_t i = 0; i < before.device->n_peers; i++) {
                n_large += before.device->peers[i].n_allowed_ips == 2000;
                if (before.device->peers[i].n_allowed_ips == 2)
                        chosen = i;
        }
        cr_assert_eq(n_large, 1, "one peer goes over several messages");
        peer = before.device->peers[chosen].public_key;
        cr_assert_eq(socket_address_from_string("[2001:db8::1]:4711", &endpoint), 0);
        cr_assert_eq(wireguard_netlink_set_endpoint(w, "wgtest", &peer, &endpoint, 17, on_done, &set, NULL),
                     0);
        cr_assert_eq(
                wireguard_netlink_set_endpoint(w, "wgtest", &nobody, &endpoint, 17, on_done, &absent, NULL),
                0);
        RUN_UNTIL(event, set.n > 0 && absent.n > 0);
        cr_assert_eq(set.error, 0);
        cr_assert_eq(absent.error, 0);
        cr_assert_eq(wireguard_netlink_get(w, "wgtest", on_device, &after, &after.call), 0);
        RUN_UNTIL(event, after.n > 0);
        cr_assert_eq(after.device->n_peers, 300, "no peer was made");
        cr_assert_eq(wireguard_device_compare(before.device, after.device) & ~WIREGUARD_CHANGE_COUNTERS,
                     WIREGUARD_CHANGE_CONFIGURATION | WIREGUARD_CHANGE_ENDPOINT);
        cr_assert_eq(after.device->peers[chosen].persistent_keepalive, 17);
        cr_assert(socket_address_equal(&after.device->peers[chosen].endpoint, &endpoint));
        cr_assert_eq(after.device->peers[chosen].n_allowed_ips, 2);
        wireguard_device_free(before.device);
        wireguard_device_free(after.device);
}

static WireguardDevice *read_device(sd_event *event, WireguardNetlink *w, const char *name)
{
        Result get = {};

        cr_assert_eq(wireguard_netlink_get(w, name, on_device, &get, &get.call), 0);
        RUN_UNTIL(event, get.n > 0);
        cr_assert_eq(get.error, 0);
        return get.device;
}

/* The peer at the other device, of which the first has two: which is told by its endpoint. */
static const WireguardPeer *peer_at(const WireguardDevice *device, uint16_t port)
{
        for (size_t i = 0; i < device->n_peers; i++)
                if (socket_address_port(&device->peers[i].endpoint) == port)
                        return &device->peers[i];
        return NULL;
}

/* Two peers that were written with a keepalive and no endpoint. One gets an endpoint alone, one is made anew
 * with it, later: that shakes hands first. */
Test(kernel, makes_a_peer_anew_that_shakes_hands_at_once)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(wireguard_netlink_freep) WireguardNetlink *w = NULL;
        _cleanup_(wireguard_device_freep) WireguardDevice *before = NULL, *after = NULL;
        Result set = {}, renewed = {};
        WireguardPeer *late, *anew;

        sandbox_need_root();
        sandbox_enter_bare();
        if (system("ip link add wg0 type wireguard 2>/dev/null") != 0)
                cr_skip_test("this kernel has no WireGuard");
        sandbox_shell("cd /tmp; umask 077; ip link set lo up; wg genpsk >psk; for i in 0 1 2; do "
                      "wg genkey >key$i; wg pubkey <key$i >pub$i; "
                      "[ $i = 0 ] || { ip link add wg$i type wireguard; "
                      "wg set wg$i private-key key$i listen-port 5182$i peer $(cat pub0) preshared-key psk "
                      "allowed-ips 10.0.0.0/32; ip link set wg$i up; }; done; "
                      "wg set wg0 private-key key0 listen-port 51820; ip link set wg0 up; for i in 1 2; do "
                      "wg set wg0 peer $(cat pub$i) preshared-key psk persistent-keepalive 25 "
                      "allowed-ips 10.0.0.$i/32,fd00::$i/128,10.$i.0.0/16; done");
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(wireguard_netlink_new(event, &w), 0);
        before = read_device(event, w, "wg0");
        cr_assert_eq(before->n_peers, 2);
        late = &before->peers[0];
        anew = &before->peers[1];
        cr_assert_eq(anew->last_handshake + anew->rx_bytes + anew->tx_bytes, 0);
        /* Which of the two devices is whose does not matter to handshakes: both try both. */
        for (int i = 0; i < 2; i++) {
                _cleanup_(wireguard_device_freep)
                        WireguardDevice *other = read_device(event, w, i == 0 ? "wg1" : "wg2");
                WireguardPeer *peer = wireguard_device_find_peer(before, &other->public_key);

                cr_assert_eq(socket_address_from_ip("127.0.0.1", other->listen_port, &peer->endpoint), 0);
        }
        cr_assert_eq(wireguard_netlink_set_endpoint(w, "wg0", &late->public_key, &late->endpoint, -1,
                                                    on_done, &set, NULL),
                     0);
        RUN_UNTIL(event, set.n > 0);
        cr_assert_eq(wireguard_netlink_renew_peer(w, "wg0", anew, on_done, &renewed, NULL), 0);
        RUN_UNTIL(event, renewed.n > 0);
        cr_assert_eq(set.error, 0);
        cr_assert_eq(renewed.error, 0);
        do {
                wireguard_device_free(after);
                after = read_device(event, w, "wg0");
        } while (peer_at(after, socket_address_port(&anew->endpoint))->last_handshake == 0);
        cr_assert_eq(peer_at(after, socket_address_port(&late->endpoint))->last_handshake, 0,
                     "this one waits");
        cr_assert_eq(wireguard_device_compare(before, after) &
                             ~(WIREGUARD_CHANGE_COUNTERS | WIREGUARD_CHANGE_HANDSHAKE),
                     0, "all else is as it was");
}

Test(kernel, says_that_a_link_is_no_wireguard)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(wireguard_netlink_freep) WireguardNetlink *w = NULL;
        Result get = {};

        sandbox_need_root();
        sandbox_enter_bare();
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(wireguard_netlink_new(event, &w), 0);
        cr_assert_eq(wireguard_netlink_get(w, "lo", on_device, &get, &get.call), 0);
        RUN_UNTIL(event, get.n > 0);
        cr_assert_eq(get.error, -EOPNOTSUPP);
}
