/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent-bus-internal.h"
#include "agent-json.h"
#include "bus-properties.h"
#include "string-util.h"
#include "varlink-util.h"

#define DEFINE_GETTER(name, ...) DEFINE_BUS_GETTER(name, Peer, peer, __VA_ARGS__)

/* (sss): type, transport, address; all empty: there is none. */
static int append_candidate(sd_bus_message *m, const IceCandidate *c)
{
        if (!socket_address_is_set(&c->address))
                return sd_bus_message_append(m, "(sss)", "", "", "");
        return sd_bus_message_append(m, "(sss)", ice_candidate_type_to_string(c->type),
                                     ice_transport_to_string(c->transport), SOCKET_ADDRESS_STR(&c->address));
}

static int append_address(sd_bus_message *m, const SocketAddress *a)
{
        return sd_bus_message_append(m, "s", socket_address_is_set(a) ? SOCKET_ADDRESS_STR(a) : "");
}

/* "" where there is no path. */
static const char *transport_of(const Path *path)
{
        return path->kind == PATH_NONE ? "" : path_transport_to_string(path->transport);
}

static const IceCandidate *candidate_of(const Path *path, const IceCandidate *c)
{
        static const IceCandidate none;

        return path->kind == PATH_NONE ? &none : c;
}

static uint64_t since_of(const Path *path)
{
        return path->kind == PATH_NONE ? 0 : boottime_to_realtime(path->since);
}

static uint64_t round_trip_time_of(const Path *path)
{
        return path->kind == PATH_NONE ? USEC_INFINITY : path->round_trip_time;
}

DEFINE_GETTER(link_name, bus_append_text(reply, peer->link->name));
DEFINE_GETTER(public_key, sd_bus_message_append(reply, "s", WIREGUARD_KEY_STR(&peer->public_key)));
DEFINE_GETTER(state, sd_bus_message_append(reply, "s", peer_state_to_string(peer->state)));
DEFINE_GETTER(path, sd_bus_message_append(reply, "s", path_kind_to_string(peer->path.kind)));
DEFINE_GETTER(transport, sd_bus_message_append(reply, "s", transport_of(&peer->path)));
DEFINE_GETTER(local, append_candidate(reply, candidate_of(&peer->path, &peer->path.local)));
DEFINE_GETTER(remote, append_candidate(reply, candidate_of(&peer->path, &peer->path.remote)));
DEFINE_GETTER(reason, sd_bus_message_append(reply, "s", peer_reason_to_string(peer->reason)));
DEFINE_GETTER(reason_text,
              bus_append_text(reply,
                              peer->reason == PEER_REASON_NONE ? NULL : peer_reason_explain(peer->reason)));
DEFINE_GETTER(reason_detail,
              bus_append_text(reply, peer->reason == PEER_REASON_NONE ? NULL : peer->reason_detail));
DEFINE_GETTER(policy, sd_bus_message_append(reply, "s", policy_to_string(peer->policy)));
DEFINE_GETTER(policy_temporary, sd_bus_message_append(reply, "b", (int) peer->policy_temporary));
DEFINE_GETTER(endpoint, append_address(reply, &peer->endpoint));
DEFINE_GETTER(path_since, sd_bus_message_append(reply, "t", since_of(&peer->path)));
DEFINE_GETTER(round_trip_time, sd_bus_message_append(reply, "t", round_trip_time_of(&peer->path)));
DEFINE_GETTER(last_handshake, sd_bus_message_append(reply, "t", peer->last_handshake));
DEFINE_GETTER(rx_bytes, sd_bus_message_append(reply, "t", peer->rx_bytes));
DEFINE_GETTER(tx_bytes, sd_bus_message_append(reply, "t", peer->tx_bytes));

static int get_link(sd_bus *bus, const char *path, const char *interface, const char *property,
                    sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        const Peer *peer = userdata;
        _cleanup_free_ char *link = agent_bus_link_path(peer->link);

        return link ? sd_bus_message_append(reply, "o", link) : -ENOMEM;
}

static int get_allowed_ips(sd_bus *bus, const char *path, const char *interface, const char *property,
                           sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
        const Peer *peer = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t i = 0; r >= 0 && i < peer->n_allowed_ips; i++)
                r = sd_bus_message_append(reply, "s", IP_PREFIX_STR(&peer->allowed_ips[i]));
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* As they are called in JSON. */
static int method_get_counters(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_bus_message_ sd_bus_message *reply = NULL;
        _cleanup_json_ sd_json_variant *counters = NULL;
        int r;

        r = peer_counters_build_json(userdata, &counters);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "{st}");
        for (size_t i = 0; r >= 0 && i + 1 < sd_json_variant_elements(counters); i += 2)
                r = sd_bus_message_append(
                        reply, "{st}", sd_json_variant_string(sd_json_variant_by_index(counters, i)),
                        sd_json_variant_unsigned(sd_json_variant_by_index(counters, i + 1)));
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_send(reply);
}

/* (s(sss)(sss)): a path's kind and its two ends. */
static int append_summary(sd_bus_message *m, const HistoryPath *path)
{
        IceCandidate local = { .type = path->local_type, .address = path->local },
                     remote = { .type = path->remote_type, .address = path->remote };
        int r;

        local.transport = remote.transport = path->transport;
        r = sd_bus_message_open_container(m, 'r', "s(sss)(sss)");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", path_kind_to_string(path->kind));
        if (r >= 0)
                r = append_candidate(m, &local);
        if (r >= 0)
                r = append_candidate(m, &remote);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

#define CHANGE "tts(s(sss)(sss))(s(sss)(sss))"

static int append_change(sd_bus_message *m, const HistoryChange *change)
{
        int r;

        r = sd_bus_message_open_container(m, 'r', CHANGE);
        if (r >= 0)
                r = sd_bus_message_append(m, "tts", change->realtime, change->boottime,
                                          path_cause_to_string(change->cause));
        if (r >= 0)
                r = append_summary(m, &change->from);
        if (r >= 0)
                r = append_summary(m, &change->to);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int method_get_history(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        _cleanup_bus_message_ sd_bus_message *reply = NULL;
        const Peer *peer = userdata;
        int r;

        r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(" CHANGE ")");
        for (size_t i = 0; r >= 0 && i < history_count(&peer->history); i++) {
                HistoryChange change;

                history_get(&peer->history, i, &change);
                r = append_change(reply, &change);
        }
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_send(reply);
}

static int describe(AgentBus *b, sd_bus_message *m, sd_bus_error *error)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        Peer *peer = agent_bus_find_peer(b, sd_bus_message_get_path(m));
        int r;

        if (!peer)
                return sd_bus_error_set(error, AGENT_BUS_ERROR_NO_SUCH_PEER, "The peer has gone.");
        r = peer_details_build_json(peer, &v);
        return r < 0 ? r : agent_bus_reply_json(m, v);
}

static int method_describe(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
        return agent_bus_refresh(agent_bus_of(m), m, describe, error);
}

const sd_bus_vtable agent_bus_peer_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Link", "o", get_link, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("LinkName", "s", get_link_name, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("PublicKey", "s", get_public_key, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Path", "s", get_path, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Transport", "s", get_transport, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("LocalCandidate", "(sss)", get_local, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("RemoteCandidate", "(sss)", get_remote, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Reason", "s", get_reason, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ReasonText", "s", get_reason_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ReasonDetail", "s", get_reason_detail, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Policy", "s", get_policy, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("PolicyTemporary", "b", get_policy_temporary, 0,
                        SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Endpoint", "s", get_endpoint, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("AllowedIPs", "as", get_allowed_ips, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("PathSinceUSec", "t", get_path_since, 0, 0),
        SD_BUS_PROPERTY("RoundTripTimeUSec", "t", get_round_trip_time, 0, 0),
        SD_BUS_PROPERTY("LastHandshakeUSec", "t", get_last_handshake, 0, 0),
        SD_BUS_PROPERTY("RxBytes", "t", get_rx_bytes, 0, 0),
        SD_BUS_PROPERTY("TxBytes", "t", get_tx_bytes, 0, 0),
        SD_BUS_METHOD_WITH_ARGS("Reconnect", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, agent_bus_method_reconnect,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetPolicy", SD_BUS_ARGS("s", policy), SD_BUS_NO_RESULT,
                                agent_bus_method_set_policy, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetCounters", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{st}", counters),
                                method_get_counters, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("GetHistory", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(" CHANGE ")", changes),
                                method_get_history, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Describe", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", json), method_describe,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
