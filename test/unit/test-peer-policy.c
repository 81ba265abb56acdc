/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a policy does to a peer that is connected, and to one that would like to be. No port is shared and
 * there is no relay (world.h): every path is proxied. */

#include "event-util.h"
#include "exchange.h"
#include "peer-policy.h"
#include "session.h"
#include "string-util.h"
#include "try.h"
#include "world.h"

static void set(Side *side, Policy policy)
{
        peer_set_policy(peer_of(side), policy, /* temporary= */ true, PATH_CAUSE_POLICY);
}

static bool has_reason(Side *side, PeerReason reason)
{
        return peer_of(side) && peer_of(side)->reason == reason;
}

static PathCause last_cause(Side *side)
{
        const History *h = &peer_of(side)->history;
        HistoryChange change;

        cr_assert_gt(history_count(h), 0);
        history_get(h, history_count(h) - 1, &change);
        return change.cause;
}

static void expect_nothing(Side *side)
{
        const Peer *peer = peer_of(side);

        cr_assert_eq(peer->path.kind, PATH_NONE);
        cr_assert_null(peer->session);
        cr_assert_null(peer->old_session);
        cr_assert_null(peer->proxy);
        cr_assert_eq(peer->state, PEER_STATE_WAITING);
}

Test(peer_policy, off_ends_everything_and_says_so)
{
        World *w = connect_by_proxies();
        uint64_t sent = peer_of(&w->a)->counters.envelopes_sent;

        set(&w->a, POLICY_OFF);
        expect_nothing(&w->a);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_POLICY_HERE);
        RUN_UNTIL(w->event, has_reason(&w->b, PEER_REASON_POLICY_THERE));
        settle(w);
        expect_nothing(&w->b);
        cr_assert_eq(last_cause(&w->a), PATH_CAUSE_POLICY);
        cr_assert_eq(last_cause(&w->b), PATH_CAUSE_POLICY);
        cr_assert_eq(peer_of(&w->a)->counters.envelopes_sent, sent + 1, "one goodbye");

        /* Whatever asks for an attempt, there is none. */
        try_now(peer_of(&w->a));
        peer_reconnect_regardless(peer_of(&w->a));
        settle(w);
        cr_assert_eq(peer_of(&w->a)->counters.envelopes_sent, sent + 1);
        world_free(w);
}

/* The other side goes on asking now and then, and hears the same again. */
Test(peer_policy, whoever_asks_is_told_again)
{
        World *w = connect_by_proxies();
        uint64_t sent, sessions;

        set(&w->a, POLICY_OFF);
        RUN_UNTIL(w->event, has_reason(&w->b, PEER_REASON_POLICY_THERE));
        settle(w);
        sent = peer_of(&w->a)->counters.envelopes_sent;
        sessions = peer_of(&w->b)->counters.sessions;
        elapse(peer_of(&w->b)->retry_timer);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->counters.envelopes_sent, sent + 1);
        cr_assert(has_reason(&w->b, PEER_REASON_POLICY_THERE));
        expect_nothing(&w->b);
        cr_assert_eq(peer_of(&w->b)->counters.sessions, sessions);
        world_free(w);
}

static void check_off_and_on(Side *side)
{
        World *w = side->world;

        set(side, POLICY_OFF);
        RUN_UNTIL(w->event, has_reason(other_side(side), PEER_REASON_POLICY_THERE));
        settle(w);
        set(side, POLICY_AUTO);
        RUN_UNTIL(w->event, both_connected(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        check_traffic(w);
}

Test(peer_policy, off_and_on_again)
{
        World *w = connect_by_proxies();

        check_off_and_on(&w->a);
        check_off_and_on(&w->b);
        world_free(w);
}

Test(peer_policy, off_from_the_start)
{
        for (unsigned i = 0; i < 2; i++) {
                World *w = world_new();
                Side *off = i == 0 ? &w->a : &w->b, *other = other_side(off);

                start(off);
                manager_reload(off->manager, config_from("[Peer]\nPolicy=off\n"));
                settle(w);
                start(other);
                RUN_UNTIL(w->event, has_reason(other, PEER_REASON_POLICY_THERE));
                settle(w);
                expect_nothing(off);
                expect_nothing(other);
                cr_assert_eq(peer_of(off)->counters.sessions, 0);
                world_free(w);
        }
}

/* It has the instance of before in mind, and a goodbye from another one proves nothing. */
Test(peer_policy, off_after_a_restart_is_heard)
{
        for (unsigned i = 0; i < 2; i++) {
                World *w = connect_by_proxies();
                Side *off = i == 0 ? &w->a : &w->b, *other = other_side(off);

                kill_side(off);
                start(off);
                manager_reload(off->manager, config_from("[Peer]\nPolicy=off\n"));
                settle(w);
                peer_reconnect(peer_of(other));
                RUN_UNTIL(w->event, has_reason(other, PEER_REASON_POLICY_THERE));
                settle(w);
                expect_nothing(off);
                expect_nothing(other);
                world_free(w);
        }
}

Test(peer_policy, both_off_say_nothing)
{
        World *w = connect_by_proxies();
        uint64_t sent_a, sent_b;

        set(&w->a, POLICY_OFF);
        set(&w->b, POLICY_OFF);
        settle(w);
        sent_a = peer_of(&w->a)->counters.envelopes_sent;
        sent_b = peer_of(&w->b)->counters.envelopes_sent;
        try_now(peer_of(&w->a));
        try_now(peer_of(&w->b));
        settle(w);
        cr_assert_eq(peer_of(&w->a)->counters.envelopes_sent, sent_a);
        cr_assert_eq(peer_of(&w->b)->counters.envelopes_sent, sent_b);
        world_free(w);
}

/* There is no relay here: the path in use stays until that is known, and is left then. */
Test(peer_policy, relay_without_a_relay)
{
        for (unsigned i = 0; i < 2; i++) {
                World *w = connect_by_proxies();
                Side *side = i == 0 ? &w->a : &w->b;
                Peer *peer = peer_of(side);

                set(side, POLICY_RELAY);
                cr_assert_eq(peer->path.kind, PATH_PROXIED);
                settle(w);
                cr_assert(session_is_negotiating(peer->session), "another is looked for beside it");
                check_traffic(w);
                elapse(peer->policy_timer);
                settle(w);
                cr_assert_eq(peer->path.kind, PATH_PROXIED, "as long as that goes on");
                try_session_failed(peer->session, /* answered= */ true);
                elapse(peer->policy_timer);
                settle(w);
                cr_assert_eq(peer->path.kind, PATH_NONE);
                cr_assert_eq(last_cause(side), PATH_CAUSE_POLICY);
                world_free(w);
        }
}

/* Whoever brings it about: a switch that is taken back, or WireGuard that is reached by itself. */
Test(peer_policy, a_path_that_is_not_allowed_does_not_last)
{
        World *w = connect_by_proxies();
        Peer *peer = peer_of(&w->a);
        Path path = peer->path;

        path.kind = PATH_RELAYED;
        peer_set_path(peer, &path);
        peer->policy = POLICY_RELAY;
        path.kind = PATH_PROXIED;
        peer_set_path(peer, &path);
        elapse(peer->policy_timer);
        settle(w);
        cr_assert_eq(peer->path.kind, PATH_NONE);
        cr_assert_eq(last_cause(&w->a), PATH_CAUSE_POLICY);
        world_free(w);
}

/* One relay is better than another: by UDP nothing waits for what got lost. */
Test(peer_policy, relay_over_tcp_is_not_the_last_word)
{
        World *w = connect_by_proxies();
        Peer *peer = peer_of(&w->a);

        peer->policy = POLICY_RELAY;
        peer->path.kind = PATH_RELAYED;
        for (PathTransport t = 0; t < _PATH_TRANSPORT_MAX; t++) {
                peer->path.transport = t;
                try_cancel(peer);
                try_better_later(peer);
                cr_assert_eq(event_timer_is_armed(peer->retry_timer), t != PATH_TRANSPORT_UDP);
        }
        world_free(w);
}

/* It has found nothing but host candidates, which this policy neither tells nor tries. */
Test(peer_policy, relay_tells_no_address)
{
        World *w = connect_by_proxies();
        const Session *s;

        set(&w->a, POLICY_RELAY);
        settle(w);
        s = peer_of(&w->a)->session;
        cr_assert(session_is_negotiating(s));
        cr_assert_eq(s->n_candidates, 0);
        cr_assert_not_null(peer_of(&w->b)->session);
        cr_assert_eq(peer_of(&w->b)->network.policy, POLICY_RELAY);
        world_free(w);
}

static bool conflict_is_known(World *w)
{
        return has_reason(&w->a, PEER_REASON_POLICY_HERE) && has_reason(&w->b, PEER_REASON_POLICY_HERE);
}

/* What pleases one is forbidden by the other: both know, and no session is wasted on it. */
Test(peer_policy, direct_and_relay_exclude_each_other)
{
        World *w = connect_by_proxies();
        uint64_t sessions;

        set(&w->a, POLICY_DIRECT);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_PROXIED, "a direct pair is direct");
        peer_reconnect(peer_of(&w->a));
        settle(w);
        cr_assert_eq(peer_of(&w->b)->network.policy, POLICY_DIRECT);
        set(&w->b, POLICY_RELAY);
        RUN_UNTIL(w->event, conflict_is_known(w));
        settle(w);
        expect_nothing(&w->a);
        expect_nothing(&w->b);
        cr_assert_str_eq(peer_of(&w->b)->reason_detail, "policy here: relay; there: direct");
        sessions = peer_of(&w->a)->counters.sessions + peer_of(&w->b)->counters.sessions;
        elapse(peer_of(&w->a)->retry_timer);
        elapse(peer_of(&w->b)->retry_timer);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->counters.sessions + peer_of(&w->b)->counters.sessions, sessions);

        set(&w->b, POLICY_AUTO);
        RUN_UNTIL(w->event, both_connected(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        check_traffic(w);
        world_free(w);
}

Test(peer_policy, configuration)
{
        World *w = connect_by_proxies();
        _cleanup_free_ char *text = asprintf_safe(
                "[Peer]\nPolicy=direct\n[Peer]\nPolicy=relay\nPublicKey=%s\n",
                WIREGUARD_KEY_STR(&(WireguardKey) { .bytes = { 1 } }));

        manager_reload(w->a.manager, config_from(text));
        cr_assert_eq(peer_of(&w->a)->policy, POLICY_DIRECT);
        cr_assert_not(peer_of(&w->a)->policy_temporary);
        /* What a person sets is good until the configuration is read again. */
        set(&w->a, POLICY_OFF);
        cr_assert(peer_of(&w->a)->policy_temporary);
        manager_reload(w->a.manager, config_from("[Peer]\nPolicy=auto\n"));
        cr_assert_eq(peer_of(&w->a)->policy, POLICY_AUTO);
        cr_assert_not(peer_of(&w->a)->policy_temporary);
        RUN_UNTIL(w->event, both_connected(w));
        world_free(w);
}
