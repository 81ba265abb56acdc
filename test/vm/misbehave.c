/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* misbehave overflow|heap|leak: what test/vm/run has to find in the journal. Built with the sanitizers also
 * where nothing else is. */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char *argv[])
{
        const char *what = argc > 1 ? argv[1] : "";
        char *volatile p = malloc(16);
        volatile int n = INT_MAX;

        if (strcmp(what, "overflow") == 0)
                n += argc;
        if (strcmp(what, "heap") == 0) {
                free(p);
                printf("%d\n", p[0]);
        }
        if (strcmp(what, "leak") == 0)
                p = NULL;
        free(p);
        return 0;
}
