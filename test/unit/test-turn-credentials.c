/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "alloc-util.h"
#include "turn-credentials.h"

static void expect(const char *secret, const char *user, usec_t expires, const char *username,
                   const char *password)
{
        _cleanup_free_ char *u = NULL;
        _cleanup_erase_free_ char *p = NULL;

        cr_assert_geq(turn_credentials_make(secret, user, expires, &u, &p), 0);
        cr_assert_str_eq(u, username);
        cr_assert_str_eq(p, password);
}

/* The passwords are what printf USERNAME | openssl dgst -sha1 -hmac SECRET -binary | base64 says. */
Test(turn_credentials, are_what_the_draft_says)
{
        expect("north", "alice", 1700000000 * USEC_PER_SEC + 999999, "1700000000:alice",
               "Cd/49soE35ICqcJF/bCTn8Z4OyE=");
        expect("north", NULL, 1700000000 * USEC_PER_SEC, "1700000000", "CWyHi3zCeWqXBir9thl4m+iZPRY=");
        expect("south", "alice", 1700000000 * USEC_PER_SEC, "1700000000:alice",
               "FJeNoC0yJtNekwCa5JT/sW/1Ls4=");
}
