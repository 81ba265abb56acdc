/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "metrics.h"

#include "alloc-util.h"
#include "config-meson.h"
#include "varlink-metrics.h"
#include "varlink-util.h"

/* Where metrics go. The first error stays, and nothing is added after it. */
typedef struct Sink Sink;

/* One getter of these; of a number false says that there is none. */
typedef struct MetricFamily {
        const char *name, *description;
        MetricType type;
        void (*of_host)(const Manager *m, Sink *s); /* adds them itself */
        bool (*of_peer)(const Peer *peer, uint64_t *ret);
        const char *(*text_of_peer)(const Peer *peer);
        uint64_t (*of_link)(const Link *link);
        uint64_t (*of_rendezvous)(const Rendezvous *r);
} MetricFamily;

struct Sink {
        const MetricFamily *family;
        JsonArray *array;
        int error;
};

/* ---- Adding one ---- */

/* The value is lent. object, field: NULL: none. */
static int build(const Sink *s, const char *object, const char *field, const char *field_value,
                 sd_json_variant *value, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *fields = NULL, *text = NULL;
        int r = 0;

        if (object)
                r = text_build_json(object, &text);
        if (r >= 0 && field)
                r = sd_json_buildo(&fields, SD_JSON_BUILD_PAIR(field, SD_JSON_BUILD_STRING(field_value)));
        return r < 0 ? r
                     : sd_json_buildo(
                               ret, SD_JSON_BUILD_PAIR_STRING("name", s->family->name),
                               SD_JSON_BUILD_PAIR_CONDITION(!!text, "object", SD_JSON_BUILD_VARIANT(text)),
                               SD_JSON_BUILD_PAIR_VARIANT("value", value),
                               SD_JSON_BUILD_PAIR_CONDITION(!!fields, "fields",
                                                            SD_JSON_BUILD_VARIANT(fields)));
}

static void add(Sink *s, const char *object, const char *field, const char *field_value,
                sd_json_variant *value)
{
        sd_json_variant *metric = NULL;

        if (s->error < 0)
                return;
        s->error = build(s, object, field, field_value, value, &metric);
        if (s->error >= 0)
                s->error = json_array_add(s->array, metric);
}

static void add_number(Sink *s, const char *object, const char *field, const char *field_value, uint64_t n)
{
        _cleanup_json_ sd_json_variant *value = NULL;

        if (sd_json_variant_new_unsigned(&value, n) < 0)
                s->error = -ENOMEM;
        add(s, object, field, field_value, value);
}

/* One of our enums, as all of the API has them. */
static void add_enum(Sink *s, const char *object, const char *field, const char *field_value,
                     const char *text)
{
        _cleanup_json_ sd_json_variant *value = NULL;

        if (enum_build_json(text, &value) < 0)
                s->error = -ENOMEM;
        add(s, object, field, field_value, value);
}

/* ---- Of the host ---- */

static void list_version(const Manager *m, Sink *s)
{
        _cleanup_json_ sd_json_variant *value = NULL;

        if (sd_json_variant_new_string(&value, PROJECT_VERSION) < 0)
                s->error = -ENOMEM;
        add(s, NULL, NULL, NULL, value);
}

static void list_broker(const Manager *m, Sink *s)
{
        add_number(s, NULL, NULL, NULL, m->broker && m->broker->connected && m->broker_ready);
}

static void list_redirect(const Manager *m, Sink *s)
{
        if (m->redirect_known)
                add_enum(s, NULL, NULL, NULL, redirect_kind_to_string(m->redirect_kind));
}

static void list_relays(const Manager *m, Sink *s)
{
        for (size_t i = 0; i < m->n_relays; i++) {
                const RelayStatus *relay = &m->relays[i];
                char kind[64];

                add_enum(s, relay->name, "kind", enum_for_api(ice_server_kind_to_string(relay->kind), kind),
                         relay_state_to_string(relay->state));
        }
}

static void count_peers(const Manager *m, size_t (*index)(const Peer *peer), uint64_t *counts)
{
        for (const Link *link = m->links; link; link = link->hh.next)
                for (const Peer *peer = link->peers; peer; peer = peer->hh.next)
                        counts[index(peer)]++;
}

/* Each of the values, also those that no peer has: a series that comes and goes is hard to reckon with. */
static void list_counts(Sink *s, const char *field, const uint64_t *counts, size_t n,
                        const char *(*name)(int value))
{
        for (size_t i = 0; i < n; i++) {
                char value[64];

                add_number(s, NULL, field, enum_for_api(name((int) i), value), counts[i]);
        }
}

static size_t state_of(const Peer *peer)
{
        return (size_t) peer->state;
}

static size_t path_of(const Peer *peer)
{
        return (size_t) peer->path.kind;
}

static size_t reason_of(const Peer *peer)
{
        return (size_t) peer->reason;
}

static const char *state_name(int value)
{
        return peer_state_to_string((PeerState) value);
}

static const char *path_name(int value)
{
        return path_kind_to_string((PathKind) value);
}

static const char *reason_name(int value)
{
        return peer_reason_to_string((PeerReason) value);
}

static void list_by_state(const Manager *m, Sink *s)
{
        uint64_t counts[_PEER_STATE_MAX] = {};

        count_peers(m, state_of, counts);
        list_counts(s, "state", counts, ELEMENTSOF(counts), state_name);
}

static void list_by_path(const Manager *m, Sink *s)
{
        uint64_t counts[_PATH_KIND_MAX] = {};

        count_peers(m, path_of, counts);
        list_counts(s, "path", counts, ELEMENTSOF(counts), path_name);
}

static void list_by_reason(const Manager *m, Sink *s)
{
        uint64_t counts[_PEER_REASON_MAX] = {};

        count_peers(m, reason_of, counts);
        list_counts(s, "reason", counts, ELEMENTSOF(counts), reason_name);
}

/* ---- Of one object ---- */

static uint64_t rendezvous_up(const Rendezvous *r)
{
        return r->state == RENDEZVOUS_STATE_UP;
}

static uint64_t rendezvous_sent(const Rendezvous *r)
{
        return r->counters.sent;
}

static uint64_t rendezvous_received(const Rendezvous *r)
{
        return r->counters.received;
}

static uint64_t link_peers(const Link *link)
{
        return HASH_COUNT(link->peers);
}

static uint64_t link_connected(const Link *link)
{
        return link_n_connected(link);
}

static const char *peer_state(const Peer *peer)
{
        return peer_state_to_string(peer->state);
}

static const char *peer_path(const Peer *peer)
{
        return path_kind_to_string(peer->path.kind);
}

static const char *peer_reason(const Peer *peer)
{
        return peer_reason_to_string(peer->reason);
}

static bool peer_received(const Peer *peer, uint64_t *ret)
{
        *ret = peer->rx_bytes;
        return true;
}

static bool peer_sent(const Peer *peer, uint64_t *ret)
{
        *ret = peer->tx_bytes;
        return true;
}

static bool peer_last_handshake(const Peer *peer, uint64_t *ret)
{
        *ret = peer->last_handshake;
        return peer->last_handshake > 0;
}

static bool peer_round_trip_time(const Peer *peer, uint64_t *ret)
{
        *ret = peer->path.round_trip_time;
        return peer->path.kind != PATH_NONE && peer->path.round_trip_time != USEC_INFINITY;
}

static bool peer_path_changes(const Peer *peer, uint64_t *ret)
{
        *ret = peer->history.n;
        return true;
}

static bool peer_sessions(const Peer *peer, uint64_t *ret)
{
        *ret = peer->counters.sessions;
        return true;
}

/* ---- All ---- */

#define FAMILY(suffix, family_type, getter, function, text)                                                 \
        { .name = METRICS_PREFIX suffix, .description = text, .type = family_type, .getter = function }

static const MetricFamily families[] = {
        FAMILY("Version", METRIC_STRING, of_host, list_version, "The version of icewired"),
        FAMILY("BrokerUp", METRIC_GAUGE, of_host, list_broker,
               "1: icewire-broker is there, and has told of all links"),
        FAMILY("Redirect", METRIC_STRING, of_host, list_redirect, "How ICE shares WireGuard's ports"),
        FAMILY("RendezvousUp", METRIC_GAUGE, of_rendezvous, rendezvous_up,
               "1: what is published at the rendezvous is delivered"),
        FAMILY("RendezvousSentEnvelopes", METRIC_COUNTER, of_rendezvous, rendezvous_sent,
               "Envelopes published at the rendezvous"),
        FAMILY("RendezvousReceivedEnvelopes", METRIC_COUNTER, of_rendezvous, rendezvous_received,
               "Envelopes that came by the rendezvous, repeated and foreign ones included"),
        FAMILY("RelayState", METRIC_STRING, of_host, list_relays, "What the TURN server does for us"),
        FAMILY("PeersByState", METRIC_GAUGE, of_host, list_by_state, "Peers in this state"),
        FAMILY("PeersByPath", METRIC_GAUGE, of_host, list_by_path, "Peers with such a path"),
        FAMILY("PeersByReason", METRIC_GAUGE, of_host, list_by_reason,
               "Peers that have no direct path for this reason; none: those that have one"),
        FAMILY("LinkPeers", METRIC_GAUGE, of_link, link_peers, "Peers of the link"),
        FAMILY("LinkConnectedPeers", METRIC_GAUGE, of_link, link_connected,
               "Peers of the link with whom WireGuard's handshake came through"),
        FAMILY("PeerState", METRIC_STRING, text_of_peer, peer_state, "How far the connection has come"),
        FAMILY("PeerPath", METRIC_STRING, text_of_peer, peer_path, "What carries the peer's traffic"),
        FAMILY("PeerReason", METRIC_STRING, text_of_peer, peer_reason,
               "Why the peer has not a direct path; none: it has"),
        FAMILY("PeerReceivedBytes", METRIC_COUNTER, of_peer, peer_received,
               "What WireGuard received from the peer"),
        FAMILY("PeerSentBytes", METRIC_COUNTER, of_peer, peer_sent, "What WireGuard sent to the peer"),
        FAMILY("PeerLastHandshakeUSec", METRIC_GAUGE, of_peer, peer_last_handshake,
               "When WireGuard's last handshake was, since 1970"),
        FAMILY("PeerRoundTripTimeUSec", METRIC_GAUGE, of_peer, peer_round_trip_time,
               "Of the last check of the peer's path"),
        FAMILY("PeerPathChanges", METRIC_COUNTER, of_peer, peer_path_changes,
               "How often the peer's path has become another one, or none"),
        FAMILY("PeerSessions", METRIC_COUNTER, of_peer, peer_sessions,
               "Negotiations with the peer that were begun"),
};

static void list_peers(const Manager *m, Sink *s)
{
        const MetricFamily *f = s->family;

        for (const Link *link = m->links; link; link = link->hh.next)
                for (const Peer *peer = link->peers; peer; peer = peer->hh.next) {
                        const char *key = WIREGUARD_KEY_STR(&peer->public_key);
                        uint64_t n;

                        if (f->text_of_peer)
                                add_enum(s, key, "link", link->name, f->text_of_peer(peer));
                        else if (f->of_peer(peer, &n))
                                add_number(s, key, "link", link->name, n);
                }
}

static void list_family(const Manager *m, Sink *s)
{
        const MetricFamily *f = s->family;

        if (f->of_host)
                f->of_host(m, s);
        else if (f->of_peer || f->text_of_peer)
                list_peers(m, s);
        else if (f->of_link)
                for (const Link *link = m->links; link; link = link->hh.next)
                        add_number(s, link->name, NULL, NULL, f->of_link(link));
        else
                for (size_t i = 0; i < m->n_rendezvous; i++)
                        add_number(s, m->rendezvous[i]->name, NULL, NULL,
                                   f->of_rendezvous(m->rendezvous[i]));
}

int metrics_list(const Manager *m, JsonArray *array)
{
        Sink s = { .array = array };

        for (size_t i = 0; i < ELEMENTSOF(families) && s.error >= 0; i++) {
                s.family = &families[i];
                list_family(m, &s);
        }
        return MIN(s.error, 0);
}

int metrics_describe(JsonArray *array)
{
        for (size_t i = 0; i < ELEMENTSOF(families); i++) {
                const MetricFamily *f = &families[i];
                sd_json_variant *item = NULL;
                int r;

                r = sd_json_buildo(&item, SD_JSON_BUILD_PAIR_STRING("name", f->name),
                                   SD_JSON_BUILD_PAIR_STRING("description", f->description),
                                   SD_JSON_BUILD_PAIR_STRING("type", metric_type_to_string(f->type)));
                if (r >= 0)
                        r = json_array_add(array, item);
                if (r < 0)
                        return r;
        }
        return 0;
}
