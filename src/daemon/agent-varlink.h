/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "authority.h"
#include "verbs.h"

/* org.icewire.Agent, io.systemd.service and io.systemd.Metrics over Varlink. Everyone may read; who may
 * change, polkit says (authority.h). */

typedef struct AgentVarlink AgentVarlink;

/* Listens on the sockets that systemd passed, or else at `address`. The verbs and the authority are
 * borrowed and must outlive it. sd-varlink's errors. */
int agent_varlink_new(sd_event *event, Verbs *verbs, Authority *authority, const char *address,
                      AgentVarlink **ret);
AgentVarlink *agent_varlink_free(AgentVarlink *v);
DEFINE_TRIVIAL_CLEANUP_FUNC(AgentVarlink *, agent_varlink_free);
