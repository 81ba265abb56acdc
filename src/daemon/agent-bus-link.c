/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent-bus-internal.h"
#include "agent-json.h"
#include "bus-properties.h"
#include "varlink-util.h"

#define DEFINE_GETTER(name, ...) DEFINE_BUS_GETTER(name, Link, link, __VA_ARGS__)

DEFINE_GETTER(name, bus_append_text(reply, link->name));
DEFINE_GETTER(kind, sd_bus_message_append(reply, "s", wireguard_kind_to_string(link->kind)));
DEFINE_GETTER(ifindex, sd_bus_message_append(reply, "i", (int32_t) link->ifindex));
DEFINE_GETTER(listen_port, sd_bus_message_append(reply, "q", link->listen_port));
DEFINE_GETTER(n_peers, sd_bus_message_append(reply, "u", (uint32_t) HASH_COUNT(link->peers)));
DEFINE_GETTER(n_connected, sd_bus_message_append(reply, "u", (uint32_t) link_n_connected(link)));

static int get_public_key(sd_bus *bus, const char *path, const char *interface, const char *property,
                          sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        const Link *link = userdata;

        return sd_bus_message_append(
                reply, "s",
                wireguard_key_is_zero(&link->public_key) ? "" : WIREGUARD_KEY_STR(&link->public_key));
}

static int method_describe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        int r = link_build_json(userdata, &v);

        return r < 0 ? r : agent_bus_reply_json(m, v);
}

const sd_bus_vtable agent_bus_link_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_name, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Kind", "s", get_kind, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("InterfaceIndex", "i", get_ifindex, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("PublicKey", "s", get_public_key, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ListenPort", "q", get_listen_port, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NPeers", "u", get_n_peers, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("NConnected", "u", get_n_connected, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_METHOD_WITH_ARGS("Reconnect", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, agent_bus_method_reconnect,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_describe,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
