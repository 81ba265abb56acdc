/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From the model to io.systemd.Metrics, and from there to OpenMetrics text. */

#include "metrics.h"

#include <ctype.h>

#include "json.h"
#include "log.h"
#include "openmetrics-parser.h"
#include "openmetrics.h"
#include "relays.h"
#include "varlink-metrics.h"
#include "varlink-util.h"

#define KEY_1 "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_2 "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static sd_event *event;
static Manager *manager;
static sd_json_variant *families, *metrics; /* references */

static void add_peer(WireguardDevice *device, uint8_t number)
{
        WireguardPeer *peer;

        cr_assert_eq(wireguard_device_add_peer(device, &(WireguardKey) { .bytes = { number } }, &peer), 0);
        peer->rx_bytes = 1000 + number;
        peer->tx_bytes = UINT64_MAX;
        memset(&peer->preshared_key, 0xee, sizeof(peer->preshared_key));
}

static Peer *peer_at(uint8_t number)
{
        return link_find_peer(manager->links, &(WireguardKey) { .bytes = { number } });
}

/* wg0 has the peers 1, which is connected, and 2. */
static void start(void)
{
        static const char text[] = "[ICE]\nTURNServers=turn:one.test:3480?transport=udp "
                                   "turn:one.test:3480?transport=tcp\nTURNUser=u\n";
        WireguardDevice *device;
        Config *config;
        Link *link;

        log_set_max_level(LOG_CRIT);
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(config_parse("test", text, strlen(text), &config, NULL), 0);
        cr_assert_eq(manager_new(event, config, &manager), 0);
        cr_assert_eq(relays_configure(manager), 0);
        cr_assert_eq(link_new(manager, "wg0", &link), 0);
        cr_assert_eq(wireguard_device_new("wg0", WIREGUARD_KIND_KERNEL, &device), 0);
        memset(&device->private_key, 0xee, sizeof(device->private_key));
        add_peer(device, 1);
        add_peer(device, 2);
        cr_assert_geq(link_observe(link, device), 0);
        wireguard_device_free(device);
        peer_at(1)->state = PEER_STATE_CONNECTED;
        peer_at(1)->reason = PEER_REASON_NO_REDIRECT;
        peer_at(1)->path = (Path) { .kind = PATH_PROXIED, .round_trip_time = 12345 };
        peer_at(1)->last_handshake = 7 * USEC_PER_SEC + 8;
        peer_at(1)->counters.sessions = 3;
        peer_at(1)->history.n = 0;
}

static void stop(void)
{
        sd_json_variant_unref(families);
        sd_json_variant_unref(metrics);
        manager = manager_free(manager);
        event = sd_event_unref(event);
}

TestSuite(metrics, .init = start, .fini = stop);

static void list(void)
{
        _cleanup_(json_array_done) JsonArray described = {}, listed = {};

        cr_assert_eq(metrics_describe(&described), 0);
        cr_assert_eq(metrics_list(manager, &listed), 0);
        cr_assert_geq(json_array_build(&described, &families), 0);
        cr_assert_geq(json_array_build(&listed, &metrics), 0);
}

static const char *type_of(const char *name)
{
        for (size_t i = 0; i < sd_json_variant_elements(families); i++) {
                sd_json_variant *f = sd_json_variant_by_index(families, i);

                if (streq(string_at(f, "name"), name))
                        return string_at(f, "type");
        }
        cr_assert_fail("%s is not described", name);
        return NULL;
}

/* systemd-report leaves out what does not begin with the socket's name, and whose last part is no name of a
 * Varlink field. */
Test(metrics, families_are_described)
{
        list();
        for (size_t i = 0; i < sd_json_variant_elements(families); i++) {
                sd_json_variant *f = sd_json_variant_by_index(families, i);
                const char *name = startswith(string_at(f, "name"), METRICS_PREFIX);

                cr_assert_not_null(name);
                cr_assert(isupper((unsigned char) *name));
                for (; *name; name++)
                        cr_assert(isalnum((unsigned char) *name));
                cr_assert_geq(metric_type_from_string(string_at(f, "type")), 0);
                cr_assert_gt(strlen(string_at(f, "description")), 0);
        }
}

Test(metrics, values_are_of_their_family)
{
        list();
        for (size_t i = 0; i < sd_json_variant_elements(metrics); i++) {
                sd_json_variant *m = sd_json_variant_by_index(metrics, i), *value = at(m, "value"),
                                *fields = sd_json_variant_by_key(m, "fields");

                cr_assert_eq(streq(type_of(string_at(m, "name")), "string"),
                             !!sd_json_variant_is_string(value), "%s", string_at(m, "name"));
                for (size_t k = 0; k < sd_json_variant_elements(fields); k++)
                        cr_assert(sd_json_variant_is_string(sd_json_variant_by_index(fields, k)));
        }
}

/* What is told of one peer, or (NULL) of the host; NULL if there is none. */
static sd_json_variant *value_of(const char *name, const char *object)
{
        for (size_t i = 0; i < sd_json_variant_elements(metrics); i++) {
                sd_json_variant *m = sd_json_variant_by_index(metrics, i),
                                *o = sd_json_variant_by_key(m, "object");

                if (streq(startswith(string_at(m, "name"), METRICS_PREFIX), name) &&
                    streq_ptr(o ? sd_json_variant_string(o) : NULL, object))
                        return at(m, "value");
        }
        return NULL;
}

Test(metrics, what_is_not_known_is_not_told)
{
        list();
        cr_assert_eq(sd_json_variant_unsigned(value_of("PeerRoundTripTimeUSec", KEY_1)), 12345);
        cr_assert_null(value_of("PeerRoundTripTimeUSec", KEY_2), "it has no path");
        cr_assert_null(value_of("PeerLastHandshakeUSec", KEY_2), "it has had none");
        cr_assert_null(value_of("Redirect", NULL), "the broker has not said so");
        cr_assert_str_eq(sd_json_variant_string(value_of("PeerReason", KEY_1)), "no_redirect");
        cr_assert_eq(sd_json_variant_unsigned(value_of("BrokerUp", NULL)), 0);
        manager->redirect_known = true;
        manager->redirect_kind = REDIRECT_NFTABLES;
        sd_json_variant_unref(families);
        sd_json_variant_unref(metrics);
        list();
        cr_assert_str_eq(sd_json_variant_string(value_of("Redirect", NULL)), "nftables");
}

/* ---- As text ---- */

static char *print(void)
{
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        cr_assert_not_null(f);
        cr_assert_eq(openmetrics_print(f, families, metrics), 0);
        cr_assert_eq(fclose(f), 0);
        return text;
}

Test(metrics, open_metrics)
{
        Rendezvous r = { .name = (char *) "mqtts://\"h\\\n\xe2\x80\xae:1", .state = RENDEZVOUS_STATE_UP };
        _cleanup_free_ char *text = NULL;
        OpenMetrics m;

        r.counters.sent = 5;
        manager->rendezvous[manager->n_rendezvous++] = &r;
        list();
        manager->n_rendezvous--;
        text = print();
        cr_assert_null(strstr(text, "7u7u"), "a secret");
        openmetrics_parse(&m, text);
        cr_assert_eq(m.n_families, sd_json_variant_elements(families));
        cr_assert_eq(m.n_series, sd_json_variant_elements(metrics));

        cr_assert_eq(openmetrics_value(&m, "icewire_peers_by_state{state=\"connected\"}"), 1);
        cr_assert_eq(openmetrics_value(&m, "icewire_peers_by_state{state=\"failed\"}"), 0);
        cr_assert_eq(openmetrics_value(&m, "icewire_peers_by_path{path=\"proxied\"}"), 1);
        cr_assert_eq(openmetrics_value(&m, "icewire_peers_by_reason{reason=\"no_redirect\"}"), 1);
        cr_assert_eq(openmetrics_value(&m, "icewire_link_peers{link=\"wg0\"}"), 2);
        cr_assert_eq(openmetrics_value(&m, "icewire_link_connected_peers{link=\"wg0\"}"), 1);
#define PEER_1 "{link=\"wg0\",peer=\"" KEY_1 "\"}"
        cr_assert_eq(openmetrics_value(&m, "icewire_peer_received_bytes_total" PEER_1), 1001);
        cr_assert_eq(openmetrics_value(&m, "icewire_peer_sent_bytes_total" PEER_1), (double) UINT64_MAX);
        cr_assert_eq(openmetrics_value(&m, "icewire_peer_last_handshake_seconds" PEER_1), 7.000008);
        cr_assert_eq(openmetrics_value(&m, "icewire_peer_round_trip_time_seconds" PEER_1), 0.012345);
        cr_assert_eq(openmetrics_value(&m, "icewire_peer_sessions_total" PEER_1), 3);
        cr_assert_eq(openmetrics_value(&m, "icewire_peer_path_changes_total" PEER_1), 0);
        cr_assert_eq(
                openmetrics_value(&m, "icewire_peer_path{link=\"wg0\",peer=\"" KEY_1 "\",path=\"proxied\"}"),
                1);
        cr_assert_eq(openmetrics_value(&m, "icewire_relay_state{kind=\"turn_tcp\",relay=\"one.test:3480\","
                                           "state=\"unknown\"}"),
                     1);
        cr_assert_eq(openmetrics_value(&m, "icewire_version{version=\"0.1.0\"}"), 1);
        /* What others have a say in reaches a terminal escaped. */
        cr_assert_eq(openmetrics_value(&m, "icewire_rendezvous_up{rendezvous=\"mqtts://\\\"h\\\\"
                                           "\\\\x0a\\\\xe2\\\\x80\\\\xae:1\"}"),
                     1);
        openmetrics_done(&m);
}

/* Another version's families, or nonsense, does not make the text invalid. */
Test(metrics, foreign_families)
{
        static const char described[] =
                "[{\"name\":\"org.icewire.Agent.NewKindOfBytes\",\"description\":\"a\\nb\","
                "\"type\":\"counter\"},"
                "{\"name\":\"org.icewire.Agent.Odd\",\"description\":\"\",\"type\":\"histogram\"},"
                "{\"name\":\"no-name\",\"description\":\"\",\"type\":\"gauge\"},"
                "{\"name\":\"x.y-z\",\"type\":\"gauge\"},{\"name\":7},{},"
                "{\"name\":\"a.Text\",\"type\":\"string\"}]";
        static const char listed[] =
                "[{\"name\":\"org.icewire.Agent.NewKindOfBytes\",\"value\":-1},"
                "{\"name\":\"org.icewire.Agent.NewKindOfBytes\",\"value\":\"many\"},"
                "{\"name\":\"a.Text\",\"value\":\"t\"},"
                "{\"name\":\"org.icewire.Agent.NewKindOfBytes\",\"value\":9,\"object\":\"o\","
                "\"fields\":{\"a b\":\"c\",\"n\":7,\"good\":\"\"}},"
                "{\"name\":\"org.icewire.Agent.Unknown\",\"value\":1},{\"value\":1}]";
        _cleanup_free_ char *text = NULL;
        OpenMetrics m;

        cr_assert_geq(sd_json_parse(described, 0, &families, NULL, NULL), 0);
        cr_assert_geq(sd_json_parse(listed, 0, &metrics, NULL, NULL), 0);
        text = print();
        openmetrics_parse(&m, text);
        cr_assert_eq(m.n_families, 2);
        cr_assert_eq(m.n_series, 2);
        cr_assert_eq(openmetrics_value(&m, "icewire_new_kind_of_bytes_total{good=\"\",new=\"o\"}"), 9);
        cr_assert_eq(openmetrics_value(&m, "icewire_text{text=\"t\"}"), 1);
        openmetrics_done(&m);
}
