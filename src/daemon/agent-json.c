/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent-json.h"

#include "alloc-util.h"
#include "config-meson.h"
#include "string-util.h"
#include "varlink-util.h"

int json_array_add(JsonArray *array, sd_json_variant *item)
{
        int r;

        r = GROW_ARRAY(array->items, array->allocated, array->n + 1);
        if (r < 0) {
                sd_json_variant_unref(item);
                return r;
        }
        array->items[array->n++] = item;
        return 0;
}

int json_array_take(JsonArray *array, int r, sd_json_variant **item)
{
        return r < 0 ? r : json_array_add(array, TAKE_PTR(*item));
}

int json_array_build(const JsonArray *array, sd_json_variant **ret)
{
        return sd_json_variant_new_array(ret, array->items, array->n);
}

void json_array_done(JsonArray *array)
{
        for (size_t i = 0; i < array->n; i++)
                sd_json_variant_unref(array->items[i]);
        array->items = mfree(array->items);
        array->n = array->allocated = 0;
}

const char *enum_for_api(const char *s, char buf[static 64])
{
        size_t i;

        for (i = 0; s && s[i] && i < 63; i++)
                buf[i] = s[i] == '-' ? '_' : s[i];
        buf[i] = '\0';
        return buf;
}

int enum_build_json(const char *s, sd_json_variant **ret)
{
        char buf[64];

        return sd_json_variant_new_string(ret, enum_for_api(s, buf));
}

int text_build_json(const char *s, sd_json_variant **ret)
{
        _cleanup_free_ char *escaped = NULL;
        int r;

        if (!s)
                return sd_json_variant_new_null(ret);
        r = sd_json_variant_new_string(ret, s);
        if (r != -EUCLEAN)
                return r;
        escaped = cescape(s, strlen(s));
        return escaped ? sd_json_variant_new_string(ret, escaped) : -ENOMEM;
}

static int set_enum(sd_json_variant **v, const char *name, const char *value)
{
        _cleanup_json_ sd_json_variant *item = NULL;
        int r = enum_build_json(value, &item);

        return r < 0 ? r : sd_json_variant_set_field(v, name, item);
}

/* Absent where there is nothing to say. */
static int set_text(sd_json_variant **v, const char *name, const char *value)
{
        _cleanup_json_ sd_json_variant *item = NULL;
        int r;

        if (!value)
                return 0;
        r = text_build_json(value, &item);
        return r < 0 ? r : sd_json_variant_set_field(v, name, item);
}

#define BUILD_PAIR_TEXT(name, value) SD_JSON_BUILD_PAIR_CALLBACK(name, build_text_callback, (void *) (value))

int enum_build_callback(sd_json_variant **ret, const char *name, void *userdata)
{
        return enum_build_json(userdata, ret);
}

static int build_text_callback(sd_json_variant **ret, const char *name, void *userdata)
{
        return text_build_json(userdata, ret);
}

size_t link_n_connected(const Link *link)
{
        Peer *peer, *next;
        size_t n = 0;

        HASH_ITER(hh, link->peers, peer, next)
        {
                n += peer->state == PEER_STATE_CONNECTED;
        }
        return n;
}

int link_build_json(const Link *link, sd_json_variant **ret)
{
        bool has_key = !wireguard_key_is_zero(&link->public_key);

        return sd_json_buildo(
                ret, BUILD_PAIR_TEXT("name", link->name),
                BUILD_PAIR_ENUM("kind", wireguard_kind_to_string(link->kind)),
                SD_JSON_BUILD_PAIR_INTEGER("ifindex", link->ifindex),
                SD_JSON_BUILD_PAIR_CONDITION(has_key, "publicKey",
                                             SD_JSON_BUILD_STRING(WIREGUARD_KEY_STR(&link->public_key))),
                SD_JSON_BUILD_PAIR_UNSIGNED("listenPort", link->listen_port),
                SD_JSON_BUILD_PAIR_UNSIGNED("peers", HASH_COUNT(link->peers)),
                SD_JSON_BUILD_PAIR_UNSIGNED("connected", link_n_connected(link)));
}

int candidate_build_json(const IceCandidate *c, sd_json_variant **ret)
{
        bool related = socket_address_is_set(&c->related);

        return sd_json_buildo(
                ret, BUILD_PAIR_ENUM("type", ice_candidate_type_to_string(c->type)),
                BUILD_PAIR_ENUM("transport", ice_transport_to_string(c->transport)),
                SD_JSON_BUILD_PAIR_STRING("address", SOCKET_ADDRESS_STR(&c->address)),
                SD_JSON_BUILD_PAIR_CONDITION(c->priority > 0, "priority",
                                             SD_JSON_BUILD_UNSIGNED(c->priority)),
                SD_JSON_BUILD_PAIR_CONDITION(related, "related",
                                             SD_JSON_BUILD_STRING(SOCKET_ADDRESS_STR(&c->related))));
}

static int set_candidate(sd_json_variant **v, const char *name, const IceCandidate *c)
{
        _cleanup_json_ sd_json_variant *item = NULL;
        int r;

        if (!socket_address_is_set(&c->address))
                return 0;
        r = candidate_build_json(c, &item);
        return r < 0 ? r : sd_json_variant_set_field(v, name, item);
}

usec_t boottime_to_realtime(usec_t t)
{
        return usec_sub(now(CLOCK_REALTIME), usec_sub(now(CLOCK_BOOTTIME), t));
}

static int set_path(sd_json_variant **v, const Path *path)
{
        int r;

        if (path->kind == PATH_NONE)
                return 0;
        r = set_enum(v, "transport", path_transport_to_string(path->transport));
        if (r < 0)
                return r;
        r = set_candidate(v, "local", &path->local);
        if (r < 0)
                return r;
        r = set_candidate(v, "remote", &path->remote);
        if (r < 0)
                return r;
        r = sd_json_variant_set_field_unsigned(v, "pathSinceUSec", boottime_to_realtime(path->since));
        if (r < 0 || path->round_trip_time == USEC_INFINITY)
                return r;
        return sd_json_variant_set_field_unsigned(v, "roundTripTimeUSec", path->round_trip_time);
}

static int set_reason(sd_json_variant **v, const Peer *peer)
{
        int r = set_enum(v, "reason", peer_reason_to_string(peer->reason));

        if (r < 0 || peer->reason == PEER_REASON_NONE)
                return r;
        r = set_text(v, "reasonText", peer_reason_explain(peer->reason));
        return r < 0 ? r : set_text(v, "reasonDetail", peer->reason_detail);
}

static int set_policy(sd_json_variant **v, const Peer *peer)
{
        int r = set_enum(v, "policy", policy_to_string(peer->policy));

        return r < 0 ? r : sd_json_variant_set_field_boolean(v, "policyTemporary", peer->policy_temporary);
}

static int set_allowed_ips(sd_json_variant **v, const Peer *peer)
{
        _cleanup_(json_array_done) JsonArray array = {};
        _cleanup_json_ sd_json_variant *all = NULL;
        int r;

        for (size_t i = 0; i < peer->n_allowed_ips; i++) {
                sd_json_variant *item = NULL;

                r = sd_json_variant_new_string(&item, IP_PREFIX_STR(&peer->allowed_ips[i]));
                if (r < 0)
                        return r;
                r = json_array_add(&array, item);
                if (r < 0)
                        return r;
        }
        r = json_array_build(&array, &all);
        return r < 0 ? r : sd_json_variant_set_field(v, "allowedIPs", all);
}

static int set_device_data(sd_json_variant **v, const Peer *peer)
{
        int r = set_allowed_ips(v, peer);

        if (r >= 0 && socket_address_is_set(&peer->endpoint))
                r = sd_json_variant_set_field_string(v, "endpoint", SOCKET_ADDRESS_STR(&peer->endpoint));
        if (r >= 0 && peer->last_handshake > 0)
                r = sd_json_variant_set_field_unsigned(v, "lastHandshakeUSec", peer->last_handshake);
        if (r >= 0)
                r = sd_json_variant_set_field_unsigned(v, "rxBytes", peer->rx_bytes);
        return r < 0 ? r : sd_json_variant_set_field_unsigned(v, "txBytes", peer->tx_bytes);
}

int peer_counters_build_json(const Peer *peer, sd_json_variant **ret)
{
        const uint64_t *n = peer->signalling.counters;

        return sd_json_buildo(
                ret, SD_JSON_BUILD_PAIR_UNSIGNED("sessions", peer->counters.sessions),
                SD_JSON_BUILD_PAIR_UNSIGNED("paths", peer->counters.paths),
                SD_JSON_BUILD_PAIR_UNSIGNED("envelopesSent", peer->counters.envelopes_sent),
                SD_JSON_BUILD_PAIR_UNSIGNED("envelopesReceived", peer->counters.envelopes_received),
                SD_JSON_BUILD_PAIR_UNSIGNED("envelopesFlooded", peer->counters.envelopes_flooded),
                SD_JSON_BUILD_PAIR_UNSIGNED("envelopesRefused", peer->counters.envelopes_refused),
                SD_JSON_BUILD_PAIR_UNSIGNED("messagesMalformed", peer->counters.messages_malformed),
                SD_JSON_BUILD_PAIR_UNSIGNED("messagesAccepted", n[SIGNALLING_ACCEPT]),
                SD_JSON_BUILD_PAIR_UNSIGNED("messagesAcceptedAnew", n[SIGNALLING_ACCEPT_NEW_INSTANCE]),
                SD_JSON_BUILD_PAIR_UNSIGNED("messagesAnswered",
                                            n[SIGNALLING_ANSWER_HELLO] + n[SIGNALLING_SAY_HELLO]),
                SD_JSON_BUILD_PAIR_UNSIGNED("messagesDuplicate", n[SIGNALLING_DROP_DUPLICATE]),
                SD_JSON_BUILD_PAIR_UNSIGNED("messagesStale", n[SIGNALLING_DROP_STALE]),
                SD_JSON_BUILD_PAIR_UNSIGNED("messagesFlooded", n[SIGNALLING_DROP_FLOOD]),
                SD_JSON_BUILD_PAIR_UNSIGNED("messagesWrongRole", n[SIGNALLING_DROP_ROLE]));
}

static int set_counters(sd_json_variant **v, const Peer *peer)
{
        _cleanup_json_ sd_json_variant *item = NULL;
        int r = peer_counters_build_json(peer, &item);

        return r < 0 ? r : sd_json_variant_set_field(v, "counters", item);
}

int peer_build_json(const Peer *peer, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        int r;

        r = sd_json_buildo(&v, BUILD_PAIR_TEXT("link", peer->link->name),
                           SD_JSON_BUILD_PAIR_STRING("publicKey", WIREGUARD_KEY_STR(&peer->public_key)),
                           BUILD_PAIR_ENUM("state", peer_state_to_string(peer->state)),
                           BUILD_PAIR_ENUM("path", path_kind_to_string(peer->path.kind)));
        if (r < 0)
                return r;
        r = set_reason(&v, peer);
        if (r < 0)
                return r;
        r = set_policy(&v, peer);
        if (r < 0)
                return r;
        r = set_path(&v, &peer->path);
        if (r < 0)
                return r;
        r = set_device_data(&v, peer);
        if (r < 0)
                return r;
        r = set_counters(&v, peer);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        return 0;
}

static int path_summary_build_json(const HistoryPath *path, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        IceCandidate local = { .type = path->local_type, .address = path->local },
                     remote = { .type = path->remote_type, .address = path->remote };
        int r;

        local.transport = remote.transport = path->transport;
        r = set_enum(&v, "kind", path_kind_to_string(path->kind));
        if (r < 0)
                return r;
        r = set_candidate(&v, "local", &local);
        if (r < 0)
                return r;
        r = set_candidate(&v, "remote", &remote);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        return 0;
}

static int path_change_build_json(const HistoryChange *change, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *from = NULL, *to = NULL;
        int r;

        r = path_summary_build_json(&change->from, &from);
        if (r < 0)
                return r;
        r = path_summary_build_json(&change->to, &to);
        if (r < 0)
                return r;
        return sd_json_buildo(ret, SD_JSON_BUILD_PAIR_UNSIGNED("timeUSec", change->realtime),
                              SD_JSON_BUILD_PAIR_UNSIGNED("bootTimeUSec", change->boottime),
                              SD_JSON_BUILD_PAIR_VARIANT("from", from), SD_JSON_BUILD_PAIR_VARIANT("to", to),
                              BUILD_PAIR_ENUM("cause", path_cause_to_string(change->cause)));
}

int peer_changes_build_json(const Peer *peer, sd_json_variant **ret)
{
        _cleanup_(json_array_done) JsonArray array = {};
        int r;

        for (size_t i = 0; i < history_count(&peer->history); i++) {
                sd_json_variant *item = NULL;
                HistoryChange change;

                history_get(&peer->history, i, &change);
                r = json_array_take(&array, path_change_build_json(&change, &item), &item);
                if (r < 0)
                        return r;
        }
        return json_array_build(&array, ret);
}

int peer_history_build_json(const Peer *peer, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *changes = NULL;
        int r;

        r = peer_changes_build_json(peer, &changes);
        if (r < 0)
                return r;
        return sd_json_buildo(ret, BUILD_PAIR_TEXT("link", peer->link->name),
                              SD_JSON_BUILD_PAIR_STRING("publicKey", WIREGUARD_KEY_STR(&peer->public_key)),
                              SD_JSON_BUILD_PAIR_VARIANT("changes", changes));
}

int rendezvous_build_json(const Rendezvous *r, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        int k;

        k = sd_json_buildo(&v, BUILD_PAIR_TEXT("name", r->name),
                           BUILD_PAIR_ENUM("state", rendezvous_state_to_string(r->state)),
                           SD_JSON_BUILD_PAIR_UNSIGNED("sent", r->counters.sent),
                           SD_JSON_BUILD_PAIR_UNSIGNED("received", r->counters.received));
        if (k < 0)
                return k;
        k = set_text(&v, "error", r->error);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(v);
        return 0;
}

/* What most often goes wrong, in words that say where to look; NULL: nothing is wrong. */
static const char *explain_error(int error)
{
        switch (error) {
        case 0:
        case -ECANCELED:
                return NULL;
        case -EINPROGRESS:
        case -ETIMEDOUT:
                return "no answer";
        case -EPROTO:
                return "answered with an error, or with nonsense";
        case -EPERM:
        case -EACCES:
                return "a firewall of this host forbids it";
        case -ENETUNREACH:
        case -EHOSTUNREACH:
                return "no route to it";
        case -ENOTSUP:
                return "WireGuard's ports are not shared";
        case -ECONNRESET:
        case -ENOTCONN:
                return "icewire-broker is not there";
        default:
                return strerror(-error);
        }
}

static int server_build_json(const MappingServer *server, bool asking, sd_json_variant **ret)
{
        const char *error = asking && server->error == -EINPROGRESS ? NULL : explain_error(server->error);
        bool answered = socket_address_is_set(&server->mapped) && server->error == 0;

        return sd_json_buildo(
                ret, SD_JSON_BUILD_PAIR_STRING("address", SOCKET_ADDRESS_STR(&server->address)),
                SD_JSON_BUILD_PAIR_CONDITION(answered, "mapped",
                                             SD_JSON_BUILD_STRING(SOCKET_ADDRESS_STR(&server->mapped))),
                SD_JSON_BUILD_PAIR_CONDITION(answered, "roundTripTimeUSec",
                                             SD_JSON_BUILD_UNSIGNED(server->round_trip_time)),
                SD_JSON_BUILD_PAIR_CONDITION(error != NULL, "error", SD_JSON_BUILD_STRING(error)));
}

int mapping_build_json(const Mapping *mapping, const char *link, bool asking, sd_json_variant **ret)
{
        _cleanup_(json_array_done) JsonArray array = {};
        _cleanup_json_ sd_json_variant *servers = NULL;
        const char *error = explain_error(mapping->error);
        bool known = socket_address_is_set(&mapping->mapped);
        int r;

        for (size_t i = 0; i < mapping->n_servers; i++) {
                sd_json_variant *item = NULL;

                r = json_array_take(&array, server_build_json(&mapping->servers[i], asking, &item), &item);
                if (r < 0)
                        return r;
        }
        r = json_array_build(&array, &servers);
        if (r < 0)
                return r;
        return sd_json_buildo(
                ret, SD_JSON_BUILD_PAIR_CONDITION(link != NULL, "link", SD_JSON_BUILD_STRING(link)),
                SD_JSON_BUILD_PAIR_STRING("local", SOCKET_ADDRESS_STR(&mapping->local)),
                SD_JSON_BUILD_PAIR_CONDITION(known, "mapped",
                                             SD_JSON_BUILD_STRING(SOCKET_ADDRESS_STR(&mapping->mapped))),
                BUILD_PAIR_ENUM("kind", mapping_kind_to_string(mapping->kind)),
                SD_JSON_BUILD_PAIR_CONDITION(known, "portKept", SD_JSON_BUILD_BOOLEAN(mapping->port_kept)),
                BUILD_PAIR_ENUM("hairpin", mapping_hairpin_to_string(mapping->hairpin)),
                SD_JSON_BUILD_PAIR_CONDITION(error != NULL, "error", SD_JSON_BUILD_STRING(error)),
                SD_JSON_BUILD_PAIR_VARIANT("servers", servers));
}

const char *manager_broker_state(const Manager *m)
{
        if (!m->broker || !m->broker->connected)
                return "lost";
        return m->broker_ready ? "ready" : "connecting";
}

/* Those of the links: what was found out when there was a need. */
static int build_mappings(const Manager *m, sd_json_variant **ret)
{
        _cleanup_(json_array_done) JsonArray array = {};
        Link *link, *next;
        int r;

        HASH_ITER(hh, m->links, link, next)
        {
                for (size_t i = 0; i < link->n_mappings; i++) {
                        sd_json_variant *item = NULL;

                        r = json_array_take(
                                &array,
                                mapping_build_json(link->mappings[i], link->name, /* asking= */ true, &item),
                                &item);
                        if (r < 0)
                                return r;
                }
        }
        return json_array_build(&array, ret);
}

static int build_rendezvous(const Manager *m, sd_json_variant **ret)
{
        _cleanup_(json_array_done) JsonArray array = {};
        int r;

        for (size_t i = 0; i < m->n_rendezvous; i++) {
                sd_json_variant *item = NULL;

                r = json_array_take(&array, rendezvous_build_json(m->rendezvous[i], &item), &item);
                if (r < 0)
                        return r;
        }
        return json_array_build(&array, ret);
}

int manager_build_json(const Manager *m, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *rendezvous = NULL, *mappings = NULL;
        int r;

        r = build_rendezvous(m, &rendezvous);
        if (r >= 0)
                r = build_mappings(m, &mappings);
        if (r < 0)
                return r;
        return sd_json_buildo(ret, SD_JSON_BUILD_PAIR_STRING("version", PROJECT_VERSION),
                              SD_JSON_BUILD_PAIR_STRING("broker", manager_broker_state(m)),
                              SD_JSON_BUILD_PAIR_CONDITION(
                                      m->redirect_known, "redirect",
                                      SD_JSON_BUILD_STRING(redirect_kind_to_string(m->redirect_kind))),
                              SD_JSON_BUILD_PAIR_CONDITION(m->redirect_known && m->redirect_reason,
                                                           "redirectReason",
                                                           SD_JSON_BUILD_STRING(m->redirect_reason)),
                              SD_JSON_BUILD_PAIR_VARIANT("rendezvous", rendezvous),
                              SD_JSON_BUILD_PAIR_VARIANT("mappings", mappings));
}
