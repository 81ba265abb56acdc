/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "peer-reason.h"

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

Test(peer_reason, each_cause_alone)
{
        PeerEvidence e;

        e = fine();
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_PEER_SILENT);
        e = fine(), e.broker_connected = false;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_BROKER_LOST);
        e = fine(), e.has_private_key = false;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NO_PRIVATE_KEY);
        e = fine(), e.has_listen_port = false;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NO_LISTEN_PORT);
        e = fine(), e.has_address = false;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NO_ADDRESS);
        e = fine(), e.rendezvous_up = false;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_RENDEZVOUS_DOWN);
        e = fine(), e.envelope_refused = true;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_ENVELOPE_REFUSED);
        e = fine(), e.state = PEER_STATE_NEGOTIATING;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NEGOTIATING);
        e = fine(), e.state = PEER_STATE_FAILED;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NO_PATH);
        e = fine(), e.state = PEER_STATE_CONNECTING;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NEGOTIATING);
        e.handshake_overdue = true;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NO_HANDSHAKE);
}

Test(peer_reason, a_connected_peer_is_judged_by_its_path)
{
        PeerEvidence e = fine();

        e.state = PEER_STATE_CONNECTED;
        e.path = PATH_DIRECT;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NONE);
        e.path = PATH_PROXIED;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NO_REDIRECT);
        e.path = PATH_RELAYED;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NO_DIRECT_PAIR);
        /* What is down meanwhile does not make a good path a bad one. */
        e.rendezvous_up = e.broker_connected = false;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NO_DIRECT_PAIR);
}

Test(peer_reason, what_is_broken_here_is_named_first)
{
        PeerEvidence e = { .state = PEER_STATE_WAITING };

        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_BROKER_LOST);
        e.broker_connected = true;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NO_PRIVATE_KEY);
        e.has_private_key = true;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NO_LISTEN_PORT);
        e.has_listen_port = true;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_NO_ADDRESS);
        e.has_address = true;
        cr_assert_eq(peer_reason_decide(&e), PEER_REASON_RENDEZVOUS_DOWN);
}

Test(peer_reason, all_have_a_name_and_a_sentence)
{
        for (PeerReason r = 0; r < _PEER_REASON_MAX; r++) {
                cr_assert_eq(peer_reason_from_string(peer_reason_to_string(r)), r);
                cr_assert_not_null(peer_reason_explain(r));
        }
        cr_assert_null(peer_reason_explain(_PEER_REASON_MAX));
}
