/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "xeddsa.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <sys/uio.h>

#include "openssl-util.h"
#include "random-util.h"

/* OpenSSL multiplies the base point of Ed25519 only by scalars that it made itself from a seed; XEdDSA needs
 * scalars of its own. So the multiplication happens on Wei25519, the short Weierstrass form of Curve25519
 * (draft-ietf-lwig-curve-representations, appendix E), where OpenSSL's ladder is constant-time for any
 * scalar; only the product, which is public, is mapped to Edwards coordinates. */

#define FIELD_SIZE 32
#define HASH_SIZE 64

/* Numbers are as people write them, most significant digit first. */
#define P "7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFED" /* 2^255 - 19 */
#define Q "1000000000000000000000000000000014DEF9DEA2F79CD65812631A5CF5D3ED" /* order of the base point */
#define WEIERSTRASS_A "2AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA984914A144"
#define WEIERSTRASS_B "7B425ED097B425ED097B425ED097B425ED097B425ED097B4260B5E9C7710C864"
#define BASE_X "2AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD245A"
#define BASE_Y "20AE19A1B8A086B4E01EDD2C7748D14C923D4D7E6D7C61B229E9C5A27ECED3D9"
/* Weierstrass X = Montgomery u + 486662/3. */
#define SHIFT "2AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD2451"
/* The square root of -486664 that takes the base point of Curve25519 to that of Ed25519 (RFC 7748, 4.1). */
#define ROOT "70D9120B9F5FF9442D84F723FC03B0813A5E2C2EB482E57D3391FB5500BA81E7"
#define COFACTOR "8"

typedef struct Curve {
        EC_GROUP *group;
        BIGNUM *p, *q, *shift, *root;
        EVP_MD *sha512;
} Curve;

DEFINE_OPENSSL_CLEANUP_FUNC(BN_CTX, bn_ctx, BN_CTX_free);

DEFINE_OPENSSL_CLEANUP_FUNC(EC_POINT, ec_point_clear, EC_POINT_clear_free);

static void curve_done(Curve *c)
{
        EC_GROUP_free(c->group);
        BN_free(c->p);
        BN_free(c->q);
        BN_free(c->shift);
        BN_free(c->root);
        EVP_MD_free(c->sha512);
}

static int curve_make_group(Curve *c, BN_CTX *ctx)
{
        _cleanup_(ec_point_clear_freep) EC_POINT *base = NULL;
        BIGNUM *a = BN_CTX_get(ctx), *b = BN_CTX_get(ctx), *x = BN_CTX_get(ctx), *y = BN_CTX_get(ctx),
               *cofactor = BN_CTX_get(ctx);

        if (!cofactor || !BN_hex2bn(&a, WEIERSTRASS_A) || !BN_hex2bn(&b, WEIERSTRASS_B) ||
            !BN_hex2bn(&x, BASE_X) || !BN_hex2bn(&y, BASE_Y) || !BN_hex2bn(&cofactor, COFACTOR))
                return -ENOMEM;
        c->group = EC_GROUP_new_curve_GFp(c->p, a, b, ctx);
        if (!c->group)
                return -EIO;
        base = EC_POINT_new(c->group);
        if (!base)
                return -ENOMEM;
        /* Fails, too, if the point is not on the curve. OpenSSL takes its constant-time ladder only where it
         * knows order and cofactor. */
        if (!EC_POINT_set_affine_coordinates(c->group, base, x, y, ctx) ||
            !EC_GROUP_set_generator(c->group, base, c->q, cofactor))
                return -EIO;
        return 0;
}

static int curve_init(Curve *c)
{
        _cleanup_(bn_ctx_freep) BN_CTX *ctx = BN_CTX_new();
        int r;

        if (!ctx || !BN_hex2bn(&c->p, P) || !BN_hex2bn(&c->q, Q) || !BN_hex2bn(&c->shift, SHIFT) ||
            !BN_hex2bn(&c->root, ROOT))
                return -ENOMEM;
        c->sha512 = EVP_MD_fetch(/* libctx= */ NULL, "SHA512", /* properties= */ NULL);
        if (!c->sha512)
                return -EIO;
        BN_CTX_start(ctx);
        r = curve_make_group(c, ctx);
        BN_CTX_end(ctx);
        return r;
}

/* Made on first use and kept: it costs more than a signature. */
static int curve_get(const Curve **ret)
{
        static Curve the_curve;
        static bool ready;
        int r;

        if (!ready) {
                Curve c = {};

                r = curve_init(&c);
                if (r < 0) {
                        curve_done(&c);
                        return r;
                }
                the_curve = c;
                ready = true;
        }
        *ret = &the_curve;
        return 0;
}

static int hash(const Curve *c, const struct iovec *parts, size_t n, uint8_t ret[static HASH_SIZE])
{
        _cleanup_(md_ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        if (!ctx)
                return -ENOMEM;
        if (!EVP_DigestInit_ex2(ctx, c->sha512, /* params= */ NULL))
                return -EIO;
        for (size_t i = 0; i < n; i++)
                if (!EVP_DigestUpdate(ctx, parts[i].iov_base, parts[i].iov_len))
                        return -EIO;
        return EVP_DigestFinal_ex(ctx, ret, /* s= */ NULL) ? 0 : -EIO;
}

/* A little-endian number from ctx, which OpenSSL is told to treat as secret; NULL on failure. */
static BIGNUM *get_secret(BN_CTX *ctx, const uint8_t *bytes, size_t size)
{
        BIGNUM *n = BN_CTX_get(ctx);

        if (!n || !BN_lebin2bn(bytes, (int) size, n))
                return NULL;
        BN_set_flags(n, BN_FLG_CONSTTIME);
        return n;
}

/* Reduces a little-endian number modulo the order of the base point. */
static BIGNUM *get_scalar(const Curve *c, BN_CTX *ctx, const uint8_t *bytes, size_t size)
{
        BIGNUM *n = get_secret(ctx, bytes, size);

        return n && BN_nnmod(n, n, c->q, ctx) ? n : NULL;
}

/* The Ed25519 encoding (RFC 8032, 5.1.2) of a point of Wei25519:
 * u = X - shift, v = Y; x = root u / v, y = (u - 1) / (u + 1), with one inversion for both. */
static int encode_point(const Curve *c, BN_CTX *ctx, const EC_POINT *point, uint8_t ret[static FIELD_SIZE])
{
        BIGNUM *u = BN_CTX_get(ctx), *v = BN_CTX_get(ctx), *plus = BN_CTX_get(ctx), *minus = BN_CTX_get(ctx),
               *inverse = BN_CTX_get(ctx), *x = BN_CTX_get(ctx), *y = BN_CTX_get(ctx);

        if (!y)
                return -ENOMEM;
        if (!EC_POINT_get_affine_coordinates(c->group, point, u, v, ctx) ||
            !BN_mod_sub(u, u, c->shift, c->p, ctx) || !BN_mod_add(plus, u, BN_value_one(), c->p, ctx) ||
            !BN_mod_sub(minus, u, BN_value_one(), c->p, ctx) || !BN_mod_mul(inverse, v, plus, c->p, ctx) ||
            !BN_mod_inverse(inverse, inverse, c->p, ctx))
                return -EIO;
        if (!BN_mod_mul(x, c->root, u, c->p, ctx) || !BN_mod_mul(x, x, plus, c->p, ctx) ||
            !BN_mod_mul(x, x, inverse, c->p, ctx) || !BN_mod_mul(y, minus, v, c->p, ctx) ||
            !BN_mod_mul(y, y, inverse, c->p, ctx) || BN_bn2lebinpad(y, ret, FIELD_SIZE) != FIELD_SIZE)
                return -EIO;
        ret[FIELD_SIZE - 1] |= (uint8_t) (BN_is_odd(x) << 7);
        return 0;
}

static int multiply_base(const Curve *c, BN_CTX *ctx, const BIGNUM *scalar, uint8_t ret[static FIELD_SIZE])
{
        _cleanup_(ec_point_clear_freep) EC_POINT *point = EC_POINT_new(c->group);

        if (!point)
                return -ENOMEM;
        if (!EC_POINT_mul(c->group, point, scalar, /* q= */ NULL, /* m= */ NULL, ctx))
                return -EIO;
        return encode_point(c, ctx, point, ret);
}

/* ret = choose ? a : b, without a branch or an address that tells which. */
static void select_bytes(uint8_t choose, const uint8_t *a, const uint8_t *b, size_t n, uint8_t *ret)
{
        uint8_t mask = (uint8_t) -choose;

        for (size_t i = 0; i < n; i++)
                ret[i] = (uint8_t) ((a[i] & mask) | (b[i] & ~mask));
}

typedef struct KeyPair {
        uint8_t public_key[FIELD_SIZE]; /* A, with sign 0 */
        uint8_t scalar[FIELD_SIZE];     /* a, reduced */
} KeyPair;

static void key_pair_erase(KeyPair *pair)
{
        erase(pair, sizeof(*pair));
}

/* A Curve25519 key says nothing about the sign of its Edwards form. The specification fixes it to 0, and
 * negates the scalar where it would be 1. */
static int calculate_key_pair(const Curve *c, BN_CTX *ctx, const WireguardKey *private_key, KeyPair *ret)
{
        _cleanup_(key_pair_erase) KeyPair pair, negated;
        _cleanup_key_ WireguardKey clamped = *private_key;
        BIGNUM *k, *opposite;
        uint8_t sign;
        int r;

        clamped.bytes[0] &= 248;
        clamped.bytes[31] = (clamped.bytes[31] & 127) | 64;
        k = get_scalar(c, ctx, clamped.bytes, sizeof(clamped.bytes));
        opposite = BN_CTX_get(ctx);
        if (!k || !opposite)
                return -ENOMEM;
        r = multiply_base(c, ctx, k, pair.public_key);
        if (r < 0)
                return r;
        if (!BN_sub(opposite, c->q, k) || BN_bn2lebinpad(k, pair.scalar, FIELD_SIZE) != FIELD_SIZE ||
            BN_bn2lebinpad(opposite, negated.scalar, FIELD_SIZE) != FIELD_SIZE)
                return -EIO;
        sign = pair.public_key[FIELD_SIZE - 1] >> 7;
        pair.public_key[FIELD_SIZE - 1] &= 127;
        select_bytes(sign, negated.scalar, pair.scalar, FIELD_SIZE, pair.scalar);
        *ret = pair;
        return 0;
}

/* r = hash1(a || M || Z) mod q, where hash1 is SHA-512 behind 2^256 - 2 in 32 bytes; R = rB. */
static int calculate_commitment(const Curve *c, BN_CTX *ctx, const KeyPair *pair,
                                const struct iovec *message, const uint8_t nonce[static XEDDSA_NONCE_SIZE],
                                BIGNUM **ret_r, uint8_t ret_encoded[static FIELD_SIZE])
{
        static const uint8_t prefix[32] = { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
        uint8_t digest[HASH_SIZE];
        BIGNUM *scalar;
        int r;

        r = hash(c,
                 (struct iovec[]) { { (void *) prefix, sizeof(prefix) },
                                    { (void *) pair->scalar, sizeof(pair->scalar) },
                                    *message,
                                    { (void *) nonce, XEDDSA_NONCE_SIZE } },
                 4, digest);
        if (r < 0)
                return r;
        scalar = get_scalar(c, ctx, digest, sizeof(digest));
        erase(digest, sizeof(digest));
        if (!scalar)
                return -ENOMEM;
        r = multiply_base(c, ctx, scalar, ret_encoded);
        if (r < 0)
                return r;
        *ret_r = scalar;
        return 0;
}

/* s = r + SHA-512(R || A || M) a mod q */
static int calculate_response(const Curve *c, BN_CTX *ctx, const KeyPair *pair, const struct iovec *message,
                              const BIGNUM *r, const uint8_t commitment[static FIELD_SIZE],
                              uint8_t ret[static FIELD_SIZE])
{
        BN_MONT_CTX *order = EC_GROUP_get_mont_data(c->group);
        uint8_t digest[HASH_SIZE];
        BIGNUM *h, *a, *s;
        int k;

        k = hash(c,
                 (struct iovec[]) { { (void *) commitment, FIELD_SIZE },
                                    { (void *) pair->public_key, FIELD_SIZE },
                                    *message },
                 3, digest);
        if (k < 0)
                return k;
        h = get_scalar(c, ctx, digest, sizeof(digest));
        a = get_secret(ctx, pair->scalar, sizeof(pair->scalar));
        s = BN_CTX_get(ctx);
        if (!h || !a || !s)
                return -ENOMEM;
        /* Montgomery's multiplication, because it has no division whose time could depend on a. */
        if (!BN_to_montgomery(h, h, order, ctx) || !BN_mod_mul_montgomery(s, h, a, order, ctx) ||
            !BN_mod_add_quick(s, s, r, c->q) || BN_bn2lebinpad(s, ret, FIELD_SIZE) != FIELD_SIZE)
                return -EIO;
        return 0;
}

static int sign(const Curve *c, BN_CTX *ctx, const WireguardKey *private_key, const struct iovec *message,
                const uint8_t nonce[static XEDDSA_NONCE_SIZE],
                uint8_t ret_signature[static XEDDSA_SIGNATURE_SIZE])
{
        _cleanup_(key_pair_erase) KeyPair pair;
        uint8_t signature[XEDDSA_SIGNATURE_SIZE];
        BIGNUM *commitment;
        int r;

        r = calculate_key_pair(c, ctx, private_key, &pair);
        if (r < 0)
                return r;
        r = calculate_commitment(c, ctx, &pair, message, nonce, &commitment, signature);
        if (r < 0)
                return r;
        r = calculate_response(c, ctx, &pair, message, commitment, signature, signature + FIELD_SIZE);
        if (r < 0)
                return r;
        memcpy(ret_signature, signature, sizeof(signature));
        return 0;
}

int xeddsa_sign_with_nonce(const WireguardKey *private_key, const void *message, size_t size,
                           const uint8_t nonce[static XEDDSA_NONCE_SIZE],
                           uint8_t ret_signature[static XEDDSA_SIGNATURE_SIZE])
{
        _cleanup_(bn_ctx_freep) BN_CTX *ctx = NULL;
        const Curve *c;
        KEEP_ERROR_QUEUE;
        int r;

        if (wireguard_key_is_zero(private_key))
                return -EINVAL;
        r = curve_get(&c);
        if (r < 0)
                return r;
        /* Overwrites every number that was taken from it when it is freed. */
        ctx = BN_CTX_secure_new();
        if (!ctx)
                return -ENOMEM;
        BN_CTX_start(ctx);
        r = sign(c, ctx, private_key, &(struct iovec) { (void *) message, size }, nonce, ret_signature);
        BN_CTX_end(ctx);
        return r;
}

int xeddsa_sign(const WireguardKey *private_key, const void *message, size_t size,
                uint8_t ret_signature[static XEDDSA_SIGNATURE_SIZE])
{
        uint8_t nonce[XEDDSA_NONCE_SIZE];
        int r;

        random_bytes(nonce, sizeof(nonce));
        r = xeddsa_sign_with_nonce(private_key, message, size, nonce, ret_signature);
        erase(nonce, sizeof(nonce));
        return r;
}

/* Below here is nothing secret. */

/* a < b, both little-endian numbers of FIELD_SIZE bytes. */
static bool is_below(const uint8_t *a, const uint8_t *b)
{
        for (size_t i = FIELD_SIZE; i-- > 0;)
                if (a[i] != b[i])
                        return a[i] < b[i];
        return false;
}

static const uint8_t p_bytes[FIELD_SIZE] = { 0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                             0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                             0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                             0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f };

static const uint8_t q_bytes[FIELD_SIZE] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                             0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                             0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                             0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10 };

/* The y of the eight points whose order divides 8, sign bit clear: orders 4; 1; 8; 8; 2. */
static const uint8_t small_order_y[][FIELD_SIZE] = {
        { 0 },
        { 1 },
        { 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
          0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05 },
        { 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
          0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a },
        { 0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
          0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f },
};

/* An encoded point whose y is canonical and that is none of the small ones; whether it is on the curve is
 * Ed25519's to find out. */
static bool point_is_acceptable(const uint8_t encoded[static FIELD_SIZE])
{
        uint8_t y[FIELD_SIZE];

        memcpy(y, encoded, sizeof(y));
        y[FIELD_SIZE - 1] &= 127;
        if (!is_below(y, p_bytes))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(small_order_y); i++)
                if (memcmp(y, small_order_y[i], sizeof(y)) == 0)
                        return false;
        return true;
}

/* y = (u - 1) / (u + 1); u = -1 has no y. */
static int convert_u_to_y(const Curve *c, BN_CTX *ctx, const uint8_t bytes[static FIELD_SIZE],
                          uint8_t ret[static FIELD_SIZE])
{
        BIGNUM *u = BN_CTX_get(ctx), *y = BN_CTX_get(ctx);

        if (!y || !BN_lebin2bn(bytes, FIELD_SIZE, u))
                return -ENOMEM;
        if (!BN_mod_add(y, u, BN_value_one(), c->p, ctx))
                return -EIO;
        if (BN_is_zero(y))
                return -EBADMSG;
        if (!BN_mod_inverse(y, y, c->p, ctx) || !BN_mod_sub(u, u, BN_value_one(), c->p, ctx) ||
            !BN_mod_mul(y, y, u, c->p, ctx) || BN_bn2lebinpad(y, ret, FIELD_SIZE) != FIELD_SIZE)
                return -EIO;
        return 0;
}

static int convert_public_key(const Curve *c, const WireguardKey *key, uint8_t ret[static FIELD_SIZE])
{
        _cleanup_(bn_ctx_freep) BN_CTX *ctx = NULL;
        int r;

        if (!is_below(key->bytes, p_bytes))
                return -EBADMSG;
        ctx = BN_CTX_new();
        if (!ctx)
                return -ENOMEM;
        BN_CTX_start(ctx);
        r = convert_u_to_y(c, ctx, key->bytes, ret);
        BN_CTX_end(ctx);
        return r;
}

static int verify_ed25519(const uint8_t public_key[static FIELD_SIZE], const void *message, size_t size,
                          const uint8_t signature[static XEDDSA_SIGNATURE_SIZE])
{
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        _cleanup_(md_ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        if (!ctx)
                return -ENOMEM;
        key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, /* e= */ NULL, public_key, FIELD_SIZE);
        if (!key || EVP_DigestVerifyInit(ctx, /* pctx= */ NULL, /* type= */ NULL, /* e= */ NULL, key) != 1)
                return -EIO;
        return EVP_DigestVerify(ctx, signature, XEDDSA_SIGNATURE_SIZE, message, size) == 1 ? 0 : -EBADMSG;
}

int xeddsa_verify(const WireguardKey *public_key, const void *message, size_t size,
                  const uint8_t signature[static XEDDSA_SIGNATURE_SIZE])
{
        uint8_t edwards[FIELD_SIZE];
        const Curve *c;
        KEEP_ERROR_QUEUE;
        int r;

        if (!point_is_acceptable(signature) || !is_below(signature + FIELD_SIZE, q_bytes))
                return -EBADMSG;
        r = curve_get(&c);
        if (r < 0)
                return r;
        r = convert_public_key(c, public_key, edwards);
        if (r < 0)
                return r;
        if (!point_is_acceptable(edwards))
                return -EBADMSG;
        return verify_ed25519(edwards, message, size, signature);
}
