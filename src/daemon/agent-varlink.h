/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "manager.h"

/* org.icewire.Agent and io.systemd.service over Varlink. Everyone may read; root and our own user may
 * change. */

typedef struct AgentVarlink AgentVarlink;

/* How Reload is done. 0, and how much of the configuration was wrong and skipped in *ret_n_problems;
 * negative if it could not be read, with what was wrong in *ret_message (caller owns; may stay NULL). */
typedef int (*agent_reload_t)(void *userdata, unsigned *ret_n_problems, char **ret_message);

/* Listens on the sockets that systemd passed, or else at `address`. The manager is borrowed and must outlive
 * it. sd-varlink's errors. */
int agent_varlink_new(sd_event *event, Manager *manager, const char *address, agent_reload_t reload,
                      void *userdata, AgentVarlink **ret);
AgentVarlink *agent_varlink_free(AgentVarlink *v);
DEFINE_TRIVIAL_CLEANUP_FUNC(AgentVarlink *, agent_varlink_free);

/* For ManagerCallbacks: tell who watches. */
void agent_varlink_link_changed(AgentVarlink *v, const Link *link, bool removed);
void agent_varlink_peer_changed(AgentVarlink *v, const Peer *peer, bool removed);
void agent_varlink_rendezvous_changed(AgentVarlink *v, const Rendezvous *r, bool removed);
