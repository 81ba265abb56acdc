/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "conf-file.h"
#include "config-secrets.h"

/* The settings that there are, and what an assignment to each does. */

/* While the files are being read. */
typedef struct ConfigLoader {
        Config *config;            /* owned; what was read so far */
        SecretSources secrets;     /* are read at the end */
        SecretSource turn_servers; /* no path: only where they are */
        PeerSections peers;
        unsigned n_problems;
} ConfigLoader;

/* For conf_load() and conf_parse(); userdata is the loader. What is wrong is logged and counted. */
extern const ConfCallbacks config_callbacks;
