/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "agent-varlink.h"
#include "varlink-util.h"

/* What the server (agent-varlink.c), its methods (agent-methods.c) and Watch (agent-watch.c) share. */

/* Somebody who is connected: the userdata of every method. sd-varlink keeps connections beyond the end of
 * their server, so we know them. There is one call at a time on each. */
typedef struct Connection Connection;
typedef int (*agent_answer_t)(Connection *c);
struct Connection {
        AgentVarlink *server;
        sd_varlink *link;            /* a reference */
        VerbsWait *wait;             /* for what the call that is under way needs; NULL: nothing */
        agent_answer_t answer;       /* to that call, with counters that are fresh */
        bool more;                   /* it takes several replies */
        AuthorityQuestion *question; /* about that call; NULL: none is open */
        const char *action;          /* what it is, or was, about */
        AuthorityVerdict verdict;    /* what came of it; PENDING: nothing yet */
        verbs_peer_t add;            /* what it wants of each peer, into a JsonArray */
        Connection *prev, *next;
};

struct AgentVarlink {
        Verbs *verbs;         /* borrowed */
        Authority *authority; /* borrowed */
        sd_varlink_server *server;
        VerbsListener listener;
        VarlinkWatchers watchers;
        Connection *connections;
};

/* May a call wait, be it for polkit or for what it needs? To be called before anything with an effect, by a
 * method that returns what this returns unless that is 0. -EBUSY: something is waited for already. */
int agent_check_wait(const Connection *c);

/* May the caller have this done (authority.h), and may the call wait (as above)? To be called before
 * anything with an effect, by a method that returns what this returns unless that is 0. 0: it may; 1: polkit
 * is being asked, and the method runs again from the top when it has answered; negative: it may not, and has
 * been told so. */
int agent_authorise(Connection *c, const char *action, bool interactive);

/* Has the call answered when all counters have been read for it; at once if that cannot be. To be called
 * last, by a method that returns what this returns. answer() returns what a method does. */
int agent_answer_fresh(Connection *c, agent_answer_t answer);

/* Binds all methods of org.icewire.Agent, and io.systemd.service's Reload. */
int agent_methods_bind(sd_varlink_server *server);

/* … and those of io.systemd.Metrics. */
int agent_metrics_bind(sd_varlink_server *server);

/* What went wrong while the client waited, unless it has been told already. One that does not read what it
 * asked for (16 MiB of it are kept) is disconnected. */
void agent_connection_fail(Connection *c, int error);

/* Watch. */
int agent_method_watch(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                       void *userdata);

/* SetLogLevel of io.systemd.service. */
int agent_method_set_log_level(sd_varlink *link, sd_json_variant *parameters,
                               sd_varlink_method_flags_t flags, void *userdata);

/* A VerbsListener that tells those who watch; its userdata is to be the server. */
extern const VerbsListener agent_watch_listener;
