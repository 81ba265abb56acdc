/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ice.h"

/* What is known of one configured TURN server: evidence for people, and for why a peer has no relay. Plain
 * data; relays.h decides it. */

typedef enum RelayState {
        RELAY_STATE_UNKNOWN,     /* not asked since the configuration was read */
        RELAY_STATE_OK,          /* it has given an allocation when last asked */
        RELAY_STATE_UNREACHABLE, /* its name does not resolve, nothing answers, or it refuses connections */
        RELAY_STATE_CERTIFICATE_REFUSED, /* we refuse its certificate: not valid for the name, expired, … */
        RELAY_STATE_CREDENTIALS_REFUSED, /* it refuses our user name or password */
        RELAY_STATE_REFUSED,             /* it answers but gives no allocation: quota, capacity, … */
        _RELAY_STATE_MAX,
        _RELAY_STATE_INVALID = -EINVAL,
} RelayState;

DECLARE_STRING_TABLE(relay_state, RelayState); /* "unknown", "ok", "unreachable", … */

typedef struct RelayStatus {
        IceServerKind kind;
        char *name; /* as configured, with the port: "turn.example:3478" */
        RelayState state;
        char *text;   /* why, for people; NULL: nothing to say */
        usec_t since; /* CLOCK_BOOTTIME: when this state was found */
} RelayStatus;

/* Of several the one that says most about why there is no relay: one that works, if there is any; then what
 * a person can mend (certificate, credentials), then the others. NULL: none. */
const RelayStatus *relay_status_best(const RelayStatus *statuses, size_t n);

/* That of this server; NULL: there is none. */
const RelayStatus *relay_status_find(const RelayStatus *statuses, size_t n, IceServerKind kind,
                                     const char *name);
