/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "encode.h"
#include "macro.h"
#include "random-util.h"
#include "wireguard-key.h"

/* RFC 4648, section 10, and the bytes that use the last characters of the alphabet. */
static const struct {
        const char *plain, *base64, *hex;
} vectors[] = {
        { "", "", "" },
        { "f", "Zg==", "66" },
        { "fo", "Zm8=", "666f" },
        { "foo", "Zm9v", "666f6f" },
        { "foob", "Zm9vYg==", "666f6f62" },
        { "fooba", "Zm9vYmE=", "666f6f6261" },
        { "foobar", "Zm9vYmFy", "666f6f626172" },
        { "\xfb\xff\xbf", "+/+/", "fbffbf" },
};

Test(encode, vectors)
{
        for (size_t i = 0; i < ELEMENTSOF(vectors); i++) {
                size_t n = strlen(vectors[i].plain), size = 42;
                char buf[32];
                uint8_t decoded[8];

                cr_expect_str_eq(base64_encode(vectors[i].plain, n, buf), vectors[i].base64);
                cr_expect_eq(strlen(buf) + 1, BASE64_SIZE(n));
                cr_expect_str_eq(hex_encode(vectors[i].plain, n, buf), vectors[i].hex);
                cr_expect_eq(strlen(buf) + 1, HEX_SIZE(n));

                cr_expect_eq(base64_decode(vectors[i].base64, strlen(vectors[i].base64), decoded,
                                           sizeof(decoded), &size),
                             0);
                cr_expect_eq(size, n);
                cr_expect_arr_eq(decoded, vectors[i].plain, n);
                cr_expect_eq(hex_decode(vectors[i].hex, 2 * n, decoded, sizeof(decoded), &size), 0);
                cr_expect_eq(size, n);
                cr_expect_arr_eq(decoded, vectors[i].plain, n);
        }
}

/* Random bytes of any length, in buffers of exactly the size. */
Test(encode, round_trip)
{
        for (size_t n = 0; n < 300; n++) {
                _cleanup_free_ uint8_t *plain = malloc(n), *decoded = malloc(n);
                _cleanup_free_ char *base64 = malloc(BASE64_SIZE(n)), *hex = malloc(HEX_SIZE(n));
                size_t size;

                random_bytes(plain, n);
                base64_encode(plain, n, base64);
                cr_assert_eq(base64_decode(base64, BASE64_SIZE(n) - 1, decoded, n, &size), 0);
                cr_assert_eq(size, n);
                cr_assert_arr_eq(decoded, plain, n);
                hex_encode(plain, n, hex);
                cr_assert_eq(hex_decode(hex, 2 * n, decoded, n, &size), 0);
                cr_assert_eq(size, n);
                cr_assert_arr_eq(decoded, plain, n);
        }
}

Test(encode, malformed_base64)
{
        static const char *const malformed[] = {
                "Z",        "Zg",       "Zg=",      "=",    "==",   "===",  "====", "Z===", "Zg=x",
                "Zg==Zg==", "Zm8=Zm8=", "Zm9v\n",   "Zm9 ", " Zm9", "Zm-v", "Zm_v", "Zh==", /* a bit that no
                                                                                               encoder sets
                                                                                             */
                "Zm9=",                                                                     /* likewise */
                "=m9v",     "Zm9v=",    "Zm9v====",
        };

        for (size_t i = 0; i < ELEMENTSOF(malformed); i++) {
                uint8_t decoded[16];
                size_t size = 42;

                cr_expect_eq(
                        base64_decode(malformed[i], strlen(malformed[i]), decoded, sizeof(decoded), &size),
                        -EINVAL, "%s", malformed[i]);
                cr_expect_eq(size, 42);
        }
}

/* Each byte that is not in the alphabet is refused, NUL and those behind 127 included. */
Test(encode, base64_alphabet)
{
        size_t good = 0, size;

        for (int c = 0; c < 256; c++) {
                char s[4] = { 'A', 'A', 'A', (char) c };
                uint8_t decoded[3];

                good += base64_decode(s, sizeof(s), decoded, sizeof(decoded), &size) == 0;
        }
        cr_expect_eq(good, 65, "the alphabet and the padding, not %zu", good);
}

Test(encode, malformed_hex)
{
        static const char *const malformed[] = {
                "6", "666", "6g", "6G", "6F", " 6", "6 ", "0x66", "\xff\xff"
        };

        for (size_t i = 0; i < ELEMENTSOF(malformed); i++) {
                uint8_t decoded[16];
                size_t size = 42;

                cr_expect_eq(hex_decode(malformed[i], strlen(malformed[i]), decoded, sizeof(decoded), &size),
                             -EINVAL, "%s", malformed[i]);
                cr_expect_eq(size, 42);
        }
}

Test(encode, no_room)
{
        uint8_t decoded[2];
        size_t size = 42;

        cr_expect_eq(base64_decode("Zm9v", 4, decoded, 2, &size), -ENOBUFS);
        cr_expect_eq(hex_decode("666f6f", 6, decoded, 2, &size), -ENOBUFS);
        cr_expect_eq(base64_decode("Zg==", 4, decoded, 0, &size), -ENOBUFS);
        cr_expect_eq(size, 42);
        cr_expect_eq(base64_decode("Zm8=", 4, decoded, 2, &size), 0);
}

Test(wireguard_key, round_trip)
{
        char base64[WIREGUARD_KEY_STRLEN], hex[HEX_SIZE(WIREGUARD_KEY_SIZE)];
        WireguardKey key, decoded;

        random_bytes(key.bytes, sizeof(key.bytes));
        wireguard_key_to_base64(&key, base64);
        cr_expect_eq(strlen(base64), 44);
        cr_expect_eq(wireguard_key_from_base64(base64, &decoded), 0);
        cr_expect(wireguard_key_equal(&key, &decoded));
        hex_encode(key.bytes, sizeof(key.bytes), hex);
        cr_expect_eq(wireguard_key_from_hex(hex, &decoded), 0);
        cr_expect(wireguard_key_equal(&key, &decoded));
}

Test(wireguard_key, malformed)
{
        static const char *const base64[] = {
                "",
                "AAAA",
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",  /* no padding */
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* 33 bytes */
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", /* 31 bytes */
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", /* a stray bit */
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        };
        static const char *const hex[] = {
                "",
                "000000000000000000000000000000000000000000000000000000000000000",
                "00000000000000000000000000000000000000000000000000000000000000000",
                "000000000000000000000000000000000000000000000000000000000000000A",
        };
        WireguardKey key = { { 42 } }, untouched = key;

        for (size_t i = 0; i < ELEMENTSOF(base64); i++)
                cr_expect_eq(wireguard_key_from_base64(base64[i], &key), -EINVAL, "%s", base64[i]);
        for (size_t i = 0; i < ELEMENTSOF(hex); i++)
                cr_expect_eq(wireguard_key_from_hex(hex[i], &key), -EINVAL, "%s", hex[i]);
        cr_expect(wireguard_key_equal(&key, &untouched));
        cr_expect_eq(wireguard_key_from_base64("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &key), 0);
        cr_expect(wireguard_key_is_zero(&key));
}

Test(wireguard_key, order_and_zero)
{
        WireguardKey a = { { 1 } }, b = { { 2 } }, c = {};

        c.bytes[31] = 255;
        cr_expect_lt(wireguard_key_compare(&a, &b), 0);
        cr_expect_gt(wireguard_key_compare(&a, &c), 0, "the first byte weighs most");
        cr_expect_eq(wireguard_key_compare(&a, &a), 0);
        cr_expect(!wireguard_key_is_zero(&a) && !wireguard_key_is_zero(&c));
        wireguard_key_erase(&c);
        cr_expect(wireguard_key_is_zero(&c));
}
