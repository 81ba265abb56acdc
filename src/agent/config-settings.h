/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "conf-file.h"
#include "config-secrets.h"
#include "log-event.h"

/* The settings that there are, and what an assignment to each does. icewire.conf(5) and units/icewire.conf
 * have the same ones, in the same words; a test compares the three. */

typedef struct Context Context; /* of an assignment */

typedef struct ConfigSetting {
        const char *section;
        const char *key;
        const char *form;   /* what a value is, or each word of it, for messages */
        bool list;          /* of words; assignments add up */
        const char *preset; /* what an empty assignment, or none, stands for; NULL: nothing */
        int (*assign)(Context *c, const char *value);
} ConfigSetting;

/* The settings in the order of icewire.conf; NULL: there are no more. */
const ConfigSetting *config_setting(size_t i);

/* While the files are being read. */
typedef struct ConfigLoader {
        Config *config;            /* owned; what was read so far */
        SecretSources secrets;     /* are read at the end */
        SecretSource turn_servers; /* no path: only where they are */
        PeerSections peers;
        unsigned n_problems;
} ConfigLoader;

/* Logs what is wrong at a line of a file; 0: no line in particular. */
#define log_config_problem(file, line, ...)                                                                 \
        ((void) log_event(LOG_WARNING, 0, LOG_EVENT_CONFIGURATION_PROBLEM,                                  \
                          (LOG_FIELD("CONFIG_FILE=%s", file), LOG_FIELD("CONFIG_LINE=%u", line)),           \
                          __VA_ARGS__))

/* For conf_load() and conf_parse(); userdata is the loader. What is wrong is logged and counted. */
extern const ConfCallbacks config_callbacks;
