/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-util.h"

/* What connects us, line by line, as Describe and Diagnose say: the broker, the redirect, the rendezvous. */
void ctl_status_print_services(const Ctl *ctl, sd_json_variant *description);

/* One screen: the daemon, the broker, the rendezvous, the links, the peers. */
int verb_status(const Ctl *ctl, int argc, char *argv[]);
int verb_reload(const Ctl *ctl, int argc, char *argv[]);
