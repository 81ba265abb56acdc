/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "broker-secrets.h"

#include <sys/mman.h>
#include <unistd.h>

#include "log.h"

typedef struct PresharedKey {
        WireguardKey peer;
        WireguardKey key;
} PresharedKey;

struct BrokerSecrets {
        size_t size; /* of the mapping */
        WireguardKey private_key;
        size_t n_preshared;
        PresharedKey preshared[]; /* by peer, ascending */
};

static int compare_preshared(const void *peer, const void *preshared)
{
        return wireguard_key_compare(peer, &((const PresharedKey *) preshared)->peer);
}

/* What stands in the public device for "has a preshared key". */
static const WireguardKey preshared_mark = { .bytes = { 1 } };

static int secrets_allocate(size_t n_preshared, BrokerSecrets **ret)
{
        size_t page = (size_t) sysconf(_SC_PAGESIZE);
        size_t size = sizeof(BrokerSecrets) + n_preshared * sizeof(PresharedKey);
        BrokerSecrets *s;

        size = (size + page - 1) / page * page;
        s = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (s == MAP_FAILED)
                return -ENOMEM;
        if (madvise(s, size, MADV_DONTDUMP) < 0 || madvise(s, size, MADV_WIPEONFORK) < 0)
                log_debug_errno(errno, "Failed to keep keys out of dumps and children, ignoring: %m");
        if (mlock(s, size) < 0)
                log_debug_errno(errno, "Failed to lock keys into memory, ignoring: %m");
        s->size = size;
        *ret = s;
        return 0;
}

static int compare_peers(const void *a, const void *b)
{
        return wireguard_key_compare(&(*(const WireguardPeer *const *) a)->public_key,
                                     &(*(const WireguardPeer *const *) b)->public_key);
}

/* The peers that have a preshared key, by key. Pointers are sorted, not secrets: qsort(3) may copy what it
 * sorts. */
static int sort_preshared(const WireguardDevice *device, const WireguardPeer ***ret, size_t *ret_n)
{
        const WireguardPeer **peers;
        size_t n = 0;

        peers = new (const WireguardPeer *, device->n_peers + 1);
        if (!peers)
                return -ENOMEM;
        for (size_t i = 0; i < device->n_peers; i++)
                if (!wireguard_key_is_zero(&device->peers[i].preshared_key))
                        peers[n++] = &device->peers[i];
        qsort(peers, n, sizeof(*peers), compare_peers);
        *ret = peers;
        *ret_n = n;
        return 0;
}

static int secrets_new(const WireguardDevice *device, BrokerSecrets **ret)
{
        _cleanup_free_ const WireguardPeer **peers = NULL;
        BrokerSecrets *s;
        size_t n;
        int r;

        r = sort_preshared(device, &peers, &n);
        if (r < 0)
                return r;
        r = secrets_allocate(n, &s);
        if (r < 0)
                return r;
        s->private_key = device->private_key;
        for (size_t i = 0; i < n; i++)
                s->preshared[i] = (PresharedKey) { peers[i]->public_key, peers[i]->preshared_key };
        s->n_preshared = n;
        *ret = s;
        return 0;
}

static void mark_and_erase(WireguardDevice *device)
{
        for (size_t i = 0; i < device->n_peers; i++) {
                WireguardKey *key = &device->peers[i].preshared_key;
                bool present = !wireguard_key_is_zero(key);

                wireguard_key_erase(key);
                if (present)
                        *key = preshared_mark;
        }
        wireguard_key_erase(&device->private_key);
}

int broker_secrets_take(WireguardDevice *device, BrokerSecrets **ret)
{
        BrokerSecrets *s;
        int r;

        r = secrets_new(device, &s);
        mark_and_erase(device);
        if (r < 0)
                return r;
        *ret = s;
        return 0;
}

BrokerSecrets *broker_secrets_free(BrokerSecrets *s)
{
        size_t size;

        if (!s)
                return NULL;
        size = s->size;
        erase(s, size);
        (void) munmap(s, size);
        return NULL;
}

/* In a time that does not depend on where they differ. */
static bool equal_in_constant_time(const void *a, const void *b, size_t n)
{
        const volatile uint8_t *p = a, *q = b;
        uint8_t difference = 0;

        for (size_t i = 0; i < n; i++)
                difference |= p[i] ^ q[i];
        return difference == 0;
}

bool broker_secrets_equal(const BrokerSecrets *a, const BrokerSecrets *b)
{
        if (!a || !b)
                return a == b;
        return a->n_preshared == b->n_preshared &&
               equal_in_constant_time(&a->private_key, &b->private_key, sizeof(a->private_key)) &&
               equal_in_constant_time(a->preshared, b->preshared, a->n_preshared * sizeof(PresharedKey));
}

const WireguardKey *broker_secrets_private_key(const BrokerSecrets *s)
{
        return s && !wireguard_key_is_zero(&s->private_key) ? &s->private_key : NULL;
}

const WireguardKey *broker_secrets_preshared_key(const BrokerSecrets *s, const WireguardKey *peer)
{
        const PresharedKey *found;

        if (!s)
                return NULL;
        found = bsearch(peer, s->preshared, s->n_preshared, sizeof(PresharedKey), compare_preshared);
        return found ? &found->key : NULL;
}

bool broker_secrets_same_preshared_key(const BrokerSecrets *a, const BrokerSecrets *b,
                                       const WireguardKey *peer)
{
        const WireguardKey *x = broker_secrets_preshared_key(a, peer);
        const WireguardKey *y = broker_secrets_preshared_key(b, peer);

        return x && y ? equal_in_constant_time(x, y, sizeof(*x)) : x == y;
}
