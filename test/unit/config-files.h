/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Configuration out of texts and out of trees of files, and what is logged about it. */

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "conf-file.h"
#include "config.h"
#include "log.h"

static inline Config *parse(const char *text, unsigned expected_problems)
{
        Config *config = NULL;
        unsigned n = 0;

        cr_assert_eq(config_parse("test.conf", text, strlen(text), &config, &n), 0);
        cr_assert_eq(n, expected_problems, "%u problems instead of %u in: %s", n, expected_problems, text);
        return config;
}

/* What the code under test logs, which is what the user gets to see. */
typedef struct Capture {
        int file, saved;
} Capture;

static inline Capture capture_start(void)
{
        Capture c = { .file = memfd_create("log", MFD_CLOEXEC), .saved = dup(STDERR_FILENO) };

        cr_assert(c.file >= 0 && c.saved >= 0);
        cr_assert(dup2(c.file, STDERR_FILENO) >= 0);
        return c;
}

static inline char *capture_end(Capture *c)
{
        static char text[65536];
        ssize_t n;

        cr_assert(dup2(c->saved, STDERR_FILENO) >= 0);
        n = pread(c->file, text, sizeof(text) - 1, 0);
        cr_assert(n >= 0);
        text[n] = '\0';
        close(c->file);
        close(c->saved);
        return text;
}

static inline int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        return remove(path);
}

static char config_root[] = "/tmp/icewire-test-XXXXXX";

static inline void put(const char *path, const char *text)
{
        char full[512];
        FILE *f;

        snprintf(full, sizeof(full), "%s%s", config_root, path);
        for (char *p = full + strlen(config_root) + 1; (p = strchr(p, '/')); *p++ = '/') {
                *p = '\0';
                cr_assert(mkdir(full, 0755) >= 0 || errno == EEXIST);
        }
        f = fopen(full, "we");
        cr_assert_not_null(f);
        fputs(text, f);
        fclose(f);
}

static inline void make_root(void)
{
        cr_assert_not_null(mkdtemp(config_root));
        unsetenv("CREDENTIALS_DIRECTORY");
}

static inline void remove_root(void)
{
        nftw(config_root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline Config *load(void)
{
        Config *config = NULL;

        cr_assert_eq(config_load(config_root, &config, NULL), 0);
        return config;
}
