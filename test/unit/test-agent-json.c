/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <string.h>

#include "agent-json.h"
#include "json.h"
#include "string-util.h"
#include "varlink-util.h"

static sd_event *event;
static Manager *manager;
static Link *link_;
static Peer *peer;

static void start(void)
{
        WireguardDevice *device;
        WireguardPeer *observed;
        Config *config;
        IpPrefix prefix;

        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(config_parse("test", "", 0, &config, NULL), 0);
        cr_assert_eq(manager_new(event, config, &manager), 0);
        cr_assert_eq(link_new(manager, "wg0", &link_), 0);
        cr_assert_eq(wireguard_device_new("wg0", WIREGUARD_KIND_USERSPACE, &device), 0);
        device->listen_port = 51820;
        cr_assert_eq(wireguard_device_add_peer(device, &(WireguardKey) { .bytes = { 1 } }, &observed), 0);
        cr_assert_eq(ip_prefix_from_string("10.0.0.0/8", &prefix), 0);
        cr_assert_eq(wireguard_peer_add_allowed_ip(observed, &prefix), 0);
        observed->rx_bytes = UINT64_MAX;
        cr_assert_geq(link_observe(link_, device), 0);
        wireguard_device_free(device);
        peer = link_->peers;
        cr_assert_not_null(peer);
}

static void stop(void)
{
        manager = manager_free(manager);
        event = sd_event_unref(event);
}

TestSuite(agent_json, .init = start, .fini = stop);

Test(agent_json, link)
{
        _cleanup_json_ sd_json_variant *v = NULL;

        peer->state = PEER_STATE_CONNECTED;
        cr_assert_eq(link_build_json(link_, &v), 0);
        cr_assert_str_eq(string_at(v, "name"), "wg0");
        cr_assert_str_eq(string_at(v, "kind"), "userspace");
        cr_assert_null(sd_json_variant_by_key(v, "publicKey"), "it has none");
        cr_assert_eq(number_at(v, "peers"), 1);
        cr_assert_eq(number_at(v, "connected"), 1);
}

Test(agent_json, peer_without_a_path)
{
        _cleanup_json_ sd_json_variant *v = NULL;

        peer->reason = PEER_REASON_NO_PRIVATE_KEY;
        cr_assert_eq(peer_build_json(peer, &v), 0);
        cr_assert_str_eq(string_at(v, "publicKey"), "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        cr_assert_str_eq(string_at(v, "path"), "none");
        cr_assert_str_eq(string_at(v, "reason"), "no_private_key", "Varlink's enums have no dash");
        cr_assert_str_eq(string_at(v, "reasonText"), peer_reason_explain(PEER_REASON_NO_PRIVATE_KEY));
        cr_assert_eq(number_at(v, "rxBytes"), UINT64_MAX);
        cr_assert_str_eq(sd_json_variant_string(sd_json_variant_by_index(at(v, "allowedIPs"), 0)),
                         "10.0.0.0/8");
        for (size_t i = 0; i < 6; i++)
                cr_assert_null(sd_json_variant_by_key(
                        v, (const char *const[]) { "reasonDetail", "local", "remote", "endpoint",
                                                   "pathSinceUSec", "lastHandshakeUSec" }[i]));
}

Test(agent_json, peer_with_a_path)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        usec_t t = now(CLOCK_REALTIME), up = now(CLOCK_BOOTTIME);

        peer->path = (Path) { .kind = PATH_RELAYED,
                              .since = up / 2, /* the machine may have just booted */
                              .round_trip_time = 1234,
                              .local = { .type = ICE_CANDIDATE_RELAY },
                              .remote = { .type = ICE_CANDIDATE_HOST, .transport = ICE_TRANSPORT_TCP_SO } };
        cr_assert_eq(socket_address_from_string("192.0.2.1:1", &peer->path.local.address), 0);
        cr_assert_eq(socket_address_from_string("[2001:db8::1]:2", &peer->path.remote.address), 0);
        peer->endpoint = peer->path.local.address;
        peer->last_handshake = 42;
        cr_assert_eq(peer_build_json(peer, &v), 0);
        cr_assert_str_eq(string_at(v, "path"), "relayed");
        cr_assert_str_eq(string_at(at(v, "local"), "type"), "relay");
        cr_assert_str_eq(string_at(at(v, "remote"), "address"), "[2001:db8::1]:2");
        cr_assert_str_eq(string_at(at(v, "remote"), "transport"), "tcp_so");
        cr_assert_str_eq(string_at(v, "endpoint"), "192.0.2.1:1");
        cr_assert_eq(number_at(v, "roundTripTimeUSec"), 1234);
        cr_assert_eq(number_at(v, "lastHandshakeUSec"), 42);
        /* By the wall clock, that may be a little off by now. */
        cr_assert_leq(number_at(v, "pathSinceUSec"), t - up / 2 + USEC_PER_SEC);
        cr_assert_geq(number_at(v, "pathSinceUSec"), t - up / 2 - USEC_PER_SEC);
}

Test(agent_json, an_unknown_round_trip_time_is_absent)
{
        _cleanup_json_ sd_json_variant *v = NULL;

        peer->path = (Path) { .kind = PATH_PROXIED, .round_trip_time = USEC_INFINITY };
        cr_assert_eq(peer_build_json(peer, &v), 0);
        cr_assert_null(sd_json_variant_by_key(v, "roundTripTimeUSec"));
}

Test(agent_json, counters)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        sd_json_variant *c;

        peer->counters = (PeerCounters) { .sessions = 1,
                                          .paths = 2,
                                          .envelopes_sent = 3,
                                          .envelopes_received = 4,
                                          .envelopes_refused = 5,
                                          .envelopes_flooded = 6,
                                          .messages_malformed = 7 };
        for (unsigned i = 0; i < _SIGNALLING_VERDICT_MAX; i++)
                peer->signalling.counters[i] = 10 + i;
        cr_assert_eq(peer_build_json(peer, &v), 0);
        c = at(v, "counters");
        cr_assert_eq(number_at(c, "sessions"), 1);
        cr_assert_eq(number_at(c, "paths"), 2);
        cr_assert_eq(number_at(c, "envelopesSent"), 3);
        cr_assert_eq(number_at(c, "envelopesReceived"), 4);
        cr_assert_eq(number_at(c, "envelopesRefused"), 5);
        cr_assert_eq(number_at(c, "envelopesFlooded"), 6);
        cr_assert_eq(number_at(c, "messagesMalformed"), 7);
        cr_assert_eq(number_at(c, "messagesAccepted"), 10 + SIGNALLING_ACCEPT);
        cr_assert_eq(number_at(c, "messagesAcceptedAnew"), 10 + SIGNALLING_ACCEPT_NEW_INSTANCE);
        cr_assert_eq(number_at(c, "messagesAnswered"), 20 + SIGNALLING_ANSWER_HELLO + SIGNALLING_SAY_HELLO);
        cr_assert_eq(number_at(c, "messagesDuplicate"), 10 + SIGNALLING_DROP_DUPLICATE);
        cr_assert_eq(number_at(c, "messagesStale"), 10 + SIGNALLING_DROP_STALE);
        cr_assert_eq(number_at(c, "messagesFlooded"), 10 + SIGNALLING_DROP_FLOOD);
        cr_assert_eq(number_at(c, "messagesWrongRole"), 10 + SIGNALLING_DROP_ROLE);
}

/* An MQTT server's error text may be anything; the reply is JSON all the same. */
Test(agent_json, text_that_is_no_utf8)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        Rendezvous r = { .name = (char *) "mqtt://h:1", .state = RENDEZVOUS_STATE_DOWN };

        r.error = (char *) "no\xff way";
        r.counters.received = 9;
        cr_assert_eq(rendezvous_build_json(&r, &v), 0);
        cr_assert_str_eq(string_at(v, "error"), "no\\xff way");
        cr_assert_str_eq(string_at(v, "state"), "down");
        cr_assert_eq(number_at(v, "received"), 9);
}

Test(agent_json, daemon)
{
        _cleanup_json_ sd_json_variant *v = NULL;

        cr_assert_eq(manager_build_json(manager, &v), 0);
        cr_assert_str_eq(string_at(v, "broker"), "lost");
        cr_assert_eq(sd_json_variant_elements(at(v, "rendezvous")), 0);
}

Test(agent_json, arrays)
{
        _cleanup_(json_array_done) JsonArray array = {};
        _cleanup_json_ sd_json_variant *v = NULL;

        for (unsigned i = 0; i < 100; i++) {
                sd_json_variant *item;

                cr_assert_geq(sd_json_variant_new_unsigned(&item, i), 0);
                cr_assert_eq(json_array_add(&array, item), 0);
        }
        cr_assert_geq(json_array_build(&array, &v), 0);
        cr_assert_eq(sd_json_variant_elements(v), 100);
        cr_assert_eq(sd_json_variant_unsigned(sd_json_variant_by_index(v, 99)), 99);
}
