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
