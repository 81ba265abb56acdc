/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-util.h"

/* What connects us, line by line, as Describe and Diagnose say: the broker, the redirect, the rendezvous. Of
 * many rendezvous at most `max`, those with a problem first (0: all). Returns how many lines these are. */
size_t ctl_status_print_services(const Ctl *ctl, sd_json_variant *description, size_t max);

/* "  Label       state rest", cut where the line ends. state: coloured; colour and rest: NULL: none. All is
 * escaped. */
void ctl_print_field(const Ctl *ctl, const char *label, const char *state, const char *colour,
                     const char *rest);

/* One screen: whether peers can reach us, the broker, the rendezvous, the links, the peers, and why some
 * have no direct path. */
int verb_status(const Ctl *ctl, int argc, char *argv[]);
