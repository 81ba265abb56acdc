/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "hpke.h"
#include "random-util.h"
#include "vectors.h"
#include "xeddsa.h"

/* Every vector of the other implementation comes out to the byte, and is accepted. */
Test(xeddsa, vectors)
{
        _cleanup_vectors_ Vectors v = vectors_load("xeddsa/vectors.txt");
        size_t signs[2] = {};
        char *f[6];

        while (vectors_next(&v, f, 6)) {
                WireguardKey private_key = unhex_key(f[1]), public_key = unhex_key(f[2]), derived;
                uint8_t nonce[XEDDSA_NONCE_SIZE], expected[XEDDSA_SIGNATURE_SIZE],
                        signature[XEDDSA_SIGNATURE_SIZE];
                _cleanup_free_ uint8_t *message = NULL;
                size_t size;

                unhex_exactly(f[3], nonce, sizeof(nonce));
                message = unhex(f[4], &size);
                unhex_exactly(f[5], expected, sizeof(expected));
                signs[*f[0] == '1']++;

                cr_assert_eq(x25519_public_key(&private_key, &derived), 0);
                cr_expect(wireguard_key_equal(&derived, &public_key));
                cr_assert_eq(xeddsa_sign_with_nonce(&private_key, message, size, nonce, signature), 0);
                cr_expect_arr_eq(signature, expected, sizeof(expected), "%zu bytes", size);
                cr_expect_eq(xeddsa_verify(&public_key, message, size, expected), 0, "%zu bytes", size);
        }
        cr_expect_geq(signs[0], 28);
        cr_expect_geq(signs[1], 28);
}

/* What an Ed25519 key of sign 0 signs, its Curve25519 form has signed: among them RFC 8032's own vectors. */
Test(xeddsa, ed25519)
{
        _cleanup_vectors_ Vectors v = vectors_load("xeddsa/ed25519.txt");
        size_t n = 0;
        char *f[3];

        for (; vectors_next(&v, f, 3); n++) {
                WireguardKey public_key = unhex_key(f[0]);
                uint8_t signature[XEDDSA_SIGNATURE_SIZE];
                _cleanup_free_ uint8_t *message = NULL;
                size_t size;

                message = unhex(f[1], &size);
                unhex_exactly(f[2], signature, sizeof(signature));
                cr_expect_eq(xeddsa_verify(&public_key, message, size, signature), 0);
        }
        cr_expect_eq(n, 13);
}

/* Keys and R of small order, written in two ways, or with a small point added; made by the other
 * implementation, which checks that plain Ed25519 accepts what we may not. */
Test(xeddsa, forgeries)
{
        _cleanup_vectors_ Vectors v = vectors_load("xeddsa/forgeries.txt");
        size_t n = 0;
        char *f[4];

        for (; vectors_next(&v, f, 4); n++) {
                WireguardKey public_key = unhex_key(f[1]);
                uint8_t signature[XEDDSA_SIGNATURE_SIZE];
                _cleanup_free_ uint8_t *message = NULL;
                size_t size;

                message = unhex(f[2], &size);
                unhex_exactly(f[3], signature, sizeof(signature));
                cr_expect_eq(xeddsa_verify(&public_key, message, size, signature),
                             streq(f[0], "good") ? 0 : -EBADMSG, "%s", f[0]);
        }
        cr_expect_eq(n, 25);
}

typedef struct Signed {
        WireguardKey private_key, public_key;
        uint8_t message[40];
        uint8_t signature[XEDDSA_SIGNATURE_SIZE];
} Signed;

static Signed make_signed(void)
{
        Signed s;

        random_bytes(s.private_key.bytes, sizeof(s.private_key.bytes));
        random_bytes(s.message, sizeof(s.message));
        cr_assert_eq(x25519_public_key(&s.private_key, &s.public_key), 0);
        cr_assert_eq(xeddsa_sign(&s.private_key, s.message, sizeof(s.message), s.signature), 0);
        return s;
}

static int verify(const Signed *s)
{
        return xeddsa_verify(&s->public_key, s->message, sizeof(s->message), s->signature);
}

/* Verification fails, and fails in that way, for every single bit of the part. */
static void expect_each_bit_counts(Signed *s, uint8_t *part, size_t size, const char *name)
{
        for (size_t i = 0; i < size * 8; i++) {
                part[i / 8] ^= (uint8_t) (1 << i % 8);
                cr_expect_eq(verify(s), -EBADMSG, "bit %zu of %s does not count", i, name);
                part[i / 8] ^= (uint8_t) (1 << i % 8);
        }
        cr_expect_eq(verify(s), 0);
}

Test(xeddsa, flipped_bits)
{
        Signed s = make_signed();

        expect_each_bit_counts(&s, s.signature, 32, "R");
        expect_each_bit_counts(&s, s.signature + 32, 32, "s");
        expect_each_bit_counts(&s, s.message, sizeof(s.message), "the message");
        expect_each_bit_counts(&s, s.public_key.bytes, sizeof(s.public_key.bytes), "the key");
}

Test(xeddsa, lengths)
{
        Signed s = make_signed();
        uint8_t longer[sizeof(s.message) + 1] = {};

        memcpy(longer, s.message, sizeof(s.message));
        for (size_t n = 0; n <= sizeof(longer); n++)
                cr_expect_eq(xeddsa_verify(&s.public_key, longer, n, s.signature),
                             n == sizeof(s.message) ? 0 : -EBADMSG);
}

/* s + n L is the same number modulo L for n up to 15, and each would be a second valid signature. */
Test(xeddsa, non_canonical_s)
{
        static const uint8_t order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                           0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10 };
        Signed s = make_signed();

        for (size_t n = 0; n < 14; n++) {
                unsigned carry = 0;

                cr_expect_eq(verify(&s), n == 0 ? 0 : -EBADMSG, "s + %zu L", n);
                for (size_t i = 0; i < 32; i++) {
                        carry += s.signature[32 + i] + order[i];
                        s.signature[32 + i] = (uint8_t) carry;
                        carry >>= 8;
                }
                cr_assert_eq(carry, 0);
        }
        memcpy(s.signature + 32, order, sizeof(order));
        cr_expect_eq(verify(&s), -EBADMSG);
        memset(s.signature + 32, 0xff, 32);
        cr_expect_eq(verify(&s), -EBADMSG);
}

/* u = 2 is on the twist and not on the curve; u = -1 has no Edwards form at all; then everything that is no
 * number below p. */
Test(xeddsa, keys_off_the_curve)
{
        Signed s = make_signed();

        s.public_key = (WireguardKey) { { 2 } };
        cr_expect_eq(verify(&s), -EBADMSG);
        memset(s.public_key.bytes, 0xff, 31);
        s.public_key.bytes[31] = 0x7f;
        for (int last = 0xec; last <= 0xff; last++) {
                s.public_key.bytes[0] = (uint8_t) last;
                cr_expect_eq(verify(&s), -EBADMSG, "%x", (unsigned) last);
        }
        memset(s.public_key.bytes, 0xff, 32);
        cr_expect_eq(verify(&s), -EBADMSG);
}

Test(xeddsa, zero_key_is_no_key)
{
        uint8_t signature[XEDDSA_SIGNATURE_SIZE] = { 42 }, untouched[XEDDSA_SIGNATURE_SIZE] = { 42 };
        WireguardKey zero = {};

        cr_expect_eq(xeddsa_sign(&zero, "x", 1, signature), -EINVAL);
        cr_expect_arr_eq(signature, untouched, sizeof(untouched));
}

/* A private key means the same whether or not somebody has clamped it already. */
Test(xeddsa, clamping)
{
        uint8_t nonce[XEDDSA_NONCE_SIZE] = {}, a[XEDDSA_SIGNATURE_SIZE], b[XEDDSA_SIGNATURE_SIZE];
        WireguardKey key;

        random_bytes(key.bytes, sizeof(key.bytes));
        key.bytes[0] |= 7;
        key.bytes[31] |= 128;
        cr_assert_eq(xeddsa_sign_with_nonce(&key, "x", 1, nonce, a), 0);
        key.bytes[0] &= 248;
        key.bytes[31] = (key.bytes[31] & 127) | 64;
        cr_assert_eq(xeddsa_sign_with_nonce(&key, "x", 1, nonce, b), 0);
        cr_expect_arr_eq(a, b, sizeof(a));
}

/* Any key signs, its own public key verifies and another one does not; no two signatures are equal. */
Test(xeddsa, random_keys)
{
        Signed before = make_signed();

        for (size_t i = 0; i < 500; i++) {
                Signed s = make_signed(), swapped = s;
                uint8_t again[XEDDSA_SIGNATURE_SIZE];

                cr_assert_eq(verify(&s), 0);
                swapped.public_key = before.public_key;
                cr_assert_eq(verify(&swapped), -EBADMSG);
                cr_assert_eq(xeddsa_sign(&s.private_key, s.message, sizeof(s.message), again), 0);
                cr_assert_neq(memcmp(again, s.signature, sizeof(again)), 0);
                before = s;
        }
}

/* Random bytes are a signature of nothing, and never anything but a refusal. */
Test(xeddsa, garbage)
{
        for (size_t i = 0; i < 2000; i++) {
                Signed s;

                random_bytes(&s, sizeof(s));
                if (i % 2)
                        s.signature[63] &= 0x0f;
                cr_assert_eq(verify(&s), -EBADMSG);
        }
}
