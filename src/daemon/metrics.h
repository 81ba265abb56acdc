/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "agent-json.h"

/* What can be measured, in the form of io.systemd.Metrics: families of numbers and strings, each about the
 * host, a link, a peer, a rendezvous or a TURN server, which is the first word of its name. Of keys only
 * public ones. A name ends with its unit, Bytes or USec, where it has one. */

#define METRICS_PREFIX "org.icewire.Agent."

/* Each family as Describe replies it, and each metric as List does, family by family in the same order, in
 * `array`. -ENOMEM. */
int metrics_describe(JsonArray *array);
int metrics_list(const Manager *m, JsonArray *array);
