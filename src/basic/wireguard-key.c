/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wireguard-key.h"

#include <errno.h>

int wireguard_key_from_base64(const char *s, WireguardKey *ret)
{
        _cleanup_key_ WireguardKey key;
        size_t size;

        if (strlen(s) != WIREGUARD_KEY_STRLEN - 1 ||
            base64_decode(s, WIREGUARD_KEY_STRLEN - 1, key.bytes, sizeof(key.bytes), &size) < 0 ||
            size != WIREGUARD_KEY_SIZE)
                return -EINVAL;
        *ret = key;
        return 0;
}

char *wireguard_key_to_base64(const WireguardKey *key, char buf[static WIREGUARD_KEY_STRLEN])
{
        return base64_encode(key->bytes, sizeof(key->bytes), buf);
}

int wireguard_key_from_hex(const char *s, WireguardKey *ret)
{
        _cleanup_key_ WireguardKey key;
        size_t size;

        if (strlen(s) != 2 * WIREGUARD_KEY_SIZE ||
            hex_decode(s, 2 * WIREGUARD_KEY_SIZE, key.bytes, sizeof(key.bytes), &size) < 0)
                return -EINVAL;
        *ret = key;
        return 0;
}

bool wireguard_key_is_zero(const WireguardKey *key)
{
        uint8_t all = 0;

        for (size_t i = 0; i < sizeof(key->bytes); i++)
                all |= key->bytes[i];
        return all == 0;
}
