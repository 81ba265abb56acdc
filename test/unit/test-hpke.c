/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "hpke.h"
#include "random-util.h"
#include "vectors.h"

static WireguardKey random_key(void)
{
        WireguardKey key;

        random_bytes(key.bytes, sizeof(key.bytes));
        return key;
}

/* Two ends, and what each says to HPKE. */
typedef struct Ends {
        WireguardKey alice, alice_public, bob, bob_public, psk;
        HpkeParameters sends, receives;
} Ends;

static void make_ends(Ends *e, bool psk)
{
        *e = (Ends) { .alice = random_key(), .bob = random_key(), .psk = random_key() };
        cr_assert_eq(x25519_public_key(&e->alice, &e->alice_public), 0);
        cr_assert_eq(x25519_public_key(&e->bob, &e->bob_public), 0);
        e->sends = (HpkeParameters) {
                .private_key = &e->alice,
                .peer = &e->bob_public,
                .preshared_key = psk ? &e->psk : NULL,
                .psk_id = "test",
                .info = "info",
                .info_size = 4,
                .aad = "aad",
                .aad_size = 3,
        };
        e->receives = e->sends;
        e->receives.private_key = &e->bob;
        e->receives.peer = &e->alice_public;
}

static int try_open(const HpkeParameters *p, const uint8_t *sealed, size_t size)
{
        _cleanup_free_ uint8_t *plaintext = NULL;
        size_t n = 4242;
        int r;

        r = hpke_open(p, sealed, size, &plaintext, &n);
        if (r < 0) {
                cr_expect_null(plaintext);
                cr_expect_eq(n, 4242);
        }
        return r;
}

/* RFC 9180, appendix A.2.3 (auth) and A.2.4 (auth-psk). */
Test(hpke, rfc9180)
{
        _cleanup_vectors_ Vectors v = vectors_load("hpke/rfc9180.txt");
        size_t n = 0;
        char *f[10];

        for (; vectors_next(&v, f, 10); n++) {
                WireguardKey private_key = unhex_key(f[0]), peer = unhex_key(f[1]), psk;
                _cleanup_free_ uint8_t *psk_id = NULL, *info = NULL, *aad = NULL, *expected = NULL,
                                       *sealed = NULL, *plaintext = NULL;
                char psk_id_string[64] = "";
                size_t psk_id_size, expected_size, sealed_size, size;
                HpkeParameters p = { .private_key = &private_key, .peer = &peer };

                psk_id = unhex(f[3], &psk_id_size);
                memcpy(psk_id_string, psk_id, psk_id_size);
                if (!streq(f[2], "-")) {
                        psk = unhex_key(f[2]);
                        p.preshared_key = &psk;
                        p.psk_id = psk_id_string;
                }
                p.info = info = unhex(f[4], &p.info_size);
                p.aad = aad = unhex(f[5], &p.aad_size);
                expected = unhex(f[6], &expected_size);
                sealed = unhex(f[7], &sealed_size);

                cr_assert_eq(hpke_open(&p, sealed, sealed_size, &plaintext, &size), 0);
                cr_expect_eq(size, expected_size);
                cr_expect_arr_eq(plaintext, expected, expected_size);
        }
        cr_expect_eq(n, 2);
}

static void check_round_trip(bool psk, size_t size)
{
        _cleanup_free_ uint8_t *plaintext = NULL, *sealed = NULL, *opened = NULL;
        size_t sealed_size, opened_size;
        Ends e;

        make_ends(&e, psk);
        plaintext = malloc(size);
        random_bytes(plaintext, size);
        cr_assert_eq(hpke_seal(&e.sends, plaintext, size, &sealed, &sealed_size), 0);
        cr_expect_eq(sealed_size, size + HPKE_OVERHEAD);
        cr_assert_eq(hpke_open(&e.receives, sealed, sealed_size, &opened, &opened_size), 0);
        cr_expect_eq(opened_size, size);
        cr_expect_arr_eq(opened, plaintext, size);
}

Test(hpke, round_trip)
{
        for (size_t size = 1; size < 20000; size = size * 3 / 2 + 1) {
                check_round_trip(false, size);
                check_round_trip(true, size);
        }
}

Test(hpke, flipped_bits_and_lengths)
{
        for (int psk = 0; psk <= 1; psk++) {
                _cleanup_free_ uint8_t *sealed = NULL, *longer = NULL;
                size_t size;
                Ends e;

                make_ends(&e, psk);
                cr_assert_eq(hpke_seal(&e.sends, "plaintext", 9, &sealed, &size), 0);
                for (size_t i = 0; i < size * 8; i++) {
                        /* X25519 does not look at the highest bit of a public key (RFC 7748, 5), but HPKE's
                         * context holds the key as it was sent. */
                        sealed[i / 8] ^= (uint8_t) (1 << i % 8);
                        cr_expect_eq(try_open(&e.receives, sealed, size), -EBADMSG, "bit %zu", i);
                        sealed[i / 8] ^= (uint8_t) (1 << i % 8);
                }
                longer = calloc(1, size + 1);
                memcpy(longer, sealed, size);
                for (size_t n = 0; n <= size + 1; n++)
                        cr_expect_eq(try_open(&e.receives, longer, n), n == size ? 0 : -EBADMSG, "%zu", n);
        }
}

Test(hpke, wrong_parameters)
{
        _cleanup_free_ uint8_t *sealed = NULL, *with_psk = NULL;
        WireguardKey other = random_key(), other_public;
        size_t size, with_psk_size;
        HpkeParameters p;
        Ends e;

        make_ends(&e, true);
        cr_assert_eq(x25519_public_key(&other, &other_public), 0);
        cr_assert_eq(hpke_seal(&e.sends, "x", 1, &with_psk, &with_psk_size), 0);
        e.sends.preshared_key = NULL;
        cr_assert_eq(hpke_seal(&e.sends, "x", 1, &sealed, &size), 0);

        p = e.receives;
        cr_expect_eq(try_open(&p, with_psk, with_psk_size), 0);
        cr_expect_eq(try_open(&p, sealed, size), -EBADMSG, "preshared key only here");
        p.psk_id = "other";
        cr_expect_eq(try_open(&p, with_psk, with_psk_size), -EBADMSG, "psk_id");
        p = e.receives;
        p.preshared_key = &other;
        cr_expect_eq(try_open(&p, with_psk, with_psk_size), -EBADMSG, "another preshared key");

        e.receives.preshared_key = NULL;
        p = e.receives;
        cr_expect_eq(try_open(&p, sealed, size), 0);
        cr_expect_eq(try_open(&p, with_psk, with_psk_size), -EBADMSG, "preshared key only there");
        p.private_key = &other;
        cr_expect_eq(try_open(&p, sealed, size), -EBADMSG, "recipient");
        p = e.receives;
        p.peer = &other_public;
        cr_expect_eq(try_open(&p, sealed, size), -EBADMSG, "sender");
        p = e.receives;
        p.info = "inf";
        p.info_size = 3;
        cr_expect_eq(try_open(&p, sealed, size), -EBADMSG, "info");
        p = e.receives;
        p.aad = "aae";
        cr_expect_eq(try_open(&p, sealed, size), -EBADMSG, "aad");
        p.aad = NULL;
        p.aad_size = 0;
        cr_expect_eq(try_open(&p, sealed, size), -EBADMSG, "no aad");
        p = e.receives;
        p.private_key = &e.alice;
        p.peer = &e.bob_public;
        cr_expect_eq(try_open(&p, sealed, size), -EBADMSG, "reflected to the sender");
}

static int try_seal(const HpkeParameters *p, size_t size)
{
        _cleanup_free_ uint8_t *sealed = NULL;
        static const char text[8];
        size_t n;

        return hpke_seal(p, text, size, &sealed, &n);
}

Test(hpke, unfit_parameters)
{
        char long_info[HPKE_INFO_MAX + 1] = {};
        WireguardKey zero = {}, one = { { 1 } };
        uint8_t sealed[100] = {};
        HpkeParameters p;
        Ends e;

        make_ends(&e, true);
        cr_expect_eq(try_seal(&e.sends, 1), 0);
        cr_expect_eq(try_seal(&e.sends, 0), -EINVAL);
        p = e.sends;
        p.private_key = &zero;
        cr_expect_eq(try_seal(&p, 1), -EINVAL);
        cr_expect_eq(try_open(&p, sealed, sizeof(sealed)), -EINVAL);
        p = e.sends;
        p.peer = &zero;
        cr_expect_eq(try_seal(&p, 1), -EINVAL);
        cr_expect_eq(try_open(&p, sealed, sizeof(sealed)), -EINVAL);
        p.peer = &one; /* of small order */
        cr_expect_eq(try_seal(&p, 1), -EINVAL);
        cr_expect_eq(try_open(&p, sealed, sizeof(sealed)), -EBADMSG);
        p = e.sends;
        p.psk_id = NULL;
        cr_expect_eq(try_seal(&p, 1), -EINVAL);
        p.psk_id = "";
        cr_expect_eq(try_seal(&p, 1), -EINVAL);
        p = e.sends;
        p.info = long_info;
        p.info_size = HPKE_INFO_MAX;
        cr_expect_eq(try_seal(&p, 1), 0);
        p.info_size++;
        cr_expect_eq(try_seal(&p, 1), -EINVAL);
}

/* RFC 7748, 5.2 (the second public key has its highest bit set) and 6.1, both ways. */
Test(x25519, rfc7748)
{
        static const struct {
                const char *private_key, *public_key, *secret;
        } vectors[] = {
                { "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                  "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                  "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552" },
                { "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                  "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
                  "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957" },
                { "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
                  "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
                  "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742" },
                { "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
                  "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
                  "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742" },
        };

        for (size_t i = 0; i < ELEMENTSOF(vectors); i++) {
                WireguardKey private_key = unhex_key(vectors[i].private_key),
                             public_key = unhex_key(vectors[i].public_key),
                             expected = unhex_key(vectors[i].secret), secret;

                cr_assert_eq(x25519_shared_secret(&private_key, &public_key, &secret), 0);
                cr_expect(wireguard_key_equal(&secret, &expected), "%zu", i);
        }
        for (size_t i = 2; i < 4; i++) {
                WireguardKey private_key = unhex_key(vectors[i].private_key),
                             expected = unhex_key(vectors[5 - i].public_key), public_key;

                cr_assert_eq(x25519_public_key(&private_key, &public_key), 0);
                cr_expect(wireguard_key_equal(&public_key, &expected), "%zu", i);
        }
}

/* u of order 2, 4, 8, 8; 4 on the twist; and 0 and 1 again as p and p + 1. */
Test(x25519, small_order)
{
        static const char *const small[] = {
                "0000000000000000000000000000000000000000000000000000000000000000",
                "0100000000000000000000000000000000000000000000000000000000000000",
                "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        };

        for (size_t i = 0; i < ELEMENTSOF(small); i++) {
                WireguardKey private_key = random_key(), public_key = unhex_key(small[i]),
                             secret = { { 42 } }, untouched = secret;

                cr_expect_eq(x25519_shared_secret(&private_key, &public_key, &secret), -EINVAL, "%s",
                             small[i]);
                cr_expect(wireguard_key_equal(&secret, &untouched));
        }
}

Test(x25519, zero_key_is_no_key)
{
        WireguardKey zero = {}, nine = { { 9 } }, result;

        cr_expect_eq(x25519_public_key(&zero, &result), -EINVAL);
        cr_expect_eq(x25519_shared_secret(&zero, &nine, &result), -EINVAL);
}

/* RFC 5869, A.3: the one of its vectors that has an empty salt. With info: see the topics of test-envelope.
 */
Test(hkdf, rfc5869)
{
        uint8_t key[22], expected[42], result[42];

        memset(key, 0x0b, sizeof(key));
        unhex_exactly("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
                      expected, sizeof(expected));
        cr_assert_eq(hkdf_sha256(key, sizeof(key), NULL, 0, result, sizeof(result)), 0);
        cr_expect_arr_eq(result, expected, sizeof(expected));
}

Test(hkdf, limits)
{
        static uint8_t longest[8160 + 1], shorter[100];

        cr_expect_eq(hkdf_sha256("key", 3, "info", 4, longest, 8160), 0);
        cr_expect_eq(hkdf_sha256("key", 3, "info", 4, longest, 8161), -EINVAL);
        cr_expect_eq(hkdf_sha256("key", 3, "info", 4, longest, 0), -EINVAL);
        cr_expect_eq(hkdf_sha256("", 0, "info", 4, longest, 32), -EINVAL);
        /* A shorter result is the beginning of a longer one; other info gives something else. */
        cr_expect_eq(hkdf_sha256("key", 3, "info", 4, shorter, sizeof(shorter)), 0);
        cr_expect_arr_eq(shorter, longest, sizeof(shorter));
        cr_expect_eq(hkdf_sha256("key", 3, "inf", 3, shorter, sizeof(shorter)), 0);
        cr_expect_arr_neq(shorter, longest, sizeof(shorter));
}
