/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-util.h"

/* The command line: options, verbs, and --help, which is made from the tables of both. */

typedef struct CtlVerb {
        const char *name;
        const char *arguments; /* as --help shows them; NULL: none */
        const char *help;      /* lines, with a newline between */
        int min, max;          /* arguments */
        int (*run)(const Ctl *ctl, int argc, char *argv[]);
} CtlVerb;

/* Sets *ctl, with what the environment says and then the options; optind is the first argument. 1: go on;
 * 0: --help or --version, which were printed; -EINVAL, of which the user was told. */
int ctl_options_parse(Ctl *ctl, int argc, char *argv[], const CtlVerb *verbs, size_t n_verbs);

void ctl_options_help(const Ctl *ctl, const CtlVerb *verbs, size_t n_verbs);

/* "icewirectl peer [LINK] PEER". The caller owns it. */
char *ctl_options_usage(const CtlVerb *verb);
