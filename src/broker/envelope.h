/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "macro.h"
#include "wireguard-key.h"

/* One signalling message between two WireGuard peers, signed and sealed; and the topics it travels under.
 * Only this file combines private keys with bytes that the unprivileged icewired chose, so what it signs and
 * derives is under fixed context strings.
 *
 * - envelope = version || HPKE enc (32) || HPKE ciphertext and tag of (signature (64) || body)
 * - version = one byte, 1; it is HPKE's aad
 * - signature = XEdDSA("icewire envelope v1" || sender || recipient || body)
 * - HPKE's info = "icewire envelope v1" || sender || recipient
 * - topic = hex(HKDF-SHA256(DH(sender, recipient), "icewire topic v1" || sender || recipient, 32 bytes))
 *
 * where sender and recipient are the 32-byte public keys. With a preshared key HPKE is in mode auth-psk,
 * with the psk_id "icewire preshared key v1", otherwise auth. */

#define ENVELOPE_BODY_MAX 12288
#define ENVELOPE_SIZE_MAX (1 + 32 + 64 + ENVELOPE_BODY_MAX + 16)
#define TOPIC_STRLEN 65

typedef struct EnvelopeKeys {
        const WireguardKey *private_key;   /* ours */
        const WireguardKey *public_key;    /* ours */
        const WireguardKey *peer;          /* theirs, public */
        const WireguardKey *preshared_key; /* NULL or zero: none */
} EnvelopeKeys;

/* Keys are unfit if ours or theirs is zero, if the two are the same, or if theirs is of small order
 * (what "comes from" such a peer is refused with -EBADMSG). */

/* The caller owns *ret. -EMSGSIZE: body too long; -EINVAL: unfit keys; -ENOMEM, -EIO. */
int envelope_seal(const EnvelopeKeys *keys, const void *body, size_t size, uint8_t **ret, size_t *ret_size);

/* Why an envelope was refused. */
typedef enum EnvelopeError {
        ENVELOPE_OK,
        ENVELOPE_TOO_LONG,
        ENVELOPE_TOO_SHORT,
        ENVELOPE_UNKNOWN_VERSION,
        ENVELOPE_NOT_SEALED_FOR_US, /* wrong sender, recipient, preshared key, or damaged: HPKE cannot tell
                                       them apart */
        ENVELOPE_BAD_SIGNATURE,
        _ENVELOPE_ERROR_MAX,
        _ENVELOPE_ERROR_INVALID = -EINVAL,
} EnvelopeError;

DECLARE_STRING_TABLE(envelope_error, EnvelopeError); /* "too-long", …; "ok" */

/* 0 and the body (a NUL is added behind it; the caller owns it, and erases it where it may hold a secret),
 * or -EBADMSG and why in *ret_error (if not NULL); -EINVAL, -ENOMEM, -EIO. */
int envelope_open(const EnvelopeKeys *keys, const void *envelope, size_t size, char **ret_body,
                  size_t *ret_size, EnvelopeError *ret_error);

/* The topics from us to the peer, and from the peer to us. -EINVAL: unfit keys. */
int envelope_derive_topics(const EnvelopeKeys *keys, char ret_send[static TOPIC_STRLEN],
                           char ret_receive[static TOPIC_STRLEN]);
