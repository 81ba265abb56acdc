/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "probe.h"

/* A direct path that has died, while another one, or none, carries the traffic. It is probed every few
 * seconds, by both sides, which also keeps the NATs on the way open; when it answers, the peer looks for a
 * path at once, instead of when its back-off says so. Only for as long as there is traffic to the peer, or
 * for ten minutes. */

typedef struct LostPath LostPath;

/* Takes the probe over, also where it fails. -ENOMEM, sd-event's errors. */
int lost_path_new(Peer *peer, Probe *probe, LostPath **ret);
LostPath *lost_path_free(LostPath *lost);
DEFINE_TRIVIAL_CLEANUP_FUNC(LostPath *, lost_path_free);

/* Borrowed. */
Probe *lost_path_probe(const LostPath *lost);
