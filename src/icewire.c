/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "icewire-broker.h"
#include "icewirectl.h"
#include "icewired.h"
#include "string-util.h"

/* One executable with several names: a single file to install, one copy of every library in memory. */

static const struct {
        const char *name;
        int (*run)(int argc, char *argv[]);
} personalities[] = {
        { "icewired", icewired_run },
        { "icewire-broker", icewire_broker_run },
        { "icewirectl", icewirectl_run },
};

static int usage(FILE *f)
{
        fprintf(f, "usage: icewire NAME [ARGUMENT…], or by a link of that name. Names:\n");
        for (size_t i = 0; i < ELEMENTSOF(personalities); i++)
                fprintf(f, "  %s\n", personalities[i].name);
        return f == stdout ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run(const char *name, int argc, char *argv[])
{
        for (size_t i = 0; i < ELEMENTSOF(personalities); i++)
                if (streq(personalities[i].name, name))
                        return personalities[i].run(argc, argv);
        return -1;
}

int main(int argc, char *argv[])
{
        const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
        int r;

        r = run(slash ? slash + 1 : argc > 0 ? argv[0] : "", argc, argv);
        if (r >= 0)
                return r;
        if (argc < 2)
                return usage(stderr);
        if (streq(argv[1], "--help") || streq(argv[1], "-h"))
                return usage(stdout);
        r = run(argv[1], argc - 1, argv + 1);
        return r >= 0 ? r : usage(stderr);
}
