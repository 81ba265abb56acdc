/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-json.h>

#include "manager.h"

/* What the network is like, found out anew on demand: every name is resolved and every server asked, from
 * each link's port at each of our addresses, or (where WireGuard's ports are not shared) from ports of our
 * own. One run at a time. */

typedef struct Diagnosis Diagnosis;

/* reply: that of Diagnose, lent: what is known so far, each time that is more, or (finished) all, for the
 * last time; then NULL: out of memory. Never from inside diagnosis_run(). */
typedef void (*diagnosis_callback_t)(Diagnosis *d, sd_json_variant *reply, bool finished, void *userdata);

/* The manager is borrowed and must outlive it. */
int diagnosis_new(sd_event *event, Manager *manager, diagnosis_callback_t callback, void *userdata,
                  Diagnosis **ret);
Diagnosis *diagnosis_free(Diagnosis *d);
DEFINE_TRIVIAL_CLEANUP_FUNC(Diagnosis *, diagnosis_free);

/* Starts a run; one that is under way is joined, and one that ended less than a second ago is told again, so
 * that nobody can make us ask the servers all the time. sd-event's errors. */
int diagnosis_run(Diagnosis *d);
