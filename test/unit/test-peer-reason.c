/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <stdlib.h>

#include "fd-util.h"
#include "peer-reason.h"
#include "string-util.h"

/* A peer with nothing in its way that has just not answered. */
static PeerEvidence fine(void)
{
        return (PeerEvidence) {
                .broker_connected = true,
                .has_private_key = true,
                .has_listen_port = true,
                .has_address = true,
                .rendezvous_up = true,
                .state = PEER_STATE_WAITING,
        };
}

/* No pair works between two hosts that have IPv4. */
static PeerEvidence failed(void)
{
        PeerEvidence e = fine();

        e.heard = true;
        e.state = PEER_STATE_FAILED;
        e.here = e.there = (Network) { .ipv4 = NETWORK_ENDPOINT_INDEPENDENT, .ipv6 = NETWORK_ABSENT };
        return e;
}

static PeerEvidence connected(PathKind path)
{
        PeerEvidence e = failed();

        e.state = PEER_STATE_CONNECTED;
        e.path = path;
        e.relay = path == PATH_RELAYED ? RELAY_STATE_OK : RELAY_STATE_UNKNOWN;
        return e;
}

static void expect(PeerEvidence e, PeerReason expected)
{
        PeerReason found = peer_reason_decide(&e);

        cr_assert_eq(found, expected, "%s instead of %s", peer_reason_to_string(found),
                     peer_reason_to_string(expected));
}

/* --- one by one --- */

Test(peer_reason, none)
{
        expect(connected(PATH_DIRECT), PEER_REASON_NONE);
}

Test(peer_reason, policy_here)
{
        PeerEvidence e = fine();

        e.here.policy = POLICY_OFF;
        expect(e, PEER_REASON_POLICY_HERE);
        e = failed(), e.here.policy = POLICY_DIRECT;
        expect(e, PEER_REASON_POLICY_HERE);
        e = failed(), e.here.policy = POLICY_RELAY;
        expect(e, PEER_REASON_POLICY_HERE);
        e = connected(PATH_RELAYED), e.here.policy = POLICY_RELAY;
        expect(e, PEER_REASON_POLICY_HERE);
        /* What excludes each other is one's own to change. */
        e = fine(), e.here.policy = POLICY_RELAY, e.there.policy = POLICY_DIRECT;
        expect(e, PEER_REASON_POLICY_HERE);
        e = fine(), e.here.policy = POLICY_DIRECT, e.there.policy = POLICY_RELAY;
        expect(e, PEER_REASON_POLICY_HERE);
}

Test(peer_reason, policy_there)
{
        PeerEvidence e = fine();

        e.there.policy = POLICY_OFF;
        expect(e, PEER_REASON_POLICY_THERE);
        e = failed(), e.there.policy = POLICY_DIRECT;
        expect(e, PEER_REASON_POLICY_THERE);
        e = failed(), e.there.policy = POLICY_RELAY;
        expect(e, PEER_REASON_POLICY_THERE);
        e = connected(PATH_RELAYED), e.there.policy = POLICY_RELAY;
        expect(e, PEER_REASON_POLICY_THERE);
}

Test(peer_reason, broker_lost)
{
        PeerEvidence e = fine();

        e.broker_connected = false;
        expect(e, PEER_REASON_BROKER_LOST);
}

Test(peer_reason, no_private_key)
{
        PeerEvidence e = fine();

        e.has_private_key = false;
        expect(e, PEER_REASON_NO_PRIVATE_KEY);
}

Test(peer_reason, no_listen_port)
{
        PeerEvidence e = fine();

        e.has_listen_port = false;
        expect(e, PEER_REASON_NO_LISTEN_PORT);
}

Test(peer_reason, no_address)
{
        PeerEvidence e = fine();

        e.has_address = false;
        expect(e, PEER_REASON_NO_ADDRESS);
}

Test(peer_reason, rendezvous_down)
{
        PeerEvidence e = fine();

        e.rendezvous_up = false;
        expect(e, PEER_REASON_RENDEZVOUS_DOWN);
        e.heard = e.unanswered = true;
        expect(e, PEER_REASON_RENDEZVOUS_DOWN);
}

Test(peer_reason, peer_silent)
{
        PeerEvidence e = fine();

        expect(e, PEER_REASON_PEER_SILENT);
        e.unanswered = true;
        expect(e, PEER_REASON_PEER_SILENT);
}

Test(peer_reason, peer_offline)
{
        PeerEvidence e = fine();

        e.heard = e.unanswered = true;
        expect(e, PEER_REASON_PEER_OFFLINE);
        /* One question may get lost. */
        e.unanswered = false;
        expect(e, PEER_REASON_NEGOTIATING);
}

Test(peer_reason, envelope_refused)
{
        PeerEvidence e = fine();

        e.envelope_refused = true;
        expect(e, PEER_REASON_ENVELOPE_REFUSED);
        e.heard = e.unanswered = true;
        expect(e, PEER_REASON_ENVELOPE_REFUSED);
}

Test(peer_reason, negotiating)
{
        PeerEvidence e = fine();

        e.state = PEER_STATE_NEGOTIATING;
        expect(e, PEER_REASON_NEGOTIATING);
        e.state = PEER_STATE_CONNECTING;
        expect(e, PEER_REASON_NEGOTIATING);
}

Test(peer_reason, relay_refused)
{
        PeerEvidence e = failed();

        e.relay = RELAY_STATE_REFUSED;
        expect(e, PEER_REASON_RELAY_REFUSED);
        e.relay = RELAY_STATE_CREDENTIALS_REFUSED;
        expect(e, PEER_REASON_RELAY_REFUSED);
        e.relay = RELAY_STATE_CERTIFICATE_REFUSED;
        expect(e, PEER_REASON_RELAY_REFUSED);
        /* A policy of relays only is not to blame for that. */
        e.here.policy = POLICY_RELAY;
        expect(e, PEER_REASON_RELAY_REFUSED);
        /* A relay would have been the way, whatever stops a direct path. */
        e = failed(), e.relay = RELAY_STATE_REFUSED, e.here.ipv4 = e.there.ipv4 = NETWORK_VARIES;
        expect(e, PEER_REASON_RELAY_REFUSED);
}

Test(peer_reason, relay_unreachable)
{
        PeerEvidence e = failed();

        e.relay = RELAY_STATE_UNREACHABLE;
        expect(e, PEER_REASON_RELAY_UNREACHABLE);
        e.here.policy = POLICY_DIRECT;
        expect(e, PEER_REASON_POLICY_HERE);
}

Test(peer_reason, udp_blocked_here)
{
        PeerEvidence e = failed();

        e.here.ipv4 = NETWORK_BLOCKED;
        expect(e, PEER_REASON_UDP_BLOCKED_HERE);
        e = connected(PATH_RELAYED), e.here.ipv4 = NETWORK_BLOCKED;
        expect(e, PEER_REASON_UDP_BLOCKED_HERE);
        e = connected(PATH_PROXIED), e.path_is_tcp = true, e.here.ipv4 = NETWORK_BLOCKED;
        expect(e, PEER_REASON_UDP_BLOCKED_HERE);
}

Test(peer_reason, udp_blocked_there)
{
        PeerEvidence e = failed();

        e.there.ipv4 = NETWORK_BLOCKED;
        expect(e, PEER_REASON_UDP_BLOCKED_THERE);
        e = connected(PATH_RELAYED), e.there.ipv4 = NETWORK_BLOCKED;
        expect(e, PEER_REASON_UDP_BLOCKED_THERE);
        e.here.ipv4 = NETWORK_BLOCKED;
        expect(e, PEER_REASON_UDP_BLOCKED_HERE);
}

Test(peer_reason, mapping_varies)
{
        PeerEvidence e = failed();

        e.here.ipv4 = NETWORK_VARIES;
        expect(e, PEER_REASON_NO_PATH);
        e.there.ipv4 = NETWORK_VARIES;
        expect(e, PEER_REASON_MAPPING_VARIES);
        e = connected(PATH_RELAYED), e.here.ipv4 = e.there.ipv4 = NETWORK_VARIES;
        expect(e, PEER_REASON_MAPPING_VARIES);
        /* By IPv6 nothing is known to be in the way. */
        e.here.ipv6 = NETWORK_ENDPOINT_INDEPENDENT, e.there.ipv6 = NETWORK_VARIES;
        expect(e, PEER_REASON_NO_DIRECT_PAIR);
}

Test(peer_reason, no_common_family)
{
        PeerEvidence e = failed();

        e.there = (Network) { .ipv4 = NETWORK_ABSENT, .ipv6 = NETWORK_ENDPOINT_INDEPENDENT };
        expect(e, PEER_REASON_NO_COMMON_FAMILY);
        e.state = PEER_STATE_CONNECTED, e.path = PATH_RELAYED;
        expect(e, PEER_REASON_NO_COMMON_FAMILY);
        /* Of a peer that tells nothing nothing is known. */
        e.there = (Network) {};
        expect(e, PEER_REASON_NO_DIRECT_PAIR);
}

Test(peer_reason, no_path)
{
        PeerEvidence e = failed();

        expect(e, PEER_REASON_NO_PATH);
        e.relay = RELAY_STATE_OK;
        expect(e, PEER_REASON_NO_PATH);
        e.here = e.there = (Network) {};
        expect(e, PEER_REASON_NO_PATH);
}

Test(peer_reason, no_direct_pair)
{
        expect(connected(PATH_RELAYED), PEER_REASON_NO_DIRECT_PAIR);
}

Test(peer_reason, only_tcp)
{
        PeerEvidence e = connected(PATH_PROXIED);

        e.path_is_tcp = true;
        expect(e, PEER_REASON_ONLY_TCP);
}

Test(peer_reason, no_handshake)
{
        PeerEvidence e = fine();

        e.state = PEER_STATE_CONNECTING;
        e.handshake_overdue = true;
        expect(e, PEER_REASON_NO_HANDSHAKE);
        /* The path is there without them. */
        e.has_address = e.rendezvous_up = false;
        expect(e, PEER_REASON_NO_HANDSHAKE);
        /* It is carried by another path now. */
        e = connected(PATH_RELAYED), e.direct_refused = true;
        expect(e, PEER_REASON_NO_HANDSHAKE);
        e = connected(PATH_PROXIED), e.direct_refused = true;
        expect(e, PEER_REASON_NO_HANDSHAKE);
        e = connected(PATH_DIRECT), e.direct_refused = true;
        expect(e, PEER_REASON_NONE);
}

/* Whatever kind of path it is, or would rather be. */
Test(peer_reason, path_dead)
{
        for (PathKind kind = PATH_DIRECT; kind < _PATH_KIND_MAX; kind++) {
                PeerEvidence e = connected(kind);

                e.path_is_dead = e.path_is_tcp = true;
                e.here.policy = POLICY_RELAY;
                expect(e, PEER_REASON_PATH_DEAD);
                e.state = PEER_STATE_FAILED;
                expect(e, PEER_REASON_POLICY_HERE);
        }
}

Test(peer_reason, no_redirect)
{
        expect(connected(PATH_PROXIED), PEER_REASON_NO_REDIRECT);
}

/* --- their order --- */

Test(peer_reason, what_is_down_does_not_make_a_good_path_a_bad_one)
{
        PeerEvidence e = connected(PATH_RELAYED);

        e.rendezvous_up = e.broker_connected = false;
        e.relay = RELAY_STATE_UNREACHABLE;
        e.there.policy = POLICY_OFF;
        expect(e, PEER_REASON_NO_DIRECT_PAIR);
        /* WireGuard's own path is left alone. */
        e = connected(PATH_DIRECT), e.here.policy = POLICY_OFF;
        expect(e, PEER_REASON_NONE);
}

Test(peer_reason, what_is_broken_here_is_named_first)
{
        PeerEvidence e = { .state = PEER_STATE_WAITING,
                           .here.policy = POLICY_OFF,
                           .there.policy = POLICY_OFF,
                           .envelope_refused = true };

        expect(e, PEER_REASON_POLICY_HERE);
        e.here.policy = POLICY_AUTO;
        expect(e, PEER_REASON_BROKER_LOST);
        e.broker_connected = true;
        expect(e, PEER_REASON_NO_PRIVATE_KEY);
        e.has_private_key = true;
        expect(e, PEER_REASON_NO_LISTEN_PORT);
        e.has_listen_port = true;
        expect(e, PEER_REASON_NO_ADDRESS);
        e.has_address = true;
        expect(e, PEER_REASON_RENDEZVOUS_DOWN);
        e.rendezvous_up = true;
        expect(e, PEER_REASON_POLICY_THERE);
        e.there.policy = POLICY_AUTO;
        expect(e, PEER_REASON_ENVELOPE_REFUSED);
}

/* --- for people --- */

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
