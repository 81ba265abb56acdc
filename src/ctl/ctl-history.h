/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-peers.h"

/* A PathSummary of org.icewire.Agent as plain data; strings are lent by the JSON. Absent: NULL. */
typedef struct CtlPathSummary {
        const char *kind;
        CtlCandidate local, remote;
} CtlPathSummary;

/* A PathChange, likewise. */
typedef struct CtlPathChange {
        const char *link, *public_key; /* of the PeerHistory that it is from */
        usec_t time;                   /* CLOCK_REALTIME */
        usec_t boottime;               /* the same by CLOCK_BOOTTIME, which nobody sets */
        CtlPathSummary from, to;
        const char *cause;
} CtlPathChange;

/* -EINVAL: not a PathChange. Unknown members are skipped. */
int ctl_path_change_parse(sd_json_variant *v, CtlPathChange *ret);

/* "direct srflx → host 192.0.2.1:51820": the kind, what the two ends are, and where the peer is. The caller
 * owns it, and escapes it before it meets the terminal. */
char *ctl_path_summary(const CtlPathSummary *path);

int verb_history(const Ctl *ctl, int argc, char *argv[]);
