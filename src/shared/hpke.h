/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "wireguard-key.h"

/* HPKE (RFC 9180), single shot: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, in mode auth, or
 * auth-psk where a preshared key is given. The psk_id is the caller's context, so a key pair is never used
 * with two meanings. */

#define HPKE_ENC_SIZE 32
#define HPKE_TAG_SIZE 16
#define HPKE_OVERHEAD (HPKE_ENC_SIZE + HPKE_TAG_SIZE)

typedef struct HpkeParameters {
        const WireguardKey *private_key;   /* ours */
        const WireguardKey *public_key;    /* ours */
        const WireguardKey *peer;          /* theirs, public */
        const WireguardKey *preshared_key; /* NULL: mode auth */
        const void *info;
        size_t info_size;
} HpkeParameters;

/* enc || ciphertext || tag, size + HPKE_OVERHEAD bytes; the caller owns *ret. -EINVAL (unfit keys), -ENOMEM,
 * -EIO. */
int hpke_seal(const HpkeParameters *p, const void *plaintext, size_t size, uint8_t **ret, size_t *ret_size);

/* -EBADMSG: not sealed by this peer for us with this info (and preshared key). The caller owns *ret. */
int hpke_open(const HpkeParameters *p, const void *sealed, size_t size, uint8_t **ret, size_t *ret_size);

/* The public key of a private one. */
int x25519_public_key(const WireguardKey *private_key, WireguardKey *ret);

/* The Diffie-Hellman value of the pair; -EINVAL if it is zero (a public key of small order). The caller
 * erases it. */
int x25519_shared_secret(const WireguardKey *private_key, const WireguardKey *public_key, WireguardKey *ret);

/* HKDF-SHA256 (RFC 5869), with an empty salt. */
int hkdf_sha256(const void *key, size_t key_size, const void *info, size_t info_size, void *ret,
                size_t size);
