/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "envelope.h"
#include "hpke.h"
#include "random-util.h"
#include "vectors.h"

/* Opens, and checks that outputs are set or untouched as the header says. */
static int try_open(const EnvelopeKeys *keys, const void *envelope, size_t size, EnvelopeError *ret_error)
{
        _cleanup_free_ char *body = NULL;
        size_t n = 4242;
        int r;

        r = envelope_open(keys, envelope, size, &body, &n, ret_error);
        if (r < 0) {
                cr_expect_null(body);
                cr_expect_eq(n, 4242);
        } else {
                cr_expect_leq(n, ENVELOPE_BODY_MAX);
                cr_expect_eq(body[n], '\0');
        }
        return r;
}

/* Alice and Bob, who agree in everything; and their public keys' owners' views of each other. */
typedef struct Ends {
        WireguardKey alice, alice_public, bob, bob_public, psk;
        EnvelopeKeys sends, receives;
} Ends;

static void make_key(WireguardKey *private_key, WireguardKey *public_key)
{
        random_bytes(private_key->bytes, sizeof(private_key->bytes));
        cr_assert_eq(x25519_public_key(private_key, public_key), 0);
}

static void make_ends(Ends *e, bool psk)
{
        make_key(&e->alice, &e->alice_public);
        make_key(&e->bob, &e->bob_public);
        random_bytes(e->psk.bytes, sizeof(e->psk.bytes));
        e->sends = (EnvelopeKeys) { &e->alice, &e->alice_public, &e->bob_public, psk ? &e->psk : NULL };
        e->receives = (EnvelopeKeys) { &e->bob, &e->bob_public, &e->alice_public, psk ? &e->psk : NULL };
}

/* Envelopes of the other implementation: the good ones open, of the bad ones each for its own reason. */
Test(envelope, vectors)
{
        _cleanup_vectors_ Vectors v = vectors_load("envelope/vectors.txt");
        size_t seen[_ENVELOPE_ERROR_MAX] = {};
        char *f[7];

        while (vectors_next(&v, f, 7)) {
                WireguardKey private_key = unhex_key(f[2]), peer = unhex_key(f[3]), psk = {}, public_key;
                EnvelopeKeys keys = { &private_key, &public_key, &peer, &psk };
                EnvelopeError expected = envelope_error_from_string(f[1]), error = _ENVELOPE_ERROR_INVALID;
                _cleanup_free_ uint8_t *envelope = NULL, *body = NULL;
                _cleanup_free_ char *opened = NULL;
                size_t envelope_size, body_size, size = 0;

                cr_assert_geq((int) expected, 0, "%s", f[1]);
                cr_assert_eq(x25519_public_key(&private_key, &public_key), 0);
                if (!streq(f[4], "-"))
                        psk = unhex_key(f[4]);
                body = unhex(f[5], &body_size);
                envelope = unhex(f[6], &envelope_size);
                seen[expected]++;

                cr_expect_eq(envelope_open(&keys, envelope, envelope_size, &opened, &size, &error),
                             expected == ENVELOPE_OK ? 0 : -EBADMSG, "%s", f[0]);
                cr_expect_eq(error, expected, "%s: %s", f[0], envelope_error_to_string(error));
                if (expected == ENVELOPE_OK) {
                        cr_expect_eq(size, body_size, "%s", f[0]);
                        cr_expect_arr_eq(opened, body, body_size, "%s", f[0]);
                        cr_expect_eq(opened[size], '\0');
                }
        }
        for (size_t i = 0; i < ELEMENTSOF(seen); i++)
                cr_expect_gt(seen[i], 0, "%s", envelope_error_to_string(i));
}

Test(envelope, topics)
{
        _cleanup_vectors_ Vectors v = vectors_load("envelope/topics.txt");
        size_t n = 0;
        char *f[5];

        for (; vectors_next(&v, f, 5); n++) {
                WireguardKey private_key = unhex_key(f[0]), public_key = unhex_key(f[1]),
                             peer = unhex_key(f[2]);
                char sends[TOPIC_STRLEN], receives[TOPIC_STRLEN];
                EnvelopeKeys keys = { &private_key, &public_key, &peer, NULL };

                cr_assert_eq(envelope_derive_topics(&keys, sends, receives), 0);
                cr_expect_str_eq(sends, f[3]);
                cr_expect_str_eq(receives, f[4]);
        }
        cr_expect_eq(n, 3);
}

/* One side's way out is the other side's way in; no two ways are the same. */
Test(envelope, topics_meet)
{
        char a[TOPIC_STRLEN], b[TOPIC_STRLEN], c[TOPIC_STRLEN], d[TOPIC_STRLEN];
        Ends e;

        make_ends(&e, false);
        cr_assert_eq(envelope_derive_topics(&e.sends, a, b), 0);
        cr_assert_eq(envelope_derive_topics(&e.receives, c, d), 0);
        cr_expect_str_eq(a, d);
        cr_expect_str_eq(b, c);
        cr_expect_str_neq(a, b);
        cr_expect_eq(strlen(a), TOPIC_STRLEN - 1);
}

static void check_round_trip(bool psk, size_t size)
{
        _cleanup_free_ uint8_t *body = malloc(size), *envelope = NULL;
        _cleanup_free_ char *opened = NULL;
        EnvelopeError error = _ENVELOPE_ERROR_INVALID;
        size_t envelope_size, opened_size;
        Ends e;

        make_ends(&e, psk);
        random_bytes(body, size);
        cr_assert_eq(envelope_seal(&e.sends, body, size, &envelope, &envelope_size), 0);
        cr_expect_leq(envelope_size, ENVELOPE_SIZE_MAX);
        cr_assert_eq(envelope_open(&e.receives, envelope, envelope_size, &opened, &opened_size, &error), 0);
        cr_expect_eq(error, ENVELOPE_OK);
        cr_expect_eq(opened_size, size);
        cr_expect_arr_eq(opened, body, size);
        cr_expect_eq(opened[size], '\0');
}

Test(envelope, round_trip)
{
        for (size_t size = 0; size < ENVELOPE_BODY_MAX; size = size * 2 + 1) {
                check_round_trip(false, size);
                check_round_trip(true, size);
        }
        check_round_trip(false, ENVELOPE_BODY_MAX);
        check_round_trip(true, ENVELOPE_BODY_MAX);
}

Test(envelope, body_too_long)
{
        static const char body[ENVELOPE_BODY_MAX + 1];
        uint8_t *envelope = NULL;
        size_t size = 4242;
        Ends e;

        make_ends(&e, false);
        cr_expect_eq(envelope_seal(&e.sends, body, sizeof(body), &envelope, &size), -EMSGSIZE);
        cr_expect_null(envelope);
        cr_expect_eq(size, 4242);
}

/* The same body twice gives two envelopes that have nothing in common. */
Test(envelope, fresh)
{
        _cleanup_free_ uint8_t *a = NULL, *b = NULL;
        size_t n;
        Ends e;

        make_ends(&e, false);
        cr_assert_eq(envelope_seal(&e.sends, "body", 4, &a, &n), 0);
        cr_assert_eq(envelope_seal(&e.sends, "body", 4, &b, &n), 0);
        cr_expect_neq(memcmp(a + 1, b + 1, 32), 0);
        cr_expect_neq(memcmp(a + 33, b + 33, n - 33), 0);
}

Test(envelope, flipped_bits)
{
        _cleanup_free_ uint8_t *envelope = NULL;
        size_t size;
        Ends e;

        make_ends(&e, true);
        cr_assert_eq(envelope_seal(&e.sends, "body", 4, &envelope, &size), 0);
        for (size_t i = 0; i < size * 8; i++) {
                EnvelopeError error = ENVELOPE_OK;

                envelope[i / 8] ^= (uint8_t) (1 << i % 8);
                cr_expect_eq(try_open(&e.receives, envelope, size, &error), -EBADMSG, "bit %zu", i);
                cr_expect_eq(error, i < 8 ? ENVELOPE_UNKNOWN_VERSION : ENVELOPE_NOT_SEALED_FOR_US);
                envelope[i / 8] ^= (uint8_t) (1 << i % 8);
        }
        cr_expect_eq(try_open(&e.receives, envelope, size, NULL), 0);
}

/* What only somebody with the sender's key for HPKE could send: the signature and the body changed inside.
 */
Test(envelope, flipped_bits_inside)
{
        _cleanup_free_ uint8_t *envelope = NULL, *inner = NULL;
        uint8_t info[19 + 2 * WIREGUARD_KEY_SIZE] = "icewire envelope v1";
        size_t size, inner_size;
        HpkeParameters p;
        Ends e;

        make_ends(&e, false);
        memcpy(info + 19, e.alice_public.bytes, WIREGUARD_KEY_SIZE);
        memcpy(info + 51, e.bob_public.bytes, WIREGUARD_KEY_SIZE);
        cr_assert_eq(envelope_seal(&e.sends, "body", 4, &envelope, &size), 0);
        p = (HpkeParameters) { .private_key = &e.bob,
                               .peer = &e.alice_public,
                               .info = info,
                               .info_size = sizeof(info),
                               .aad = "\1",
                               .aad_size = 1 };
        cr_assert_eq(hpke_open(&p, envelope + 1, size - 1, &inner, &inner_size), 0);
        cr_assert_eq(inner_size, 64 + 4);
        p.private_key = &e.alice;
        p.peer = &e.bob_public;

        for (size_t i = 0; i <= inner_size * 8; i++) {
                _cleanup_free_ uint8_t *sealed = NULL;
                EnvelopeError error = _ENVELOPE_ERROR_INVALID;
                bool flip = i < inner_size * 8;
                size_t sealed_size;

                if (flip)
                        inner[i / 8] ^= (uint8_t) (1 << i % 8);
                cr_assert_eq(hpke_seal(&p, inner, inner_size, &sealed, &sealed_size), 0);
                memcpy(envelope + 1, sealed, sealed_size);
                cr_expect_eq(try_open(&e.receives, envelope, size, &error), flip ? -EBADMSG : 0);
                cr_expect_eq(error, flip ? ENVELOPE_BAD_SIGNATURE : ENVELOPE_OK, "bit %zu: %s", i,
                             envelope_error_to_string(error));
                if (flip)
                        inner[i / 8] ^= (uint8_t) (1 << i % 8);
        }
}

Test(envelope, cut_and_extended)
{
        _cleanup_free_ uint8_t *envelope = NULL, *longer = NULL;
        size_t size;
        Ends e;

        make_ends(&e, false);
        cr_assert_eq(envelope_seal(&e.sends, "body", 4, &envelope, &size), 0);
        longer = calloc(1, ENVELOPE_SIZE_MAX + 1);
        memcpy(longer, envelope, size);
        for (size_t n = 0; n <= size + 2; n++) {
                EnvelopeError error = _ENVELOPE_ERROR_INVALID;

                cr_expect_eq(try_open(&e.receives, longer, n, &error), n == size ? 0 : -EBADMSG);
                cr_expect_eq(error, n < 113     ? ENVELOPE_TOO_SHORT
                                    : n == size ? ENVELOPE_OK
                                                : ENVELOPE_NOT_SEALED_FOR_US);
        }
        for (size_t n = ENVELOPE_SIZE_MAX; n <= ENVELOPE_SIZE_MAX + 1; n++) {
                EnvelopeError error = _ENVELOPE_ERROR_INVALID;

                cr_expect_eq(try_open(&e.receives, longer, n, &error), -EBADMSG);
                cr_expect_eq(error, n > ENVELOPE_SIZE_MAX ? ENVELOPE_TOO_LONG : ENVELOPE_NOT_SEALED_FOR_US);
        }
}

/* Each key of the recipient replaced by another one, and the preshared key added or taken away. */
Test(envelope, wrong_keys)
{
        WireguardKey other, other_public, zero = {};
        Ends e;

        make_key(&other, &other_public);
        for (int psk = 0; psk <= 1; psk++) {
                _cleanup_free_ uint8_t *envelope = NULL;
                size_t size;

                make_ends(&e, psk);
                cr_assert_eq(envelope_seal(&e.sends, "body", 4, &envelope, &size), 0);
                for (int i = 0; i < 6; i++) {
                        EnvelopeKeys keys = e.receives;
                        EnvelopeError error = _ENVELOPE_ERROR_INVALID;
                        int expected = -EBADMSG;

                        switch (i) {
                        case 0:
                                expected = 0;
                                break;
                        case 1:
                                keys.private_key = &other;
                                keys.public_key = &other_public;
                                break;
                        case 2:
                                keys.peer = &other_public;
                                break;
                        case 3:
                                keys.preshared_key = &other;
                                break;
                        case 4:
                                keys.preshared_key = &zero;
                                expected = psk ? -EBADMSG : 0;
                                break;
                        case 5:
                                keys = e.sends;
                                break;
                        }
                        cr_expect_eq(try_open(&keys, envelope, size, &error), expected, "case %d", i);
                        cr_expect_eq(error, expected < 0 ? ENVELOPE_NOT_SEALED_FOR_US : ENVELOPE_OK);
                }
        }
}

static void expect_unfit(const EnvelopeKeys *keys, int open_result, const char *what)
{
        char sends[TOPIC_STRLEN] = "?", receives[TOPIC_STRLEN] = "!";
        _cleanup_free_ uint8_t *envelope = NULL;
        uint8_t garbage[200] = { 1 };
        size_t size;

        cr_expect_eq(envelope_seal(keys, "body", 4, &envelope, &size), -EINVAL, "%s", what);
        cr_expect_eq(try_open(keys, garbage, sizeof(garbage), NULL), open_result, "%s", what);
        cr_expect_eq(envelope_derive_topics(keys, sends, receives), -EINVAL, "%s", what);
        cr_expect_str_eq(sends, "?");
        cr_expect_str_eq(receives, "!");
}

Test(envelope, unfit_keys)
{
        WireguardKey zero = {}, small = { { 1 } };
        EnvelopeKeys keys;
        Ends e;

        make_ends(&e, false);
        keys = e.sends;
        keys.private_key = &zero;
        expect_unfit(&keys, -EINVAL, "no private key");
        keys = e.sends;
        keys.peer = &zero;
        expect_unfit(&keys, -EINVAL, "no peer");
        keys.peer = &e.alice_public;
        expect_unfit(&keys, -EINVAL, "peer is ourselves");
        keys.peer = &small;
        expect_unfit(&keys, -EBADMSG, "small order");
}

Test(envelope, error_table)
{
        for (EnvelopeError i = 0; i < _ENVELOPE_ERROR_MAX; i++) {
                cr_assert_not_null(envelope_error_to_string(i));
                cr_expect_eq(envelope_error_from_string(envelope_error_to_string(i)), i);
        }
        cr_expect_str_eq(envelope_error_to_string(ENVELOPE_TOO_LONG), "too-long");
        cr_expect_null(envelope_error_to_string(_ENVELOPE_ERROR_MAX));
        cr_expect_null(envelope_error_to_string(_ENVELOPE_ERROR_INVALID));
        cr_expect_eq(envelope_error_from_string("nonsense"), _ENVELOPE_ERROR_INVALID);
        cr_expect_eq(envelope_error_from_string(NULL), _ENVELOPE_ERROR_INVALID);
}
