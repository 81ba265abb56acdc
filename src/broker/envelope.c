/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "envelope.h"

#include "alloc-util.h"
#include "encode.h"
#include "hpke.h"
#include "xeddsa.h"

#define VERSION 1
#define ENVELOPE_CONTEXT "icewire envelope v1"
#define TOPIC_CONTEXT "icewire topic v1"
#define PSK_ID "icewire preshared key v1"
#define TOPIC_SIZE 32

#define ENVELOPE_SIZE_MIN (1 + HPKE_OVERHEAD + XEDDSA_SIGNATURE_SIZE)
static_assert(ENVELOPE_SIZE_MAX == ENVELOPE_SIZE_MIN + ENVELOPE_BODY_MAX);
static_assert(TOPIC_STRLEN == HEX_SIZE(TOPIC_SIZE));

static const char *const envelope_error_table[_ENVELOPE_ERROR_MAX] = {
        [ENVELOPE_OK] = "ok",
        [ENVELOPE_TOO_LONG] = "too-long",
        [ENVELOPE_TOO_SHORT] = "too-short",
        [ENVELOPE_UNKNOWN_VERSION] = "unknown-version",
        [ENVELOPE_NOT_SEALED_FOR_US] = "not-sealed-for-us",
        [ENVELOPE_BAD_SIGNATURE] = "bad-signature",
};
DEFINE_STRING_TABLE(envelope_error, EnvelopeError);

/* Bytes that are overwritten when they go: bodies carry the passwords of ICE. */
typedef struct Buffer {
        uint8_t *bytes;
        size_t size;
} Buffer;

static void buffer_done(Buffer *b)
{
        erase(b->bytes, b->size);
        free(b->bytes);
}
#define _cleanup_buffer_ _cleanup_(buffer_done)

static int buffer_make(Buffer *b, size_t size)
{
        b->bytes = malloc(size);
        if (!b->bytes)
                return -ENOMEM;
        b->size = size;
        return 0;
}

static void *put(void *p, const void *bytes, size_t size)
{
        return size > 0 ? mempcpy(p, bytes, size) : p;
}

/* label || sender || recipient || body: what is signed and, without a body, the info of HPKE and HKDF. */
static int make_context(Buffer *ret, const char *label, const WireguardKey *sender,
                        const WireguardKey *recipient, const void *body, size_t size)
{
        size_t n = strlen(label);
        uint8_t *p;
        int r;

        r = buffer_make(ret, n + 2 * WIREGUARD_KEY_SIZE + size);
        if (r < 0)
                return r;
        p = put(ret->bytes, label, n);
        p = put(p, sender->bytes, WIREGUARD_KEY_SIZE);
        p = put(p, recipient->bytes, WIREGUARD_KEY_SIZE);
        put(p, body, size);
        return 0;
}

/* WireGuard has no peer with the link's own key; here its two directions would be one. */
static bool keys_are_fit(const EnvelopeKeys *keys)
{
        return !wireguard_key_is_zero(keys->private_key) && !wireguard_key_is_zero(keys->peer) &&
               !wireguard_key_equal(keys->public_key, keys->peer);
}

static HpkeParameters make_parameters(const EnvelopeKeys *keys, const Buffer *info, const uint8_t *version)
{
        bool psk = keys->preshared_key && !wireguard_key_is_zero(keys->preshared_key);

        return (HpkeParameters) {
                .private_key = keys->private_key,
                .peer = keys->peer,
                .preshared_key = psk ? keys->preshared_key : NULL,
                .psk_id = PSK_ID,
                .info = info->bytes,
                .info_size = info->size,
                .aad = version,
                .aad_size = 1,
        };
}

/* signature || body */
static int sign_body(const EnvelopeKeys *keys, const void *body, size_t size, Buffer *ret)
{
        _cleanup_buffer_ Buffer message = {};
        int r;

        r = make_context(&message, ENVELOPE_CONTEXT, keys->public_key, keys->peer, body, size);
        if (r < 0)
                return r;
        r = buffer_make(ret, XEDDSA_SIGNATURE_SIZE + size);
        if (r < 0)
                return r;
        r = xeddsa_sign(keys->private_key, message.bytes, message.size, ret->bytes);
        if (r < 0)
                return r;
        put(ret->bytes + XEDDSA_SIGNATURE_SIZE, body, size);
        return 0;
}

int envelope_seal(const EnvelopeKeys *keys, const void *body, size_t size, uint8_t **ret, size_t *ret_size)
{
        static const uint8_t version = VERSION;
        _cleanup_buffer_ Buffer info = {}, signed_body = {};
        _cleanup_free_ uint8_t *sealed = NULL, *envelope = NULL;
        HpkeParameters parameters;
        size_t sealed_size;
        int r;

        if (size > ENVELOPE_BODY_MAX)
                return -EMSGSIZE;
        if (!keys_are_fit(keys))
                return -EINVAL;
        r = make_context(&info, ENVELOPE_CONTEXT, keys->public_key, keys->peer, /* body= */ NULL, 0);
        if (r < 0)
                return r;
        r = sign_body(keys, body, size, &signed_body);
        if (r < 0)
                return r;
        parameters = make_parameters(keys, &info, &version);
        r = hpke_seal(&parameters, signed_body.bytes, signed_body.size, &sealed, &sealed_size);
        if (r < 0)
                return r;
        envelope = new (uint8_t, 1 + sealed_size);
        if (!envelope)
                return -ENOMEM;
        envelope[0] = version;
        put(envelope + 1, sealed, sealed_size);
        *ret = TAKE_PTR(envelope);
        *ret_size = 1 + sealed_size;
        return 0;
}

static EnvelopeError check_frame(const uint8_t *envelope, size_t size)
{
        if (size == 0)
                return ENVELOPE_TOO_SHORT;
        /* Another version may have other sizes. */
        if (envelope[0] != VERSION)
                return ENVELOPE_UNKNOWN_VERSION;
        return size < ENVELOPE_SIZE_MIN   ? ENVELOPE_TOO_SHORT
               : size > ENVELOPE_SIZE_MAX ? ENVELOPE_TOO_LONG
                                          : ENVELOPE_OK;
}

static int unseal(const EnvelopeKeys *keys, const uint8_t *envelope, size_t size, Buffer *ret)
{
        _cleanup_buffer_ Buffer info = {};
        HpkeParameters parameters;
        int r;

        r = make_context(&info, ENVELOPE_CONTEXT, keys->peer, keys->public_key, /* body= */ NULL, 0);
        if (r < 0)
                return r;
        parameters = make_parameters(keys, &info, envelope);
        return hpke_open(&parameters, envelope + 1, size - 1, &ret->bytes, &ret->size);
}

static int verify_body(const EnvelopeKeys *keys, const Buffer *signed_body)
{
        _cleanup_buffer_ Buffer message = {};
        int r;

        r = make_context(&message, ENVELOPE_CONTEXT, keys->peer, keys->public_key,
                         signed_body->bytes + XEDDSA_SIGNATURE_SIZE,
                         signed_body->size - XEDDSA_SIGNATURE_SIZE);
        if (r < 0)
                return r;
        return xeddsa_verify(keys->peer, message.bytes, message.size, signed_body->bytes);
}

static int refuse(EnvelopeError error, EnvelopeError *ret_error)
{
        if (ret_error)
                *ret_error = error;
        return -EBADMSG;
}

int envelope_open(const EnvelopeKeys *keys, const void *envelope, size_t size, char **ret_body,
                  size_t *ret_size, EnvelopeError *ret_error)
{
        _cleanup_buffer_ Buffer signed_body = {};
        EnvelopeError error;
        char *body;
        int r;

        if (!keys_are_fit(keys))
                return -EINVAL;
        error = check_frame(envelope, size);
        if (error != ENVELOPE_OK)
                return refuse(error, ret_error);
        r = unseal(keys, envelope, size, &signed_body);
        if (r < 0)
                return r == -EBADMSG ? refuse(ENVELOPE_NOT_SEALED_FOR_US, ret_error) : r;
        r = verify_body(keys, &signed_body);
        if (r < 0)
                return r == -EBADMSG ? refuse(ENVELOPE_BAD_SIGNATURE, ret_error) : r;

        size = signed_body.size - XEDDSA_SIGNATURE_SIZE;
        body = memdup_suffix0(signed_body.bytes + XEDDSA_SIGNATURE_SIZE, size);
        if (!body)
                return -ENOMEM;
        *ret_body = body;
        *ret_size = size;
        if (ret_error)
                *ret_error = ENVELOPE_OK;
        return 0;
}

static int derive_topic(const WireguardKey *secret, const WireguardKey *sender,
                        const WireguardKey *recipient, char ret[static TOPIC_STRLEN])
{
        _cleanup_buffer_ Buffer info = {};
        uint8_t topic[TOPIC_SIZE];
        int r;

        r = make_context(&info, TOPIC_CONTEXT, sender, recipient, /* body= */ NULL, 0);
        if (r < 0)
                return r;
        r = hkdf_sha256(secret->bytes, sizeof(secret->bytes), info.bytes, info.size, topic, sizeof(topic));
        if (r < 0)
                return r;
        hex_encode(topic, sizeof(topic), ret);
        return 0;
}

int envelope_derive_topics(const EnvelopeKeys *keys, char ret_send[static TOPIC_STRLEN],
                           char ret_receive[static TOPIC_STRLEN])
{
        _cleanup_key_ WireguardKey secret = {};
        char sends[TOPIC_STRLEN], receives[TOPIC_STRLEN];
        int r;

        if (!keys_are_fit(keys))
                return -EINVAL;
        r = x25519_shared_secret(keys->private_key, keys->peer, &secret);
        if (r < 0)
                return r;
        r = derive_topic(&secret, keys->public_key, keys->peer, sends);
        if (r < 0)
                return r;
        r = derive_topic(&secret, keys->peer, keys->public_key, receives);
        if (r < 0)
                return r;
        memcpy(ret_send, sends, sizeof(sends));
        memcpy(ret_receive, receives, sizeof(receives));
        return 0;
}
