/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Paths that WireGuard uses by itself (world.h): endpoints that somebody else has set, direct paths, relays
 * of the peer's. They are left alone while they work, and given up when they do not. */

#include "lost-path.h"
#include "path-switch.h"
#include "session.h"
#include "try.h"
#include "world.h"

static bool a_is_proxied(World *w)
{
        return peer_of(&w->a)->path.kind == PATH_PROXIED;
}

/* WireGuard has found its way by itself. A handshake takes two. */
static void shake_hands_before(World *w)
{
        Side *sides[] = { &w->a, &w->b };

        for (size_t i = 0; i < ELEMENTSOF(sides); i++) {
                WireguardPeer *peer = &sides[i]->device->peers[0];

                cr_assert_geq(socket_address_from_string("198.51.100.9:51820", &peer->endpoint), 0);
                peer->last_handshake = now(CLOCK_REALTIME);
        }
}

Test(reliance, leaves_a_static_endpoint_that_works_alone)
{
        World *w = world_new();
        WireguardPeer *peer = &w->a.device->peers[0];

        shake_hands_before(w);
        start(&w->a);
        start(&w->b);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->state, PEER_STATE_CONNECTED);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_DIRECT);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_NONE);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 0);
        /* It works no longer: now we look for a path. */
        peer->last_handshake = now(CLOCK_REALTIME) - 200 * USEC_PER_SEC;
        tell_link(&w->a);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_DIRECT, "nothing was sent, so nothing is missing");
        peer->tx_bytes += 148;
        tell_link(&w->a);
        RUN_UNTIL(w->event, a_is_proxied(w));
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

static bool a_is_not_self_reliant(World *w)
{
        return peer_of(&w->a)->path.kind != PATH_DIRECT;
}

/* WireGuard tells nobody that an endpoint has stopped to work. */
Test(reliance, notices_a_static_endpoint_that_stops_to_work)
{
        World *w = world_new();
        WireguardPeer *peer = &w->a.device->peers[0];

        cr_assert_geq(socket_address_from_string("198.51.100.9:51820", &peer->endpoint), 0);
        peer->last_handshake = now(CLOCK_REALTIME) - 178 * USEC_PER_SEC;
        start(&w->a);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_DIRECT);
        RUN_UNTIL(w->event, peer_of(&w->a)->stale);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_DIRECT, "nothing was sent, so nothing is missing");
        peer->tx_bytes += 148;
        elapse(peer_of(&w->a)->reliance_timer);
        RUN_UNTIL(w->event, a_is_not_self_reliant(w));
        world_free(w);
}

Test(reliance, address_change_leaves_a_static_endpoint_alone)
{
        World *w = world_new();
        SocketAddress addresses[2];

        shake_hands_before(w);
        start(&w->a);
        start(&w->b);
        settle(w);
        cr_assert_geq(socket_address_from_ip(HOST_ADDRESS, 0, &addresses[0]), 0);
        cr_assert_geq(socket_address_from_ip("127.0.0.1", 0, &addresses[1]), 0);
        manager_set_addresses(w->a.manager, addresses, 2);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->state, PEER_STATE_CONNECTED);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_DIRECT);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 0);
        world_free(w);
}

Test(reliance, a_direct_path_needs_nobody_and_is_known_again)
{
        World *w = connect_directly();

        stop(&w->a);
        stop(&w->b);
        cr_assert_eq(w->n_shared, 0);
        settle(w);
        check_traffic(w);
        start(&w->a);
        start(&w->b);
        settle(w);
        cr_assert(both_direct(w));
        cr_assert_eq(peer_of(&w->a)->counters.sessions + peer_of(&w->b)->counters.sessions, 0);
        cr_assert_eq(socket_address_port(&w->a.device->peers[0].endpoint), w->b.device->listen_port);
        check_traffic(w);
        world_free(w);
}

/* WireGuard has not to find the peer from another address by itself. */
Test(reliance, who_is_content_asks_when_its_address_has_gone)
{
        World *w = connect_directly();
        SocketAddress address;

        kill_side(&w->a);
        start(&w->a);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 0);
        sandbox_shell("ip address add 192.0.2.2/32 dev lo");
        cr_assert_geq(socket_address_from_ip("192.0.2.2", 0, &address), 0);
        manager_set_addresses(w->a.manager, &address, 1);
        cr_assert(is_direct(&w->a), "it may be good");
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.paths == 1 && peer_of(&w->b)->counters.paths == 2);
        cr_assert_str_eq(SOCKET_ADDRESS_IP_STR(&peer_of(&w->b)->path.endpoint), "192.0.2.2");
        RUN_UNTIL(w->event, uses_its_path(&w->b));
        check_traffic(w);
        world_free(w);
}

/* One side knows only that WireGuard works; the other has moved, and asks. */
Test(reliance, who_is_content_answers_nevertheless)
{
        World *w = connect_directly();

        stop(&w->a);
        start(&w->a);
        settle(w);
        cr_assert(is_direct(&w->a));
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 0);
        peer_reconnect(peer_of(&w->b));
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.paths > 0 && peer_of(&w->b)->counters.paths > 1);
        cr_assert(both_direct(w));
        check_traffic(w);
        world_free(w);
}

/* ICE's pair may be as good as ever: WireGuard's handshakes tell. */
Test(reliance, notices_a_direct_path_that_dies)
{
        World *w = connect_directly();
        WireguardPeer *peer = &w->a.device->peers[0];

        peer->last_handshake = now(CLOCK_REALTIME) - 200 * USEC_PER_SEC;
        tell_link(&w->a);
        settle(w);
        cr_assert(is_direct(&w->a), "nothing was sent, so nothing is missing");
        peer->tx_bytes += 148;
        tell_link(&w->a);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_NONE);
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.paths > 1);
        wireguard_initiate(&w->a); /* as WireGuard does every 5 s while it has something to send */
        RUN_UNTIL(w->event, both_direct(w));
        check_traffic(w);
        world_free(w);
}

/* STUN gets through, WireGuard does not. */
Test(reliance, direct_path_without_a_handshake_is_given_up)
{
        World *w = world_new_shared();
        Peer *peer;

        w->a.answers_handshakes = w->b.answers_handshakes = false;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, peer_of(&w->a) && peer_of(&w->a)->path.kind == PATH_DIRECT);
        peer = peer_of(&w->a);
        RUN_UNTIL(w->event, uses_its_path(&w->a));
        w->a.device->peers[0].tx_bytes += 148;
        peer->handshake_wanted_since -= 17 * USEC_PER_SEC;
        RUN_UNTIL(w->event, a_has_no_handshake(w));
        settle(w);
        w->a.device->peers[0].tx_bytes += 148;
        tell_link(&w->a);
        settle(w);
        cr_assert_eq(peer->counters.sessions, 1, "not at once");
        peer->handshake_wanted_since -= 30 * USEC_PER_SEC;
        elapse(peer->reliance_timer);
        RUN_UNTIL(w->event, peer->counters.sessions > 1);
        w->a.answers_handshakes = w->b.answers_handshakes = true;
        RUN_UNTIL(w->event, peer->path.kind == PATH_DIRECT);
        wireguard_initiate(&w->a);
        RUN_UNTIL(w->event, is_direct(&w->a));
        world_free(w);
}

/* To the peer's relay WireGuard sends by itself: no proxy hears that nothing comes back. */
static World *connect_to_a_relay(void)
{
        World *w = connect_directly();
        Peer *peer = peer_of(&w->a);

        peer->session->remote.type = ICE_CANDIDATE_RELAY;
        path_switch_consider(peer->session);
        /* There is a direct path, of course. */
        peer->pulse.lost = lost_path_free(peer->pulse.lost);
        settle(w);
        cr_assert_eq(peer->path.kind, PATH_RELAYED);
        cr_assert_eq(peer->state, PEER_STATE_CONNECTED);
        return w;
}

Test(reliance, notices_a_relay_that_dies)
{
        World *w = connect_to_a_relay();
        WireguardPeer *peer = &w->a.device->peers[0];

        peer->last_handshake = now(CLOCK_REALTIME) - 200 * USEC_PER_SEC;
        tell_link(&w->a);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_RELAYED, "nothing was sent, so nothing is missing");
        peer->tx_bytes += 148;
        tell_link(&w->a);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_NONE);
        world_free(w);
}

Test(reliance, suspicion_leaves_a_relay_to_wireguard)
{
        World *w = connect_to_a_relay();

        try_session_failed(peer_of(&w->a)->session, /* answered= */ true);
        cr_assert(!peer_of(&w->a)->suspect);
        cr_assert(peer_of(&w->a)->renew);
        world_free(w);
}

/* A path to the peer's relay needs nobody on this side. */
Test(reliance, goodbye_is_not_said_to_a_relay)
{
        World *w = connect_to_a_relay();

        say_goodbye(w, &w->a);
        cr_assert(is_direct(&w->b));
        check_traffic(w);
        world_free(w);
}
