/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "agent-bus.h"
#include "agent-varlink.h"
#include "authority.h"
#include "logind.h"
#include "manager.h"
#include "watchdog.h"

/* What icewired consists of. The model is the manager's; this holds it, its rendezvous and its API together.
 */
typedef struct Daemon {
        sd_event *event;
        Manager *manager;
        Verbs *verbs; /* what the APIs do with it */
        VerbsListener listener;
        AgentVarlink *varlink;
        SystemBus *bus;
        Authority *authority;
        AgentBus *agent_bus;
        Logind *logind;            /* NULL: sleep goes unnoticed */
        Config *rendezvous_config; /* what the rendezvous were made from, and borrow from */
        Watchdog *watchdog;        /* NULL: there is none to feed */
        sd_event_source *status;   /* tells systemd how we are, once per turn */
        const char *broker_path;
        const char *varlink_path;
        bool only_check, quiet;
} Daemon;

/* Makes the rendezvous that the manager's configuration asks for, unless they are there already. One that
 * cannot be made is logged and left out. -ENOMEM. */
int daemon_set_up_rendezvous(Daemon *d);

/* Reads the configuration again and puts it in force: a verbs_reload_t. At a start a daemon has to make do
 * with what makes sense; here there is a configuration that works, and it stays unless the new one makes
 * sense as a whole, but for secrets. -EBADMSG: it does not, the problems are in the log; and config_load()'s
 * errors. */
int daemon_reload(void *userdata, unsigned *ret_n_problems, char **ret_message);
