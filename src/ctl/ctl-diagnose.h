/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-util.h"

/* What the network is like: asks and waits for the answer. */
int verb_diagnose(const Ctl *ctl, int argc, char *argv[]);
