/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "hpke.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hpke.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "openssl-util.h"

#define HKDF_SIZE_MAX (255 * 32)

static const OSSL_HPKE_SUITE suite = {
        .kem_id = OSSL_HPKE_KEM_ID_X25519,
        .kdf_id = OSSL_HPKE_KDF_ID_HKDF_SHA256,
        .aead_id = OSSL_HPKE_AEAD_ID_CHACHA_POLY1305,
};

DEFINE_OPENSSL_CLEANUP_FUNC(OSSL_HPKE_CTX, hpke_ctx, OSSL_HPKE_CTX_free);

/* NULL without memory: any 32 bytes are a private key. */
static EVP_PKEY *load_private_key(const WireguardKey *key)
{
        return EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, /* e= */ NULL, key->bytes, sizeof(key->bytes));
}

static bool parameters_are_fit(const HpkeParameters *p)
{
        return !wireguard_key_is_zero(p->private_key) && !wireguard_key_is_zero(p->peer) &&
               p->info_size <= HPKE_INFO_MAX && (!p->preshared_key || (p->psk_id && *p->psk_id));
}

static int context_new(const HpkeParameters *p, int role, OSSL_HPKE_CTX **ret)
{
        _cleanup_(hpke_ctx_freep) OSSL_HPKE_CTX *ctx = NULL;
        int mode = p->preshared_key ? OSSL_HPKE_MODE_PSKAUTH : OSSL_HPKE_MODE_AUTH;

        ctx = OSSL_HPKE_CTX_new(mode, suite, role, /* libctx= */ NULL, /* propq= */ NULL);
        if (!ctx)
                return -ENOMEM;
        if (p->preshared_key && OSSL_HPKE_CTX_set1_psk(ctx, p->psk_id, p->preshared_key->bytes,
                                                       sizeof(p->preshared_key->bytes)) != 1)
                return -EINVAL;
        *ret = TAKE_PTR(ctx);
        return 0;
}

static int seal(OSSL_HPKE_CTX *ctx, const HpkeParameters *p, const void *plaintext, size_t size,
                uint8_t *sealed)
{
        size_t enc_size = HPKE_ENC_SIZE, ciphertext_size = size + HPKE_TAG_SIZE;

        /* The one input that can make this fail is a peer key of small order. */
        if (OSSL_HPKE_encap(ctx, sealed, &enc_size, p->peer->bytes, sizeof(p->peer->bytes), p->info,
                            p->info_size) != 1)
                return -EINVAL;
        if (OSSL_HPKE_seal(ctx, sealed + HPKE_ENC_SIZE, &ciphertext_size, p->aad, p->aad_size, plaintext,
                           size) != 1)
                return -EIO;
        return enc_size == HPKE_ENC_SIZE && ciphertext_size == size + HPKE_TAG_SIZE ? 0 : -EIO;
}

int hpke_seal(const HpkeParameters *p, const void *plaintext, size_t size, uint8_t **ret, size_t *ret_size)
{
        _cleanup_(hpke_ctx_freep) OSSL_HPKE_CTX *ctx = NULL;
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        _cleanup_free_ uint8_t *sealed = NULL;
        KEEP_ERROR_QUEUE;
        int r;

        if (!parameters_are_fit(p) || size == 0 || size > SIZE_MAX - HPKE_OVERHEAD)
                return -EINVAL;
        r = context_new(p, OSSL_HPKE_ROLE_SENDER, &ctx);
        if (r < 0)
                return r;
        key = load_private_key(p->private_key);
        sealed = new (uint8_t, size + HPKE_OVERHEAD);
        if (!key || !sealed)
                return -ENOMEM;
        if (OSSL_HPKE_CTX_set1_authpriv(ctx, key) != 1)
                return -EIO;
        r = seal(ctx, p, plaintext, size, sealed);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(sealed);
        *ret_size = size + HPKE_OVERHEAD;
        return 0;
}

/* plaintext has room for `size` bytes of ciphertext and tag, which is what OpenSSL asks for. */
static int open_sealed(OSSL_HPKE_CTX *ctx, EVP_PKEY *key, const HpkeParameters *p, const uint8_t *sealed,
                       size_t size, uint8_t *plaintext)
{
        size_t plaintext_size = size;

        if (OSSL_HPKE_decap(ctx, sealed, HPKE_ENC_SIZE, key, p->info, p->info_size) != 1 ||
            OSSL_HPKE_open(ctx, plaintext, &plaintext_size, p->aad, p->aad_size, sealed + HPKE_ENC_SIZE,
                           size) != 1)
                return -EBADMSG;
        return plaintext_size == size - HPKE_TAG_SIZE ? 0 : -EIO;
}

int hpke_open(const HpkeParameters *p, const void *sealed, size_t size, uint8_t **ret, size_t *ret_size)
{
        _cleanup_(hpke_ctx_freep) OSSL_HPKE_CTX *ctx = NULL;
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        _cleanup_free_ uint8_t *plaintext = NULL;
        KEEP_ERROR_QUEUE;
        int r;

        if (!parameters_are_fit(p))
                return -EINVAL;
        if (size <= HPKE_OVERHEAD)
                return -EBADMSG;
        r = context_new(p, OSSL_HPKE_ROLE_RECEIVER, &ctx);
        if (r < 0)
                return r;
        key = load_private_key(p->private_key);
        plaintext = new (uint8_t, size - HPKE_ENC_SIZE);
        if (!key || !plaintext)
                return -ENOMEM;
        if (OSSL_HPKE_CTX_set1_authpub(ctx, p->peer->bytes, sizeof(p->peer->bytes)) != 1)
                return -EIO;
        r = open_sealed(ctx, key, p, sealed, size - HPKE_ENC_SIZE, plaintext);
        if (r < 0) {
                erase(plaintext, size - HPKE_ENC_SIZE);
                return r;
        }
        *ret = TAKE_PTR(plaintext);
        *ret_size = size - HPKE_OVERHEAD;
        return 0;
}

int x25519_public_key(const WireguardKey *private_key, WireguardKey *ret)
{
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        KEEP_ERROR_QUEUE;
        WireguardKey public_key;
        size_t size = sizeof(public_key.bytes);

        if (wireguard_key_is_zero(private_key))
                return -EINVAL;
        key = load_private_key(private_key);
        if (!key)
                return -ENOMEM;
        if (EVP_PKEY_get_raw_public_key(key, public_key.bytes, &size) != 1 ||
            size != sizeof(public_key.bytes))
                return -EIO;
        *ret = public_key;
        return 0;
}

int x25519_shared_secret(const WireguardKey *private_key, const WireguardKey *public_key, WireguardKey *ret)
{
        _cleanup_(pkey_ctx_freep) EVP_PKEY_CTX *ctx = NULL;
        _cleanup_(pkey_freep) EVP_PKEY *ours = NULL, *theirs = NULL;
        _cleanup_key_ WireguardKey secret;
        KEEP_ERROR_QUEUE;
        size_t size = sizeof(secret.bytes);

        if (wireguard_key_is_zero(private_key))
                return -EINVAL;
        ours = load_private_key(private_key);
        theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, /* e= */ NULL, public_key->bytes,
                                             sizeof(public_key->bytes));
        ctx = ours && theirs ? EVP_PKEY_CTX_new(ours, /* e= */ NULL) : NULL;
        if (!ctx)
                return -ENOMEM;
        if (EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer(ctx, theirs) != 1)
                return -EIO;
        /* Refuses a value of zero (RFC 7748, 6.1). */
        if (EVP_PKEY_derive(ctx, secret.bytes, &size) != 1 || size != sizeof(secret.bytes))
                return -EINVAL;
        *ret = secret;
        return 0;
}

DEFINE_OPENSSL_CLEANUP_FUNC(EVP_KDF, kdf, EVP_KDF_free);

DEFINE_OPENSSL_CLEANUP_FUNC(EVP_KDF_CTX, kdf_ctx, EVP_KDF_CTX_free);

int hkdf_sha256(const void *key, size_t key_size, const void *info, size_t info_size, void *ret, size_t size)
{
        _cleanup_(kdf_ctx_freep) EVP_KDF_CTX *ctx = NULL;
        _cleanup_(kdf_freep) EVP_KDF *kdf = NULL;
        KEEP_ERROR_QUEUE;
        OSSL_PARAM parameters[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *) "SHA256", 0),
                OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *) key, key_size),
                /* Without info the list ends here. */
                info_size > 0
                        ? OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *) info, info_size)
                        : OSSL_PARAM_construct_end(),
                OSSL_PARAM_construct_end(),
        };

        if (key_size == 0 || size == 0 || size > HKDF_SIZE_MAX)
                return -EINVAL;
        kdf = EVP_KDF_fetch(/* libctx= */ NULL, "HKDF", /* properties= */ NULL);
        ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
        if (!ctx)
                return -ENOMEM;
        return EVP_KDF_derive(ctx, ret, size, parameters) == 1 ? 0 : -EIO;
}
