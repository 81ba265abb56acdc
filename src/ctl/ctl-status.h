/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-util.h"

/* What connects us, as Describe and Diagnose say: the broker, the redirect, the rendezvous. brief: a line
 * for each, and of many rendezvous only some, those with a problem first. Returns how many lines these are
 * then. */
size_t ctl_status_print_services(const Ctl *ctl, sd_json_variant *description, bool brief);

/* One screen: whether peers can reach us, the broker, the rendezvous, the links, the peers, and why some
 * have no direct path. */
int verb_status(const Ctl *ctl, int argc, char *argv[]);
