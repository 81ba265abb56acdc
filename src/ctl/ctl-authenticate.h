/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ctl-util.h"

/* icewired asks polkit whether the user may. If that takes a person who authenticates, it says so, unless
 * the call allows to ask for it: then there has to be somebody who asks. */

/* After such an answer: starts polkit's agent for terminals, unless the user has forbidden it, and adds to
 * *parameters that it may be used. The connection then waits for as long as a person needs. -EACCES, of
 * which the user was told. action: polkit's. */
int ctl_authenticate(const Ctl *ctl, sd_varlink *link, const char *action, sd_json_variant **parameters);

/* When the answer is the same after that. -EACCES. */
int ctl_not_authenticated(const char *action);

/* ctl_call() for what polkit is asked about. */
int ctl_call_authorised(const Ctl *ctl, sd_varlink *link, const char *method, const char *action,
                        sd_json_variant *parameters, sd_json_variant **ret);
