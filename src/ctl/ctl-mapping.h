/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-json.h>

#include "macro.h"
#include "time-util.h"

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

/* Can peers reach the port that a mapping is about? The better, the later. */
typedef enum CtlReach {
        CTL_REACH_UNKNOWN, /* nobody could be asked, or has answered yet */
        CTL_REACH_NO,      /* no server answers */
        CTL_REACH_HARDLY,  /* the NAT shows each server another address or port */
        CTL_REACH_LAN,     /* there is no server to ask: nobody knows what is beyond */
        CTL_REACH_MAYBE,   /* one server's word only */
        CTL_REACH_NAT,     /* through a NAT that is no obstacle */
        CTL_REACH_YES,     /* there is no NAT */
        _CTL_REACH_MAX,
} CtlReach;

CtlReach ctl_mapping_reach(const CtlMapping *mapping);

/* "reachable", "hard to reach", … */
const char *ctl_reach_to_string(CtlReach reach);

/* "wg0 at 192.0.2.1:51820 through a NAT": that about `what` in more words. Not escaped; the caller owns it.
 */
char *ctl_mapping_explain(const CtlMapping *mapping, const char *what);
