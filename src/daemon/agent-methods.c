/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent-json.h"
#include "agent-varlink-internal.h"
#include "log.h"
#include "string-util.h"
#include "varlink-agent.h"
#include "varlink-service.h"

static const sd_json_dispatch_field no_parameters[] = { {} };

/* A bool alone. */
static const sd_json_dispatch_field interactive_table[] = {
        { "allowInteractiveAuthentication", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool, 0,
          SD_JSON_NULLABLE },
        {},
};

/* Which peers a call is about, and what about them. */
typedef struct Call {
        PeerSelection selection;
        Policy policy;    /* SetPolicy alone */
        bool interactive; /* polkit may ask a person */
} Call;

/* A set of one. Negative: none is called so. */
static int take_value(int value, unsigned *ret)
{
        if (value < 0)
                return -EINVAL;
        *ret = 1u << value;
        return 0;
}

static int dispatch_state(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                          void *userdata)
{
        return sd_json_variant_is_null(v)
                       ? 0
                       : take_value(peer_state_from_string(sd_json_variant_string(v)), userdata);
}

static int dispatch_path(const char *name, sd_json_variant *v, sd_json_dispatch_flags_t flags,
                         void *userdata)
{
        return sd_json_variant_is_null(v)
                       ? 0
                       : take_value(path_kind_from_string(sd_json_variant_string(v)), userdata);
}

/* With a filter. 0; otherwise the error was sent and is to be returned. */
static int parse_filter(sd_varlink *link, sd_json_variant *parameters, PeerSelection *ret)
{
        static const sd_json_dispatch_field table[] = {
                { "link", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
                  offsetof(PeerSelection, link), SD_JSON_NULLABLE },
                { "peer", SD_JSON_VARIANT_STRING, varlink_dispatch_key, offsetof(PeerSelection, peer),
                  SD_JSON_NULLABLE },
                { "state", SD_JSON_VARIANT_STRING, dispatch_state, offsetof(PeerSelection, states),
                  SD_JSON_NULLABLE },
                { "path", SD_JSON_VARIANT_STRING, dispatch_path, offsetof(PeerSelection, paths),
                  SD_JSON_NULLABLE },
                {},
        };

        *ret = (PeerSelection) {};
        return sd_varlink_dispatch(link, parameters, table, ret);
}

/* Likewise, without one. */
static int parse_call(sd_varlink *link, sd_json_variant *parameters, Call *ret)
{
        static const sd_json_dispatch_field table[] = {
                { "link", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
                  offsetof(Call, selection.link), SD_JSON_NULLABLE },
                { "peer", SD_JSON_VARIANT_STRING, varlink_dispatch_key, offsetof(Call, selection.peer),
                  SD_JSON_NULLABLE },
                { "allowInteractiveAuthentication", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
                  offsetof(Call, interactive), SD_JSON_NULLABLE },
                {},
        };

        *ret = (Call) {};
        return sd_varlink_dispatch(link, parameters, table, ret);
}

/* What the verbs say of a selection, in Varlink's words; other errors as they are. */
static int selection_error(sd_varlink *link, const PeerSelection *selection, int error)
{
        switch (error) {
        case -ENODEV:
                return sd_varlink_errorbo(link, AGENT_ERROR_NO_SUCH_LINK,
                                          SD_JSON_BUILD_PAIR_STRING("link", selection->link));
        case -ENOENT:
                return sd_varlink_errorbo(
                        link, AGENT_ERROR_NO_SUCH_PEER,
                        SD_JSON_BUILD_PAIR_STRING("peer", WIREGUARD_KEY_STR(&selection->peer)));
        default:
                return error;
        }
}

void agent_connection_fail(Connection *c, int error)
{
        if (error == -ENOBUFS)
                (void) sd_varlink_close(c->link);
        else if (error == -ENOMEM)
                (void) sd_varlink_error_errno(c->link, error);
}

static void on_refreshed(void *userdata)
{
        Connection *c = userdata;
        int r;

        c->wait = NULL;
        r = c->answer(c);
        if (r < 0)
                agent_connection_fail(c, r);
}

/* A method that returns 0 without a reply is pending. */
int agent_answer_fresh(Connection *c, agent_answer_t answer)
{
        int r;

        c->answer = answer;
        r = verbs_refresh(c->server->verbs, on_refreshed, c, &c->wait);
        return r == 0 ? answer(c) : MIN(r, 0);
}

static int method_describe(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                           void *userdata)
{
        _cleanup_json_ sd_json_variant *reply = NULL;
        Connection *c = userdata;
        int r;

        r = sd_varlink_dispatch(link, parameters, no_parameters, /* userdata= */ NULL);
        if (r != 0)
                return r;
        r = manager_build_json(verbs_manager(c->server->verbs), &reply);
        return r < 0 ? r : sd_varlink_reply(link, reply);
}

static int method_list_links(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                             void *userdata)
{
        _cleanup_(json_array_done) JsonArray array = {};
        _cleanup_json_ sd_json_variant *links = NULL;
        Connection *c = userdata;
        Link *l, *next;
        int r;

        r = sd_varlink_dispatch(link, parameters, no_parameters, /* userdata= */ NULL);
        if (r != 0)
                return r;
        HASH_ITER(hh, verbs_manager(c->server->verbs)->links, l, next)
        {
                sd_json_variant *item = NULL;

                r = json_array_take(&array, link_build_json(l, &item), &item);
                if (r < 0)
                        return r;
        }
        r = json_array_build(&array, &links);
        return r < 0 ? r : sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("links", links));
}

/* One in each reply. */
static int stream_peers(sd_varlink *link, const JsonArray *array)
{
        for (size_t i = 0; i < array->n; i++) {
                _cleanup_json_ sd_json_variant *reply = NULL;
                bool last = i + 1 == array->n;
                int r;

                r = sd_json_buildo(&reply,
                                   SD_JSON_BUILD_PAIR("peers", SD_JSON_BUILD_ARRAY(SD_JSON_BUILD_VARIANT(
                                                                       array->items[i]))));
                if (r >= 0)
                        r = last ? sd_varlink_reply(link, reply) : sd_varlink_notify(link, reply);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* One object for each selected peer. */
static int reply_peers(Connection *c, const PeerSelection *selection, verbs_peer_t add)
{
        _cleanup_(json_array_done) JsonArray array = {};
        _cleanup_json_ sd_json_variant *peers = NULL;
        int r;

        r = verbs_for_each_peer(c->server->verbs, selection, add, &array);
        if (r < 0)
                return selection_error(c->link, selection, r);
        if (c->more && array.n > 0)
                return stream_peers(c->link, &array);
        r = json_array_build(&array, &peers);
        return r < 0 ? r : sd_varlink_replybo(c->link, SD_JSON_BUILD_PAIR_VARIANT("peers", peers));
}

/* The call is as it was; only the model is fresher. */
static int answer_with_peers(Connection *c)
{
        _cleanup_json_ sd_json_variant *parameters = NULL;
        PeerSelection selection;
        int r;

        r = sd_varlink_get_current_parameters(c->link, &parameters);
        if (r < 0)
                return r;
        r = parse_filter(c->link, parameters, &selection);
        return r != 0 ? r : reply_peers(c, &selection, c->add);
}

static int reply_fresh_peers(Connection *c, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                             verbs_peer_t add)
{
        PeerSelection selection;
        int r;

        r = agent_check_wait(c);
        if (r < 0)
                return r;
        r = parse_filter(c->link, parameters, &selection);
        if (r != 0)
                return r;
        r = verbs_check_selection(c->server->verbs, &selection);
        if (r < 0)
                return selection_error(c->link, &selection, r);
        c->more = flags & SD_VARLINK_METHOD_MORE;
        c->add = add;
        return agent_answer_fresh(c, answer_with_peers);
}

static int add_peer(Peer *peer, void *userdata)
{
        sd_json_variant *item = NULL;

        return json_array_take(userdata, peer_build_json(peer, &item), &item);
}

static int method_list_peers(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                             void *userdata)
{
        return reply_fresh_peers(userdata, parameters, flags, add_peer);
}

static int add_details(Peer *peer, void *userdata)
{
        sd_json_variant *item = NULL;

        return json_array_take(userdata, peer_details_build_json(peer, &item), &item);
}

static int method_describe_peers(sd_varlink *link, sd_json_variant *parameters,
                                 sd_varlink_method_flags_t flags, void *userdata)
{
        return reply_fresh_peers(userdata, parameters, flags, add_details);
}

static int add_history(Peer *peer, void *userdata)
{
        sd_json_variant *item = NULL;

        return json_array_take(userdata, peer_history_build_json(peer, &item), &item);
}

static int method_get_history(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                              void *userdata)
{
        Connection *c = userdata;
        Call call;
        int r;

        r = parse_call(link, parameters, &call);
        if (r != 0)
                return r;
        c->more = flags & SD_VARLINK_METHOD_MORE;
        return reply_peers(c, &call.selection, add_history);
}

static void on_report(sd_json_variant *report, bool finished, void *userdata)
{
        Connection *c = userdata;
        int r;

        if (!finished)
                r = c->more ? sd_varlink_notify(c->link, report) : 0;
        else {
                c->wait = NULL;
                r = report ? sd_varlink_reply(c->link, report) : -ENOMEM;
        }
        if (r < 0)
                agent_connection_fail(c, r);
}

static int method_diagnose(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                           void *userdata)
{
        Connection *c = userdata;
        bool interactive = false;
        int r;

        r = sd_varlink_dispatch(link, parameters, interactive_table, &interactive);
        if (r != 0)
                return r;
        r = agent_authorise(c, AUTHORITY_DIAGNOSE, interactive);
        if (r != 0)
                return r;
        c->more = flags & SD_VARLINK_METHOD_MORE;
        return verbs_diagnose(c->server->verbs, on_report, c, &c->wait);
}

static int method_reconnect(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                            void *userdata)
{
        Connection *c = userdata;
        Call call;
        int r;

        r = parse_call(link, parameters, &call);
        if (r != 0)
                return r;
        r = agent_authorise(c, AUTHORITY_RECONNECT, call.interactive);
        if (r != 0)
                return r;
        r = verbs_reconnect(c->server->verbs, &call.selection);
        return r < 0 ? selection_error(link, &call.selection, r)
                     : sd_varlink_reply(link, /* parameters= */ NULL);
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

static int method_set_policy(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                             void *userdata)
{
        static const sd_json_dispatch_field table[] = {
                { "link", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
                  offsetof(Call, selection.link), SD_JSON_NULLABLE },
                { "peer", SD_JSON_VARIANT_STRING, varlink_dispatch_key, offsetof(Call, selection.peer),
                  SD_JSON_MANDATORY },
                { "policy", SD_JSON_VARIANT_STRING, dispatch_policy, offsetof(Call, policy),
                  SD_JSON_MANDATORY },
                { "allowInteractiveAuthentication", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
                  offsetof(Call, interactive), SD_JSON_NULLABLE },
                {},
        };
        Connection *c = userdata;
        Call call = {};
        int r;

        r = sd_varlink_dispatch(link, parameters, table, &call);
        if (r != 0)
                return r;
        r = agent_authorise(c, AUTHORITY_SET_POLICY, call.interactive);
        if (r != 0)
                return r;
        r = verbs_set_policy(c->server->verbs, &call.selection, call.policy);
        return r < 0 ? selection_error(link, &call.selection, r)
                     : sd_varlink_reply(link, /* parameters= */ NULL);
}

static int method_reload(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                         void *userdata)
{
        _cleanup_free_ char *message = NULL;
        Connection *c = userdata;
        unsigned n_problems = 0;
        bool interactive = false;
        int r;

        r = sd_varlink_dispatch(link, parameters, interactive_table, &interactive);
        if (r != 0)
                return r;
        r = agent_authorise(c, AUTHORITY_RELOAD, interactive);
        if (r != 0)
                return r;
        r = verbs_reload(c->server->verbs, &n_problems, &message);
        if (r >= 0)
                return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_UNSIGNED("problems", n_problems));
        return sd_varlink_errorbo(link, AGENT_ERROR_CONFIGURATION_INVALID,
                                  SD_JSON_BUILD_PAIR_STRING("message", message ?: strerror(-r)));
}

/* What systemd calls the same, for tools that know no more of a service; polkit cannot ask anybody. */
static int method_service_reload(sd_varlink *link, sd_json_variant *parameters,
                                 sd_varlink_method_flags_t flags, void *userdata)
{
        _cleanup_free_ char *message = NULL;
        Connection *c = userdata;
        unsigned n_problems = 0;
        int r;

        r = sd_varlink_dispatch(link, parameters, no_parameters, /* userdata= */ NULL);
        if (r != 0)
                return r;
        r = agent_authorise(c, AUTHORITY_RELOAD, /* interactive= */ false);
        if (r != 0)
                return r;
        r = verbs_reload(c->server->verbs, &n_problems, &message);
        return r < 0 ? sd_varlink_error_errno(link, r) : sd_varlink_reply(link, /* parameters= */ NULL);
}

/* Its IDL has no word for polkit, which so cannot ask anybody. */
int agent_method_set_log_level(sd_varlink *link, sd_json_variant *parameters,
                               sd_varlink_method_flags_t flags, void *userdata)
{
        int level, r;

        r = varlink_service_read_log_level(link, parameters, &level);
        if (r != 0)
                return r;
        r = agent_authorise(userdata, AUTHORITY_SET_LOG_LEVEL, /* interactive= */ false);
        if (r != 0)
                return r;
        log_set_max_level(level);
        return sd_varlink_reply(link, /* parameters= */ NULL);
}

#define METHODS(X)                                                                                          \
        X(Describe, method_describe)                                                                        \
        X(ListLinks, method_list_links)                                                                     \
        X(ListPeers, method_list_peers)                                                                     \
        X(DescribePeers, method_describe_peers)                                                             \
        X(GetHistory, method_get_history)                                                                   \
        X(Diagnose, method_diagnose)                                                                        \
        X(Watch, agent_method_watch)                                                                        \
        X(Reconnect, method_reconnect)                                                                      \
        X(SetPolicy, method_set_policy)                                                                     \
        X(Reload, method_reload)

METHODS(VARLINK_DEFINE_WITH_REPLY)
VARLINK_DEFINE_WITH_REPLY(Reload, method_service_reload)

int agent_methods_bind(sd_varlink_server *server)
{
#define BIND(name, method) "org.icewire.Agent." #name, method##_with_reply,
        return sd_varlink_server_bind_method_many(server, METHODS(BIND) "io.systemd.service.Reload",
                                                  method_service_reload_with_reply);
}
