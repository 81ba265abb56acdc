/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sessions with TCP candidates, on a host that lets no UDP through but WireGuard's own to the proxy. */

#include "event-util.h"
#include "link-mappings.h"
#include "session.h"
#include "try.h"
#include "world.h"

#define YES "[ICE]\nTCP=yes\n"
#define NO "[ICE]\nTCP=no\n"

static World *world_without_udp(const char *a, const char *b)
{
        World *w = world_new();

        sandbox_shell("nft 'table ip block { chain out { type filter hook output priority 0; "
                      "ip daddr " HOST_ADDRESS " meta l4proto udp drop; }; }' >nft.log 2>&1");
        w->a.settings = a;
        w->b.settings = b;
        start(&w->a);
        start(&w->b);
        return w;
}

static void check_direct_over_tcp(World *w)
{
        RUN_UNTIL(w->event, both_connected(w));
        for (unsigned i = 0; i < 2; i++) {
                const Path *path = &peer_of(i == 0 ? &w->a : &w->b)->path;

                cr_assert_eq(path->kind, PATH_PROXIED);
                cr_assert_eq(path->transport, PATH_TRANSPORT_TCP);
                cr_assert_neq(path->local.transport, ICE_TRANSPORT_UDP);
        }
        check_traffic(w);
}

static bool is_negotiating(Side *side)
{
        const Session *s = peer_of(side)->session;

        return s && s->answered && !s->selected;
}

static bool is_negotiating_alone(const Peer *peer)
{
        return session_is_negotiating(peer->session) && !peer->session->answered;
}

Test(session_tcp, is_there_when_it_is_asked_for)
{
        World *w = world_without_udp(YES, YES);

        check_direct_over_tcp(w);
        world_free(w);
}

Test(session_tcp, is_taken_part_in_when_offered)
{
        World *w = world_without_udp(YES, "");

        check_direct_over_tcp(w);
        world_free(w);
}

/* Only the controlling side can begin a session, but the other one may know better. */
Test(session_tcp, is_there_when_the_other_side_wants_it)
{
        World *w = world_without_udp("", YES);

        check_direct_over_tcp(w);
        world_free(w);
}

/* As if no STUN server had answered over UDP; `silent` is the caller's, who takes it away again. */
static void udp_turns_out_silent(Side *side, Mapping *silent)
{
        Link *link = peer_of(side)->link;

        *silent = (Mapping) {
                .local = link->manager->addresses[0],
                .state = MAPPING_STATE_SETTLED,
                .n_servers = 1,
        };
        link->mappings[link->n_mappings++] = silent;
        cr_assert(link_udp_is_silent(link));
        session_mapping_changed(peer_of(side)->session);
}

/* What the other side has over TCP is of no use to whoever may not have any: the session goes on without. */
Test(session_tcp, is_not_waited_for_by_who_wants_relays_only)
{
        World *w = world_without_udp("[Peer]\nPolicy=relay\n", YES);
        const Session *s;
        Mapping silent;

        RUN_UNTIL(w->event, (s = peer_of(&w->a)->session) && s->remote_ended);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->session, s);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        /* Nor is it broken off when UDP turns out to be of no use. */
        udp_turns_out_silent(&w->a, &silent);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->session, s);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        peer_of(&w->a)->link->n_mappings--;
        world_free(w);
}

/* Where a path is suspect the first attempt is without TCP, and what is asked for comes with the second. */
Test(session_tcp, is_there_when_the_other_side_wants_it_for_a_suspect_path)
{
        World *w = world_without_udp("", YES);

        RUN_UNTIL(w->event, peer_of(&w->a));
        peer_of(&w->a)->suspect = true;
        check_direct_over_tcp(w);
        cr_assert_leq(peer_of(&w->a)->counters.sessions, 2);
        world_free(w);
}

static void give_up(World *w, Side *side)
{
        const Session *s = peer_of(side)->session;

        if (s && !s->selected)
                elapse(s->timer);
        RUN_UNTIL(w->event, peer_of(side)->session != s || !s);
}

/* By itself it comes after what was tried over UDP alone. */
Test(session_tcp, comes_after_udp)
{
        World *w = world_without_udp("", "");

        RUN_UNTIL(w->event, is_negotiating(&w->a) && is_negotiating(&w->b));
        cr_assert_not(peer_of(&w->a)->session->tcp);
        cr_assert_not(peer_of(&w->b)->session->tcp);
        give_up(w, &w->b);
        give_up(w, &w->a);
        check_direct_over_tcp(w);
        world_free(w);
}

/* As if the path in use went by a relay, which was there before the news that UDP leads nowhere: a session
 * with TCP is not left to the next look for a better path. */
static void relay_is_left(bool told_by_the_peer)
{
        World *w = world_new();
        Side *side = told_by_the_peer ? &w->b : &w->a;
        RendezvousOps by_tcp;
        uint64_t n;
        Peer *peer;
        Mapping silent;

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w) && peer_of(&w->a)->session->gathering_done);
        settle(w);
        peer = peer_of(&w->a);
        event_disarm_timer(peer->retry_timer);
        event_disarm_timer(peer_of(&w->b)->retry_timer);
        peer->session->local.type = peer_of(&w->b)->session->remote.type = ICE_CANDIDATE_RELAY;
        peer->path.kind = peer_of(&w->b)->path.kind = PATH_RELAYED;
        peer->wants_tcp = true; /* as it is after a relay */
        n = peer->counters.sessions;
        by_tcp = *side->rendezvous->r.ops;
        by_tcp.uses_tcp = true;
        side->rendezvous->r.ops = &by_tcp;
        udp_turns_out_silent(side, &silent);
        if (told_by_the_peer)
                session_repeat_description(peer_of(side)->session);
        RUN_UNTIL(w->event, peer->session && peer->session->tcp && peer->session->selected);
        cr_assert_eq(peer->counters.sessions, n + 1);
        peer_of(side)->link->n_mappings--;
        world_free(w);
}

Test(session_tcp, a_relay_is_left_when_udp_turns_out_silent)
{
        relay_is_left(/* told_by_the_peer= */ false);
}

Test(session_tcp, a_relay_is_left_when_the_peers_udp_turns_out_silent)
{
        relay_is_left(/* told_by_the_peer= */ true);
}

/* A pair, maybe by a relay, was there before the restart that was about to come. */
Test(session_tcp, a_restart_that_has_not_come_is_forgotten)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, is_negotiating(&w->a));
        peer_of(&w->a)->session->restart = true;
        RUN_UNTIL(w->event, both_connected(w));
        cr_assert_not(peer_of(&w->a)->session->restart, "or nothing would look beyond a relay");
        world_free(w);
}

/* Whoever is asked not to has no such candidate, whatever the other side has. */
static void check_refused(const char *a, const char *b, bool a_has_it, bool b_has_it)
{
        World *w = world_without_udp(a, b);

        RUN_UNTIL(w->event, is_negotiating(&w->a) && is_negotiating(&w->b));
        cr_assert_eq(peer_of(&w->a)->session->tcp, a_has_it);
        cr_assert_eq(peer_of(&w->b)->session->tcp, b_has_it);
        give_up(w, &w->b);
        give_up(w, &w->a);
        RUN_UNTIL(w->event, is_negotiating(&w->a));
        cr_assert_eq(peer_of(&w->a)->session->tcp, a_has_it);
        world_free(w);
}

Test(session_tcp, is_refused_by_the_controlled_side)
{
        check_refused(YES, NO, true, false);
}

Test(session_tcp, is_refused_by_the_controlling_side)
{
        check_refused(NO, YES, false, true);
}

/* With UDP at hand the session that had TCP as well finds a pair over UDP. */
Test(session_tcp, is_second_to_udp)
{
        World *w = world_new();

        w->a.settings = w->b.settings = YES;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        cr_assert(peer_of(&w->a)->session->tcp);
        cr_assert_eq(peer_of(&w->a)->path.transport, PATH_TRANSPORT_UDP);
        cr_assert_eq(peer_of(&w->b)->path.transport, PATH_TRANSPORT_UDP);
        world_free(w);
}

/* Its checks are over soon, but the other side's may come as long as it is patient. */
Test(session_tcp, does_not_fail_before_its_time)
{
        World *w = world_without_udp(YES, YES);
        const Session *s;

        sandbox_shell("nft add rule ip block out meta l4proto tcp drop");
        RUN_UNTIL(w->event, is_negotiating(&w->a) && is_negotiating(&w->b));
        RUN_UNTIL(w->event, !(s = peer_of(&w->a)->session) || ice_agent_state(s->ice) == ICE_STATE_FAILED);
        cr_assert_not_null(s);
        cr_assert(session_is_negotiating(s));
        cr_assert_eq(peer_of(&w->a)->state, PEER_STATE_NEGOTIATING);
        elapse(s->timer);
        RUN_UNTIL(w->event, peer_of(&w->a)->state == PEER_STATE_FAILED);
        world_free(w);
}

/* The path dies while a better one is looked for, over TCP as well: that would take too long now. */
Test(session_tcp, makes_room_when_the_path_dies)
{
        World *w = connect_directly();
        Peer *peer = peer_of(&w->a);
        uint64_t slow;

        w->lose = UINT32_MAX;
        peer->wants_tcp = true;
        try_again(peer);
        RUN_UNTIL(w->event, is_negotiating_alone(peer));
        cr_assert(peer->session->tcp);
        slow = peer->session->id;
        try_path_is_dead(peer);
        RUN_UNTIL(w->event, is_negotiating_alone(peer) && peer->session->id != slow);
        cr_assert_not(peer->session->tcp);
        w->lose = 0;
        world_free(w);
}
