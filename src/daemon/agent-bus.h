/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "authority.h"
#include "verbs.h"

/* org.icewire1 on the system bus: the same verbs as org.icewire.Agent, and the model as objects with
 * properties; dbus/ has the interfaces, with what each means. And org.freedesktop.LogControl1. Everybody may
 * read; who may change, polkit says (authority.h). */

#define AGENT_BUS_NAME "org.icewire1"

typedef struct AgentBus AgentBus;

/* Nothing happens while there is no bus. The bus, the verbs and the authority are borrowed and must outlive
 * it. -ENOMEM. */
int agent_bus_new(sd_event *event, SystemBus *bus, Verbs *verbs, Authority *authority, AgentBus **ret);
AgentBus *agent_bus_free(AgentBus *b);
DEFINE_TRIVIAL_CLEANUP_FUNC(AgentBus *, agent_bus_free);
