/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-util.h"

/* All about one peer, on each link that has it. */
int verb_peer(const Ctl *ctl, int argc, char *argv[]);
