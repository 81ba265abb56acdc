/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "wireguard-key.h"

/* XEdDSA (Signal, "The XEdDSA and VXEdDSA Signature Schemes", revision 1): signatures with Curve25519 keys,
 * that Ed25519 verifies. The arithmetic is OpenSSL's, in constant time where a secret is involved. The first
 * call sets the curve up, once for the process: not safe with threads. */

#define XEDDSA_SIGNATURE_SIZE 64
#define XEDDSA_NONCE_SIZE 64

/* Signs; the nonce Z is fresh random data for each signature (xeddsa_sign()), or given (for test vectors).
 * -EINVAL: the private key is zero, WireGuard's "none"; -ENOMEM; -EIO: OpenSSL failed. */
int xeddsa_sign(const WireguardKey *private_key, const void *message, size_t size,
                uint8_t ret_signature[static XEDDSA_SIGNATURE_SIZE]);
int xeddsa_sign_with_nonce(const WireguardKey *private_key, const void *message, size_t size,
                           const uint8_t nonce[static XEDDSA_NONCE_SIZE],
                           uint8_t ret_signature[static XEDDSA_SIGNATURE_SIZE]);

/* 0: good. -EBADMSG: it is not a signature of this message by this key; that includes a non-canonical s, R
 * or u, and keys or R of small order. -ENOMEM, -EIO. */
int xeddsa_verify(const WireguardKey *public_key, const void *message, size_t size,
                  const uint8_t signature[static XEDDSA_SIGNATURE_SIZE]);
