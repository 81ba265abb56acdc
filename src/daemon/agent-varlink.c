/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <utlist.h>

#include "agent-varlink-internal.h"
#include "alloc-util.h"
#include "varlink-agent.h"
#include "varlink-service.h"

#define CONNECTIONS_MAX 256
#define CONNECTIONS_PER_USER_MAX 64

static int on_connect(sd_varlink_server *s, sd_varlink *link, void *userdata)
{
        AgentVarlink *v = userdata;
        Connection *c = new (Connection, 1);

        if (!c)
                return -ENOMEM;
        *c = (Connection) { .server = v, .link = sd_varlink_ref(link), .verdict = AUTHORITY_PENDING };
        (void) sd_varlink_set_userdata(link, c);
        DL_APPEND(v->connections, c);
        return 0;
}

/* The link lives on, until whoever holds it lets it go. */
static void connection_free(Connection *c)
{
        varlink_watchers_remove(&c->server->watchers, c->link);
        DL_DELETE(c->server->connections, c);
        verbs_wait_free(c->wait);
        authority_question_free(c->question);
        sd_varlink_unref(c->link);
        free(c);
}

static void on_disconnect(sd_varlink_server *s, sd_varlink *link, void *userdata)
{
        AgentVarlink *v = userdata;
        Connection *c;

        DL_FOREACH (v->connections, c) {
                if (c->link == link) {
                        connection_free(c);
                        return;
                }
        }
}

static void close_connections(AgentVarlink *v)
{
        while (v->connections) {
                sd_varlink *link = sd_varlink_ref(v->connections->link);

                connection_free(v->connections);
                sd_varlink_close_unref(link);
        }
}

VARLINK_DEFINE_WITH_REPLY(SetLogLevel, agent_method_set_log_level)

static int set_up_server(AgentVarlink *v)
{
        int r;

        r = agent_methods_bind(v->server);
        if (r < 0)
                return r;
        r = agent_metrics_bind(v->server);
        if (r < 0)
                return r;
        r = sd_varlink_server_bind_connect(v->server, on_connect);
        if (r < 0)
                return r;
        r = sd_varlink_server_bind_disconnect(v->server, on_disconnect);
        return r < 0 ? r : varlink_service_add(v->server, VARLINK_METHOD(agent_method_set_log_level));
}

int agent_varlink_new(sd_event *event, Verbs *verbs, Authority *authority, const char *address,
                      AgentVarlink **ret)
{
        _cleanup_(agent_varlink_freep) AgentVarlink *v = new (AgentVarlink, 1);
        int r;

        if (!v)
                return -ENOMEM;
        *v = (AgentVarlink) { .verbs = verbs, .authority = authority, .listener = agent_watch_listener };
        v->listener.userdata = v;
        verbs_add_listener(verbs, &v->listener);
        r = varlink_server_start(event, &vl_interface_org_icewire_Agent, CONNECTIONS_MAX,
                                 CONNECTIONS_PER_USER_MAX, v, &v->server);
        if (r < 0)
                return r;
        r = set_up_server(v);
        if (r < 0)
                return r;
        r = varlink_server_listen(v->server, address, 0666);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        return 0;
}

AgentVarlink *agent_varlink_free(AgentVarlink *v)
{
        if (!v)
                return NULL;
        verbs_remove_listener(v->verbs, &v->listener);
        if (v->server)
                (void) sd_varlink_server_shutdown(v->server);
        close_connections(v);
        varlink_watchers_done(&v->watchers);
        sd_varlink_server_unref(v->server);
        return mfree(v);
}
