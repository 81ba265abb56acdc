/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-util.h"

/* What io.systemd.Metrics tells of icewired, as OpenMetrics text. */
int verb_metrics(const Ctl *ctl, int argc, char *argv[]);
