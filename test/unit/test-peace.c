/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Others set endpoints, or write the device anew, while a path of ours works (world.h). */

#include "carrier.h"
#include "world.h"

#define BAD "198.51.100.9:51820"

static WireguardPeer *entry(Side *side)
{
        return &side->device->peers[0];
}

static bool has_ours(Side *side)
{
        return socket_address_equal(&entry(side)->endpoint, &peer_of(side)->path.endpoint) &&
               socket_address_port(&entry(side)->endpoint) == other_side(side)->device->listen_port;
}

static void set_bad(Side *side)
{
        cr_assert_geq(socket_address_from_string(BAD, &entry(side)->endpoint), 0);
        tell_link(side);
}

/* As with REPLACE_PEERS. */
static void write_anew(Side *side, const char *endpoint)
{
        WireguardPeer *peer = entry(side);

        peer->endpoint = (SocketAddress) {};
        if (endpoint)
                cr_assert_geq(socket_address_from_string(endpoint, &peer->endpoint), 0);
        peer->persistent_keepalive = 0;
        peer->last_handshake = 0;
        peer->tx_bytes = peer->rx_bytes = 0;
        tell_link(side);
}

/* WireGuard has something to send, and nothing comes. */
static bool has_ours_meanwhile(Side *side)
{
        if (!has_ours(side))
                entry(side)->tx_bytes += 1000;
        return has_ours(side);
}

static World *connect_and_count(void)
{
        World *w = connect_directly();

        entry(&w->a)->tx_bytes = entry(&w->a)->rx_bytes = 100000;
        tell_link(&w->a);
        RUN_UNTIL(w->event, peer_of(&w->a)->pulse.liveness.trusted);
        return w;
}

static void check_is_restored(World *w, Side *side)
{
        RUN_UNTIL(w->event, has_ours_meanwhile(side));
        cr_assert(is_direct(side));
        cr_assert_eq(peer_of(side)->counters.sessions, 1, "there is nothing to negotiate");
        check_traffic(w);
}

Test(peace, an_endpoint_that_does_not_work_is_replaced_by_ours)
{
        World *w = connect_and_count();

        set_bad(&w->a);
        cr_assert(!has_ours(&w->a), "it has a chance");
        check_is_restored(w, &w->a);
        /* And the next time at once. */
        set_bad(&w->a);
        cr_assert_neq(strcmp(SOCKET_ADDRESS_STR(&peer_of(&w->a)->path.endpoint), BAD), 0);
        settle(w);
        cr_assert(has_ours(&w->a));
        world_free(w);
}

Test(peace, an_endpoint_that_works_is_kept)
{
        World *w = connect_and_count();

        set_bad(&w->a);
        entry(&w->a)->rx_bytes += 32; /* it does */
        tell_link(&w->a);
        cr_assert(!endpoint_trial_is_on(&peer_of(&w->a)->peace.trial));
        settle(w);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&entry(&w->a)->endpoint), BAD);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&peer_of(&w->a)->path.endpoint), BAD);
        cr_assert(is_direct(&w->a));
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        world_free(w);
}

Test(peace, a_device_that_is_written_anew_gets_ours)
{
        World *w = connect_and_count();

        write_anew(&w->a, NULL);
        check_is_restored(w, &w->a);
        cr_assert_eq(entry(&w->a)->persistent_keepalive, CARRIER_KEEPALIVE);
        world_free(w);
}

Test(peace, a_device_that_is_written_anew_with_a_bad_endpoint_gets_ours)
{
        World *w = connect_and_count();

        write_anew(&w->a, BAD);
        RUN_UNTIL(w->event, entry(&w->a)->persistent_keepalive != 0);
        cr_assert(!has_ours(&w->a), "WireGuard tries theirs first");
        check_is_restored(w, &w->a);
        world_free(w);
}

Test(peace, a_device_that_is_written_anew_with_a_good_endpoint_keeps_it)
{
        World *w = connect_and_count();
        SocketAddress other;

        /* Another address of the same host. */
        sandbox_shell("ip address add 192.0.2.7/32 dev lo");
        cr_assert_geq(socket_address_from_ip("192.0.2.7", w->b.device->listen_port, &other), 0);
        write_anew(&w->a, SOCKET_ADDRESS_STR(&other));
        RUN_UNTIL(w->event, entry(&w->a)->last_handshake > 0);
        entry(&w->a)->rx_bytes += 92;
        tell_link(&w->a);
        settle(w);
        cr_assert(is_direct(&w->a));
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        check_traffic(w);
        world_free(w);
}

/* While theirs is on trial another path is found: nobody goes back to what was before that. */
Test(peace, a_new_path_ends_the_trial)
{
        World *w = connect_and_count();

        set_bad(&w->a);
        cr_assert(endpoint_trial_is_on(&peer_of(&w->a)->peace.trial));
        peer_reconnect_regardless(peer_of(&w->b));
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.paths > 1);
        cr_assert(!endpoint_trial_is_on(&peer_of(&w->a)->peace.trial));
        RUN_UNTIL(w->event, has_ours(&w->a));
        world_free(w);
}

/* A loop that writes it again and again. */
Test(peace, nobody_fights)
{
        World *w = connect_and_count();
        unsigned n = 0;

        set_bad(&w->a);
        check_is_restored(w, &w->a);
        for (unsigned i = 0; i < 50; i++) {
                set_bad(&w->a);
                while (sd_event_run(w->event, 0) > 0)
                        ;
                n += has_ours(&w->a);
        }
        cr_assert_geq(n, 1);
        cr_assert_leq(n, 6, "%u: we insist a few times, and not for ever", n);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        world_free(w);
}

/* Whatever passes through a proxy here has its loopback address as the endpoint. */
static World *connect_proxied(void)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_PROXIED);
        return w;
}

Test(peace, a_proxied_peer_gets_its_proxy_back)
{
        World *w = connect_proxied();

        set_bad(&w->a);
        wireguard_send(&w->b, TYPE_DATA); /* WireGuard follows it */
        RUN_UNTIL(w->event, uses_its_path(&w->a));
        cr_assert(proxy_address_is_ours(&entry(&w->a)->endpoint));
        check_traffic(w);
        world_free(w);
}

/* Where the peer has nothing to say. */
Test(peace, a_proxied_peer_gets_its_proxy_back_when_nothing_comes)
{
        World *w = connect_proxied();

        set_bad(&w->a);
        cr_assert(!uses_its_path(&w->a), "it has a chance");
        entry(&w->a)->tx_bytes += 1000;
        RUN_UNTIL(w->event, uses_its_path(&w->a));
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        check_traffic(w);
        set_bad(&w->a);
        settle(w);
        cr_assert(uses_its_path(&w->a), "not again");
        world_free(w);
}

Test(peace, an_endpoint_that_works_is_better_than_a_proxy)
{
        World *w = connect_proxied();

        set_bad(&w->a);
        entry(&w->a)->rx_bytes += 32;
        tell_link(&w->a);
        settle(w);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&entry(&w->a)->endpoint), BAD);
        cr_assert(is_direct(&w->a));
        cr_assert_null(peer_of(&w->a)->proxy);
        world_free(w);
}
