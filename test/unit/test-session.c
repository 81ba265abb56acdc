/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From the first handshake on a path to the next path: early packets, restarts, endpoints that others
 * write, silence and suspicion. No port is shared (world.h): the proxy carries everything. */

#include <linux/filter.h>
#include <sys/socket.h>

#include "exchange.h"
#include "proxy-internal.h"
#include "session.h"
#include "try.h"
#include "world.h"

/* Two sides with a path. */
static World *connected(void)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        return w;
}

Test(session, initiations_do_not_cross)
{
        World *w = world_new();

        w->delay = 20 * USEC_PER_MSEC;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

/* The controlling side is as patient as the negotiation was long, not more. */
Test(session, peer_whose_wireguard_cannot_begin)
{
        World *w = world_new();
        const Peer *peer;

        w->b.tired = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        peer = peer_of(&w->a);
        cr_assert(peer->signalling.controlling);
        cr_assert_gt(peer->handshake_courtesy, 0);
        cr_assert_leq(peer->handshake_courtesy,
                      MAX(100 * USEC_PER_MSEC, now(CLOCK_BOOTTIME) - peer->session->started));
        check_traffic(w);
        world_free(w);
}

static bool b_has_a_session(World *w)
{
        return peer_of(&w->b)->session;
}

static bool a_has_a_path(World *w)
{
        return peer_of(&w->a)->path.kind != PATH_NONE;
}

/* Keeps the answers to its own checks from a side: it is good for the other side, but has no pair. */
static void deafen(Side *side, bool deaf)
{
        static struct sock_filter program[] = {
                /* the message type, behind the UDP header: a STUN success response? */
                BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 8),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x0101, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, 0),
                BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        };
        struct sock_fprog fprog = { .len = 4, .filter = program };
        _cleanup_free_ int *fds = NULL;
        size_t n;

        cr_assert_geq(ice_agent_sockets(peer_of(side)->session->ice, &fds, &n), 0);
        cr_assert_gt(n, 0);
        for (size_t i = 0; i < n; i++)
                cr_assert_geq(setsockopt(fds[i], SOL_SOCKET, deaf ? SO_ATTACH_FILTER : SO_DETACH_FILTER,
                                         &fprog, sizeof(fprog)),
                              0);
}

/* a has its pair before b, and its WireGuard sends at once what it does not send again for 5 s. */
static void send_before_b_has_its_pair(World *w, uint8_t type)
{
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, b_has_a_session(w));
        deafen(&w->b, true);
        RUN_UNTIL(w->event, a_has_a_path(w));
        w->a.device->peers[0].endpoint = *proxy_endpoint(peer_of(&w->a)->proxy);
        w->a.initiated = type == TYPE_INITIATION;
        w->a.tired = true;
        wireguard_send(&w->a, type);
        run_for(w, 100 * USEC_PER_MSEC);
        cr_assert_eq(peer_of(&w->b)->path.kind, PATH_NONE);
        cr_assert(!b_has_packet(w));
        deafen(&w->b, false);
}

Test(session, what_is_sent_before_the_other_side_has_its_pair_arrives)
{
        World *w = world_new();

        send_before_b_has_its_pair(w, TYPE_DATA);
        RUN_UNTIL(w->event, b_has_packet(w));
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

Test(session, initiation_that_comes_early_is_not_crossed)
{
        World *w = world_new();

        w->delay = 50 * USEC_PER_MSEC;
        send_before_b_has_its_pair(w, TYPE_INITIATION);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

static void lose_response(Side *side)
{
        side->response = sd_event_source_disable_unref(side->response);
}

static bool b_responds(World *w)
{
        return w->b.response;
}

/* And it is answered, but nothing comes of it: then it is b's turn. */
Test(session, answer_to_an_early_initiation_is_lost)
{
        World *w = world_new();

        w->delay = 50 * USEC_PER_MSEC;
        send_before_b_has_its_pair(w, TYPE_INITIATION);
        RUN_UNTIL(w->event, b_responds(w));
        lose_response(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

Test(session, controlling_side_is_killed_and_comes_back)
{
        World *w = connected();

        check_comes_back(w, &w->a);
        world_free(w);
}

Test(session, controlled_side_is_killed_and_comes_back)
{
        World *w = connected();

        check_comes_back(w, &w->b);
        world_free(w);
}

Test(session, says_that_the_handshake_is_refused)
{
        World *w = world_new();

        w->a.answers_handshakes = w->b.answers_handshakes = false;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, peer_of(&w->a)->state == PEER_STATE_CONNECTING);
        settle(w);
        cr_assert_neq(peer_of(&w->a)->reason, PEER_REASON_NO_HANDSHAKE, "not at once");
        /* Three tries of WireGuard's have passed. */
        peer_of(&w->a)->handshake_wanted_since -= 17 * USEC_PER_SEC;
        RUN_UNTIL(w->event, a_has_no_handshake(w));
        cr_assert_eq(peer_of(&w->a)->state, PEER_STATE_CONNECTING);
        world_free(w);
}

static bool a_has_our_endpoint(World *w)
{
        return proxy_address_is_ours(&w->a.device->peers[0].endpoint);
}

/* As networkd does when it configures the link anew. */
static void rewrite_endpoint(Side *side)
{
        cr_assert_geq(socket_address_from_string("198.51.100.9:1", &side->device->peers[0].endpoint), 0);
        tell_link(side);
}

/* It had its trial before; see test-peace.c. */
static void refuse_endpoint(Side *side)
{
        EndpointTrial *trial = &peer_of(side)->peace.trial;

        cr_assert_geq(socket_address_from_string("198.51.100.9:1", &trial->refused), 0);
        trial->refused_at = now(CLOCK_BOOTTIME);
}

Test(session, restores_its_endpoint_but_does_not_fight)
{
        World *w = connected();

        refuse_endpoint(&w->a);
        rewrite_endpoint(&w->a);
        settle(w);
        cr_assert(a_has_our_endpoint(w));
        for (unsigned i = 0; i < 10; i++) {
                rewrite_endpoint(&w->a);
                settle(w);
        }
        cr_assert(!a_has_our_endpoint(w));
        /* But what was rewritten in a hurry is not given up. */
        RUN_UNTIL(w->event, a_has_our_endpoint(w));
        world_free(w);
}

Test(session, restores_its_endpoint_while_something_else_is_asked_of_the_broker)
{
        World *w = connected();

        refuse_endpoint(&w->a);
        settle(w);
        exchange_receive(peer_of(&w->a), 0, "forged", 6);
        rewrite_endpoint(&w->a);
        settle(w);
        cr_assert(a_has_our_endpoint(w));
        world_free(w);
}

Test(session, endpoint_that_cannot_be_set_is_set_later)
{
        World *w = connected();

        refuse_endpoint(&w->a);
        settle(w);
        w->a.refuses_endpoints = true;
        rewrite_endpoint(&w->a);
        settle(w);
        cr_assert(!a_has_our_endpoint(w));
        w->a.refuses_endpoints = false;
        elapse(peer_of(&w->a)->endpoint_timer);
        RUN_UNTIL(w->event, a_has_our_endpoint(w));
        check_traffic(w);
        world_free(w);
}

static bool a_reconnected(World *w)
{
        return peer_of(&w->a)->counters.sessions >= 2 && peer_of(&w->a)->session &&
               peer_of(&w->a)->session->selected && !peer_of(&w->a)->old_session;
}

static void check_reconnect(World *w, Side *who)
{
        peer_reconnect(peer_of(who));
        cr_assert(both_connected(w), "the path in use stays");
        RUN_UNTIL(w->event, a_reconnected(w));
        check_traffic(w);
}

static bool a_found_another_path(World *w)
{
        return peer_of(&w->a)->counters.paths >= 2 && both_connected(w);
}

static bool a_waits(World *w)
{
        return peer_of(&w->a)->state == PEER_STATE_WAITING;
}

/* WireGuard sends, and nothing comes back for longer than its keepalives explain. */
static void make_silent(Side *side)
{
        peer_of(side)->proxy->silence.heard = 1;
        wireguard_send(side, TYPE_DATA);
}

Test(session, looks_for_another_path_when_the_peer_is_silent)
{
        World *w = connected();

        settle(w);
        cr_assert_eq(peer_of(&w->a)->counters.paths, 1);
        make_silent(&w->a);
        RUN_UNTIL(w->event, a_found_another_path(w));
        check_traffic(w);
        world_free(w);
}

/* Both have a pair that has died before any handshake came through, and nobody tells them. */
Test(session, looks_for_another_path_when_nothing_comes_but_the_handshake_is_due)
{
        World *w = world_new();

        w->a.answers_handshakes = w->b.answers_handshakes = false;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, peer_of(&w->a)->state == PEER_STATE_CONNECTING);
        RUN_UNTIL(w->event, uses_its_path(&w->a));
        peer_of(&w->a)->handshake_wanted_since -= 17 * USEC_PER_SEC;
        RUN_UNTIL(w->event, a_has_no_handshake(w));
        make_silent(&w->a);
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.paths >= 2);
        world_free(w);
}

Test(session, notices_that_a_silent_peer_is_gone)
{
        World *w = connected();

        w->lose = UINT32_MAX;
        stop(&w->b);
        settle(w);
        cr_assert(is_connected(&w->a));
        make_silent(&w->a);
        RUN_UNTIL(w->event, peer_of(&w->a)->suspect);
        while (!a_waits(w)) {
                if (session_is_negotiating(peer_of(&w->a)->session))
                        elapse(peer_of(&w->a)->session->timer);
                elapse(peer_of(&w->a)->retry_timer);
                cr_assert_geq(sd_event_run(w->event, 100 * USEC_PER_MSEC), 0);
        }
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_NONE);
        world_free(w);
}

Test(session, controlling_side_reconnects)
{
        World *w = connected();

        check_reconnect(w, &w->a);
        world_free(w);
}

Test(session, controlled_side_reconnects)
{
        World *w = connected();

        check_reconnect(w, &w->b);
        world_free(w);
}

static bool a_has_a_new_path(World *w)
{
        Peer *peer = peer_of(&w->a);

        return !peer->suspect && peer->counters.sessions >= 2 && peer->session && peer->session->selected;
}

Test(session, path_lost_while_the_rendezvous_is_down_is_replaced_later)
{
        World *w = connected();

        settle(w);
        set_rendezvous_up(&w->a, false);
        try_session_failed(peer_of(&w->a)->session, /* answered= */ true);
        settle(w);
        set_rendezvous_up(&w->a, true);
        RUN_UNTIL(w->event, a_has_a_new_path(w));
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

/* It is still in use, but that does not make it look as if all were well. */
Test(session, path_that_is_dead_is_named_as_such)
{
        World *w = connected();
        Peer *peer;

        settle(w);
        peer = peer_of(&w->a);
        set_rendezvous_up(&w->a, false); /* so that there is no other */
        try_path_is_dead(peer);
        settle(w);
        cr_assert_eq(peer->state, PEER_STATE_CONNECTED);
        cr_assert_eq(peer->reason, PEER_REASON_PATH_DEAD);
        try_path_is_alive(peer);
        cr_assert_eq(peer->reason, PEER_REASON_NO_REDIRECT);
        world_free(w);
}

Test(session, old_session_that_fails_without_a_new_one_is_replaced)
{
        World *w = connected();

        settle(w);
        set_rendezvous_up(&w->b, false);
        peer_reconnect(peer_of(&w->a)); /* b does not hear it */
        cr_assert(peer_of(&w->a)->old_session);
        set_rendezvous_up(&w->a, false);
        peer_reconnect(peer_of(&w->a));
        cr_assert(!session_is_negotiating(peer_of(&w->a)->session));
        cr_assert(peer_of(&w->a)->session, "the one that carries the path is the newest again");
        set_rendezvous_up(&w->a, true);
        set_rendezvous_up(&w->b, true);
        try_session_failed(peer_of(&w->a)->session, /* answered= */ true);
        RUN_UNTIL(w->event, a_has_a_new_path(w));
        world_free(w);
}

Test(session, last_of_many_address_changes_counts)
{
        World *w = connected();

        settle(w);
        for (int i = 0; i < 6; i++)
                peer_reconnect(peer_of(&w->a));
        RUN_UNTIL(w->event, a_reconnected(w));
        check_traffic(w);
        world_free(w);
}

/* Only the checks were lost for a moment, and then a message too. */
Test(session, suspicion_does_not_kill_a_path_that_works)
{
        World *w = connected();
        usec_t end;

        settle(w);
        w->lose = 3;
        try_session_failed(peer_of(&w->b)->session, /* answered= */ true);
        end = now(CLOCK_MONOTONIC) + 8 * USEC_PER_SEC;
        while (peer_of(&w->b)->suspect && now(CLOCK_MONOTONIC) < end) {
                wireguard_send(&w->a, TYPE_DATA);
                cr_assert_geq(sd_event_run(w->event, 100 * USEC_PER_MSEC), 0);
                cr_assert_neq(peer_of(&w->b)->path.kind, PATH_NONE);
        }
        cr_assert(!peer_of(&w->b)->suspect);
        world_free(w);
}

static bool b_has_dropped_its_path(World *w)
{
        return peer_of(&w->b)->path.kind == PATH_NONE;
}

Test(session, suspicion_kills_a_path_that_is_dead)
{
        World *w = connected();

        settle(w);
        w->lose = UINT32_MAX;
        stop(&w->a);
        settle(w);
        try_session_failed(peer_of(&w->b)->session, /* answered= */ true);
        cr_assert_neq(peer_of(&w->b)->path.kind, PATH_NONE, "not at once");
        RUN_UNTIL(w->event, b_has_dropped_its_path(w));
        cr_assert_eq(peer_of(&w->b)->state, PEER_STATE_WAITING);
        world_free(w);
}
