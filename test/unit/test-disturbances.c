/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The same thing happens to one side at one turn of the loop after the other, on the way to a direct path
 * (world.h): wherever it comes, both sides get there. */

#include "sharing.h"
#include "world.h"

/* As if the two had never met. */
static void forget_peer(Side *side)
{
        WireguardPeer *peer = &side->device->peers[0];

        peer->endpoint = (SocketAddress) {};
        peer->last_handshake = 0;
        peer->persistent_keepalive = 0;
        side->initiated = false;
}

/* Something happens to one side after so many turns of the loop, on the way to a direct path. Returns
 * whether that was there already. */
static bool check_disturbance(World *w, Side *side, unsigned turn, void (*disturb)(Side *side))
{
        bool direct;

        forget_peer(&w->a);
        forget_peer(&w->b);
        start(&w->a);
        start(&w->b);
        while (turn-- > 0 && !both_direct(w))
                cr_assert_geq(sd_event_run(w->event, SANDBOX_PATIENCE), 0);
        direct = both_direct(w);
        disturb(side);
        RUN_UNTIL(w->event, both_direct(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        check_traffic(w);
        stop(&w->a);
        stop(&w->b);
        settle(w);
        return direct;
}

static void check_disturbances(void (*disturb)(Side *side))
{
        World *w = world_new_shared();
        Side *sides[] = { &w->a, &w->b };

        for (size_t i = 0; i < ELEMENTSOF(sides); i++)
                for (unsigned turn = 1; !check_disturbance(w, sides[i], turn, disturb); turn += 1 + turn / 4)
                        ;
        world_free(w);
}

static void lose_and_find_broker(Side *side)
{
        lose_broker(side);
        cr_assert_geq(sd_event_run(side->world->event, USEC_PER_MSEC), 0);
        find_broker(side);
}

Test(disturbances, connects_wherever_the_broker_is_lost, .timeout = 300)
{
        check_disturbances(lose_and_find_broker);
}

static void lose_the_redirect_for_a_moment(Side *side)
{
        side->shares_nothing = true;
        sharing_update(side->manager);
        while (!side->manager->redirect_settled)
                cr_assert_geq(sd_event_run(side->world->event, SANDBOX_PATIENCE), 0);
        side->shares_nothing = false;
        sharing_update(side->manager);
}

Test(disturbances, connects_wherever_the_redirect_is_lost, .timeout = 300)
{
        check_disturbances(lose_the_redirect_for_a_moment);
}

static void reload(Side *side)
{
        manager_reload(side->manager, config_from(""));
}

Test(disturbances, connects_wherever_it_is_reloaded, .timeout = 300)
{
        check_disturbances(reload);
}

static void restart(Side *side)
{
        stop(side);
        start(side);
}

Test(disturbances, connects_wherever_one_side_is_killed, .timeout = 300)
{
        check_disturbances(restart);
}

static void remove_and_add_peer(Side *side)
{
        WireguardPeer *peer = &side->device->peers[0];

        side->device->n_peers = 0;
        tell_link(side);
        cr_assert_geq(sd_event_run(side->world->event, USEC_PER_MSEC), 0);
        side->device->n_peers = 1;
        peer->endpoint = (SocketAddress) {};
        peer->persistent_keepalive = 0;
        tell_link(side);
}

Test(disturbances, connects_wherever_the_peer_is_configured_anew, .timeout = 300)
{
        check_disturbances(remove_and_add_peer);
}
