/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What happens to the network, to the host and to links, and the least that repairs it (manager.h), in a
 * world of two sides (world.h) where hours may pass (leap.h). */

#include "event-util.h"
#include "hpke.h"
#include "leap.h"
#include "link.h"
#include "random-util.h"
#include "session.h"
#include "string-util.h"
#include "world.h"

#define STEP (5 * USEC_PER_SEC)
#define HANDSHAKE_EACH (120 * USEC_PER_SEC)

/* How WireGuard stays alive: a keepalive each 25 s, and now and then a handshake, which the broker tells of.
 */
static void wireguard_lives(Side *side)
{
        WireguardPeer *peer = &side->device->peers[0];

        if (uptime_leaps % (25 * USEC_PER_SEC) == 0) {
                peer->tx_bytes += 32;
                peer->rx_bytes += 32;
        }
        if (uptime_leaps % HANDSHAKE_EACH == 0) {
                peer->last_handshake = now(CLOCK_REALTIME);
                tell_link(side);
        }
}

static void drain(World *w)
{
        while (sd_event_run(w->event, USEC_PER_MSEC) > 0)
                ;
}

/* works: WireGuard gets through. */
static void pass(World *w, usec_t duration, bool works)
{
        for (usec_t t = STEP; t <= duration; t += STEP) {
                leap(STEP);
                if (works) {
                        wireguard_lives(&w->a);
                        wireguard_lives(&w->b);
                }
                drain(w);
        }
}

static uint64_t paths(Side *side)
{
        return peer_of(side)->counters.paths;
}

static uint64_t sessions(World *w)
{
        return peer_of(&w->a)->counters.sessions + peer_of(&w->b)->counters.sessions;
}

static SocketAddress ip(const char *text)
{
        SocketAddress a = {};

        cr_assert_geq(socket_address_from_ip(text, 0, &a), 0);
        return a;
}

static void set_network(Side *side, const char *address, int ifindex, const char *gateway)
{
        const RtnlDefaultRoute routes[2] = { { .ifindex = ifindex,
                                               .gateway = gateway ? ip(gateway) : (SocketAddress) {} } };
        SocketAddress a = ip(address);

        manager_set_network(side->manager, &a, 1, routes);
}

static void expect_another_path(World *w, uint64_t a_before, uint64_t b_before)
{
        RUN_UNTIL(w->event, paths(&w->a) > a_before && paths(&w->b) > b_before);
        RUN_UNTIL(w->event, both_direct(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        check_traffic(w);
}

/* A direct path that is WireGuard's alone. */
static World *connect_and_rest(void)
{
        World *w = connect_directly();

        pass(w, 2 * USEC_PER_MINUTE, true);
        cr_assert(both_direct(w));
        cr_assert_null(peer_of(&w->a)->session);
        cr_assert_null(peer_of(&w->b)->session);
        return w;
}

Test(events, default_route_that_leads_elsewhere)
{
        World *w = connect_and_rest();
        uint64_t before = sessions(w), a, b;

        set_network(&w->a, HOST_ADDRESS, 2, "198.51.100.1");
        settle(w);
        cr_assert_eq(sessions(w), before, "the first one is none that is other");

        a = paths(&w->a);
        b = paths(&w->b);
        set_network(&w->a, HOST_ADDRESS, 3, "203.0.113.1");
        cr_assert(is_direct(&w->a), "it may be good");
        expect_another_path(w, a, b);
        cr_assert_eq(w->a.rendezvous->n_renewals, 1);

        /* Behind the same interface another router. */
        settle(w);
        a = paths(&w->a);
        b = paths(&w->b);
        set_network(&w->a, HOST_ADDRESS, 3, "203.0.113.2");
        expect_another_path(w, a, b);
        cr_assert_eq(w->a.rendezvous->n_renewals, 2);
        world_free(w);
}

Test(events, what_is_as_it_was_is_no_event)
{
        World *w = connect_and_rest();
        uint64_t before;
        size_t said;

        set_network(&w->a, HOST_ADDRESS, 2, "198.51.100.1");
        settle(w);
        before = sessions(w);
        said = w->n_record;
        for (unsigned i = 0; i < 10; i++) {
                set_network(&w->a, HOST_ADDRESS, 2, "198.51.100.1");
                set_network(&w->a, HOST_ADDRESS, 0, NULL); /* gone, and back */
                set_network(&w->a, HOST_ADDRESS, 2, "198.51.100.1");
                settle(w);
        }
        cr_assert_eq(sessions(w), before);
        cr_assert_eq(w->n_record, said);
        cr_assert_eq(w->a.rendezvous->n_renewals, 0);
        cr_assert(both_direct(w));
        world_free(w);
}

Test(events, address_that_goes_and_comes_back)
{
        World *w = connect_and_rest();
        uint64_t a = paths(&w->a), b = paths(&w->b);

        manager_set_addresses(w->a.manager, NULL, 0);
        settle(w);
        cr_assert_eq(paths(&w->a), a, "nothing can be done without one");
        cr_assert(is_direct(&w->a), "it may be good again");
        set_network(&w->a, HOST_ADDRESS, 0, NULL);
        expect_another_path(w, a, b);
        world_free(w);
}

Test(events, host_that_has_slept)
{
        World *w = connect_and_rest();
        uint64_t a = paths(&w->a), b = paths(&w->b);

        leap(8 * USEC_PER_HOUR);
        manager_resumed(w->a.manager);
        cr_assert_eq(w->a.rendezvous->n_renewals, 1);
        RUN_UNTIL(w->event, paths(&w->a) > a && paths(&w->b) > b);
        /* Until then WireGuard has its handshake from yesterday. */
        RUN_UNTIL(w->event, both_direct(w));
        check_traffic(w);
        world_free(w);
}

Test(events, host_that_has_napped)
{
        World *w = connect_and_rest();
        uint64_t a = paths(&w->a), b = paths(&w->b);

        leap(10 * USEC_PER_SEC);
        manager_resumed(w->a.manager);
        cr_assert(is_direct(&w->a), "it may be good");
        expect_another_path(w, a, b);
        world_free(w);
}

static void set_both_rendezvous(World *w, bool up)
{
        set_rendezvous_up(&w->a, up);
        set_rendezvous_up(&w->b, up);
        drain(w);
}

Test(events, rendezvous_that_is_away_for_an_hour_harms_no_path, .timeout = 120)
{
        World *w = connect_and_rest();
        uint64_t before = sessions(w), a = paths(&w->a), b = paths(&w->b);
        SocketAddress endpoint = peer_of(&w->a)->endpoint;
        usec_t since = peer_of(&w->a)->path.since;
        size_t said = w->n_record;

        set_both_rendezvous(w, false);
        for (unsigned i = 0; i < 60; i++) {
                pass(w, USEC_PER_MINUTE, true);
                cr_assert(both_direct(w), "after %u min", i);
                cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_NONE);
        }
        set_both_rendezvous(w, true);
        settle(w);
        pass(w, USEC_PER_MINUTE, true);
        cr_assert(socket_address_equal(&peer_of(&w->a)->endpoint, &endpoint));
        cr_assert_eq(peer_of(&w->a)->path.since, since);
        cr_assert_eq(sessions(w), before);
        cr_assert_eq(paths(&w->a), a);
        cr_assert_eq(paths(&w->b), b);
        cr_assert_eq(w->n_record, said, "who has a good path has nothing to say");
        check_traffic(w);
        world_free(w);
}

static void check_roam_without_rendezvous(usec_t for_so_long)
{
        World *w = connect_and_rest();
        uint64_t a, b;

        sandbox_shell("ip address add 192.0.2.2/32 dev lo");
        set_both_rendezvous(w, false);
        pass(w, 10 * USEC_PER_MINUTE, true);
        a = paths(&w->a);
        b = paths(&w->b);
        set_network(&w->a, "192.0.2.2", 3, "192.0.2.1");
        pass(w, for_so_long, false);
        cr_assert_eq(paths(&w->a), a);
        set_both_rendezvous(w, true);
        expect_another_path(w, a, b);
        cr_assert_str_eq(SOCKET_ADDRESS_IP_STR(&peer_of(&w->b)->path.endpoint), "192.0.2.2");
        world_free(w);
}

Test(events, roam_while_the_rendezvous_is_away_a_moment, .timeout = 120)
{
        check_roam_without_rendezvous(10 * USEC_PER_SEC);
}

Test(events, roam_while_the_rendezvous_is_away_for_an_hour, .timeout = 120)
{
        check_roam_without_rendezvous(USEC_PER_HOUR);
}

/* There is another one, that is up and leads nowhere: what was said by that alone was said to nobody. */
Test(events, rendezvous_that_is_back_hears_the_offer_at_once)
{
        World *w = world_new_shared();
        Session *session;
        uint64_t before;

        w->hole = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_direct(w));
        settle(w);
        before = paths(&w->a);
        set_rendezvous_up(&w->a, false);
        peer_reconnect_regardless(peer_of(&w->a));
        session = peer_of(&w->a)->session;
        RUN_UNTIL(w->event, session->n_offers == 1);
        drain(w);
        event_disarm_timer(session->timer); /* of saying it again */
        set_rendezvous_up(&w->a, true);
        RUN_UNTIL(w->event, paths(&w->a) > before);
        cr_assert_eq(peer_of(&w->a)->session, session);
        world_free(w);
}

Test(events, link_that_is_made_anew)
{
        World *w = connect_and_rest();
        WireguardPeer *peer = &w->a.device->peers[0];

        manager_broker_callbacks.link_removed(&w->a.broker->b, "wg0", w->a.manager);
        settle(w);
        cr_assert_null(w->a.manager->links);
        cr_assert_eq(w->a.rendezvous->n_topics, 0);
        /* As it was configured: no endpoint. */
        peer->endpoint = (SocketAddress) {};
        peer->last_handshake = 0;
        peer->persistent_keepalive = 0;
        tell_link(&w->a);
        RUN_UNTIL(w->event, both_direct(w) && paths(&w->a) == 1);
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        check_traffic(w);
        world_free(w);
}

static void rekey(Side *side)
{
        Side *other = other_side(side);
        WireguardPeer *ours = &side->device->peers[0], *theirs = &other->device->peers[0];

        /* Which of the two makes the offers stays so. */
        do {
                random_bytes(&side->private_key, sizeof(side->private_key));
                cr_assert_geq(x25519_public_key(&side->private_key, &side->public_key), 0);
        } while (wireguard_key_compare(&side->world->a.public_key, &side->world->b.public_key) >= 0);
        side->device->public_key = side->public_key;
        ours->endpoint = theirs->endpoint = (SocketAddress) {};
        ours->last_handshake = theirs->last_handshake = 0;
        theirs->public_key = side->public_key;
}

Test(events, private_key_that_is_another_one)
{
        World *w = connect_and_rest();
        uint64_t b;

        rekey(&w->a);
        tell_link(&w->a);
        settle(w);
        cr_assert_neq(peer_of(&w->a)->state, PEER_STATE_CONNECTED, "b does not know it yet");
        b = paths(&w->b);
        w->b.device->peers[0].persistent_keepalive = 0;
        tell_link(&w->b);
        cr_assert(wireguard_key_equal(&peer_of(&w->b)->public_key, &w->a.public_key));
        cr_assert_lt(paths(&w->b), b, "it is a peer that is new");
        RUN_UNTIL(w->event, both_direct(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        check_traffic(w);
        world_free(w);
}

static void set_preshared_key(Side *side, const WireguardKey *key)
{
        side->preshared_key = *key;
        side->device->peers[0].preshared_key_changes++;
        tell_link(side);
}

/* All peers are new ones then, and none of them is waited for. */
Test(events, private_key_that_is_taken_away_is_the_reason_at_once)
{
        World *w = world_new_shared();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        w->a.device->public_key = (WireguardKey) {};
        w->a.device->peers[0].endpoint = (SocketAddress) {};
        w->a.device->peers[0].last_handshake = 0;
        tell_link(&w->a);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_NO_PRIVATE_KEY);
        world_free(w);
}

Test(events, preshared_key_that_is_another_one_disturbs_no_path)
{
        World *w = connect_and_rest();
        uint64_t before = sessions(w);
        size_t said = w->n_record;
        WireguardKey key;

        random_bytes(&key, sizeof(key));
        set_preshared_key(&w->a, &key);
        pass(w, USEC_PER_MINUTE, true);
        set_preshared_key(&w->b, &key);
        pass(w, 5 * USEC_PER_MINUTE, true);
        cr_assert(both_direct(w));
        cr_assert_eq(sessions(w), before);
        cr_assert_eq(w->n_record, said);
        /* And is in force. */
        peer_reconnect_regardless(peer_of(&w->a));
        RUN_UNTIL(w->event, sessions(w) > before && both_direct(w));
        world_free(w);
}

/* The pause between attempts has grown to five minutes. */
Test(events, preshared_key_that_is_right_now_is_tried_at_once, .timeout = 120)
{
        World *w = world_new_shared();
        WireguardKey key;

        random_bytes(&key, sizeof(key));
        w->a.preshared_key = key;
        start(&w->a);
        start(&w->b);
        settle(w);
        pass(w, USEC_PER_HOUR, false);
        cr_assert_eq(peer_of(&w->b)->reason, PEER_REASON_ENVELOPE_REFUSED);
        set_preshared_key(&w->b, &key);
        RUN_UNTIL(w->event, both_direct(w));
        check_traffic(w);
        world_free(w);
}
