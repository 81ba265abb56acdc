/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <stdlib.h>

#include "fd-util.h"
#include "peer-reason.h"
#include "string-util.h"

/* Overriding what a macro below says is what a row is for. */
#pragma GCC diagnostic ignored "-Woverride-init"

/* Nothing is in the way of a peer that has just not answered. */
#define ABLE                                                                                                \
        .broker_connected = true, .has_private_key = true, .has_listen_port = true, .has_address = true,    \
        .rendezvous_up = true, .state = PEER_STATE_WAITING

/* Both hosts have IPv4 only, and nothing is known to stop it. */
#define IPV4_ONLY                                                                                           \
        .here.ipv4 = NETWORK_ENDPOINT_INDEPENDENT, .here.ipv6 = NETWORK_ABSENT,                             \
        .there.ipv4 = NETWORK_ENDPOINT_INDEPENDENT, .there.ipv6 = NETWORK_ABSENT

/* No pair works. */
#define FAILED ABLE, IPV4_ONLY, .heard = true, .state = PEER_STATE_FAILED

/* A path is in use. */
#define CONNECTED(kind) FAILED, .state = PEER_STATE_CONNECTED, .path = kind
#define DIRECT CONNECTED(PATH_DIRECT)
#define PROXIED CONNECTED(PATH_PROXIED)
#define RELAYED CONNECTED(PATH_RELAYED), .relay = RELAY_STATE_OK

static const struct {
        PeerReason expected;
        PeerEvidence evidence;
} cases[] = {
        { PEER_REASON_NONE, { DIRECT } },
        { PEER_REASON_POLICY_HERE, { ABLE, .here.policy = POLICY_OFF } },
        { PEER_REASON_POLICY_HERE, { FAILED, .here.policy = POLICY_DIRECT } },
        { PEER_REASON_POLICY_HERE, { FAILED, .here.policy = POLICY_RELAY } },
        { PEER_REASON_POLICY_HERE, { RELAYED, .here.policy = POLICY_RELAY } },
        /* What excludes each other is one's own to change. */
        { PEER_REASON_POLICY_HERE, { ABLE, .here.policy = POLICY_RELAY, .there.policy = POLICY_DIRECT } },
        { PEER_REASON_POLICY_HERE, { ABLE, .here.policy = POLICY_DIRECT, .there.policy = POLICY_RELAY } },
        { PEER_REASON_POLICY_THERE, { ABLE, .there.policy = POLICY_OFF } },
        { PEER_REASON_POLICY_THERE, { FAILED, .there.policy = POLICY_DIRECT } },
        { PEER_REASON_POLICY_THERE, { FAILED, .there.policy = POLICY_RELAY } },
        { PEER_REASON_POLICY_THERE, { RELAYED, .there.policy = POLICY_RELAY } },
        { PEER_REASON_BROKER_LOST, { ABLE, .broker_connected = false } },
        { PEER_REASON_NO_PRIVATE_KEY, { ABLE, .has_private_key = false } },
        { PEER_REASON_NO_LISTEN_PORT, { ABLE, .has_listen_port = false } },
        { PEER_REASON_NO_ADDRESS, { ABLE, .has_address = false } },
        { PEER_REASON_RENDEZVOUS_DOWN, { ABLE, .rendezvous_up = false } },
        { PEER_REASON_RENDEZVOUS_DOWN, { ABLE, .rendezvous_up = false, .heard = true, .unanswered = true } },
        { PEER_REASON_PEER_SILENT, { ABLE } },
        { PEER_REASON_PEER_SILENT, { ABLE, .unanswered = true } },
        { PEER_REASON_PEER_OFFLINE, { ABLE, .heard = true, .unanswered = true } },
        /* One question may get lost. */
        { PEER_REASON_NEGOTIATING, { ABLE, .heard = true } },
        { PEER_REASON_NEGOTIATING, { ABLE, .state = PEER_STATE_NEGOTIATING } },
        { PEER_REASON_NEGOTIATING, { ABLE, .state = PEER_STATE_CONNECTING } },
        { PEER_REASON_ENVELOPE_REFUSED, { ABLE, .envelope_refused = true } },
        { PEER_REASON_ENVELOPE_REFUSED,
          { ABLE, .envelope_refused = true, .heard = true, .unanswered = true } },
        { PEER_REASON_RELAY_REFUSED, { FAILED, .relay = RELAY_STATE_REFUSED } },
        { PEER_REASON_RELAY_REFUSED, { FAILED, .relay = RELAY_STATE_CREDENTIALS_REFUSED } },
        { PEER_REASON_RELAY_REFUSED, { FAILED, .relay = RELAY_STATE_CERTIFICATE_REFUSED } },
        /* A policy of relays only is not to blame for that. */
        { PEER_REASON_RELAY_REFUSED,
          { FAILED, .relay = RELAY_STATE_CERTIFICATE_REFUSED, .here.policy = POLICY_RELAY } },
        /* A relay would have been the way, whatever stops a direct path. */
        { PEER_REASON_RELAY_REFUSED,
          { FAILED, .relay = RELAY_STATE_REFUSED, .here.ipv4 = NETWORK_VARIES,
            .there.ipv4 = NETWORK_VARIES } },
        { PEER_REASON_RELAY_UNREACHABLE, { FAILED, .relay = RELAY_STATE_UNREACHABLE } },
        { PEER_REASON_POLICY_HERE,
          { FAILED, .relay = RELAY_STATE_UNREACHABLE, .here.policy = POLICY_DIRECT } },
        { PEER_REASON_UDP_BLOCKED_HERE, { FAILED, .here.ipv4 = NETWORK_BLOCKED } },
        { PEER_REASON_UDP_BLOCKED_HERE, { RELAYED, .here.ipv4 = NETWORK_BLOCKED } },
        { PEER_REASON_UDP_BLOCKED_HERE, { PROXIED, .path_is_tcp = true, .here.ipv4 = NETWORK_BLOCKED } },
        { PEER_REASON_UDP_BLOCKED_HERE,
          { RELAYED, .there.ipv4 = NETWORK_BLOCKED, .here.ipv4 = NETWORK_BLOCKED } },
        { PEER_REASON_UDP_BLOCKED_THERE, { FAILED, .there.ipv4 = NETWORK_BLOCKED } },
        { PEER_REASON_UDP_BLOCKED_THERE, { RELAYED, .there.ipv4 = NETWORK_BLOCKED } },
        { PEER_REASON_NO_PATH, { FAILED, .here.ipv4 = NETWORK_VARIES } },
        { PEER_REASON_MAPPING_VARIES,
          { FAILED, .here.ipv4 = NETWORK_VARIES, .there.ipv4 = NETWORK_VARIES } },
        { PEER_REASON_MAPPING_VARIES,
          { RELAYED, .here.ipv4 = NETWORK_VARIES, .there.ipv4 = NETWORK_VARIES } },
        /* By IPv6 nothing is known to be in the way. */
        { PEER_REASON_NO_DIRECT_PAIR,
          { RELAYED, .here.ipv4 = NETWORK_VARIES, .there.ipv4 = NETWORK_VARIES,
            .here.ipv6 = NETWORK_ENDPOINT_INDEPENDENT, .there.ipv6 = NETWORK_VARIES } },
        { PEER_REASON_NO_COMMON_FAMILY,
          { FAILED, .there.ipv4 = NETWORK_ABSENT, .there.ipv6 = NETWORK_ENDPOINT_INDEPENDENT } },
        { PEER_REASON_NO_COMMON_FAMILY,
          { CONNECTED(PATH_RELAYED), .there.ipv4 = NETWORK_ABSENT,
            .there.ipv6 = NETWORK_ENDPOINT_INDEPENDENT } },
        /* Of a peer that tells nothing nothing is known. */
        { PEER_REASON_NO_DIRECT_PAIR, { CONNECTED(PATH_RELAYED), .there = {} } },
        { PEER_REASON_NO_PATH, { FAILED } },
        { PEER_REASON_NO_PATH, { FAILED, .relay = RELAY_STATE_OK } },
        { PEER_REASON_NO_PATH, { FAILED, .relay = RELAY_STATE_OK, .here = {}, .there = {} } },
        { PEER_REASON_NO_DIRECT_PAIR, { RELAYED } },
        { PEER_REASON_ONLY_TCP, { PROXIED, .path_is_tcp = true } },
        { PEER_REASON_NO_REDIRECT, { PROXIED } },
        { PEER_REASON_NO_HANDSHAKE, { ABLE, .state = PEER_STATE_CONNECTING, .handshake_overdue = true } },
        /* The path is there without them. */
        { PEER_REASON_NO_HANDSHAKE,
          { ABLE, .state = PEER_STATE_CONNECTING, .handshake_overdue = true, .has_address = false,
            .rendezvous_up = false } },
        /* It is carried by another path now. */
        { PEER_REASON_NO_HANDSHAKE, { RELAYED, .direct_refused = true } },
        { PEER_REASON_NO_HANDSHAKE, { PROXIED, .direct_refused = true } },
        { PEER_REASON_NONE, { DIRECT, .direct_refused = true } },
        /* Whatever kind of path it is, or would rather be. */
        { PEER_REASON_PATH_DEAD,
          { DIRECT, .path_is_dead = true, .path_is_tcp = true, .here.policy = POLICY_RELAY } },
        { PEER_REASON_PATH_DEAD,
          { PROXIED, .path_is_dead = true, .path_is_tcp = true, .here.policy = POLICY_RELAY } },
        { PEER_REASON_PATH_DEAD,
          { RELAYED, .path_is_dead = true, .path_is_tcp = true, .here.policy = POLICY_RELAY } },
        { PEER_REASON_POLICY_HERE,
          { FAILED, .path_is_dead = true, .path_is_tcp = true, .here.policy = POLICY_RELAY } },
        /* What is down does not make a good path a bad one. */
        { PEER_REASON_NO_DIRECT_PAIR,
          { RELAYED, .rendezvous_up = false, .broker_connected = false, .relay = RELAY_STATE_UNREACHABLE,
            .there.policy = POLICY_OFF } },
        /* WireGuard's own path is left alone. */
        { PEER_REASON_NONE, { DIRECT, .here.policy = POLICY_OFF } },
};

static void expect(const PeerEvidence *e, PeerReason expected, size_t row)
{
        PeerReason found = peer_reason_decide(e);

        cr_expect_eq(found, expected, "row %zu: %s instead of %s", row, peer_reason_to_string(found),
                     peer_reason_to_string(expected));
}

Test(peer_reason, one_by_one)
{
        bool seen[_PEER_REASON_MAX] = {};

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                expect(&cases[i].evidence, cases[i].expected, i);
                seen[cases[i].expected] = true;
        }
        for (PeerReason r = 0; r < _PEER_REASON_MAX; r++)
                cr_assert(seen[r], "no row for %s", peer_reason_to_string(r));
}

/* Everything is wrong; then one thing after the other is repaired. */
Test(peer_reason, what_is_broken_here_is_named_first)
{
        PeerEvidence e = { .state = PEER_STATE_WAITING,
                           .here.policy = POLICY_OFF,
                           .there.policy = POLICY_OFF,
                           .envelope_refused = true };

        expect(&e, PEER_REASON_POLICY_HERE, 0);
        e.here.policy = POLICY_AUTO;
        expect(&e, PEER_REASON_BROKER_LOST, 1);
        e.broker_connected = true;
        expect(&e, PEER_REASON_NO_PRIVATE_KEY, 2);
        e.has_private_key = true;
        expect(&e, PEER_REASON_NO_LISTEN_PORT, 3);
        e.has_listen_port = true;
        expect(&e, PEER_REASON_NO_ADDRESS, 4);
        e.has_address = true;
        expect(&e, PEER_REASON_RENDEZVOUS_DOWN, 5);
        e.rendezvous_up = true;
        expect(&e, PEER_REASON_POLICY_THERE, 6);
        e.there.policy = POLICY_AUTO;
        expect(&e, PEER_REASON_ENVELOPE_REFUSED, 7);
}

/* For people */

Test(peer_reason, all_have_a_name_and_a_sentence)
{
        for (PeerReason r = 0; r < _PEER_REASON_MAX; r++) {
                cr_assert_eq(peer_reason_from_string(peer_reason_to_string(r)), r);
                cr_assert_not_null(peer_reason_explain(r));
        }
        cr_assert_null(peer_reason_explain(_PEER_REASON_MAX));
        cr_assert_null(peer_reason_explain(_PEER_REASON_INVALID));
}

/* The table of docs/REASONS.md has each, in this order and in these words, and nothing else. */
Test(peer_reason, documentation_is_up_to_date)
{
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t n = 0;
        char *row;

        cr_assert_not_null(getenv("ICEWIRE_SOURCE"));
        path = asprintf_safe("%s/docs/REASONS.md", getenv("ICEWIRE_SOURCE"));
        cr_assert_geq(read_full_file(path, 1024 * 1024, &text, /* ret_size= */ NULL), 0);
        row = text;
        while ((row = strstr(row, "\n| `"))) {
                _cleanup_free_ char *expected = NULL;

                row++;
                expected = asprintf_safe("| `%s` | %s |\n", strna(peer_reason_to_string((PeerReason) n)),
                                         strna(peer_reason_explain((PeerReason) n)));
                cr_assert_not_null(startswith(row, expected), "row %zu should be: %s", n + 1, expected);
                n++;
        }
        cr_assert_eq(n, _PEER_REASON_MAX);
}
