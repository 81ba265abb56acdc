/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From one path that works to another, under traffic both ways (world.h, with the redirect's programs on
 * loopback): nothing is lost, and neither WireGuard's endpoint changes more than once. */

#include "carrier.h"
#include "event-util.h"
#include "path-switch.h"
#include "session.h"
#include "sharing.h"
#include "try.h"
#include "world.h"

#define INTERVAL (5 * USEC_PER_MSEC) /* between packets, each way */

/* What the two WireGuards send to each other all the time. */
typedef struct Traffic {
        World *w;
        sd_event_source *timer;
        unsigned n_sent;
} Traffic;

static int on_traffic(sd_event_source *source, uint64_t t, void *userdata);

static void go_on(Traffic *traffic)
{
        cr_assert_geq(event_arm_timer(traffic->w->event, &traffic->timer, INTERVAL, on_traffic, traffic,
                                      "traffic"),
                      0);
}

static int on_traffic(sd_event_source *source, uint64_t t, void *userdata)
{
        Traffic *traffic = userdata;

        wireguard_send(&traffic->w->a, TYPE_DATA);
        wireguard_send(&traffic->w->b, TYPE_DATA);
        traffic->n_sent++;
        go_on(traffic);
        return 0;
}

static void begin_traffic(Traffic *traffic, World *w)
{
        *traffic = (Traffic) { .w = w };
        w->a.n_packets = w->b.n_packets = 0;
        w->a.n_endpoints = w->b.n_endpoints = 0;
        go_on(traffic);
}

/* All that was sent has arrived. */
static void end_traffic(Traffic *traffic)
{
        World *w = traffic->w;

        sd_event_source_disable_unref(traffic->timer);
        run_for(w, 100 * USEC_PER_MSEC);
        cr_assert_eq(w->a.n_packets, traffic->n_sent);
        cr_assert_eq(w->b.n_packets, traffic->n_sent);
}

static bool is_at_rest(Side *side)
{
        return peer_of(side)->handover.state == HANDOVER_IDLE && !peer_of(side)->old_session;
}

static bool both_at_rest(World *w)
{
        return is_at_rest(&w->a) && is_at_rest(&w->b);
}

/* One side is proxied, and the other sends to the proxy's port: as to a relay of the peer's. */
static World *connect_with_one_proxied(bool a_is_proxied, Side **ret)
{
        World *w = world_new_shared();

        *ret = a_is_proxied ? &w->a : &w->b;
        (*ret)->shares_nothing = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        return w;
}

static void check_nobody_flaps(bool a_is_proxied)
{
        Traffic traffic;
        Side *proxied;
        World *w = connect_with_one_proxied(a_is_proxied, &proxied);

        begin_traffic(&traffic, w);
        run_for(w, 200 * USEC_PER_MSEC);
        cr_assert_eq(w->a.n_endpoints + w->b.n_endpoints, 0);
        proxied->shares_nothing = false;
        sharing_update(proxied->manager);
        RUN_UNTIL(w->event, both_direct(w));
        RUN_UNTIL(w->event, both_at_rest(w));
        end_traffic(&traffic);
        cr_assert_eq(w->a.n_endpoints, 1, "%u", w->a.n_endpoints);
        cr_assert_eq(w->b.n_endpoints, 1, "%u", w->b.n_endpoints);
        cr_assert(uses_its_path(&w->a) && uses_its_path(&w->b));
        world_free(w);
}

Test(path_switch, nobody_flaps_when_the_controlling_side_leaves_its_proxy)
{
        check_nobody_flaps(/* a_is_proxied= */ true);
}

Test(path_switch, nobody_flaps_when_the_controlled_side_leaves_its_proxy)
{
        check_nobody_flaps(/* a_is_proxied= */ false);
}

Test(path_switch, both_leave_their_proxies_and_nothing_is_lost)
{
        World *w = world_new_shared();
        Traffic traffic;

        w->redirect_withdrawn = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        begin_traffic(&traffic, w);
        w->redirect_withdrawn = false;
        sharing_update(w->a.manager);
        sharing_update(w->b.manager);
        RUN_UNTIL(w->event, both_direct(w));
        RUN_UNTIL(w->event, both_at_rest(w));
        end_traffic(&traffic);
        world_free(w);
}

/* ICE starts anew where both are proxied: other sockets, the same endpoints. */
Test(path_switch, restart_between_proxies_loses_nothing)
{
        World *w = world_new();
        Traffic traffic;
        uint64_t a, b;

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        a = peer_of(&w->a)->path.session;
        b = peer_of(&w->b)->path.session;
        begin_traffic(&traffic, w);
        peer_reconnect(peer_of(&w->b));
        RUN_UNTIL(w->event, peer_of(&w->a)->path.session != a && peer_of(&w->b)->path.session != b);
        RUN_UNTIL(w->event, both_at_rest(w));
        end_traffic(&traffic);
        cr_assert_eq(w->a.n_endpoints + w->b.n_endpoints, 0);
        world_free(w);
}

Test(path_switch, restart_of_a_direct_path_changes_nothing)
{
        World *w = connect_directly();
        Traffic traffic;

        begin_traffic(&traffic, w);
        peer_reconnect(peer_of(&w->a));
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.paths > 1 && peer_of(&w->b)->counters.paths > 1);
        RUN_UNTIL(w->event, both_at_rest(w));
        end_traffic(&traffic);
        cr_assert_eq(w->a.n_endpoints + w->b.n_endpoints, 0);
        world_free(w);
}

/* --- a new path that is none --- */

/* What WireGuard itself sends from port to port; ICE's messages get through. */
static void drop_between(uint16_t from, uint16_t to)
{
        sandbox_shell(
                "nft add rule inet firewall output udp sport %u udp dport %u @th,96,32 != 0x2112a442 drop",
                from, to);
}

static void filter_wireguard(World *w)
{
        sandbox_shell("nft add table inet firewall");
        sandbox_shell("nft add chain inet firewall output '{ type filter hook output priority 0; }'");
        drop_between(w->a.device->listen_port, w->b.device->listen_port);
        drop_between(w->b.device->listen_port, w->a.device->listen_port);
}

static bool has_gone_back(Side *side)
{
        Path direct = { .kind = PATH_DIRECT };

        return peer_of(side)->path.kind == PATH_PROXIED &&
               attempts_shun(&peer_of(side)->attempts, &direct, now(CLOCK_BOOTTIME));
}

Test(path_switch, a_path_that_carries_nothing_is_left_again)
{
        Traffic traffic;
        Side *proxied;
        World *w = connect_with_one_proxied(/* a_is_proxied= */ true, &proxied);
        SocketAddress before = other_side(proxied)->device->peers[0].endpoint;
        uint64_t paths = peer_of(proxied)->counters.paths;

        filter_wireguard(w);
        begin_traffic(&traffic, w);
        proxied->shares_nothing = false;
        sharing_update(proxied->manager);
        RUN_UNTIL(w->event, peer_of(proxied)->counters.paths > paths);
        cr_assert_eq(peer_of(proxied)->path.kind, PATH_DIRECT);
        RUN_UNTIL(w->event, has_gone_back(proxied));
        cr_assert_eq(peer_of(proxied)->reason, PEER_REASON_NO_HANDSHAKE);
        sd_event_source_disable_unref(traffic.timer);
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        check_traffic(w);
        cr_assert(both_connected(w));
        cr_assert(socket_address_equal(&other_side(proxied)->device->peers[0].endpoint, &before));
        /* It finds that path again, and leaves it alone. */
        paths = peer_of(proxied)->counters.paths;
        try_now(peer_of(proxied));
        RUN_UNTIL(w->event, handover_is_holding(&peer_of(proxied)->handover));
        cr_assert(!peer_of(proxied)->handover.wanted);
        run_for(w, USEC_PER_SEC);
        cr_assert_eq(peer_of(proxied)->counters.paths, paths);
        world_free(w);
}

/* --- when another path is looked for, and which is taken --- */

Test(path_switch, who_has_not_the_best_path_looks_for_it)
{
        World *w = world_new_shared();
        Peer *peer;

        w->refuses_sockets = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        peer = peer_of(&w->a);
        cr_assert_eq(peer->path.kind, PATH_PROXIED);
        w->refuses_sockets = false;
        elapse(peer->retry_timer);
        elapse(peer_of(&w->b)->retry_timer);
        RUN_UNTIL(w->event, both_direct(w));
        RUN_UNTIL(w->event, both_at_rest(w));
        cr_assert(!event_timer_is_armed(peer->retry_timer), "there is nothing better");
        check_traffic(w);
        world_free(w);
}

/* A session beside the path that has found nothing better, or not yet. */
static World *hold_another(Side **ret)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        peer_reconnect(peer_of(&w->a));
        /* As if it had not wanted it: both hold it for the case of need. */
        peer_of(&w->a)->renew = false;
        RUN_UNTIL(w->event, handover_is_holding(&peer_of(&w->a)->handover) &&
                                    handover_is_holding(&peer_of(&w->b)->handover));
        cr_assert(!peer_of(&w->a)->handover.wanted);
        cr_assert(!peer_of(&w->b)->handover.wanted);
        *ret = &w->a;
        return w;
}

Test(path_switch, what_is_no_better_leaves_the_path_alone)
{
        Side *side;
        World *w = hold_another(&side);
        Peer *peer = peer_of(side);

        check_traffic(w);
        run_for(w, USEC_PER_SEC);
        cr_assert_eq(peer->counters.paths, 1);
        cr_assert_eq(peer_of(other_side(side))->counters.paths, 1);
        cr_assert_neq(peer->path.session, peer->session->id);
        world_free(w);
}

Test(path_switch, a_path_that_dies_is_left_for_what_is_held)
{
        Side *side;
        World *w = hold_another(&side);
        Peer *peer = peer_of(side);

        try_path_is_dead(peer);
        cr_assert_eq(peer->path.session, peer->session->id);
        /* The other side hears of it by the packet that comes. */
        RUN_UNTIL(w->event, peer_of(&w->b)->counters.paths == 2);
        check_traffic(w);
        RUN_UNTIL(w->event, both_at_rest(w));
        world_free(w);
}

/* The better path dies just when the one before has not been let go yet. */
Test(path_switch, the_path_before_is_gone_back_to_when_the_new_one_dies)
{
        Side *side;
        World *w = connect_with_one_proxied(/* a_is_proxied= */ true, &side);
        Peer *peer = peer_of(side);

        side->shares_nothing = false;
        sharing_update(side->manager);
        RUN_UNTIL(w->event, peer->path.kind == PATH_DIRECT);
        try_path_is_dead(peer);
        cr_assert_eq(peer->path.kind, PATH_PROXIED);
        RUN_UNTIL(w->event, uses_its_path(side));
        check_traffic(w);
        world_free(w);
}

/* Who has lost its path takes the other side along at once, although that sees nothing wrong. */
Test(path_switch, who_is_stranded_says_so)
{
        World *w = world_new();
        uint64_t b;

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        b = peer_of(&w->b)->path.session;
        cr_assert_eq(try_wish(peer_of(&w->b)), ATTEMPTS_WISH_BETTER);
        try_path_is_dead(peer_of(&w->a));
        RUN_UNTIL(w->event,
                  try_wish(peer_of(&w->b)) == ATTEMPTS_WISH_ANY || peer_of(&w->b)->path.session != b);
        RUN_UNTIL(w->event, peer_of(&w->b)->path.session != b);
        cr_assert(peer_of(&w->b)->handover.irrevocable);
        check_traffic(w);
        world_free(w);
}
