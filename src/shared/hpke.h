/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "wireguard-key.h"

/* HPKE (RFC 9180), single shot: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, in mode auth, or
 * auth-psk where a preshared key is given; and the parts of it that stand on their own. OpenSSL's. */

#define HPKE_ENC_SIZE 32
#define HPKE_TAG_SIZE 16
#define HPKE_OVERHEAD (HPKE_ENC_SIZE + HPKE_TAG_SIZE)
#define HPKE_INFO_MAX 1024

/* Everything is borrowed. */
typedef struct HpkeParameters {
        const WireguardKey *private_key;   /* ours */
        const WireguardKey *peer;          /* theirs, public */
        const WireguardKey *preshared_key; /* NULL: mode auth */
        const char *psk_id;                /* with a preshared key: which one, or what for; not empty */
        const void *info;                  /* the context; at most HPKE_INFO_MAX bytes */
        size_t info_size;
        const void *aad; /* authenticated beside the plaintext, and not sent */
        size_t aad_size;
} HpkeParameters;

/* enc || ciphertext || tag, size + HPKE_OVERHEAD bytes; the caller owns *ret. -EINVAL: unfit keys, info too
 * long, or nothing to seal (OpenSSL seals at least one byte); -ENOMEM, -EIO. */
int hpke_seal(const HpkeParameters *p, const void *plaintext, size_t size, uint8_t **ret, size_t *ret_size);

/* -EBADMSG: not sealed by this peer for us with this info, aad and preshared key; which of them it was
 * cannot be told. The caller owns, and erases, *ret. -EINVAL, -ENOMEM, -EIO as above. */
int hpke_open(const HpkeParameters *p, const void *sealed, size_t size, uint8_t **ret, size_t *ret_size);

/* The public key of a private one (RFC 7748). -EINVAL: the private key is zero, WireGuard's "none". */
int x25519_public_key(const WireguardKey *private_key, WireguardKey *ret);

/* The Diffie-Hellman value of the pair. -EINVAL: the private key is zero, or the value is (a public key of
 * small order). The caller erases it. */
int x25519_shared_secret(const WireguardKey *private_key, const WireguardKey *public_key, WireguardKey *ret);

/* HKDF-SHA256 (RFC 5869), with an empty salt: `size` bytes, at most 8160. -EINVAL: too many, or no key. */
int hkdf_sha256(const void *key, size_t key_size, const void *info, size_t info_size, void *ret,
                size_t size);
