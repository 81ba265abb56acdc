/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "config.h"

/* Where the secrets come from: credentials of systemd first, then the files that the configuration names.
 * They are read when every file of the configuration was. */

typedef struct SecretSource {
        char *path; /* NULL: none is named */
        char *file; /* which file says so, and where */
        unsigned line;
} SecretSource;

typedef struct SecretSources {
        SecretSource mqtt_password;
        SecretSource mqtt_identity;
        SecretSource turn_password;
        SecretSource turn_secret;
} SecretSources;

void secret_sources_done(SecretSources *sources);

/* path: empty is none. file, line: where that stands, for messages. -ENOMEM. */
int secret_source_set(SecretSource *source, const char *path, const char *file, unsigned line);

/* Fills the secrets of *config from $CREDENTIALS_DIRECTORY ("mqtt.password", "mqtt.identity",
 * "turn.password", "turn.secret", each also with "icewire." in front) or else from the files. What cannot be
 * read, or can be read by everybody, is logged and counted. -ENOMEM. */
int secrets_load(const SecretSources *sources, Config *config, unsigned *n_problems);
