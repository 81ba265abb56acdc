/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent-bus-internal.h"
#include "agent-json.h"
#include "alloc-util.h"
#include "bus-properties.h"
#include "config-meson.h"
#include "string-util.h"
#include "varlink-util.h"

#define DEFINE_GETTER(name, ...) DEFINE_BUS_GETTER(name, AgentBus, b, __VA_ARGS__)

/* "" while the broker has not said. */
static const char *redirect_of(const Manager *m)
{
        return m->redirect_known ? redirect_kind_to_string(m->redirect_kind) : "";
}

static const char *redirect_reason_of(const Manager *m)
{
        return m->redirect_known ? m->redirect_reason : NULL;
}

/* a(sss): name, state, error */
static int append_rendezvous(sd_bus_message *m, const Manager *manager)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "(sss)");
        for (size_t i = 0; r >= 0 && i < manager->n_rendezvous; i++) {
                const Rendezvous *rendezvous = manager->rendezvous[i];

                r = sd_bus_message_open_container(m, 'r', "sss");
                if (r >= 0)
                        r = bus_append_text(m, rendezvous->name);
                if (r >= 0)
                        r = sd_bus_message_append(m, "s", rendezvous_state_to_string(rendezvous->state));
                if (r >= 0)
                        r = bus_append_text(m, rendezvous->error);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int get_version(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        return sd_bus_message_append(reply, "s", PROJECT_VERSION);
}

DEFINE_GETTER(broker, sd_bus_message_append(reply, "s", manager_broker_state(verbs_manager(b->verbs))));
DEFINE_GETTER(redirect, sd_bus_message_append(reply, "s", redirect_of(verbs_manager(b->verbs))));
DEFINE_GETTER(redirect_reason, bus_append_text(reply, redirect_reason_of(verbs_manager(b->verbs))));
DEFINE_GETTER(rendezvous, append_rendezvous(reply, verbs_manager(b->verbs)));

/* ---- Look-ups ---- */

static int method_get_link(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        AgentBus *b = userdata;
        _cleanup_free_ char *path = NULL;
        const char *name;
        Link *link;
        int r;

        r = agent_bus_read_link(m, &name, error);
        if (r < 0)
                return r;
        link = manager_find_link(verbs_manager(b->verbs), name);
        if (!link)
                return sd_bus_error_setf(error, AGENT_BUS_ERROR_NO_SUCH_LINK,
                                         "There is no WireGuard link \"%s\" that icewire looks after.",
                                         name);
        path = agent_bus_link_path(link);
        return path ? sd_bus_reply_method_return(m, "o", path) : -ENOMEM;
}

/* The first that fits, if there are several. */
static int take_path(Peer *peer, void *userdata)
{
        char **path = userdata;

        if (!*path)
                *path = agent_bus_peer_path(peer);
        return *path ? 0 : -ENOMEM;
}

static int method_get_peer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        AgentBus *b = userdata;
        _cleanup_free_ char *path = NULL;
        PeerSelection selection;
        int r;

        r = agent_bus_read_selection(b, m, &selection, error);
        if (r < 0)
                return r;
        if (wireguard_key_is_zero(&selection.peer))
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                        "Whose path? The public key is empty.");
        r = verbs_for_each_peer(b->verbs, &selection, take_path, &path);
        return r < 0 ? agent_bus_selection_error(&selection, r, error)
                     : sd_bus_reply_method_return(m, "o", path);
}

static int append_link(sd_bus_message *m, const Link *link)
{
        _cleanup_free_ char *path = agent_bus_link_path(link);
        int r;

        if (!path)
                return -ENOMEM;
        r = sd_bus_message_open_container(m, 'r', "sio");
        if (r >= 0)
                r = bus_append_text(m, link->name);
        if (r >= 0)
                r = sd_bus_message_append(m, "io", (int32_t) link->ifindex, path);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int method_list_links(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_bus_message_ sd_bus_message *reply = NULL;
        AgentBus *b = userdata;
        Link *link, *next;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sio)");
        HASH_ITER(hh, verbs_manager(b->verbs)->links, link, next)
        {
                if (r >= 0)
                        r = append_link(reply, link);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_send(reply);
}

#define PEER "sssso"

static int append_peer(Peer *peer, void *userdata)
{
        _cleanup_free_ char *path = agent_bus_peer_path(peer);
        sd_bus_message *m = userdata;
        int r;

        if (!path)
                return -ENOMEM;
        r = sd_bus_message_open_container(m, 'r', PEER);
        if (r >= 0)
                r = bus_append_text(m, peer->link->name);
        if (r >= 0)
                r = sd_bus_message_append(m, "ssso", WIREGUARD_KEY_STR(&peer->public_key),
                                          peer_state_to_string(peer->state),
                                          path_kind_to_string(peer->path.kind), path);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int method_list_peers(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_bus_message_ sd_bus_message *reply = NULL;
        AgentBus *b = userdata;
        PeerSelection selection = {};
        const char *link;
        int r;

        r = agent_bus_read_link(m, &link, error);
        if (r < 0)
                return r;
        selection.link = isempty(link) ? NULL : link;
        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(" PEER ")");
        if (r < 0)
                return r;
        r = verbs_for_each_peer(b->verbs, &selection, append_peer, reply);
        if (r < 0)
                return agent_bus_selection_error(&selection, r, error);
        r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_send(reply);
}

static int method_describe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        AgentBus *b = userdata;
        int r = manager_build_json(verbs_manager(b->verbs), &v);

        return r < 0 ? r : agent_bus_reply_json(m, v);
}

/* ---- What has an effect ---- */

static int reload(AgentBus *b, sd_bus_message *m, sd_bus_error *error)
{
        _cleanup_free_ char *message = NULL;
        unsigned n_problems = 0;
        int r;

        r = verbs_reload(b->verbs, &n_problems, &message);
        return r >= 0 ? sd_bus_reply_method_return(m, NULL)
                      : sd_bus_error_set(error, AGENT_BUS_ERROR_CONFIGURATION_INVALID,
                                         message ?: "The configuration cannot be read.");
}

static int method_reload(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return agent_bus_authorise(userdata, m, AUTHORITY_RELOAD, reload, error);
}

static int method_diagnose(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return agent_bus_authorise(userdata, m, AUTHORITY_DIAGNOSE, agent_bus_diagnose, error);
}

const sd_bus_vtable agent_bus_manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Broker", "s", get_broker, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Redirect", "s", get_redirect, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("RedirectReason", "s", get_redirect_reason, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Rendezvous", "a(sss)", get_rendezvous, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_METHOD_WITH_ARGS("GetLink", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", path), method_get_link,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetPeer", SD_BUS_ARGS("s", link, "s", public_key), SD_BUS_RESULT("o", path),
                                method_get_peer, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListLinks", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sio)", links),
                                method_list_links, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListPeers", SD_BUS_ARGS("s", link), SD_BUS_RESULT("a(" PEER ")", peers),
                                method_list_peers, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reconnect", SD_BUS_ARGS("s", link, "s", public_key), SD_BUS_NO_RESULT,
                                agent_bus_method_reconnect, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetPolicy", SD_BUS_ARGS("s", link, "s", public_key, "s", policy),
                                SD_BUS_NO_RESULT, agent_bus_method_set_policy, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Diagnose", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_diagnose,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_describe,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
