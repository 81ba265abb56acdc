/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Feeds a fuzzer the files of its corpus folder, each whole and cut short at every length, so that a plain
 * build tests the parser too. */

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fd-util.h"
#include "log.h"

#define INPUT_MAX (1024 * 1024)
#define CUT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of exactly that size, so that a sanitizer sees one byte too many. */
static void feed(const char *data, size_t size)
{
        uint8_t *exact = malloc(size);

        if (!exact && size > 0)
                abort();
        if (size > 0)
                memcpy(exact, data, size);
        (void) LLVMFuzzerTestOneInput(exact, size);
        free(exact);
}

static int feed_file(const char *folder, const char *name)
{
        char path[4096];
        char *data;
        size_t size;
        int r;

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        r = read_full_file(path, INPUT_MAX, &data, &size);
        if (r < 0)
                return log_error_errno(r, "Failed to read %s: %m", path);
        feed(data, size);
        for (size_t cut = 0; cut < size && cut < CUT_MAX; cut++)
                feed(data, cut);
        free(data);
        return 0;
}

int main(int argc, char *argv[])
{
        size_t n = 0;
        struct dirent *entry;
        DIR *d;

        if (argc != 2)
                return EXIT_FAILURE;
        /* A parser that logs above debug would drown the result; one that does is to be found by reading. */
        log_set_max_level(LOG_ERR);
        d = opendir(argv[1]);
        if (!d) {
                log_error_errno(errno, "Failed to open %s: %m", argv[1]);
                return EXIT_FAILURE;
        }
        while ((entry = readdir(d))) {
                if (entry->d_name[0] == '.')
                        continue;
                if (feed_file(argv[1], entry->d_name) < 0)
                        return EXIT_FAILURE;
                n++;
        }
        closedir(d);
        printf("%zu inputs\n", n);
        return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
