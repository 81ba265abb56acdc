/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fast-clock.h"

#define SANDBOX_PATIENCE (60 * USEC_PER_SEC * FAST_CLOCK_FACTOR)

#include "turnserver.h"

#include "event-util.h"
#include "fd-util.h"
#include "ice.h"
#include "string-util.h"

/* Patience (RFC 8863) and trickle (RFC 8838), by the minutes that they are about. */

/* RFC 8863 section 4, and what its clock may be off. */
#define PATIENCE (39500 * USEC_PER_MSEC)
/* After that time a check that nobody answers is given up, too: RFC 8489 section 6.2.1. */
#define CHECK_TIME (39500 * USEC_PER_MSEC)
#define GRACE (USEC_PER_SEC)

typedef struct Side {
        IceAgent *agent;
        IceCandidate local[64];
        size_t n_local;
        bool gathered;
        IceState state;
        usec_t failed; /* CLOCK_MONOTONIC: since when */
        unsigned n_selected;
        IceCandidate selected_local, selected_remote;
} Side;

static sd_event *event;
static int nobody; /* a port where no check is answered */

static void on_candidate(IceAgent *agent, const IceCandidate *candidate, void *userdata)
{
        Side *s = userdata;

        s->local[s->n_local++] = *candidate;
}

static void on_gathering_done(IceAgent *agent, void *userdata)
{
        Side *s = userdata;

        s->gathered = true;
}

static void on_state(IceAgent *agent, IceState state, void *userdata)
{
        Side *s = userdata;

        s->state = state;
        if (state == ICE_STATE_FAILED)
                s->failed = now(CLOCK_MONOTONIC);
}

static void on_selected(IceAgent *agent, const IceCandidate *local, const IceCandidate *remote,
                        void *userdata)
{
        Side *s = userdata;

        s->n_selected++;
        s->selected_local = *local;
        s->selected_remote = *remote;
}

static const IceAgentCallbacks callbacks = {
        .candidate = on_candidate,
        .gathering_done = on_gathering_done,
        .state = on_state,
        .selected = on_selected,
};

static void side_start(Side *s, bool controlling, const IceServer *relay)
{
        SocketAddress local = address("127.0.0.1:0");
        IceAgentParameters p = {
                .controlling = controlling,
                .relay_only = relay,
                .local_addresses = &local,
                .n_local_addresses = 1,
                .servers = relay,
                .n_servers = relay ? 1 : 0,
        };

        cr_assert_geq(ice_agent_new(event, &p, &callbacks, s, &s->agent), 0);
        cr_assert_geq(ice_agent_gather(s->agent), 0);
}

static void introduce(Side *a, Side *b)
{
        cr_assert_geq(ice_agent_set_remote_credentials(a->agent, ice_agent_ufrag(b->agent),
                                                       ice_agent_pwd(b->agent)),
                      0);
        cr_assert_geq(ice_agent_set_remote_credentials(b->agent, ice_agent_ufrag(a->agent),
                                                       ice_agent_pwd(a->agent)),
                      0);
}

static void give_dead_candidate(Side *s)
{
        IceCandidate c = {
                .foundation = "1",
                .type = ICE_CANDIDATE_HOST,
                .transport = ICE_TRANSPORT_UDP,
                .priority = 2000000000,
                .address = local_address(nobody),
        };

        cr_assert_eq(ice_agent_add_remote_candidate(s->agent, &c), 1);
}

static void give_candidates(const Side *from, Side *to)
{
        size_t n = 0;

        for (size_t i = 0; i < from->n_local; i++)
                n += (size_t) ice_agent_add_remote_candidate(to->agent, &from->local[i]);
        cr_assert_gt(n, 0);
}

static void set_up(void)
{
        sandbox_enter();
        fast_clock_begin();
        cr_assert_geq(sd_event_new(&event), 0);
        nobody = udp_socket("127.0.0.1:0");
}

static void tear_down(void)
{
        close(nobody);
        event = sd_event_unref(event);
}

TestSuite(patience, .init = set_up, .fini = tear_down);

/* How long it takes a side whose only check is answered by nobody to give up. */
static usec_t time_to_fail(bool controlling, bool end_of_candidates)
{
        Side a = {}, b = {};
        usec_t start = now(CLOCK_MONOTONIC);

        side_start(&a, controlling, /* relay= */ NULL);
        side_start(&b, !controlling, /* relay= */ NULL);
        introduce(&a, &b);
        give_dead_candidate(&a);
        if (end_of_candidates)
                cr_assert_geq(ice_agent_end_of_candidates(a.agent), 0);
        RUN_UNTIL(event, a.failed != 0);
        cr_assert_neq(b.state, ICE_STATE_FAILED, "it has had nothing to check");
        ice_agent_free(a.agent);
        ice_agent_free(b.agent);
        return a.failed - start;
}

Test(patience, is_kept_while_candidates_may_come)
{
        cr_assert_geq(time_to_fail(true, false), CHECK_TIME + PATIENCE - GRACE);
        cr_assert_geq(time_to_fail(false, false), CHECK_TIME + PATIENCE - GRACE);
}

/* What has begun is waited for, and not much longer. */
Test(patience, ends_with_the_candidates)
{
        for (unsigned controlling = 0; controlling < 2; controlling++) {
                usec_t t = time_to_fail(controlling, true);

                cr_assert_geq(t, CHECK_TIME - GRACE);
                cr_assert_lt(t, time_to_fail(controlling, false) - PATIENCE / 4);
        }
}

/* With no candidate at all there is nothing that could fail: that is the session's to judge, by its own
 * timer. */
Test(patience, is_endless_without_any_candidate)
{
        Side a = {}, b = {};
        usec_t end = now(CLOCK_MONOTONIC) + 3 * PATIENCE;

        side_start(&a, true, /* relay= */ NULL);
        side_start(&b, false, /* relay= */ NULL);
        introduce(&a, &b);
        while (now(CLOCK_MONOTONIC) < end)
                cr_assert_geq(sd_event_run(event, 10 * USEC_PER_MSEC), 0);
        cr_assert_eq(a.failed, 0);
        give_candidates(&a, &b);
        give_candidates(&b, &a);
        RUN_UNTIL(event, a.n_selected && b.n_selected);
        ice_agent_free(a.agent);
        ice_agent_free(b.agent);
}

/* The good candidates come when one side has failed already. */
static void late_candidates_win(bool controlling_fails, bool told_the_end)
{
        Side failing = {}, other = {};

        side_start(&failing, controlling_fails, /* relay= */ NULL);
        side_start(&other, !controlling_fails, /* relay= */ NULL);
        introduce(&failing, &other);
        give_dead_candidate(&failing);
        if (told_the_end)
                cr_assert_geq(ice_agent_end_of_candidates(failing.agent), 0);
        RUN_UNTIL(event, failing.failed != 0);
        cr_assert_eq(failing.n_selected, 0);
        give_candidates(&other, &failing);
        give_candidates(&failing, &other);
        RUN_UNTIL(event, failing.n_selected && other.n_selected);
        RUN_UNTIL(event, failing.state == ICE_STATE_READY && other.state == ICE_STATE_READY);
        ice_agent_free(failing.agent);
        ice_agent_free(other.agent);
}

Test(patience, late_candidates_win_at_the_controlling_side)
{
        late_candidates_win(true, false);
}

Test(patience, late_candidates_win_at_the_controlled_side)
{
        late_candidates_win(false, false);
}

/* FAILED is soft, even when the peer was wrong about the end. */
Test(patience, late_candidates_win_after_the_end)
{
        late_candidates_win(true, true);
}

/* Only one side hears of the other, late: its check tells the other one all there is to know. */
Test(patience, a_late_check_is_enough)
{
        for (unsigned controlling = 0; controlling < 2; controlling++) {
                Side failing = {}, other = {};

                side_start(&failing, controlling, /* relay= */ NULL);
                side_start(&other, !controlling, /* relay= */ NULL);
                introduce(&failing, &other);
                give_dead_candidate(&failing);
                RUN_UNTIL(event, failing.failed != 0);
                give_candidates(&failing, &other);
                RUN_UNTIL(event, failing.n_selected && other.n_selected);
                cr_assert_eq(failing.selected_remote.type, ICE_CANDIDATE_PRFLX);
                ice_agent_free(failing.agent);
                ice_agent_free(other.agent);
        }
}

/* Everything over UDP has failed when a TURN server gives an allocation at last: its candidate is told by
 * trickle, and carries the path. */
static void late_allocation_wins(bool controlling_has_it)
{
        IceServer server = {
                .kind = ICE_SERVER_TURN_UDP,
                .address = address(TURN_ADDRESS),
                .username = "user",
                .password = "secret",
        };
        Side owner = {}, other = {};

        side_start(&owner, controlling_has_it, &server);
        side_start(&other, !controlling_has_it, /* relay= */ NULL);
        introduce(&owner, &other);
        give_dead_candidate(&other);
        RUN_UNTIL(event, other.failed != 0);
        RUN_UNTIL(event, owner.gathered);
        cr_assert_gt(owner.n_local, 0);
        give_candidates(&owner, &other);
        give_candidates(&other, &owner);
        RUN_UNTIL(event, owner.n_selected && other.n_selected);
        cr_assert_eq(owner.selected_local.type, ICE_CANDIDATE_RELAY);
        ice_agent_free(owner.agent);
        ice_agent_free(other.agent);
}

Test(patience, a_late_allocation_wins)
{
        pid_t pid = turnserver_start();

        late_allocation_wins(true);
        late_allocation_wins(false);
        turnserver_stop(pid);
}
