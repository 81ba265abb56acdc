/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sessions with relays, and such that go on from the pair that carries the path to another one of their own.
 */

#include "turnserver.h"

#include "carrier.h"
#include "path-switch.h"
#include "proxy-internal.h"
#include "servers.h"
#include "session.h"
#include "world.h"

/* --- from a plain path to one by our own relay --- */

/* A server for each side: what goes to b's can be held back. */
#define A_SERVER "192.0.2.2"
#define B_SERVER "192.0.2.3"

static void start_with_server(Side *side, const char *settings)
{
        side->settings = settings;
        start(side);
        side->manager->config->turn_password = strdup("secret");
        cr_assert_geq(servers_look_up(side->manager), 0);
}

/* The redirect's programs leave alone what goes to relays; of icewired's wishes the fake broker knows none.
 */
static void keep_relays(World *w)
{
        SocketAddress servers[] = { address(A_SERVER ":3478"), address(B_SERVER ":3478") };

        cr_assert_geq(w->redirect->ops->set_relays(w->redirect, servers, ELEMENTSOF(servers)), 0);
}

/* Nothing gets through between the hosts themselves, and for now there is nothing from one of the servers.
 */
static void put_up_firewall(const char *late)
{
        sandbox_shell("nft 'table ip block { chain direct { type filter hook input priority 0; "
                      "ip saddr " HOST_ADDRESS " ip daddr " HOST_ADDRESS " meta l4proto udp drop; }; "
                      "chain late { type filter hook input priority 1; "
                      "ip daddr %s udp dport 3478 drop; }; }' >nft.log 2>&1",
                      late);
}

/* What goes there from a socket that is bound to no address is to come from the host's. */
static void add_address(const char *ip)
{
        sandbox_shell("ip address add %s/32 dev lo && "
                      "ip route replace local %s dev lo src " HOST_ADDRESS " table local",
                      ip, ip);
}

/* By the other side's relay, since the server of this one says nothing yet. */
static World *connect_without(const char *late)
{
        World *w = world_new_shared();

        add_address(A_SERVER);
        add_address(B_SERVER);
        (void) turnserver_start_with(&(TurnserverOptions) { .addresses = { A_SERVER, B_SERVER } });
        keep_relays(w);
        put_up_firewall(late);
        start_with_server(&w->a, "[ICE]\nTCP=no\nTURNUser=user\nTURNServers=turn:" A_SERVER "\n");
        start_with_server(&w->b, "[ICE]\nTCP=no\nTURNUser=user\nTURNServers=turn:" B_SERVER "\n");
        RUN_UNTIL(w->event, both_connected(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        return w;
}

static void let_the_late_one_through(void)
{
        sandbox_shell("nft flush chain ip block late");
}

/* The controlling side's relay is the better one, and libnice has it as soon as it is there. */
static void let_a_have_its_relay(World *w)
{
        const Peer *a = peer_of(&w->a);

        let_the_late_one_through();
        RUN_UNTIL(w->event, handover_is_holding(&a->handover));
        cr_assert(carrier_is_plain(a));
        cr_assert_eq(a->held.session, a->path.session);
        cr_assert_eq(a->held.local.type, ICE_CANDIDATE_RELAY);
}

/* b sends to a's relay while a itself is still at b's. */
Test(session_pairs, a_peer_that_uses_our_relay_first_is_heard)
{
        World *w = connect_without(A_SERVER);
        Peer *a = peer_of(&w->a), *b = peer_of(&w->b);

        let_a_have_its_relay(w);
        a->handover.due = USEC_INFINITY; /* by itself it would never go on */
        RUN_UNTIL(w->event, carrier_is_plain(b) && uses_its_path(&w->b));
        w->a.n_packets = 0;
        for (unsigned i = 0; i < 5; i++)
                wireguard_send(&w->b, TYPE_DATA);
        RUN_UNTIL(w->event, handover_is_switching(&a->handover));
        cr_assert_eq(a->path.local.type, ICE_CANDIDATE_RELAY);
        RUN_UNTIL(w->event, w->a.n_packets == 5);
        RUN_UNTIL(w->event, uses_its_path(&w->a));
        check_traffic(w);
        world_free(w);
}

/* Of two relays both sides take the same, whichever came first: or each would have WireGuard follow the
 * other one.
 */
Test(session_pairs, both_sides_prefer_the_same_relay)
{
        World *w = connect_without(B_SERVER);
        SocketAddress relay = peer_of(&w->b)->path.endpoint;

        cr_assert_eq(peer_of(&w->a)->path.local.type, ICE_CANDIDATE_RELAY);
        let_the_late_one_through();
        RUN_UNTIL(w->event, peer_of(&w->b)->session->gathering_done);
        w->a.n_endpoints = w->b.n_endpoints = 0;
        for (unsigned i = 0; i < 200; i++) {
                wireguard_send(&w->a, TYPE_DATA);
                wireguard_send(&w->b, TYPE_DATA);
                run_for(w, 5 * USEC_PER_MSEC);
        }
        cr_assert_eq(w->a.n_endpoints + w->b.n_endpoints, 0);
        cr_assert(socket_address_equal(&peer_of(&w->b)->path.endpoint, &relay));
        cr_assert_eq(peer_of(&w->a)->counters.paths, 1);
        world_free(w);
}

static uint32_t relay_priority(const IceCandidate *candidates, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (candidates[i].type == ICE_CANDIDATE_RELAY)
                        return candidates[i].priority;
        cr_assert(false, "no relay");
        return 0;
}

/* Only the peer is told of another priority than our own ICE goes by, which is the one that is shown. */
Test(session_pairs, a_relay_has_a_lead_at_the_peer_only)
{
        World *w = connect_without(B_SERVER);
        const Session *a = peer_of(&w->a)->session, *b = peer_of(&w->b)->session;
        IceCandidate shown[SDP_CANDIDATES_MAX];
        const IceCandidate *told;
        bool complete;
        uint32_t own = relay_priority(a->candidates, a->n_candidates);
        size_t n;

        n = session_candidates(a, shown, &complete);
        cr_assert_eq(relay_priority(shown, n), own);
        n = ice_agent_remote_candidates(b->ice, &told);
        cr_assert_eq(relay_priority(told, n), own + 16);
        world_free(w);
}

/* Who wants no relay does not ask a server why there is none; a STUN server that says nothing has kept it
 * gathering. */
Test(session_pairs, a_relay_that_nobody_wants_is_not_missed)
{
        World *w = world_new();
        Manager *m;

        add_address(A_SERVER);
        put_up_firewall(A_SERVER);
        start_with_server(&w->a, "[ICE]\nTCP=no\nSTUNServers=" A_SERVER
                                 "\nTURNUser=user\nTURNServers=turn:" A_SERVER "\n[Peer]\nPolicy=direct\n");
        start(&w->b);
        RUN_UNTIL(w->event, peer_of(&w->a) && peer_of(&w->a)->session && peer_of(&w->a)->session->answered);
        m = w->a.manager;
        cr_assert_eq(m->n_relays, 1);
        m->relays[0].state = RELAY_STATE_OK; /* when it was asked last */
        cr_assert_not(peer_of(&w->a)->session->gathering_done);
        elapse(peer_of(&w->a)->session->timer);
        RUN_UNTIL(w->event, !peer_of(&w->a)->session);
        cr_assert_eq(m->relays_asked, 0);
        world_free(w);
}

/* --- two addresses each --- */

#define OTHER_ADDRESS "192.0.2.4"

static void start_with_two_addresses(Side *side)
{
        SocketAddress addresses[2];

        start(side);
        cr_assert_geq(socket_address_from_ip(HOST_ADDRESS, 0, &addresses[0]), 0);
        cr_assert_geq(socket_address_from_ip(OTHER_ADDRESS, 0, &addresses[1]), 0);
        manager_set_addresses(side->manager, addresses, ELEMENTSOF(addresses));
}

static bool both_selected(World *w)
{
        const Peer *a = peer_of(&w->a), *b = peer_of(&w->b);

        return a && b && a->session && b->session && a->session->selected && b->session->selected;
}

/* Only what goes from one of the addresses to the other gets through, and for now not between a's better one
 * and b's worse one. */
static void put_up_firewall_between_addresses(World *w)
{
        sandbox_shell("nft 'table ip block { chain same { type filter hook input priority 0; "
                      "ip saddr " HOST_ADDRESS " ip daddr " HOST_ADDRESS " meta l4proto udp drop; "
                      "ip saddr " OTHER_ADDRESS " ip daddr " OTHER_ADDRESS " meta l4proto udp drop; }; "
                      "chain late { type filter hook input priority 1; "
                      "ip saddr " OTHER_ADDRESS " ip daddr " HOST_ADDRESS " udp sport %u drop; "
                      "ip saddr " HOST_ADDRESS " ip daddr " OTHER_ADDRESS " udp sport %u drop; }; }'",
                      w->a.device->listen_port, w->b.device->listen_port);
}

/* Each side has the pair of its own better address for the better one, unless what it is told of the other's
 * candidates is what these are there. (The fake WireGuard does not get through, which takes no note of
 * source addresses.) */
Test(session_pairs, both_sides_prefer_the_same_direct_pair)
{
        World *w = world_new_shared();
        const Session *a, *b;

        sandbox_shell("ip address add " OTHER_ADDRESS "/32 dev lo");
        put_up_firewall_between_addresses(w);
        start_with_two_addresses(&w->a);
        start_with_two_addresses(&w->b);
        RUN_UNTIL(w->event, both_selected(w));
        a = peer_of(&w->a)->session;
        b = peer_of(&w->b)->session;
        cr_assert(socket_address_ip_equal(&a->remote.address, &b->local.address));
        let_the_late_one_through();
        run_for(w, 3 * USEC_PER_SEC);
        cr_assert_eq(a->id, b->id);
        cr_assert(ice_candidate_equal(&a->local, &b->remote), "%s, %s", ICE_CANDIDATE_STR(&a->local),
                  ICE_CANDIDATE_STR(&b->remote));
        cr_assert(ice_candidate_equal(&b->local, &a->remote), "%s, %s", ICE_CANDIDATE_STR(&b->local),
                  ICE_CANDIDATE_STR(&a->remote));
        world_free(w);
}

/* --- from ICE-TCP to a pair that the agent carries --- */

static World *connect_by_tcp(void)
{
        World *w = world_new();

        sandbox_shell("nft 'table ip block { chain out { type filter hook output priority 0; "
                      "ip daddr " HOST_ADDRESS " meta l4proto udp drop; }; }' >nft.log 2>&1");
        w->a.settings = w->b.settings = "[ICE]\nTCP=yes\n";
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        RUN_UNTIL(w->event, uses_its_path(&w->a) && uses_its_path(&w->b));
        return w;
}

/* As if ICE had found another pair of the session, at this port of the peer's: libnice has one only. */
static void select_pair(Peer *peer, uint16_t port)
{
        socket_address_set_port(&peer->session->remote.address, port);
        path_switch_consider(peer->session);
}

/* What ICE has to say goes by the pair that it has chosen. Written past it, packets would come by the one
 * before; and in the midst of what it has begun to send, once it is back at that. */
Test(session_pairs, nothing_is_written_past_ice_once_it_has_gone_on)
{
        World *w = connect_by_tcp();
        Peer *a = peer_of(&w->a);
        uint16_t port = socket_address_port(&a->session->remote.address);

        cr_assert_not_null(a->proxy->connection);
        cr_assert(proxy_connection_is_framed(a->proxy->connection));
        select_pair(a, 9);
        cr_assert(handover_is_holding(&a->handover));
        cr_assert_null(a->proxy->connection);
        check_traffic(w);
        select_pair(a, port);
        cr_assert(handover_is_holding(&a->handover));
        RUN_UNTIL(w->event, !handover_is_holding(&a->handover));
        cr_assert_not_null(a->proxy->connection);
        cr_assert_not(proxy_connection_is_framed(a->proxy->connection));
        check_traffic(w);
        world_free(w);
}
