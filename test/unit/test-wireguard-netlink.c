/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wireguard-netlink.h"

#include <linux/wireguard.h>

#include "event-util.h"
#include "sandbox.h"
#include "string-util.h"

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
