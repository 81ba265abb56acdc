/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <net/if.h>

#include "agent-bus-internal.h"
#include "string-util.h"

/* The verbs that the manager, links and peers have in common: they differ in whom they are about. */

#define SHOWN_MAX 64

AgentBus *agent_bus_of(sd_bus_message *m)
{
        return sd_bus_slot_get_userdata(sd_bus_get_current_slot(sd_bus_message_get_bus(m)));
}

int agent_bus_reply_json(sd_bus_message *m, sd_json_variant *v)
{
        _cleanup_free_ char *text = NULL;
        int r = sd_json_variant_format(v, /* flags= */ 0, &text);

        return r < 0 ? r : sd_bus_reply_method_return(m, "s", text);
}

const char *agent_bus_shown(const char *text)
{
        return strlen(text) <= SHOWN_MAX ? text : "…";
}

int agent_bus_read_link(sd_bus_message *m, const char **ret, sd_bus_error *error)
{
        const char *name;
        int r = sd_bus_message_read(m, "s", &name);

        if (r < 0)
                return r;
        if (strlen(name) >= IF_NAMESIZE)
                return sd_bus_error_set(error, AGENT_BUS_ERROR_NO_SUCH_LINK,
                                        "No link has a name of so many letters.");
        *ret = name;
        return 0;
}

static int read_key(const char *text, WireguardKey *ret, sd_bus_error *error)
{
        if (isempty(text))
                return 0;
        if (wireguard_key_from_base64(text, ret) < 0 || wireguard_key_is_zero(ret))
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "\"%s\" is no public key.",
                                         agent_bus_shown(text));
        return 0;
}

static int read_arguments(sd_bus_message *m, PeerSelection *selection, sd_bus_error *error)
{
        const char *link, *key;
        int r = agent_bus_read_link(m, &link, error);

        if (r >= 0)
                r = sd_bus_message_read(m, "s", &key);
        if (r < 0)
                return r;
        selection->link = isempty(link) ? NULL : link;
        return read_key(key, &selection->peer, error);
}

static int select_object(const AgentBus *b, const char *path, PeerSelection *selection, sd_bus_error *error)
{
        const Peer *peer = agent_bus_find_peer(b, path);
        const Link *link = peer ? peer->link : agent_bus_find_link(b, path);

        if (!link)
                return sd_bus_error_set(error,
                                        startswith(path, AGENT_BUS_PATH_PEERS "/")
                                                ? AGENT_BUS_ERROR_NO_SUCH_PEER
                                                : AGENT_BUS_ERROR_NO_SUCH_LINK,
                                        "It has gone meanwhile.");
        selection->link = link->name;
        if (peer)
                selection->peer = peer->public_key;
        return 0;
}

int agent_bus_read_selection(const AgentBus *b, sd_bus_message *m, PeerSelection *ret, sd_bus_error *error)
{
        const char *path = sd_bus_message_get_path(m);
        PeerSelection selection = {};
        int r;

        r = sd_bus_message_rewind(m, /* complete= */ true);
        if (r < 0)
                return r;
        r = streq(path, AGENT_BUS_PATH) ? read_arguments(m, &selection, error)
                                        : select_object(b, path, &selection, error);
        if (r < 0)
                return r;
        *ret = selection;
        return 0;
}

int agent_bus_selection_error(const PeerSelection *selection, int r, sd_bus_error *error)
{
        switch (r) {
        case -ENODEV:
                return sd_bus_error_setf(error, AGENT_BUS_ERROR_NO_SUCH_LINK,
                                         "There is no WireGuard link \"%s\" that icewire looks after.",
                                         selection->link);
        case -ENOENT:
                return sd_bus_error_setf(error, AGENT_BUS_ERROR_NO_SUCH_PEER, "There is no peer %s on %s.",
                                         WIREGUARD_KEY_STR(&selection->peer), selection->link ?: "any link");
        default:
                return r;
        }
}

static int reply_selected(sd_bus_message *m, const PeerSelection *selection, int r, sd_bus_error *error)
{
        return r < 0 ? agent_bus_selection_error(selection, r, error) : sd_bus_reply_method_return(m, NULL);
}

/* ---- Reconnect ---- */

static int reconnect(AgentBus *b, sd_bus_message *m, sd_bus_error *error)
{
        PeerSelection selection;
        int r = agent_bus_read_selection(b, m, &selection, error);

        return r < 0 ? r : reply_selected(m, &selection, verbs_reconnect(b->verbs, &selection), error);
}

int agent_bus_method_reconnect(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        AgentBus *b = agent_bus_of(m);
        PeerSelection selection;
        int r = agent_bus_read_selection(b, m, &selection, error);

        return r < 0 ? r : agent_bus_authorise(b, m, AUTHORITY_RECONNECT, reconnect, error);
}

/* ---- SetPolicy ---- */

static int read_policy(const AgentBus *b, sd_bus_message *m, PeerSelection *ret, Policy *ret_policy,
                       sd_bus_error *error)
{
        PeerSelection selection;
        const char *name;
        Policy policy;
        int r;

        r = agent_bus_read_selection(b, m, &selection, error);
        if (r >= 0)
                r = sd_bus_message_read(m, "s", &name);
        if (r < 0)
                return r;
        if (wireguard_key_is_zero(&selection.peer))
                return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "The peer's public key is empty.");
        policy = policy_from_string(name);
        if (policy < 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "\"%s\" is no policy.",
                                         agent_bus_shown(name));
        *ret = selection;
        *ret_policy = policy;
        return 0;
}

static int set_policy(AgentBus *b, sd_bus_message *m, sd_bus_error *error)
{
        PeerSelection selection;
        Policy policy = _POLICY_INVALID;
        int r = read_policy(b, m, &selection, &policy, error);

        return r < 0 ? r
                     : reply_selected(m, &selection, verbs_set_policy(b->verbs, &selection, policy), error);
}

int agent_bus_method_set_policy(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        AgentBus *b = agent_bus_of(m);
        PeerSelection selection;
        Policy policy = _POLICY_INVALID;
        int r = read_policy(b, m, &selection, &policy, error);

        return r < 0 ? r : agent_bus_authorise(b, m, AUTHORITY_SET_POLICY, set_policy, error);
}
