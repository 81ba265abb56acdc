/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-util.h"

/* One screen: the daemon, the broker, the rendezvous, the links, the peers. */
int verb_status(const Ctl *ctl, int argc, char *argv[]);
int verb_reload(const Ctl *ctl, int argc, char *argv[]);
