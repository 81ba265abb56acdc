/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wireguard-device.h"

#include <ctype.h>

#include "alloc-util.h"
#include "string-util.h"

static const char *const wireguard_kind_table[_WIREGUARD_KIND_MAX] = {
        [WIREGUARD_KIND_KERNEL] = "kernel",
        [WIREGUARD_KIND_USERSPACE] = "userspace",
};
DEFINE_STRING_TABLE(wireguard_kind, WireguardKind);

/* Below this many peers looking at each is faster than an index. */
#define INDEX_MIN 16
#define INDEX_EMPTY UINT32_MAX

bool wireguard_device_name_is_valid(const char *name)
{
        size_t n = strnlen(name, IF_NAMESIZE);

        if (n == 0 || n >= IF_NAMESIZE || streq(name, ".") || streq(name, ".."))
                return false;
        for (size_t i = 0; i < n; i++)
                if (name[i] == '/' || name[i] == ':' || isspace((unsigned char) name[i]))
                        return false;
        return true;
}

int wireguard_device_new(const char *name, WireguardKind kind, WireguardDevice **ret)
{
        WireguardDevice *device;

        if (!wireguard_device_name_is_valid(name))
                return -EINVAL;
        device = new0(WireguardDevice, 1);
        if (!device)
                return -ENOMEM;
        strcpy(device->name, name);
        device->kind = kind;
        *ret = device;
        return 0;
}

void wireguard_device_erase_secrets(WireguardDevice *device)
{
        wireguard_key_erase(&device->private_key);
        for (size_t i = 0; i < device->n_peers; i++)
                wireguard_key_erase(&device->peers[i].preshared_key);
}

WireguardDevice *wireguard_device_free(WireguardDevice *device)
{
        if (!device)
                return NULL;
        wireguard_device_erase_secrets(device);
        for (size_t i = 0; i < device->n_peers; i++)
                free(device->peers[i].allowed_ips);
        free(device->peers);
        free(device->peer_index);
        return mfree(device);
}

/* --- the index: open addressing, at most half full; its values are places in `peers` --- */

static size_t index_start(const WireguardDevice *device, const WireguardKey *key)
{
        uint64_t h;

        /* Public keys are as good as random; the multiplication is for those that a test made up. */
        memcpy(&h, key->bytes, sizeof(h));
        return (size_t) ((h * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (device->peer_index_size - 1);
}

static void index_insert(WireguardDevice *device, uint32_t i)
{
        size_t at = index_start(device, &device->peers[i].public_key);

        while (device->peer_index[at] != INDEX_EMPTY)
                at = (at + 1) & (device->peer_index_size - 1);
        device->peer_index[at] = i;
}

/* Makes room in the index for one peer more; peer_index_size is a power of two. */
static int index_grow(WireguardDevice *device)
{
        size_t size = MAX(device->peer_index_size, (size_t) INDEX_MIN * 4);
        uint32_t *index;

        if (device->n_peers + 1 < INDEX_MIN)
                return 0;
        while (size < (device->n_peers + 1) * 2)
                size *= 2;
        if (device->peer_index && size == device->peer_index_size)
                return 0;
        index = new (uint32_t, size);
        if (!index)
                return -ENOMEM;
        for (size_t i = 0; i < size; i++)
                index[i] = INDEX_EMPTY;
        free(device->peer_index);
        device->peer_index = index;
        device->peer_index_size = size;
        for (size_t i = 0; i < device->n_peers; i++)
                index_insert(device, (uint32_t) i);
        return 0;
}

WireguardPeer *wireguard_device_find_peer(const WireguardDevice *device, const WireguardKey *public_key)
{
        if (!device->peer_index) {
                for (size_t i = 0; i < device->n_peers; i++)
                        if (wireguard_key_equal(&device->peers[i].public_key, public_key))
                                return device->peers + i;
                return NULL;
        }
        for (size_t at = index_start(device, public_key); device->peer_index[at] != INDEX_EMPTY;
             at = (at + 1) & (device->peer_index_size - 1)) {
                WireguardPeer *peer = device->peers + device->peer_index[at];

                if (wireguard_key_equal(&peer->public_key, public_key))
                        return peer;
        }
        return NULL;
}

/* Not with realloc(3): that would leave the preshared keys behind in the memory it gives back. */
static int grow_peers(WireguardDevice *device)
{
        WireguardPeer *peers;
        size_t n;

        if (device->n_peers < device->peers_allocated)
                return 0;
        n = MAX(device->n_peers * 2, (size_t) 4);
        peers = new0(WireguardPeer, n);
        if (!peers)
                return -ENOMEM;
        if (device->n_peers > 0)
                memcpy(peers, device->peers, device->n_peers * sizeof(*peers));
        erase(device->peers, device->n_peers * sizeof(*peers));
        free(device->peers);
        device->peers = peers;
        device->peers_allocated = n;
        return 0;
}

int wireguard_device_add_peer(WireguardDevice *device, const WireguardKey *public_key, WireguardPeer **ret)
{
        WireguardPeer *peer;
        int r;

        peer = wireguard_device_find_peer(device, public_key);
        if (!peer) {
                r = grow_peers(device);
                if (r < 0)
                        return r;
                r = index_grow(device);
                if (r < 0)
                        return r;
                peer = device->peers + device->n_peers;
                *peer = (WireguardPeer) { .public_key = *public_key };
                device->n_peers++;
                if (device->peer_index)
                        index_insert(device, (uint32_t) (device->n_peers - 1));
        }
        *ret = peer;
        return 0;
}

int wireguard_peer_add_allowed_ip(WireguardPeer *peer, const IpPrefix *prefix)
{
        int r;

        r = GROW_ARRAY(peer->allowed_ips, peer->allowed_ips_allocated, peer->n_allowed_ips + 1);
        if (r < 0)
                return r;
        peer->allowed_ips[peer->n_allowed_ips++] = *prefix;
        return 0;
}

/* --- differences --- */

/* In constant time: one of the two may be a secret. */
static bool secret_equal(const WireguardKey *a, const WireguardKey *b)
{
        uint8_t difference = 0;

        for (size_t i = 0; i < sizeof(a->bytes); i++)
                difference |= a->bytes[i] ^ b->bytes[i];
        return difference == 0;
}

/* The same prefix is likely to be at the same place: look there first and go round. */
static bool has_allowed_ip(const WireguardPeer *peer, const IpPrefix *prefix, size_t start)
{
        for (size_t i = 0; i < peer->n_allowed_ips; i++)
                if (ip_prefix_equal(peer->allowed_ips + (start + i) % peer->n_allowed_ips, prefix))
                        return true;
        return false;
}

/* No prefix is twice in a peer, so the same number and one containing the other is equality. */
static bool allowed_ips_equal(const WireguardPeer *a, const WireguardPeer *b)
{
        if (a->n_allowed_ips != b->n_allowed_ips)
                return false;
        for (size_t i = 0; i < a->n_allowed_ips; i++)
                if (!has_allowed_ip(b, a->allowed_ips + i, i))
                        return false;
        return true;
}

static int compare_peers(const WireguardPeer *a, const WireguardPeer *b)
{
        int changes = 0;

        if (!secret_equal(&a->preshared_key, &b->preshared_key) ||
            a->persistent_keepalive != b->persistent_keepalive || !allowed_ips_equal(a, b))
                changes |= WIREGUARD_CHANGE_CONFIGURATION;
        if (!socket_address_equal(&a->endpoint, &b->endpoint))
                changes |= WIREGUARD_CHANGE_ENDPOINT;
        if (a->last_handshake != b->last_handshake)
                changes |= WIREGUARD_CHANGE_HANDSHAKE;
        if (a->rx_bytes != b->rx_bytes || a->tx_bytes != b->tx_bytes)
                changes |= WIREGUARD_CHANGE_COUNTERS;
        return changes;
}

int wireguard_device_compare(const WireguardDevice *a, const WireguardDevice *b)
{
        int changes = 0;

        if (a->ifindex != b->ifindex || a->kind != b->kind || a->listen_port != b->listen_port ||
            a->fwmark != b->fwmark || !wireguard_key_equal(&a->public_key, &b->public_key) ||
            a->n_peers != b->n_peers)
                changes |= WIREGUARD_CHANGE_CONFIGURATION;
        for (size_t i = 0; i < a->n_peers; i++) {
                const WireguardPeer *peer = wireguard_device_find_peer(b, &a->peers[i].public_key);

                /* With as many peers on both sides, one that is missing here stands for a new one there. */
                changes |= peer ? compare_peers(a->peers + i, peer) : WIREGUARD_CHANGE_CONFIGURATION;
        }
        return changes;
}
