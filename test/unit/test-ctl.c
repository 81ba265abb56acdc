/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <locale.h>

#include "ctl-history.h"
#include "ctl-mapping.h"
#include "ctl-peers.h"
#include "ctl-util.h"
#include "string-util.h"

static void use_utf8(void)
{
        cr_assert_not_null(setlocale(LC_CTYPE, "C.UTF-8"));
}

TestSuite(ctl, .init = use_utf8);

static void expect_size(uint64_t bytes, const char *expected)
{
        cr_assert_str_eq(format_size(bytes, (char[SIZE_STRLEN]) {}), expected);
}

Test(ctl, sizes)
{
        expect_size(0, "0 B");
        expect_size(1023, "1023 B");
        expect_size(1024, "1.0 KiB");
        expect_size(1536, "1.5 KiB");
        expect_size(1024 * 1024 - 1, "1.0 MiB");
        expect_size(UINT64_MAX, "16.0 EiB");
}

static void expect_age(usec_t age, const char *expected)
{
        cr_assert_str_eq(
                format_age(1000 * USEC_PER_HOUR - age, 1000 * USEC_PER_HOUR, (char[SIZE_STRLEN]) {}),
                expected);
}

Test(ctl, ages)
{
        expect_age(0, "now");
        expect_age(USEC_PER_SEC - 1, "now");
        expect_age(59 * USEC_PER_SEC, "59s");
        expect_age(119 * USEC_PER_SEC, "1min");
        expect_age(3 * USEC_PER_HOUR, "3h");
        expect_age(50 * USEC_PER_HOUR, "2d");
        cr_assert_str_eq(format_age(USEC_PER_HOUR, 0, (char[SIZE_STRLEN]) {}), "now");
}

Test(ctl, round_trip_times)
{
        cr_assert_str_eq(format_round_trip_time(400, (char[SIZE_STRLEN]) {}), "0.4ms");
        cr_assert_str_eq(format_round_trip_time(12345, (char[SIZE_STRLEN]) {}), "12ms");
        cr_assert_str_eq(format_round_trip_time(1500 * USEC_PER_MSEC, (char[SIZE_STRLEN]) {}), "1500ms");
}

Test(ctl, short_keys_stay_unique)
{
        const char *keys[] = { "abcdefghXX", "zzzzzzzzzz", "abcdefghXY", "abcdefghXX" };
        _cleanup_free_ char *cut = NULL, *whole = NULL;

        cr_assert_eq(unique_prefix_length(keys, 2, 8), 8);
        cr_assert_eq(unique_prefix_length(keys, 3, 8), 10);
        cr_assert_eq(unique_prefix_length(keys, 4, 8), 10);
        cr_assert_eq(unique_prefix_length(keys, 0, 8), 8);
        cut = ctl_short_key(keys[0], 4);
        cr_assert_str_eq(cut, "abcd…");
        whole = ctl_short_key(keys[0], 10);
        cr_assert_str_eq(whole, "abcdefghXX");
}

static sd_json_variant *parse(const char *text)
{
        sd_json_variant *v = NULL;

        cr_assert_geq(sd_json_parse(text, 0, &v, NULL, NULL), 0);
        return v;
}

#define PEER_START                                                                                          \
        "{\"link\":\"wg0\",\"publicKey\":\"abc\",\"state\":\"connected\",\"rxBytes\":1,\"txBytes\":2,"

Test(ctl, parses_peers)
{
        sd_json_variant *v = parse(
                PEER_START
                "\"path\":\"relayed\",\"reason\":\"no_direct_pair\",\"new\":1,"
                "\"local\":{\"type\":\"relay\",\"transport\":\"udp\",\"address\":\"192.0.2.1:1\"},"
                "\"remote\":{\"type\":\"host\",\"transport\":\"udp\",\"address\":\"192.0.2.2:2\"},"
                "\"endpoint\":\"127.128.0.1:3\","
                "\"counters\":{\"sessions\":3,\"envelopesRefused\":7,\"messagesDuplicate\":9,\"new\":1}}");
        _cleanup_free_ char *via = NULL;
        CtlPeer peer;

        cr_assert_eq(ctl_peer_parse(v, &peer), 0);
        cr_assert_str_eq(peer.state, "connected");
        cr_assert_eq(peer.tx_bytes, 2);
        cr_assert_eq(peer.counters.sessions, 3);
        cr_assert_eq(peer.counters.envelopes_refused, 7);
        cr_assert_eq(peer.counters.messages_duplicate, 9);
        cr_assert_eq(peer.counters.messages_stale, 0);
        cr_assert_eq(peer.round_trip_time, USEC_INFINITY);
        via = ctl_peer_via(&peer);
        cr_assert_str_eq(via, "relay 192.0.2.1:1 → host 192.0.2.2:2");
        sd_json_variant_unref(v);
}

Test(ctl, a_direct_peer_shows_its_endpoint)
{
        sd_json_variant *v = parse(PEER_START "\"path\":\"direct\",\"reason\":\"none\",\"reasonText\":null,"
                                              "\"endpoint\":\"192.0.2.2:2\"}");
        _cleanup_free_ char *via = NULL;
        CtlPeer peer;

        cr_assert_eq(ctl_peer_parse(v, &peer), 0);
        cr_assert_null(peer.reason_text);
        via = ctl_peer_via(&peer);
        cr_assert_str_eq(via, "192.0.2.2:2");
        sd_json_variant_unref(v);
}

Test(ctl, refuses_what_is_no_peer)
{
        static const char *const bad[] = {
                "{}",
                "[]",
                "1",
                PEER_START "\"path\":7,\"reason\":\"none\"}",
                PEER_START "\"path\":\"direct\",\"reason\":\"none\",\"local\":{\"type\":\"host\"}}",
                PEER_START "\"path\":\"direct\",\"reason\":\"none\",\"roundTripTimeUSec\":-1}",
                PEER_START "\"path\":\"direct\",\"reason\":\"none\",\"counters\":7}",
                PEER_START "\"path\":\"direct\",\"reason\":\"none\",\"counters\":{\"paths\":\"1\"}}",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                sd_json_variant *v = parse(bad[i]);
                CtlPeer peer;

                cr_assert_lt(ctl_peer_parse(v, &peer), 0, "%s", bad[i]);
                sd_json_variant_unref(v);
        }
}

#define RELAY "{\"type\":\"relay\",\"transport\":\"udp\",\"address\":\"192.0.2.9:9\"}"
#define HOST "{\"type\":\"host\",\"transport\":\"tcp_so\",\"address\":\"192.0.2.1:1\"}"

static void expect_path(const char *peer, const char *expected)
{
        sd_json_variant *v = parse(peer);
        _cleanup_free_ char *path = NULL;
        CtlPeer p;

        cr_assert_eq(ctl_peer_parse(v, &p), 0);
        path = ctl_peer_path(&p);
        cr_assert_str_eq(path, expected);
        sd_json_variant_unref(v);
}

Test(ctl, a_path_names_its_transport_if_that_is_not_udp)
{
        expect_path(PEER_START "\"path\":\"relayed\",\"reason\":\"none\",\"remote\":" RELAY "}", "relayed");
        expect_path(PEER_START "\"path\":\"proxied\",\"reason\":\"none\",\"remote\":" HOST "}",
                    "proxied/tcp");
        expect_path(PEER_START
                    "\"path\":\"relayed\",\"transport\":\"tls\",\"reason\":\"none\",\"remote\":" RELAY "}",
                    "relayed/tls");
        expect_path(PEER_START "\"path\":\"none\",\"reason\":\"none\"}", "none");
}

Test(ctl, parses_policies)
{
        sd_json_variant *v = parse(PEER_START
                                   "\"path\":\"none\",\"reason\":\"policy_here\",\"policy\":\"off\","
                                   "\"policyTemporary\":true}");
        CtlPeer peer;

        cr_assert_eq(ctl_peer_parse(v, &peer), 0);
        cr_assert_str_eq(peer.policy, "off");
        cr_assert(peer.policy_temporary);
        sd_json_variant_unref(v);
}

static void expect_summary(const char *path, const char *expected)
{
        _cleanup_free_ char *text = asprintf_safe("{\"timeUSec\":1,\"from\":{\"kind\":\"none\"},\"to\":%s,"
                                                  "\"cause\":\"first_path\",\"new\":1}",
                                                  path),
                            *summary = NULL, *cause = NULL;
        sd_json_variant *v = parse(text);
        CtlPathChange change;

        cr_assert_eq(ctl_path_change_parse(v, &change), 0, "%s", text);
        summary = ctl_path_summary(&change.to);
        cr_assert_str_eq(summary, expected);
        cause = ctl_enum_for_people(change.cause);
        cr_assert_str_eq(cause, "first-path");
        sd_json_variant_unref(v);
}

Test(ctl, path_changes)
{
        expect_summary("{\"kind\":\"none\"}", "none");
        expect_summary("{\"kind\":\"direct\",\"remote\":" RELAY "}", "direct 192.0.2.9:9");
        expect_summary("{\"kind\":\"relayed\",\"local\":" HOST ",\"remote\":" RELAY "}",
                       "relayed host → relay 192.0.2.9:9");
        expect_summary("{\"kind\":\"proxied\",\"local\":" RELAY ",\"remote\":" HOST "}",
                       "proxied/tcp relay → host 192.0.2.1:1");
}

Test(ctl, refuses_what_is_no_path_change)
{
        static const char *const bad[] = {
                "{}",
                "7",
                "{\"timeUSec\":1,\"from\":{},\"to\":{\"kind\":\"none\"},\"cause\":\"x\"}",
                "{\"timeUSec\":-1,\"from\":{\"kind\":\"none\"},\"to\":{\"kind\":\"none\"},\"cause\":\"x\"}",
                "{\"timeUSec\":1,\"from\":{\"kind\":\"none\"},\"to\":{\"kind\":\"none\"}}",
                "{\"timeUSec\":1,\"from\":{\"kind\":\"none\"},\"to\":{\"kind\":\"none\",\"remote\":{}},"
                "\"cause\":\"x\"}",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                sd_json_variant *v = parse(bad[i]);
                CtlPathChange change;

                cr_assert_lt(ctl_path_change_parse(v, &change), 0, "%s", bad[i]);
                sd_json_variant_unref(v);
        }
}

#define MAPPING_START "{\"local\":\"10.0.0.2:51820\",\"hairpin\":\"no\","

Test(ctl, parses_mappings)
{
        sd_json_variant *v = parse(
                MAPPING_START
                "\"link\":\"wg0\",\"kind\":\"endpoint_independent\",\"mapped\":\"192.0.2.1:51820\","
                "\"portKept\":true,\"new\":1,\"servers\":["
                "{\"address\":\"192.0.2.9:3478\",\"mapped\":\"192.0.2.1:51820\",\"roundTripTimeUSec\":1234,"
                "\"new\":1},"
                "{\"address\":\"192.0.2.8:3478\",\"error\":\"no answer\"}]}");
        CtlMapping m;

        cr_assert_eq(ctl_mapping_parse(v, &m), 0);
        cr_assert_str_eq(m.link, "wg0");
        cr_assert_str_eq(m.mapped, "192.0.2.1:51820");
        cr_assert_eq(m.port_kept, 1);
        cr_assert_null(m.error);
        cr_assert_eq(m.n_servers, 2);
        cr_assert_eq(m.servers[0].round_trip_time, 1234);
        cr_assert_null(m.servers[1].mapped);
        cr_assert_eq(m.servers[1].round_trip_time, USEC_INFINITY);
        cr_assert_str_eq(m.servers[1].error, "no answer");
        cr_assert_null(ctl_mapping_advice(&m));
        ctl_mapping_done(&m);
        sd_json_variant_unref(v);
}

Test(ctl, refuses_what_is_no_mapping)
{
        static const char *const bad[] = {
                "{}",
                "[]",
                MAPPING_START "\"kind\":\"none\"}",
                MAPPING_START "\"kind\":\"none\",\"servers\":{}}",
                MAPPING_START "\"kind\":\"none\",\"servers\":[1]}",
                MAPPING_START "\"kind\":\"none\",\"servers\":[{}]}",
                MAPPING_START "\"kind\":\"none\",\"servers\":[{\"address\":\"a\"},{\"address\":7}]}",
                MAPPING_START
                "\"kind\":\"none\",\"servers\":[{\"address\":\"a\",\"roundTripTimeUSec\":-1}]}",
                MAPPING_START "\"kind\":\"none\",\"servers\":[],\"portKept\":1}",
                MAPPING_START "\"kind\":7,\"servers\":[]}",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                sd_json_variant *v = parse(bad[i]);
                CtlMapping m;

                cr_assert_lt(ctl_mapping_parse(v, &m), 0, "%s", bad[i]);
                sd_json_variant_unref(v);
        }
}

Test(ctl, advice_about_mappings)
{
        static const struct {
                CtlMapping mapping;
                const char *advice; /* its beginning; NULL: none */
        } cases[] = {
                { { .kind = "varies", .n_servers = 2 }, "a:1: the NAT shows another" },
                { { .kind = "unknown", .n_servers = 2 }, "a:1: no server answered" },
                { { .kind = "unknown" }, NULL }, /* nobody was asked */
                { { .kind = "unknown", .n_servers = 2, .error = "no broker" }, NULL },
                { { .kind = "single", .n_servers = 1 }, "a:1: with a second STUN server" },
                { { .kind = "single", .n_servers = 2 }, NULL },
                { { .kind = "none", .n_servers = 1 }, NULL },
                { { .kind = "endpoint_independent", .n_servers = 2 }, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *advice = NULL;
                CtlMapping m = cases[i].mapping;

                m.local = "a:1";
                advice = ctl_mapping_advice(&m);
                cr_assert_eq(advice != NULL, cases[i].advice != NULL, "%zu: %s", i, advice);
                if (advice)
                        cr_assert_not_null(startswith(advice, cases[i].advice), "%zu: %s", i, advice);
        }
}

static CtlStunServer no_answer = { .address = "192.0.2.1:3478", .error = "no answer" },
                     asked = { .address = "192.0.2.1:3478" };

Test(ctl, who_can_reach_a_mapping)
{
        static const struct {
                CtlMapping mapping;
                CtlReach reach;
                const char *explained;
        } cases[] = {
                { { .kind = "none", .mapped = "b:2" }, CTL_REACH_YES, "x at b:2" },
                { { .kind = "endpoint_independent", .mapped = "b:2" },
                  CTL_REACH_NAT,
                  "x at b:2 through a NAT" },
                { { .kind = "single", .mapped = "b:2" },
                  CTL_REACH_MAYBE,
                  "x at b:2, where one STUN server has seen it" },
                { { .kind = "varies", .mapped = "b:2" },
                  CTL_REACH_HARDLY,
                  "x behind a NAT that changes ports" },
                { { .kind = "unknown", .servers = &no_answer, .n_servers = 1 },
                  CTL_REACH_NO,
                  "x, since no STUN server answers" },
                { { .kind = "unknown", .servers = &asked, .n_servers = 1 },
                  CTL_REACH_UNKNOWN,
                  "x (nobody has answered yet)" },
                { { .kind = "unknown", .error = "the ports are not shared" },
                  CTL_REACH_UNKNOWN,
                  "x (the ports are not shared)" },
                { { .kind = "unknown" }, CTL_REACH_LAN, "x, with no STUN server to ask about the rest" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *explained = NULL;
                CtlMapping m = cases[i].mapping;

                m.local = "a:1";
                explained = ctl_mapping_explain(&m, "x");
                cr_assert_eq(ctl_mapping_reach(&m), cases[i].reach, "%zu", i);
                cr_assert_str_eq(explained, cases[i].explained);
                cr_assert_not_null(ctl_reach_to_string(cases[i].reach));
        }
}
