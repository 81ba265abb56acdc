/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-util.h"

/* Everything as it is, then one line for each change, until interrupted. */
int verb_monitor(const Ctl *ctl, int argc, char *argv[]);
