/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>

#include "alloc-util.h"
#include "encode.h"
#include "fd-util.h"
#include "string-util.h"
#include "wireguard-key.h"

/* Test vectors in files below test/unit/data: one a line, fields in hexadecimal ("-": empty) separated by
 * blanks, comments behind '#'. Whatever is wrong with a file fails the test. */

typedef struct Vectors {
        char *text, *rest;
} Vectors;

static inline Vectors vectors_load(const char *name)
{
        Vectors v;
        char path[4096];

        cr_assert(getenv("ICEWIRE_TEST_DATA"), "run me through meson test");
        snprintf(path, sizeof(path), "%s/%s", getenv("ICEWIRE_TEST_DATA"), name);
        cr_assert_eq(read_full_file(path, 1024 * 1024, &v.text, NULL), 0, "cannot read %s", path);
        v.rest = v.text;
        return v;
}

static inline void vectors_done(Vectors *v)
{
        free(v->text);
}
#define _cleanup_vectors_ _cleanup_(vectors_done)

/* The next vector, cut into exactly n fields that live as long as v; false at the end. */
static inline bool vectors_next(Vectors *v, char **fields, size_t n)
{
        char *line, *save = NULL;

        do
                line = strsep(&v->rest, "\n");
        while (line && (*line == '#' || !*line));
        if (!line)
                return false;
        for (size_t i = 0; i < n; i++, line = NULL) {
                fields[i] = strtok_r(line, " ", &save);
                cr_assert(fields[i], "field %zu is missing", i);
        }
        cr_assert(!strtok_r(NULL, " ", &save), "there are too many fields");
        return true;
}

/* In memory of exactly that size, so that a sanitizer sees one byte too many; the caller owns it. */
static inline uint8_t *unhex(const char *s, size_t *ret_size)
{
        size_t n = streq(s, "-") ? 0 : strlen(s);
        uint8_t *bytes = malloc(n / 2);

        cr_assert_eq(hex_decode(s, n, bytes, n / 2, ret_size), 0, "not hexadecimal: %s", s);
        return bytes;
}

static inline void unhex_exactly(const char *s, void *ret, size_t size)
{
        size_t n;

        cr_assert_eq(hex_decode(s, strlen(s), ret, size, &n), 0, "not hexadecimal: %s", s);
        cr_assert_eq(n, size);
}

static inline WireguardKey unhex_key(const char *s)
{
        WireguardKey key;

        unhex_exactly(s, key.bytes, sizeof(key.bytes));
        return key;
}
