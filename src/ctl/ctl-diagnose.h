/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-util.h"

/* A StunServer of org.icewire.Agent as plain data; strings are lent by the JSON. Absent: NULL, or
 * USEC_INFINITY for the round-trip time. */
typedef struct CtlStunServer {
        const char *address;
        const char *mapped;
        usec_t round_trip_time;
        const char *error;
} CtlStunServer;

/* A Mapping, likewise. */
typedef struct CtlMapping {
        const char *link;
        const char *local;
        const char *mapped;
        const char *kind;
        int port_kept; /* -1: absent */
        const char *hairpin;
        const char *error;
        CtlStunServer *servers; /* owned */
        size_t n_servers;
} CtlMapping;

/* -EINVAL: not a Mapping; -ENOMEM. Unknown members are skipped. */
int ctl_mapping_parse(sd_json_variant *v, CtlMapping *ret);
void ctl_mapping_done(CtlMapping *mapping);

/* What is wrong with a mapping and what to do about it, one sentence; NULL: nothing. The caller owns it. */
char *ctl_mapping_advice(const CtlMapping *mapping);

/* What the network is like: asks and waits for the answer. */
int verb_diagnose(const Ctl *ctl, int argc, char *argv[]);
