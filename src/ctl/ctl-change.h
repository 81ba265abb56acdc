/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-util.h"

/* The verbs that change something. icewired asks polkit whether the user may; if a person has to
 * authenticate for that, and may be asked here, polkit's agent for terminals is started. */

int verb_reconnect(const Ctl *ctl, int argc, char *argv[]);
int verb_policy(const Ctl *ctl, int argc, char *argv[]);
int verb_reload(const Ctl *ctl, int argc, char *argv[]);
