/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wireguard-device.h"

#include <criterion/criterion.h>

#include "random-util.h"
#include "string-util.h"

static WireguardKey key_of(uint64_t n)
{
        WireguardKey key = {};

        memcpy(key.bytes, &n, sizeof(n));
        key.bytes[31] = 1;
        return key;
}

static WireguardPeer *add_peer(WireguardDevice *device, uint64_t n)
{
        WireguardKey key = key_of(n);
        WireguardPeer *peer;

        cr_assert_eq(wireguard_device_add_peer(device, &key, &peer), 0);
        return peer;
}

static void add_allowed_ip(WireguardPeer *peer, const char *s)
{
        IpPrefix prefix;

        cr_assert_eq(ip_prefix_from_string(s, &prefix), 0);
        cr_assert_eq(wireguard_peer_add_allowed_ip(peer, &prefix), 0);
}

/* A device with three peers. */
static WireguardDevice *sample(void)
{
        WireguardDevice *device;
        WireguardPeer *peer;

        cr_assert_eq(wireguard_device_new("wg0", WIREGUARD_KIND_KERNEL, &device), 0);
        device->ifindex = 7;
        device->listen_port = 51820;
        device->private_key = key_of(1000);
        device->public_key = key_of(1001);
        for (uint64_t i = 0; i < 3; i++) {
                peer = add_peer(device, i);
                peer->preshared_key = key_of(2000 + i);
                add_allowed_ip(peer, "10.0.0.0/24");
                add_allowed_ip(peer, "fd00::/64");
                peer->rx_bytes = 10;
                peer->last_handshake = 5;
        }
        return device;
}

Test(wireguard_device, has_a_valid_name)
{
        static const char *const bad[] = { "", "a-name-too-long-", "a/b", ".", "..", "a b", "a:1", "a\n" };
        WireguardDevice *device = NULL;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                cr_assert_not(wireguard_device_name_is_valid(bad[i]), "%s", bad[i]);
                cr_assert_eq(wireguard_device_new(bad[i], WIREGUARD_KIND_KERNEL, &device), -EINVAL);
        }
        cr_assert_null(device);
        cr_assert_eq(wireguard_device_new("fifteen-letters", WIREGUARD_KIND_USERSPACE, &device), 0);
        cr_assert_str_eq(device->name, "fifteen-letters");
        cr_assert_eq(device->kind, WIREGUARD_KIND_USERSPACE);
        cr_assert_null(wireguard_device_free(device));
        cr_assert_null(wireguard_device_free(NULL));
        cr_assert_str_eq(wireguard_kind_to_string(WIREGUARD_KIND_KERNEL), "kernel");
        cr_assert_eq(wireguard_kind_from_string("userspace"), WIREGUARD_KIND_USERSPACE);
        cr_assert_lt((int) wireguard_kind_from_string("other"), 0);
}

Test(wireguard_device, finds_each_of_many_peers)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = NULL;
        WireguardKey absent = key_of(UINT64_MAX);

        cr_assert_eq(wireguard_device_new("wg0", WIREGUARD_KIND_KERNEL, &device), 0);
        for (uint64_t i = 0; i < 5000; i++) {
                add_peer(device, i << 40)->rx_bytes = i;
                cr_assert_null(wireguard_device_find_peer(device, &absent));
                /* Adding it again finds it. */
                cr_assert_eq(add_peer(device, i << 40)->rx_bytes, i);
                cr_assert_eq(device->n_peers, i + 1);
        }
        for (uint64_t i = 0; i < 5000; i++) {
                WireguardKey key = key_of(i << 40);
                WireguardPeer *peer = wireguard_device_find_peer(device, &key);

                cr_assert_not_null(peer);
                cr_assert_eq(peer->rx_bytes, i);
                cr_assert_eq(peer, device->peers + i, "in the order in which they came");
        }
}

Test(wireguard_device, erases_its_secrets)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = sample();

        wireguard_device_erase_secrets(device);
        cr_assert(wireguard_key_is_zero(&device->private_key));
        for (size_t i = 0; i < device->n_peers; i++) {
                cr_assert(wireguard_key_is_zero(&device->peers[i].preshared_key));
                cr_assert_not(wireguard_key_is_zero(&device->peers[i].public_key));
        }
        cr_assert_not(wireguard_key_is_zero(&device->public_key));
}

Test(wireguard_device, compares_equal_whatever_the_order)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *a = sample(), *b = NULL;

        cr_assert_eq(wireguard_device_new("wg0", WIREGUARD_KIND_KERNEL, &b), 0);
        b->ifindex = 7;
        b->listen_port = 51820;
        b->public_key = key_of(1001);
        for (uint64_t i = 3; i-- > 0;) {
                WireguardPeer *peer = add_peer(b, i);

                peer->preshared_key = key_of(2000 + i);
                add_allowed_ip(peer, "fd00::/64");
                add_allowed_ip(peer, "10.0.0.0/24");
                peer->rx_bytes = 10;
                peer->last_handshake = 5;
        }
        /* b's private key was not read: the public one tells. */
        cr_assert_eq(wireguard_device_compare(a, b), 0);
        cr_assert_eq(wireguard_device_compare(b, a), 0);
}

#define CHECK(changes, statement)                                                                           \
        do {                                                                                                \
                _cleanup_(wireguard_device_freep) WireguardDevice *a = sample(), *b = sample();             \
                statement;                                                                                  \
                cr_assert_eq(wireguard_device_compare(a, b), (changes), "%s", #statement);                  \
                cr_assert_eq(wireguard_device_compare(b, a), (changes), "%s", #statement);                  \
        } while (0)

Test(wireguard_device, compares_each_part)
{
        SocketAddress endpoint;

        cr_assert_eq(socket_address_from_string("192.0.2.1:1", &endpoint), 0);
        CHECK(0, (void) 0);
        CHECK(WIREGUARD_CHANGE_CONFIGURATION, b->listen_port++);
        CHECK(WIREGUARD_CHANGE_CONFIGURATION, b->fwmark = 1);
        CHECK(WIREGUARD_CHANGE_CONFIGURATION, b->ifindex++);
        CHECK(WIREGUARD_CHANGE_CONFIGURATION, b->public_key = key_of(3));
        CHECK(WIREGUARD_CHANGE_CONFIGURATION, add_peer(b, 100));
        CHECK(WIREGUARD_CHANGE_CONFIGURATION, b->peers[1].public_key = key_of(100));
        CHECK(WIREGUARD_CHANGE_CONFIGURATION, b->peers[1].preshared_key = key_of(100));
        CHECK(WIREGUARD_CHANGE_CONFIGURATION, b->peers[2].persistent_keepalive = 25);
        CHECK(WIREGUARD_CHANGE_CONFIGURATION, add_allowed_ip(b->peers, "10.1.0.0/16"));
        CHECK(WIREGUARD_CHANGE_CONFIGURATION, b->peers[0].allowed_ips[1].length = 65);
        CHECK(WIREGUARD_CHANGE_ENDPOINT, b->peers[1].endpoint = endpoint);
        CHECK(WIREGUARD_CHANGE_HANDSHAKE, b->peers[1].last_handshake++);
        CHECK(WIREGUARD_CHANGE_COUNTERS, b->peers[1].rx_bytes++);
        CHECK(WIREGUARD_CHANGE_COUNTERS | WIREGUARD_CHANGE_HANDSHAKE,
              (b->peers[2].tx_bytes++, b->peers[0].last_handshake = 0));
}
