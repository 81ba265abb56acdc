/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "alloc-util.h"
#include "encode.h"

#define WIREGUARD_KEY_SIZE 32

/* A Curve25519 public or private key, or a preshared key. Whoever holds a private one erases it:
 * _cleanup_key_. */
typedef struct WireguardKey {
        uint8_t bytes[WIREGUARD_KEY_SIZE];
} WireguardKey;

static inline void wireguard_key_erase(WireguardKey *key)
{
        erase(key, sizeof(*key));
}
#define _cleanup_key_ _cleanup_(wireguard_key_erase)

/* Exactly 44 characters of base64, as `wg` prints them; -EINVAL otherwise. */
int wireguard_key_from_base64(const char *s, WireguardKey *ret);

#define WIREGUARD_KEY_STRLEN BASE64_SIZE(WIREGUARD_KEY_SIZE)
char *wireguard_key_to_base64(const WireguardKey *key, char buf[static WIREGUARD_KEY_STRLEN]);
/* For public keys. */
#define WIREGUARD_KEY_STR(key) wireguard_key_to_base64((key), (char[WIREGUARD_KEY_STRLEN]) {})

/* 64 hexadecimal digits in lower case, as the UAPI sockets have them; -EINVAL otherwise. */
int wireguard_key_from_hex(const char *s, WireguardKey *ret);

/* Public keys: order as big-endian numbers. The smaller one of a pair belongs to the controlling agent. */
static inline int wireguard_key_compare(const WireguardKey *a, const WireguardKey *b)
{
        return memcmp(a->bytes, b->bytes, WIREGUARD_KEY_SIZE);
}

static inline bool wireguard_key_equal(const WireguardKey *a, const WireguardKey *b)
{
        return wireguard_key_compare(a, b) == 0;
}

/* All zero is how WireGuard says "no key". In constant time: it is asked of secrets too. */
bool wireguard_key_is_zero(const WireguardKey *key);
