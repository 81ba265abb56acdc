/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Hosts whose ICE shares WireGuard's port, by the redirect's programs on loopback (world.h): direct paths,
 * hosts of which only one has the redirect, and the way from the proxy to a direct path and back. */

#include "path-switch.h"
#include "proxy-internal.h"
#include "session.h"
#include "sharing.h"
#include "world.h"

static void expect_direct(Side *side, const Side *other)
{
        const Peer *peer = peer_of(side);
        const SocketAddress *endpoint = &side->device->peers[0].endpoint;

        cr_assert_eq(peer->reason, PEER_REASON_NONE);
        cr_assert_null(peer->proxy);
        cr_assert_str_eq(SOCKET_ADDRESS_IP_STR(endpoint), HOST_ADDRESS);
        cr_assert_eq(socket_address_port(endpoint), other->device->listen_port);
        cr_assert_eq(side->device->peers[0].persistent_keepalive, 25);
        cr_assert_eq(peer->path.local.type, ICE_CANDIDATE_HOST);
        cr_assert_eq(socket_address_port(&peer->path.local.address), side->device->listen_port);
        cr_assert(socket_address_equal(&peer->path.remote.address, endpoint));
}

static bool both_proxied(World *w)
{
        return peer_of(&w->a)->path.kind == PATH_PROXIED && peer_of(&w->b)->path.kind == PATH_PROXIED;
}

Test(sharing, a_redirect_makes_the_path_direct)
{
        World *w = connect_directly();

        expect_direct(&w->a, &w->b);
        expect_direct(&w->b, &w->a);
        check_traffic(w);
        cr_assert_eq(w->n_shared, 6,
                     "each side's session, and by two names the socket that probes the path");
        world_free(w);
}

Test(sharing, a_broker_that_comes_back_shares_again)
{
        World *w = connect_directly();

        lose_broker(&w->a);
        cr_assert_eq(w->n_shared, 3);
        cr_assert(both_direct(w));
        find_broker(&w->a);
        RUN_UNTIL(w->event, w->n_shared == 6);
        settle(w);
        cr_assert(both_direct(w));
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        world_free(w);
}

Test(sharing, sockets_that_cannot_be_shared_are_tried_again)
{
        World *w = world_new_shared();

        w->refuses_sockets = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event,
                  peer_of(&w->a) && peer_of(&w->a)->counters.sessions > 0 && !peer_of(&w->a)->session);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_NONE);
        w->refuses_sockets = false;
        RUN_UNTIL(w->event, both_direct(w));
        check_traffic(w);
        world_free(w);
}

Test(sharing, an_endpoint_that_is_wiped_is_set_again)
{
        World *w = connect_directly();

        w->a.device->peers[0].endpoint = (SocketAddress) {};
        tell_link(&w->a);
        RUN_UNTIL(w->event, socket_address_is_set(&w->a.device->peers[0].endpoint));
        expect_direct(&w->a, &w->b);
        world_free(w);
}

Test(sharing, where_wireguard_has_followed_the_peer_is_where_it_is)
{
        World *w = connect_directly();
        SocketAddress *endpoint = &w->a.device->peers[0].endpoint;

        cr_assert_geq(socket_address_from_string("192.0.2.200:4000", endpoint), 0);
        tell_link(&w->a);
        settle(w);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(endpoint), "192.0.2.200:4000");
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&peer_of(&w->a)->path.remote.address), "192.0.2.200:4000");
        cr_assert(is_direct(&w->a));
        world_free(w);
}

/* The redirect goes out of force, and comes back, with a new configuration. */
Test(sharing, paths_follow_the_redirect)
{
        World *w = connect_directly();

        w->redirect_withdrawn = true;
        sharing_update(w->a.manager);
        sharing_update(w->b.manager);
        RUN_UNTIL(w->event, both_proxied(w));
        check_traffic(w);
        /* What was shared is taken back by the session's end. */
        w->redirect_withdrawn = false;
        RUN_UNTIL(w->event, !peer_of(&w->a)->old_session && !peer_of(&w->b)->old_session);
        /* Told by the broker. */
        manager_broker_callbacks.redirect_changed(w->a.manager->broker, w->a.manager);
        manager_broker_callbacks.redirect_changed(w->b.manager->broker, w->b.manager);
        RUN_UNTIL(w->event, both_direct(w));
        RUN_UNTIL(w->event, !peer_of(&w->a)->proxy && !peer_of(&w->b)->proxy);
        check_traffic(w);
        world_free(w);
}

/* The redirect goes out of force while both sides negotiate, with candidates that are good with it alone. */
Test(sharing, a_negotiation_follows_the_redirect)
{
        World *w = connect_directly();

        peer_reconnect(peer_of(&w->a));
        peer_reconnect(peer_of(&w->b));
        RUN_UNTIL(w->event, session_is_negotiating(peer_of(&w->a)->session) &&
                                    session_is_negotiating(peer_of(&w->b)->session));
        w->redirect_withdrawn = true;
        sharing_update(w->a.manager);
        sharing_update(w->b.manager);
        RUN_UNTIL(w->event, both_proxied(w));
        check_traffic(w);
        world_free(w);
}

/* The side that answers drops a negotiation that it has answered: the other one does not wait until that
 * fails. */
Test(sharing, a_negotiation_that_the_peer_drops_begins_anew)
{
        World *w = connect_directly();
        bool a_offers = peer_of(&w->a)->signalling.controlling;
        Peer *offers = peer_of(a_offers ? &w->a : &w->b), *answers = peer_of(a_offers ? &w->b : &w->a);
        uint64_t id, unproven = offers->signalling.counters[SIGNALLING_ANSWER_HELLO];

        peer_reconnect(offers);
        RUN_UNTIL(w->event, session_is_negotiating(offers->session) && offers->session->answered);
        id = offers->session->id;
        peer_reconnect(answers);
        cr_assert_null(answers->old_session);
        RUN_UNTIL(w->event, offers->session->id != id);
        cr_assert_eq(offers->signalling.counters[SIGNALLING_ANSWER_HELLO], unproven,
                     "the first hello is enough");
        RUN_UNTIL(w->event, offers->session->selected && answers->session->selected);
        check_traffic(w);
        world_free(w);
}

/* --- one host shares its port, the other has only the proxy --- */

static World *connect_unequal(bool a_is_proxied, Side **ret_proxied, Side **ret_direct)
{
        World *w = world_new_shared();
        Side *proxied = a_is_proxied ? &w->a : &w->b;

        proxied->shares_nothing = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        *ret_proxied = proxied;
        *ret_direct = other_side(proxied);
        cr_assert_eq(peer_of(*ret_proxied)->path.kind, PATH_PROXIED);
        cr_assert_eq(peer_of(*ret_direct)->path.kind, PATH_DIRECT);
        check_traffic(w);
        return w;
}

static void check_proxied_side_is_killed(bool a_is_proxied)
{
        Side *proxied, *direct;
        World *w = connect_unequal(a_is_proxied, &proxied, &direct);

        check_comes_back(w, proxied);
        cr_assert_eq(peer_of(proxied)->path.kind, PATH_PROXIED);
        cr_assert_eq(peer_of(direct)->path.kind, PATH_DIRECT);
        world_free(w);
}

Test(sharing, proxied_side_of_two_is_killed_and_comes_back)
{
        check_proxied_side_is_killed(/* a_is_proxied= */ true);
}

Test(sharing, proxied_and_controlled_side_of_two_is_killed_and_comes_back)
{
        check_proxied_side_is_killed(/* a_is_proxied= */ false);
}

static void check_direct_side_is_killed(bool a_is_proxied)
{
        Side *proxied, *direct;
        World *w = connect_unequal(a_is_proxied, &proxied, &direct);

        kill_side(direct);
        check_traffic(w);
        start(direct);
        settle(w);
        cr_assert(both_connected(w));
        cr_assert_eq(peer_of(direct)->counters.sessions, 0);
        cr_assert_eq(peer_of(proxied)->counters.sessions, 1);
        check_traffic(w);
        world_free(w);
}

Test(sharing, direct_side_of_two_is_killed_and_comes_back)
{
        check_direct_side_is_killed(/* a_is_proxied= */ true);
}

Test(sharing, direct_and_controlling_side_of_two_is_killed_and_comes_back)
{
        check_direct_side_is_killed(/* a_is_proxied= */ false);
}

/* WireGuard's last handshake is young, but nobody carries the peer's packets any more. */
Test(sharing, goodbye_of_a_proxied_peer_ends_a_direct_path)
{
        Side *proxied, *direct;
        World *w = connect_unequal(/* a_is_proxied= */ true, &proxied, &direct);

        say_goodbye(w, proxied);
        cr_assert_eq(peer_of(direct)->path.kind, PATH_NONE);
        tell_link(direct);
        cr_assert_eq(peer_of(direct)->path.kind, PATH_NONE);
        cr_assert_eq(peer_of(direct)->reason, PEER_REASON_PEER_OFFLINE);
        start(proxied);
        RUN_UNTIL(w->event, both_connected(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        check_traffic(w);
        world_free(w);
}

Test(sharing, direct_side_goes_without_a_word)
{
        Side *proxied, *direct;
        World *w = connect_unequal(/* a_is_proxied= */ true, &proxied, &direct);

        say_goodbye(w, direct);
        cr_assert_eq(peer_of(proxied)->path.kind, PATH_PROXIED);
        check_traffic(w);
        world_free(w);
}

/* --- from the proxy to WireGuard itself --- */

/* Both have been proxied, and are direct now. */
static World *connect_proxied_then_directly(void)
{
        World *w = world_new_shared();

        w->redirect_withdrawn = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w) && both_proxied(w));
        settle(w);
        w->redirect_withdrawn = false;
        sharing_update(w->a.manager);
        sharing_update(w->b.manager);
        RUN_UNTIL(w->event, both_direct(w));
        return w;
}

/* The peer was first to leave its proxy, and WireGuard has followed it before we could set anything. */
Test(sharing, proxy_is_closed_where_wireguard_has_followed_the_peer)
{
        World *w = connect_proxied_then_directly();
        Peer *peer = peer_of(&w->a);

        RUN_UNTIL(w->event, !peer->proxy);
        settle(w);
        cr_assert_geq(proxy_new(w->a.manager->proxies, w->a.device->listen_port, &peer->proxy), 0);
        path_switch_consider(peer->session);
        RUN_UNTIL(w->event, !peer->proxy);
        check_traffic(w);
        world_free(w);
}

Test(sharing, proxy_is_closed_although_the_broker_was_away)
{
        World *w = connect_proxied_then_directly();
        Peer *peer = peer_of(&w->a);

        RUN_UNTIL(w->event, uses_its_path(&w->a));
        cr_assert_not_null(peer->proxy);
        RUN_UNTIL(w->event, handover_is_switching(&peer->handover));
        lose_broker(&w->a);
        peer->proxy->counters.in_packets++; /* late */
        elapse(peer->handover_timer);
        settle(w);
        cr_assert_not_null(peer->proxy);
        find_broker(&w->a);
        RUN_UNTIL(w->event, !peer->proxy);
        world_free(w);
}

/* --- direct paths that are none --- */

/* A better pair was found, but what WireGuard has is from before. */
Test(sharing, endpoint_of_a_better_pair_is_set_when_the_broker_is_back)
{
        World *w = connect_directly();
        Peer *peer = peer_of(&w->a);
        SocketAddress *endpoint = &w->a.device->peers[0].endpoint;

        lose_broker(&w->a);
        cr_assert_geq(socket_address_from_string("192.0.2.200:4000", &peer->session->remote.address), 0);
        path_switch_consider(peer->session);
        settle(w);
        cr_assert_str_neq(SOCKET_ADDRESS_STR(endpoint), "192.0.2.200:4000");
        RUN_UNTIL(w->event, !uses_its_path(&w->a));
        cr_assert_str_neq(SOCKET_ADDRESS_STR(endpoint), "192.0.2.200:4000");
        find_broker(&w->a);
        RUN_UNTIL(w->event, uses_its_path(&w->a));
        cr_assert_str_eq(SOCKET_ADDRESS_STR(endpoint), "192.0.2.200:4000");
        world_free(w);
}

/* What leaves by another interface than the uplinks keeps its port: so does WireGuard's data, through the
 * proxy. */
static void check_leaves_elsewhere(bool a_leaves_elsewhere)
{
        World *w = world_new_shared();
        Side *side = a_leaves_elsewhere ? &w->a : &w->b;

        side->leaves_elsewhere = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        cr_assert_eq(peer_of(side)->path.kind, PATH_PROXIED);
        cr_assert_neq(socket_address_port(&peer_of(side)->path.local.address), side->device->listen_port);
        cr_assert_eq(peer_of(other_side(side))->path.kind, PATH_DIRECT);
        check_traffic(w);
        world_free(w);
}

Test(sharing, what_leaves_by_another_interface_is_proxied)
{
        check_leaves_elsewhere(/* a_leaves_elsewhere= */ true);
}

Test(sharing, what_leaves_the_controlled_side_by_another_interface_is_proxied)
{
        check_leaves_elsewhere(/* a_leaves_elsewhere= */ false);
}

/* --- what the broker says --- */

Test(sharing, proxy_serves_where_sockets_are_refused_for_good)
{
        World *w = world_new_shared();

        w->refuses_sockets = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        cr_assert(both_proxied(w));
        check_traffic(w);
        /* But not for ever. */
        w->refuses_sockets = false;
        peer_reconnect(peer_of(&w->a));
        peer_reconnect(peer_of(&w->b));
        RUN_UNTIL(w->event, both_direct(w));
        check_traffic(w);
        world_free(w);
}

/* Containers come and go, and no peer is called oftener for it. */
Test(sharing, other_interfaces_wake_nobody)
{
        World *w = world_new_shared();
        unsigned n_calls;

        start(&w->a);
        settle(w);
        n_calls = w->a.n_redirect_calls;
        peer_of(&w->a)->attempts.step = 5;
        manager_set_addresses(w->a.manager, w->a.manager->addresses, w->a.manager->n_addresses);
        cr_assert(manager_can_negotiate(w->a.manager), "nobody waits for the answer");
        settle(w);
        cr_assert_eq(w->a.n_redirect_calls, n_calls + 1);
        cr_assert_eq(peer_of(&w->a)->attempts.step, 5);
        /* But what is different is followed. */
        w->redirect_withdrawn = true;
        manager_set_addresses(w->a.manager, w->a.manager->addresses, w->a.manager->n_addresses);
        RUN_UNTIL(w->event, w->a.manager->redirect_kind == REDIRECT_PROXY);
        world_free(w);
}

/* Where the port is seen from outside matters to nobody who is direct, until another path is looked for. */
Test(sharing, mappings_are_kept_while_a_path_is_looked_for)
{
        World *w = connect_directly();
        const Link *link = w->a.manager->links;

        manager_reload(w->a.manager, config_from("[ICE]\nSTUNServers=" HOST_ADDRESS ":3478\n"));
        RUN_UNTIL(w->event, link->n_mappings == 1);
        settle(w);
        cr_assert(!link->mappings[0]->wanted);
        peer_reconnect(peer_of(&w->a));
        cr_assert(link->mappings[0]->wanted);
        RUN_UNTIL(w->event, !link->mappings[0]->wanted);
        cr_assert_eq(peer_of(&w->a)->counters.paths, 2);
        world_free(w);
}

Test(sharing, another_port_after_none_is_negotiated)
{
        World *w = connect_directly();
        uint16_t port = w->a.device->listen_port;

        w->a.device->listen_port = 0;
        tell_link(&w->a);
        settle(w);
        w->a.device->listen_port = (uint16_t) (port ^ 1);
        tell_link(&w->a);
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.sessions > 1);
        world_free(w);
}

static void let_time_pass(Side *side)
{
        peer_of(side)->path.since -= 61 * USEC_PER_SEC;
        tell_link(side);
}

static World *connect_and_rest(void)
{
        World *w = connect_directly();

        let_time_pass(&w->a);
        let_time_pass(&w->b);
        cr_assert_null(peer_of(&w->a)->session);
        cr_assert_null(peer_of(&w->b)->session);
        settle(w);
        cr_assert_eq(w->n_shared, 6, "the sockets that probe the path have the sessions' names");
        cr_assert(both_direct(w));
        return w;
}

Test(sharing, a_direct_path_does_without_its_negotiation)
{
        World *w = connect_and_rest();
        WireguardPeer *peer = &w->a.device->peers[0];

        check_traffic(w);
        cr_assert_eq(peer_of(&w->a)->path.local.type, ICE_CANDIDATE_HOST, "what was found is still told");
        /* It is ours all the same. */
        peer->endpoint = (SocketAddress) {};
        tell_link(&w->a);
        RUN_UNTIL(w->event, socket_address_is_set(&peer->endpoint));
        cr_assert(both_direct(w));
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        check_traffic(w);
        world_free(w);
}

Test(sharing, who_asks_gets_another_negotiation)
{
        World *w = connect_and_rest();

        peer_reconnect_regardless(peer_of(&w->b));
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.paths > 1 && peer_of(&w->b)->counters.paths > 1);
        cr_assert(both_direct(w));
        check_traffic(w);
        world_free(w);
}

Test(sharing, another_port_is_negotiated_although_all_was_well)
{
        World *w = connect_and_rest();

        w->a.device->listen_port ^= 1;
        tell_link(&w->a);
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.sessions > 1);
        world_free(w);
}

/* Between the user's own keepalives a NAT may forget the path. */
Test(sharing, a_rare_keepalive_needs_those_of_ice)
{
        World *w = connect_directly();

        w->a.device->peers[0].persistent_keepalive = 120;
        let_time_pass(&w->a);
        cr_assert_not_null(peer_of(&w->a)->session);
        w->a.device->peers[0].persistent_keepalive = 0;
        tell_link(&w->a);
        cr_assert_not_null(peer_of(&w->a)->session);
        world_free(w);
}
