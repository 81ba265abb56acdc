/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "liveness.h"
#include "path.h"

typedef struct LostPath LostPath;
typedef struct Peer Peer;
typedef struct Probe Probe;
typedef struct Session Session;

/* Whether a peer's path works, from readings of its link and probes of its own; when it does not, another
 * one is looked for beside it. What the probes measure is the path's round-trip time. */
typedef struct Pulse {
        Liveness liveness;
        Probe *probe; /* of the path in use; NULL: it cannot be probed */
        LostPath *lost;
        sd_event_source *timer;
        sd_event_source *open_timer; /* keeps the NATs on the way open where WireGuard does not */
} Pulse;

/* Another path is in use than before, or none, or the same has another endpoint. */
void pulse_path_changed(Peer *peer, const Path *before);

/* A new reading of the peer is in. */
void pulse_follow(Peer *peer);

/* The session is about to be freed: what is asked for its ufrag is answered by probes from now on, and what
 * was probed through it no longer is. */
void pulse_session_ends(const Session *session);

/* The path's endpoint is set again: nothing of what was seen since holds for it. */
void pulse_start_over(Peer *peer);

/* Nothing comes through the path in use, although something should. */
bool pulse_is_dead(const Peer *peer);

/* Frees what it has. */
void pulse_done(Peer *peer);
