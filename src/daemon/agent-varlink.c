/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent-varlink.h"

#include "agent-json.h"
#include "diagnosis.h"
#include "event-util.h"
#include "log.h"
#include "peer-policy.h"
#include "string-util.h"
#include "varlink-agent.h"
#include "varlink-service.h"
#include "varlink-util.h"

#define CONNECTIONS_MAX 256
#define CONNECTIONS_PER_USER_MAX 64

/* A broker that has not answered by then will not be waited for: callers get what is known. */
#define REFRESH_TIMEOUT (2 * USEC_PER_SEC)

/* Which peers a call is about. */
typedef struct Selection {
        const char *link; /* lent by the call's parameters; NULL: all */
        WireguardKey key; /* zero: all */
        Policy policy;    /* SetPolicy alone */
        bool interactive; /* for polkit, one day */
} Selection;

/* Somebody who is connected. sd-varlink keeps connections beyond the end of their server, so we know them.
 */
typedef struct Connection Connection;
struct Connection {
        sd_varlink *link; /* a reference */
        bool waiting;     /* with a ListPeers, for fresh counters */
        bool diagnosing;  /* waits for the diagnosis */
        Connection *next;
};

/* Reading one link. */
typedef struct RefreshCall {
        AgentVarlink *server;
        BrokerCall *call; /* NULL: it is over */
} RefreshCall;

struct AgentVarlink {
        Manager *manager; /* borrowed */
        sd_event *event;  /* a reference */
        sd_varlink_server *server;
        VarlinkWatchers watchers;
        agent_reload_t reload;
        void *reload_userdata;

        Connection *connections;

        /* Whoever lists peers while all links are being read waits for that same reading. */
        RefreshCall *calls;
        size_t n_calls, n_open;
        sd_event_source *timeout;

        Diagnosis *diagnosis;
};

static const sd_json_dispatch_field no_parameters[] = { {} };

/* Who may change something. polkit's answer will come here: it has to be called before anything with an
 * effect, and the method returns what it returned. */
static int authorise(sd_varlink *link, bool interactive)
{
        return varlink_require_privilege(link);
}

static bool selection_has_peer(const Selection *selection, const Peer *peer)
{
        return wireguard_key_is_zero(&selection->key) ||
               wireguard_key_equal(&selection->key, &peer->public_key);
}

static bool selection_has_link(const Selection *selection, const Link *link)
{
        return !selection->link || streq(selection->link, link->name);
}

/* Calls f for each peer; returns how many there were, or what f returned if negative. */
static int for_each_peer(Manager *m, const Selection *selection, int (*f)(Peer *peer, void *userdata),
                         void *userdata)
{
        Link *link, *next_link;
        Peer *peer, *next_peer;
        int n = 0, r;

        HASH_ITER(hh, m->links, link, next_link)
        {
                if (!selection_has_link(selection, link))
                        continue;
                HASH_ITER(hh, link->peers, peer, next_peer)
                {
                        if (!selection_has_peer(selection, peer))
                                continue;
                        r = f(peer, userdata);
                        if (r < 0)
                                return r;
                        n++;
                }
        }
        return n;
}

/* 0; otherwise the error was sent and is to be returned. */
static int parse_selection(sd_varlink *link, sd_json_variant *parameters, Selection *ret)
{
        static const sd_json_dispatch_field table[] = {
                { "link", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string, offsetof(Selection, link),
                  SD_JSON_NULLABLE },
                { "peer", SD_JSON_VARIANT_STRING, varlink_dispatch_key, offsetof(Selection, key),
                  SD_JSON_NULLABLE },
                { "allowInteractiveAuthentication", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
                  offsetof(Selection, interactive), SD_JSON_NULLABLE },
                {},
        };

        *ret = (Selection) {};
        return sd_varlink_dispatch(link, parameters, table, ret);
}

/* Likewise: is there what was asked for? */
static int check_link(AgentVarlink *v, sd_varlink *link, const Selection *selection)
{
        if (!selection->link || manager_find_link(v->manager, selection->link))
                return 0;
        return sd_varlink_errorbo(link, AGENT_ERROR_NO_SUCH_LINK,
                                  SD_JSON_BUILD_PAIR_STRING("link", selection->link));
}

static int no_such_peer(sd_varlink *link, const Selection *selection)
{
        return sd_varlink_errorbo(link, AGENT_ERROR_NO_SUCH_PEER,
                                  SD_JSON_BUILD_PAIR_STRING("peer", WIREGUARD_KEY_STR(&selection->key)));
}

static int on_describe(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                       void *userdata)
{
        _cleanup_json_ sd_json_variant *reply = NULL;
        AgentVarlink *v = userdata;
        int r;

        r = sd_varlink_dispatch(link, parameters, no_parameters, /* userdata= */ NULL);
        if (r != 0)
                return r;
        r = manager_build_json(v->manager, &reply);
        return r < 0 ? r : sd_varlink_reply(link, reply);
}

static int on_list_links(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                         void *userdata)
{
        _cleanup_(json_array_done) JsonArray array = {};
        _cleanup_json_ sd_json_variant *links = NULL;
        AgentVarlink *v = userdata;
        Link *l, *next;
        int r;

        r = sd_varlink_dispatch(link, parameters, no_parameters, /* userdata= */ NULL);
        if (r != 0)
                return r;
        HASH_ITER(hh, v->manager->links, l, next)
        {
                sd_json_variant *item = NULL;

                r = link_build_json(l, &item);
                if (r < 0)
                        return r;
                r = json_array_add(&array, item);
                if (r < 0)
                        return r;
        }
        r = json_array_build(&array, &links);
        return r < 0 ? r : sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("links", links));
}

static int add_peer(Peer *peer, void *userdata)
{
        sd_json_variant *item = NULL;
        int r;

        r = peer_build_json(peer, &item);
        return r < 0 ? r : json_array_add(userdata, item);
}

static int reply_peers(AgentVarlink *v, sd_varlink *link, const Selection *selection)
{
        _cleanup_(json_array_done) JsonArray array = {};
        _cleanup_json_ sd_json_variant *peers = NULL;
        int r;

        r = check_link(v, link, selection);
        if (r != 0)
                return r;
        r = for_each_peer(v->manager, selection, add_peer, &array);
        if (r < 0)
                return r;
        if (r == 0 && !wireguard_key_is_zero(&selection->key))
                return no_such_peer(link, selection);
        r = json_array_build(&array, &peers);
        return r < 0 ? r : sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("peers", peers));
}

/* The call is as it was; only the model is fresher. */
static void answer_waiter(AgentVarlink *v, sd_varlink *link)
{
        _cleanup_json_ sd_json_variant *parameters = NULL;
        Selection selection;
        int r;

        r = sd_varlink_get_current_parameters(link, &parameters);
        if (r < 0) {
                (void) sd_varlink_error_errno(link, r);
                return;
        }
        if (parse_selection(link, parameters, &selection) != 0)
                return;
        r = reply_peers(v, link, &selection);
        if (r == -ENOMEM)
                (void) sd_varlink_error_errno(link, r);
}

static void refresh_drop_calls(AgentVarlink *v)
{
        for (size_t i = 0; i < v->n_calls; i++)
                v->calls[i].call = broker_call_free(v->calls[i].call);
        v->calls = mfree(v->calls);
        v->n_calls = v->n_open = 0;
        event_disarm_timer(v->timeout);
}

static Connection *find_waiting(AgentVarlink *v)
{
        Connection *c = v->connections;

        while (c && !c->waiting)
                c = c->next;
        return c;
}

static void refresh_finish(AgentVarlink *v)
{
        Connection *c;

        refresh_drop_calls(v);
        while ((c = find_waiting(v))) {
                c->waiting = false;
                answer_waiter(v, c->link);
        }
}

static void on_device(Broker *b, int error, const WireguardDevice *device, void *userdata)
{
        RefreshCall *call = userdata;
        AgentVarlink *v = call->server;
        Link *link;
        int r;

        call->call = NULL;
        link = error < 0 || !device ? NULL : manager_find_link(v->manager, device->name);
        if (link) {
                r = link_observe(link, device);
                if (r < 0)
                        log_warning_errno(r, "Failed to take over the state of %s, ignoring: %m",
                                          device->name);
        }
        if (--v->n_open == 0)
                refresh_finish(v);
}

static int on_refresh_timeout(sd_event_source *s, uint64_t usec, void *userdata)
{
        log_debug("icewire-broker does not answer in time, listing what is known.");
        refresh_finish(userdata);
        return 0;
}

/* Reads every link anew. 1: under way, 0: there is nobody to ask. */
static int refresh_start(AgentVarlink *v)
{
        Broker *b = v->manager->broker;
        Link *link, *next;
        int r;

        if (v->n_open > 0)
                return 1;
        if (!b || !b->connected || !v->manager->links)
                return 0;
        v->calls = new0(RefreshCall, HASH_COUNT(v->manager->links));
        if (!v->calls)
                return -ENOMEM;
        HASH_ITER(hh, v->manager->links, link, next)
        {
                RefreshCall *call = &v->calls[v->n_calls++];

                call->server = v;
                r = b->ops->read_link(b, link->name, on_device, call, &call->call);
                if (r < 0)
                        log_debug_errno(r, "Failed to ask for %s: %m", link->name);
                else
                        v->n_open++;
        }
        r = v->n_open > 0 ? event_arm_timer(v->event, &v->timeout, REFRESH_TIMEOUT, on_refresh_timeout, v,
                                            "agent-refresh")
                          : 0;
        if (r < 0 || v->n_open == 0)
                refresh_drop_calls(v);
        return r < 0 ? r : v->n_open > 0;
}

/* A method that returns 0 without a reply is pending. */
static int wait_for_refresh(AgentVarlink *v, sd_varlink *link)
{
        for (Connection *c = v->connections; c; c = c->next)
                if (c->link == link)
                        c->waiting = true;
        return 0;
}

static int on_list_peers(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                         void *userdata)
{
        AgentVarlink *v = userdata;
        Selection selection;
        int r;

        r = parse_selection(link, parameters, &selection);
        if (r != 0)
                return r;
        r = check_link(v, link, &selection);
        if (r != 0)
                return r;
        r = refresh_start(v);
        if (r < 0)
                return r;
        return r > 0 ? wait_for_refresh(v, link) : reply_peers(v, link, &selection);
}

static int add_history(Peer *peer, void *userdata)
{
        sd_json_variant *item = NULL;
        int r;

        r = peer_history_build_json(peer, &item);
        return r < 0 ? r : json_array_add(userdata, item);
}

static int on_get_history(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                          void *userdata)
{
        _cleanup_(json_array_done) JsonArray array = {};
        _cleanup_json_ sd_json_variant *peers = NULL;
        AgentVarlink *v = userdata;
        Selection selection;
        int r;

        r = parse_selection(link, parameters, &selection);
        if (r != 0)
                return r;
        r = check_link(v, link, &selection);
        if (r != 0)
                return r;
        r = for_each_peer(v->manager, &selection, add_history, &array);
        if (r < 0)
                return r;
        if (r == 0 && !wireguard_key_is_zero(&selection.key))
                return no_such_peer(link, &selection);
        r = json_array_build(&array, &peers);
        return r < 0 ? r : sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("peers", peers));
}

static Connection *find_diagnosing(AgentVarlink *v)
{
        Connection *c = v->connections;

        while (c && !c->diagnosing)
                c = c->next;
        return c;
}

static void on_diagnosis(Diagnosis *d, sd_json_variant *reply, void *userdata)
{
        AgentVarlink *v = userdata;
        Connection *c;

        while ((c = find_diagnosing(v))) {
                c->diagnosing = false;
                if (reply)
                        (void) sd_varlink_reply(c->link, reply);
                else
                        (void) sd_varlink_error_errno(c->link, -ENOMEM);
        }
}

static int on_diagnose(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                       void *userdata)
{
        AgentVarlink *v = userdata;
        int r;

        r = sd_varlink_dispatch(link, parameters, no_parameters, /* userdata= */ NULL);
        if (r != 0)
                return r;
        r = diagnosis_run(v->diagnosis);
        if (r < 0)
                return r;
        for (Connection *c = v->connections; c; c = c->next)
                if (c->link == link)
                        c->diagnosing = true;
        return 0;
}

/* object: its type's field name; NULL for "ready". */
static int build_event(const char *event, const char *name, sd_json_variant *object, sd_json_variant **ret)
{
        return sd_json_buildo(
                ret, SD_JSON_BUILD_PAIR_STRING("event", event),
                SD_JSON_BUILD_PAIR_CONDITION(object != NULL, name ?: "none", SD_JSON_BUILD_VARIANT(object)));
}

/* To one watcher, or (NULL) to all. */
static void tell(AgentVarlink *v, sd_varlink *link, const char *event, const char *name,
                 sd_json_variant *object)
{
        _cleanup_json_ sd_json_variant *message = NULL;

        if (build_event(event, name, object, &message) < 0) {
                log_oom();
                return;
        }
        if (link)
                varlink_watchers_send(&v->watchers, link, message);
        else
                varlink_watchers_send_all(&v->watchers, message);
}

static void tell_link(AgentVarlink *v, sd_varlink *link, const Link *l, bool removed)
{
        _cleanup_json_ sd_json_variant *object = NULL;

        if (link_build_json(l, &object) < 0)
                log_oom();
        else
                tell(v, link, removed ? "link_removed" : "link_changed", "link", object);
}

static void tell_peer(AgentVarlink *v, sd_varlink *link, const Peer *peer, bool removed)
{
        _cleanup_json_ sd_json_variant *object = NULL;

        if (peer_build_json(peer, &object) < 0)
                log_oom();
        else
                tell(v, link, removed ? "peer_removed" : "peer_changed", "peer", object);
}

static void tell_rendezvous(AgentVarlink *v, sd_varlink *link, const Rendezvous *r, bool removed)
{
        _cleanup_json_ sd_json_variant *object = NULL;

        if (rendezvous_build_json(r, &object) < 0)
                log_oom();
        else
                tell(v, link, removed ? "rendezvous_removed" : "rendezvous_changed", "rendezvous", object);
}

static void tell_everything(AgentVarlink *v, sd_varlink *link)
{
        Link *l, *next_link;
        Peer *peer, *next_peer;

        for (size_t i = 0; i < v->manager->n_rendezvous; i++)
                tell_rendezvous(v, link, v->manager->rendezvous[i], /* removed= */ false);
        HASH_ITER(hh, v->manager->links, l, next_link)
        {
                tell_link(v, link, l, /* removed= */ false);
                HASH_ITER(hh, l->peers, peer, next_peer)
                {
                        tell_peer(v, link, peer, /* removed= */ false);
                }
        }
        tell(v, link, "ready", /* name= */ NULL, /* object= */ NULL);
}

static int on_watch(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                    void *userdata)
{
        AgentVarlink *v = userdata;
        int r;

        r = sd_varlink_dispatch(link, parameters, no_parameters, /* userdata= */ NULL);
        if (r != 0)
                return r;
        if (!(flags & SD_VARLINK_METHOD_MORE))
                return sd_varlink_error(link, SD_VARLINK_ERROR_EXPECTED_MORE, /* parameters= */ NULL);
        r = varlink_watchers_add(&v->watchers, link);
        if (r < 0)
                return r;
        tell_everything(v, link);
        return 0;
}

static int reconnect_peer(Peer *peer, void *userdata)
{
        peer_because(peer, PATH_CAUSE_RECONNECT_REQUESTED);
        peer_reconnect_regardless(peer);
        return 0;
}

static int on_reconnect(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                        void *userdata)
{
        AgentVarlink *v = userdata;
        Selection selection;
        int r;

        r = parse_selection(link, parameters, &selection);
        if (r != 0)
                return r;
        r = authorise(link, selection.interactive);
        if (r != 0)
                return r;
        r = check_link(v, link, &selection);
        if (r != 0)
                return r;
        r = for_each_peer(v->manager, &selection, reconnect_peer, /* userdata= */ NULL);
        if (r == 0 && !wireguard_key_is_zero(&selection.key))
                return no_such_peer(link, &selection);
        return r < 0 ? r : sd_varlink_reply(link, /* parameters= */ NULL);
}

static int dispatch_policy(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                           void *userdata)
{
        Policy policy = policy_from_string(sd_json_variant_string(v));

        if (policy < 0)
                return -EINVAL;
        *(Policy *) userdata = policy;
        return 0;
}

static int set_peer_policy(Peer *peer, void *userdata)
{
        const Selection *selection = userdata;

        peer_set_policy(peer, selection->policy, /* temporary= */ true, PATH_CAUSE_POLICY);
        return 0;
}

static int on_set_policy(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                         void *userdata)
{
        static const sd_json_dispatch_field table[] = {
                { "link", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string, offsetof(Selection, link),
                  SD_JSON_NULLABLE },
                { "peer", SD_JSON_VARIANT_STRING, varlink_dispatch_key, offsetof(Selection, key),
                  SD_JSON_MANDATORY },
                { "policy", SD_JSON_VARIANT_STRING, dispatch_policy, offsetof(Selection, policy),
                  SD_JSON_MANDATORY },
                { "allowInteractiveAuthentication", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
                  offsetof(Selection, interactive), SD_JSON_NULLABLE },
                {},
        };
        AgentVarlink *v = userdata;
        Selection selection = {};
        int r;

        r = sd_varlink_dispatch(link, parameters, table, &selection);
        if (r != 0)
                return r;
        r = authorise(link, selection.interactive);
        if (r != 0)
                return r;
        r = check_link(v, link, &selection);
        if (r != 0)
                return r;
        r = for_each_peer(v->manager, &selection, set_peer_policy, &selection);
        if (r == 0)
                return no_such_peer(link, &selection);
        return r < 0 ? r : sd_varlink_reply(link, /* parameters= */ NULL);
}

static int on_reload(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                     void *userdata)
{
        static const sd_json_dispatch_field table[] = {
                { "allowInteractiveAuthentication", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool, 0,
                  SD_JSON_NULLABLE },
                {},
        };
        _cleanup_free_ char *message = NULL;
        AgentVarlink *v = userdata;
        unsigned n_problems = 0;
        bool interactive = false;
        int r;

        r = sd_varlink_dispatch(link, parameters, table, &interactive);
        if (r != 0)
                return r;
        r = authorise(link, interactive);
        if (r != 0)
                return r;
        r = v->reload(v->reload_userdata, &n_problems, &message);
        if (r >= 0)
                return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_UNSIGNED("problems", n_problems));
        return sd_varlink_errorbo(link, AGENT_ERROR_CONFIGURATION_INVALID,
                                  SD_JSON_BUILD_PAIR_STRING("message", message ?: strerror(-r)));
}

static int on_connect(sd_varlink_server *s, sd_varlink *link, void *userdata)
{
        AgentVarlink *v = userdata;
        Connection *c = new0(Connection, 1);

        if (!c)
                return -ENOMEM;
        *c = (Connection) { .link = sd_varlink_ref(link), .next = v->connections };
        v->connections = c;
        return 0;
}

static void on_disconnect(sd_varlink_server *s, sd_varlink *link, void *userdata)
{
        AgentVarlink *v = userdata;

        varlink_watchers_remove(&v->watchers, link);
        for (Connection **p = &v->connections; *p; p = &(*p)->next)
                if ((*p)->link == link) {
                        Connection *c = *p;

                        *p = c->next;
                        sd_varlink_unref(c->link);
                        free(c);
                        return;
                }
}

static void close_connections(AgentVarlink *v)
{
        while (v->connections) {
                Connection *c = v->connections;

                v->connections = c->next;
                varlink_watchers_remove(&v->watchers, c->link);
                sd_varlink_close_unref(c->link);
                free(c);
        }
}

static int bind_methods(AgentVarlink *v)
{
        int r;

        r = sd_varlink_server_bind_method_many(
                v->server, "org.icewire.Agent.Describe", on_describe, "org.icewire.Agent.ListLinks",
                on_list_links, "org.icewire.Agent.ListPeers", on_list_peers, "org.icewire.Agent.Watch",
                on_watch, "org.icewire.Agent.Diagnose", on_diagnose, "org.icewire.Agent.Reconnect",
                on_reconnect, "org.icewire.Agent.Reload", on_reload, "org.icewire.Agent.GetHistory",
                on_get_history, "org.icewire.Agent.SetPolicy", on_set_policy);
        if (r < 0)
                return r;
        r = sd_varlink_server_bind_connect(v->server, on_connect);
        if (r < 0)
                return r;
        r = sd_varlink_server_bind_disconnect(v->server, on_disconnect);
        return r < 0 ? r : varlink_service_add(v->server);
}

int agent_varlink_new(sd_event *event, Manager *manager, const char *address, agent_reload_t reload,
                      void *userdata, AgentVarlink **ret)
{
        _cleanup_(agent_varlink_freep) AgentVarlink *v = new0(AgentVarlink, 1);
        int r;

        if (!v)
                return -ENOMEM;
        v->manager = manager;
        v->event = sd_event_ref(event);
        v->reload = reload;
        v->reload_userdata = userdata;
        r = diagnosis_new(event, manager, on_diagnosis, v, &v->diagnosis);
        if (r < 0)
                return r;
        r = varlink_server_start(event, &vl_interface_org_icewire_Agent, CONNECTIONS_MAX,
                                 CONNECTIONS_PER_USER_MAX, v, &v->server);
        if (r < 0)
                return r;
        r = bind_methods(v);
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
        if (v->server)
                (void) sd_varlink_server_shutdown(v->server);
        close_connections(v);
        varlink_watchers_done(&v->watchers);
        refresh_drop_calls(v);
        diagnosis_free(v->diagnosis);
        sd_event_source_disable_unref(v->timeout);
        sd_varlink_server_unref(v->server);
        sd_event_unref(v->event);
        return mfree(v);
}

void agent_varlink_link_changed(AgentVarlink *v, const Link *link, bool removed)
{
        if (v->watchers.n > 0)
                tell_link(v, /* link= */ NULL, link, removed);
}

void agent_varlink_peer_changed(AgentVarlink *v, const Peer *peer, bool removed)
{
        if (v->watchers.n > 0)
                tell_peer(v, /* link= */ NULL, peer, removed);
}

void agent_varlink_rendezvous_changed(AgentVarlink *v, const Rendezvous *r, bool removed)
{
        if (v->watchers.n > 0)
                tell_rendezvous(v, /* link= */ NULL, r, removed);
}
