/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "handover.h"
#include "macro.h"

#define S(n) ((usec_t) (n) * USEC_PER_SEC)
#define MS(n) ((usec_t) (n) * USEC_PER_MSEC)

/* --- two sides in a network that is made up: packets take their time, in steps of 1 ms --- */

enum { OLD, NEW, N_WAYS };

#define FLIGHT_MAX 512 /* ms */
#define PACKET 100     /* bytes */

typedef struct End {
        Handover h;
        bool can_hold;
        bool wants;
        usec_t selected_at; /* when ICE has the new pair */
        bool selected;
        bool holds, moves; /* what the ingress program does */
        uint64_t held, late;
        int endpoint;
        unsigned changes;
        uint64_t rx, tx, lost;
        usec_t handshake_at;
        HandoverAction ended; /* how; HANDOVER_WAIT: not yet */
        usec_t ended_at;
        unsigned n_looks;
        unsigned arriving[N_WAYS][FLIGHT_MAX]; /* by the time of arrival */
} End;

typedef struct Net {
        End a, b;
        usec_t t;
        unsigned delay[N_WAYS]; /* ms, one way */
        bool dead[N_WAYS];
        usec_t every; /* data, each way; 0: none */
        usec_t keepalive;
} Net;

static End *other(Net *net, End *e)
{
        return e == &net->a ? &net->b : &net->a;
}

static void send(Net *net, End *e)
{
        unsigned at = (unsigned) (net->t / MS(1) + net->delay[e->endpoint]) % FLIGHT_MAX;

        e->tx += PACKET;
        if (net->dead[e->endpoint])
                e->lost++;
        else
                other(net, e)->arriving[e->endpoint][at]++;
}

static void set_endpoint(End *e, int way)
{
        e->changes += e->endpoint != way;
        e->endpoint = way;
}

/* What WireGuard sees, and follows. */
static void receive(End *e, int way)
{
        e->rx += PACKET;
        if (e->holds && way == NEW) {
                e->held++;
                way = OLD;
        } else if (e->moves && way == OLD) {
                e->late++;
                way = NEW;
        }
        set_endpoint(e, way);
}

static HandoverReading read_end(const End *e)
{
        return (HandoverReading) {
                .rx_bytes = e->rx,
                .tx_bytes = e->tx,
                .handshake_at = e->handshake_at,
                .late = e->late,
                .is_back = handover_is_switching(&e->h) && e->endpoint == OLD,
        };
}

static void act(Net *net, End *e, HandoverAction action)
{
        HandoverReading r;

        switch (action) {
        case HANDOVER_SWITCH:
                e->holds = false;
                e->moves = true;
                e->late = 0;
                r = read_end(e);
                handover_switched(&e->h, net->t, /* irrevocable= */ false, &r);
                set_endpoint(e, NEW);
                send(net, e); /* a keepalive */
                break;
        case HANDOVER_REPEAT:
                set_endpoint(e, NEW);
                break;
        case HANDOVER_PROVED:
                send(net, e);
                break;
        case HANDOVER_REVERT:
                e->moves = false;
                set_endpoint(e, OLD);
                _fallthrough_;
        case HANDOVER_FORGET:
        case HANDOVER_RELEASE:
                e->holds = false;
                e->ended = action;
                e->ended_at = net->t;
                break;
        default:
                break;
        }
}

static void select_pair(Net *net, End *e)
{
        HandoverReading r = read_end(e);

        e->selected = true;
        e->holds = e->can_hold;
        handover_hold(&e->h, net->t, e->wants, e->can_hold ? HANDOVER_FOLLOW : HANDOVER_LEAD);
        (void) handover_observe(&e->h, net->t, &r);
}

/* The daemon's timer. */
static void look(Net *net, End *e)
{
        HandoverReading r;

        if (!e->selected && net->t >= e->selected_at)
                select_pair(net, e);
        if (net->t < handover_next(&e->h))
                return;
        e->n_looks++;
        act(net, e, handover_elapse(&e->h, net->t));
        if (handover_is_holding(&e->h) && (e->held > 0 || e->endpoint == NEW))
                act(net, e, handover_heard(&e->h));
        r = read_end(e);
        act(net, e, handover_observe(&e->h, net->t, &r));
}

static void step_end(Net *net, End *e, usec_t phase)
{
        size_t now_at = (size_t) (net->t / MS(1)) % FLIGHT_MAX;

        for (int way = 0; way < N_WAYS; way++)
                for (; e->arriving[way][now_at] > 0; e->arriving[way][now_at]--)
                        receive(e, way);
        if (net->every > 0 && (net->t + phase) % net->every == 0)
                send(net, e);
        if (net->keepalive > 0 && (net->t + phase) % net->keepalive == 0)
                send(net, e);
        look(net, e);
}

static void run(Net *net, usec_t duration)
{
        for (usec_t end = net->t + duration; net->t < end; net->t += MS(1)) {
                step_end(net, &net->a, 0);
                step_end(net, &net->b, MS(2));
        }
}

static unsigned random_below(unsigned n)
{
        return (unsigned) random() % n;
}

static Net make_net(bool a_can_hold, bool b_can_hold)
{
        usec_t start = S(1000);

        return (Net) {
                .a = { .can_hold = a_can_hold, .wants = true, .selected_at = start },
                .b = { .can_hold = b_can_hold, .wants = true, .selected_at = start },
                .t = start - S(1),
                .delay = { [OLD] = 40, [NEW] = 10 },
                .every = MS(5),
        };
}

/* ICE tells the two sides at different moments, and the paths differ, but not by more than LEAD. */
static void vary(Net *net)
{
        net->delay[OLD] = random_below(200);
        net->delay[NEW] = random_below(200);
        net->a.selected_at += MS(random_below(200));
        net->b.selected_at += MS(random_below(200));
}

static void expect_switched(const End *e)
{
        cr_assert_eq(e->endpoint, NEW);
        cr_assert_eq(e->ended, HANDOVER_RELEASE);
        cr_assert_eq(e->h.state, HANDOVER_IDLE);
        cr_assert_eq(e->lost, 0);
}

static void check_no_flapping(bool a_can_hold, bool b_can_hold, bool a_wants, bool b_wants)
{
        for (unsigned i = 0; i < 500; i++) {
                Net net = make_net(a_can_hold, b_can_hold);

                vary(&net);
                net.a.wants = a_wants;
                net.b.wants = b_wants;
                run(&net, S(8));
                expect_switched(&net.a);
                expect_switched(&net.b);
                cr_assert_eq(net.a.changes, 1, "run %u: %u changes", i, net.a.changes);
                cr_assert_eq(net.b.changes, 1, "run %u: %u changes", i, net.b.changes);
        }
}

Test(handover, nobody_flaps_from_one_address_to_another, .timeout = 120)
{
        check_no_flapping(true, true, true, true);
}

/* One side owns the relay. */
Test(handover, nobody_flaps_from_a_relay_to_a_direct_path, .timeout = 120)
{
        check_no_flapping(false, true, true, true);
        check_no_flapping(true, false, true, true);
}

/* For one side it is no better than what there was. */
Test(handover, who_has_not_wanted_it_follows, .timeout = 120)
{
        check_no_flapping(true, true, true, false);
        check_no_flapping(false, true, true, false);
}

/* Both are proxied: late packets may take one back for the moment that the paths differ by, and nothing is
 * lost. */
Test(handover, sides_that_cannot_hold_get_there_as_well, .timeout = 120)
{
        for (unsigned i = 0; i < 500; i++) {
                Net net = make_net(false, false);

                vary(&net);
                run(&net, S(8));
                expect_switched(&net.a);
                expect_switched(&net.b);
        }
}

/* The test above is one that can fail: without holding they do flap. */
Test(handover, without_holding_there_is_flapping)
{
        unsigned flaps = 0;

        for (unsigned i = 0; i < 100; i++) {
                Net net = make_net(false, false);

                vary(&net);
                run(&net, S(8));
                flaps += net.a.changes > 1 || net.b.changes > 1;
        }
        cr_assert_gt(flaps, 10);
}

static void expect_reverted(const End *e)
{
        cr_assert_eq(e->endpoint, OLD);
        cr_assert_eq(e->ended, HANDOVER_REVERT);
        cr_assert_lt(e->ended_at - e->selected_at, S(8));
}

/* ICE gets through, WireGuard does not. */
Test(handover, goes_back_where_the_new_path_carries_nothing)
{
        static const bool can[][2] = { { true, true }, { false, true }, { false, false } };

        for (size_t i = 0; i < ELEMENTSOF(can); i++)
                for (unsigned n = 0; n < 100; n++) {
                        Net net = make_net(can[i][0], can[i][1]);

                        vary(&net);
                        net.dead[NEW] = true;
                        run(&net, S(12));
                        expect_reverted(&net.a);
                        expect_reverted(&net.b);
                        cr_assert_lt(net.a.lost, 6 * 200);
                        cr_assert_lt(net.b.lost, 6 * 200);
                }
}

/* Nothing but keepalives, for days: each switch is over in a minute, and costs few readings. */
Test(handover, quiet_peers_switch_as_well, .timeout = 120)
{
        for (unsigned i = 0; i < 20; i++) {
                Net net = make_net(true, true);

                vary(&net);
                net.every = 0;
                net.keepalive = S(25);
                net.t -= S(30);
                run(&net, S(150));
                expect_switched(&net.a);
                expect_switched(&net.b);
                cr_assert_leq(net.a.changes, 1);
                cr_assert_leq(net.b.changes, 1);
                cr_assert_leq(net.a.n_looks, 30);
        }
}

Test(handover, what_nobody_wants_is_forgotten)
{
        Net net = make_net(true, true);

        net.a.wants = net.b.wants = false;
        run(&net, S(40));
        cr_assert_eq(net.a.ended, HANDOVER_FORGET);
        cr_assert_eq(net.b.ended, HANDOVER_FORGET);
        cr_assert_eq(net.a.changes + net.b.changes, 0);
        cr_assert_eq(handover_next(&net.a.h), USEC_INFINITY);
}

/* --- one side, step by step --- */

static Handover switched_at(usec_t t, bool irrevocable)
{
        Handover h = {};
        HandoverReading r = { .rx_bytes = 1000, .tx_bytes = 1000 };

        handover_hold(&h, t - MS(600), /* wanted= */ true, HANDOVER_FOLLOW);
        cr_assert_eq(handover_observe(&h, t - MS(600), &r), HANDOVER_WAIT);
        r.rx_bytes += PACKET;
        cr_assert_eq(handover_observe(&h, t - MS(500), &r), HANDOVER_WAIT);
        cr_assert_eq(handover_elapse(&h, t - MS(1)), HANDOVER_WAIT);
        cr_assert_eq(handover_elapse(&h, t), HANDOVER_SWITCH);
        handover_switched(&h, t, irrevocable, &r);
        return h;
}

/* The last packets by the path before are counted a moment after they were seen in WireGuard's counter. */
Test(handover, late_packets_are_no_proof)
{
        Handover h = switched_at(S(1000), false);
        HandoverReading r = { .rx_bytes = 1100 + PACKET, .tx_bytes = 1000, .late = 2 };

        cr_assert_eq(handover_observe(&h, S(1000) + MS(100), &r), HANDOVER_WAIT);
        r.rx_bytes += PACKET; /* the second of the two */
        cr_assert_eq(handover_observe(&h, S(1000) + MS(300), &r), HANDOVER_WAIT);
        cr_assert_eq(h.state, HANDOVER_TRYING);
        r.rx_bytes += PACKET;
        cr_assert_eq(handover_observe(&h, S(1000) + MS(700), &r), HANDOVER_PROVED);
        cr_assert_eq(handover_observe(&h, S(1001), &r), HANDOVER_WAIT, "told once");
        cr_assert_eq(handover_observe(&h, S(1003), &r), HANDOVER_RELEASE);
        cr_assert_eq(h.state, HANDOVER_IDLE);
}

Test(handover, a_handshake_is_proof_unless_it_was_under_way)
{
        Handover h = switched_at(S(1000), false);
        HandoverReading r = {
                .rx_bytes = 1200, .tx_bytes = 1000, .late = 1, .handshake_at = S(1000) + MS(200)
        };

        cr_assert_eq(handover_observe(&h, S(1000) + MS(300), &r), HANDOVER_WAIT);
        r.late++;
        r.handshake_at = S(1001);
        cr_assert_eq(handover_observe(&h, S(1001) + MS(100), &r), HANDOVER_PROVED);
        r.late++;
        cr_assert_eq(handover_observe(&h, S(1003), &r), HANDOVER_WAIT,
                     "not while packets come by the old path");
        cr_assert_eq(handover_observe(&h, S(1003) + MS(600), &r), HANDOVER_RELEASE);
}

/* Where the new path begins at the proxy, that counts what comes by it; WireGuard says that it is genuine.
 */
Test(handover, packets_at_the_proxy_are_proof_when_wireguard_takes_them)
{
        Handover h = switched_at(S(1000), false);
        HandoverReading r = { .rx_bytes = 1100, .tx_bytes = 1000, .fresh = 3 };

        cr_assert_eq(handover_observe(&h, S(1000) + MS(100), &r), HANDOVER_WAIT);
        r.rx_bytes += PACKET;
        r.late = 1;
        cr_assert_eq(handover_observe(&h, S(1000) + MS(300), &r), HANDOVER_PROVED);
}

Test(handover, endpoint_is_set_again_until_the_old_path_is_silent)
{
        Handover h = switched_at(S(1000), false);
        HandoverReading r = { .rx_bytes = 1200, .tx_bytes = 1000, .is_back = true };

        cr_assert_eq(handover_observe(&h, S(1000) + MS(100), &r), HANDOVER_REPEAT);
        r.is_back = false;
        r.rx_bytes += PACKET;
        cr_assert_eq(handover_observe(&h, S(1000) + MS(300), &r), HANDOVER_WAIT);
        r.rx_bytes += PACKET;
        cr_assert_eq(handover_observe(&h, S(1000) + MS(700), &r), HANDOVER_PROVED);
}

/* Who was talking may have nothing to say any more. */
Test(handover, silence_on_both_sides_is_no_reason_to_go_back)
{
        Handover h = switched_at(S(1000), false);
        HandoverReading r = { .rx_bytes = 1100, .tx_bytes = 1000 };

        for (unsigned s = 1; s < 60; s++)
                cr_assert_eq(handover_observe(&h, S(1000 + s), &r), HANDOVER_WAIT);
        cr_assert_eq(handover_observe(&h, S(1060), &r), HANDOVER_RELEASE);
}

Test(handover, a_dead_path_is_not_gone_back_to)
{
        Handover h = switched_at(S(1000), /* irrevocable= */ true);
        HandoverReading r = { .rx_bytes = 1100, .tx_bytes = 1000 };

        for (unsigned s = 1; s < 60; s++) {
                r.tx_bytes += PACKET;
                r.late++;
                cr_assert_eq(handover_observe(&h, S(1000 + s), &r), HANDOVER_WAIT);
        }
        cr_assert_eq(handover_elapse(&h, S(1060)), HANDOVER_RELEASE);
}

/* No readings come. */
Test(handover, a_switch_ends_although_the_broker_is_away)
{
        Handover h = switched_at(S(1000), false);
        unsigned n = 0;
        usec_t t = S(1000);

        for (; handover_next(&h) != USEC_INFINITY; n++) {
                t = handover_next(&h);
                (void) handover_elapse(&h, t);
        }
        cr_assert_leq(t, S(1065));
        cr_assert_leq(n, 40);
}

Test(handover, a_new_wish_is_granted_to_what_is_held)
{
        Handover h = {};

        handover_hold(&h, S(1000), /* wanted= */ false, 0);
        cr_assert_eq(handover_elapse(&h, S(1010)), HANDOVER_WAIT);
        handover_want(&h, S(1011), HANDOVER_LEAD);
        cr_assert_eq(handover_elapse(&h, S(1011) + MS(249)), HANDOVER_WAIT);
        cr_assert_eq(handover_elapse(&h, S(1011) + MS(250)), HANDOVER_SWITCH);
        handover_stop(&h);
        cr_assert_eq(handover_heard(&h), HANDOVER_WAIT, "nothing is held");
        handover_want(&h, S(1012), 0);
        cr_assert_eq(h.state, HANDOVER_IDLE);
}

/* Anyone can send what is counted; only WireGuard knows what is genuine. */
Test(handover, counted_packets_need_wireguards_word_where_nobody_wants_the_path)
{
        HandoverReading r = { .rx_bytes = 1000 };
        Handover h = {};

        cr_assert_eq(handover_counted(&h, 1, 1000), HANDOVER_WAIT, "nothing is held");
        handover_hold(&h, S(1000), /* wanted= */ false, 0);
        cr_assert_eq(handover_counted(&h, 1, 1000), HANDOVER_WAIT, "that reading may be old");
        cr_assert_eq(handover_counted(&h, 0, 500), HANDOVER_WAIT);
        cr_assert_eq(handover_observe(&h, S(1000) + MS(100), &r), HANDOVER_WAIT);
        cr_assert_eq(handover_counted(&h, 1, 1000), HANDOVER_WAIT);
        cr_assert_eq(handover_counted(&h, 2, 1000), HANDOVER_WAIT);
        cr_assert_eq(handover_counted(&h, 2, 1000 + PACKET), HANDOVER_SWITCH);
        cr_assert_eq(handover_counted(&h, 0, 1000 + PACKET), HANDOVER_WAIT);
        cr_assert_eq(handover_counted(&h, 1, 1000 + PACKET), HANDOVER_WAIT, "that came by the path in use");
        handover_want(&h, S(1001), HANDOVER_LEAD);
        cr_assert_eq(handover_counted(&h, 1, 1000 + PACKET), HANDOVER_SWITCH);
}
