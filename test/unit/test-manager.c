/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Links, peers, and what they say to each other by the rendezvous, in a world of two sides (world.h). */

#include "exchange.h"
#include "random-util.h"
#include "session.h"
#include "string-util.h"
#include "world.h"

Test(manager, connects)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_PROXIED);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_NO_REDIRECT);
        cr_assert_eq(peer_of(&w->b)->path.remote.address.in.sin_addr.s_addr,
                     peer_of(&w->a)->path.local.address.in.sin_addr.s_addr);
        settle(w);
        cr_assert_eq(w->a.device->peers[0].persistent_keepalive, 25);
        cr_assert_eq(w->b.device->peers[0].persistent_keepalive, 25);
        world_free(w);
}

Test(manager, connects_when_everything_arrives_three_times)
{
        World *w = world_new();

        w->copies = 3;
        start(&w->b);
        start(&w->a);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        settle(w);
        /* Copies do not make sessions. */
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        cr_assert_eq(peer_of(&w->b)->counters.sessions, 1);
        world_free(w);
}

/* What one rendezvous takes goes to the others all the same. */
Test(manager, publishes_to_every_rendezvous)
{
        World *w = world_new();

        w->hole = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        cr_assert_eq(w->n_lost, w->n_record);
        /* One message, however often it went out. */
        cr_assert_eq(peer_of(&w->a)->counters.envelopes_sent + peer_of(&w->b)->counters.envelopes_sent,
                     w->n_record);
        world_free(w);
}

Test(manager, connects_although_messages_are_lost)
{
        World *w = world_new();

        w->lose = 4;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

static bool a_lost_its_path(World *w)
{
        return peer_of(&w->a)->path.kind == PATH_NONE;
}

Test(manager, says_goodbye)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        stop_politely(&w->b);
        RUN_UNTIL(w->event, a_lost_its_path(w));
        cr_assert_eq(peer_of(&w->a)->state, PEER_STATE_WAITING);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_PEER_OFFLINE);
        world_free(w);
}

Test(manager, says_that_the_peer_is_silent)
{
        World *w = world_new();

        start(&w->a);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->state, PEER_STATE_WAITING);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_PEER_SILENT);
        world_free(w);
}

static bool a_refuses_envelopes(World *w)
{
        return peer_of(&w->a)->reason == PEER_REASON_ENVELOPE_REFUSED;
}

Test(manager, says_that_preshared_keys_differ)
{
        World *w = world_new();

        random_bytes(&w->a.preshared_key, sizeof(w->a.preshared_key));
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, a_refuses_envelopes(w));
        cr_assert_gt(peer_of(&w->a)->counters.envelopes_refused, 0);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 0);
        world_free(w);
}

Test(manager, waits_for_the_rendezvous)
{
        World *w = world_new();

        start(&w->a);
        set_rendezvous_up(&w->a, false);
        start(&w->b);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_RENDEZVOUS_DOWN);
        cr_assert_str_eq(peer_of(&w->a)->reason_detail, "switched off by the test");
        set_rendezvous_up(&w->a, true);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

Test(manager, replays_and_floods_change_nothing)
{
        World *w = world_new();
        size_t n;
        uint64_t session;

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        session = peer_of(&w->b)->session->id;
        n = w->n_record;
        cr_assert_gt(n, 3);
        for (unsigned round = 0; round < 50; round++)
                for (size_t i = 0; i < n; i++)
                        deliver(w, w->record[i]->to, w->record[i]->topic, w->record[i]->envelope,
                                w->record[i]->size);
        settle(w);
        cr_assert(both_connected(w));
        cr_assert_eq(peer_of(&w->b)->session->id, session);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        cr_assert_gt(peer_of(&w->b)->counters.envelopes_flooded, 0);
        check_traffic(w);
        world_free(w);
}

/* Seals what this side says to the other, without sending it. */
static Delivery *withhold_hello(Side *from, Side *to)
{
        EnvelopeKeys keys = keys_of(from, &to->public_key);
        Message m = { .type = MESSAGE_HELLO };
        Delivery *d = new0(Delivery, 1);
        _cleanup_free_ char *body = NULL;

        signalling_stamp(&peer_of(from)->signalling, peer_of(to)->signalling.instance, &m);
        cr_assert_geq(message_format(&m, &body), 0);
        cr_assert_geq(envelope_seal(&keys, body, strlen(body), (uint8_t **) &d->envelope, &d->size), 0);
        return d;
}

Test(manager, hello_that_comes_late_changes_nothing)
{
        World *w = world_new();
        uint64_t accepted;
        Delivery *late;
        Peer *a;

        start(&w->a);
        start(&w->b);
        late = withhold_hello(&w->b, &w->a);
        RUN_UNTIL(w->event, both_connected(w));
        settle(w);
        a = peer_of(&w->a);
        accepted = a->signalling.counters[SIGNALLING_ACCEPT];
        deliver(w, &w->a, a->topic_receive, late->envelope, late->size);
        settle(w);
        cr_assert_eq(a->counters.sessions, 1);
        cr_assert_eq(a->signalling.counters[SIGNALLING_ACCEPT], accepted + 1);
        cr_assert(both_connected(w));
        free(late->envelope);
        free(late);
        world_free(w);
}

Test(manager, replayed_hello_costs_one_answer)
{
        World *w = world_new();
        size_t n_before;

        /* Recorded from an instance of b that is gone when a starts. */
        start(&w->b);
        settle(w);
        stop(&w->b);
        cr_assert_gt(w->n_record, 0);
        start(&w->a);
        settle(w);
        n_before = w->n_record;
        for (unsigned i = 0; i < 30; i++)
                deliver(w, &w->a, w->record[0]->topic, w->record[0]->envelope, w->record[0]->size);
        settle(w);
        cr_assert_leq(peer_of(&w->a)->counters.sessions, 1);
        cr_assert_leq(w->n_record - n_before, 8);
        /* And the real one still gets through. */
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        world_free(w);
}

/* Whoever floods all topics at once does not make a queue of it at the broker. */
Test(manager, what_waits_to_be_opened_is_bounded)
{
        static const uint8_t garbage[RENDEZVOUS_ENVELOPE_MAX];
        World *w = world_new();
        uint64_t n_received = 0, n_opened;
        PeerCounters before;
        Peer *a;

        start(&w->a);
        settle(w);
        a = peer_of(&w->a);
        before = a->counters;
        for (size_t rendezvous = 0; rendezvous < RENDEZVOUS_MAX; rendezvous++)
                for (size_t i = 0; i < 40; i++, n_received++)
                        exchange_receive(a, rendezvous, garbage, sizeof(garbage));
        cr_assert_gt(n_received * sizeof(garbage), 2 * EXCHANGE_OPENING_MAX);
        settle(w);
        n_opened = a->counters.envelopes_refused - before.envelopes_refused;
        cr_assert_gt(n_opened, 0);
        cr_assert_leq(n_opened * sizeof(garbage), EXCHANGE_OPENING_MAX);
        cr_assert_eq(n_opened + a->counters.envelopes_flooded - before.envelopes_flooded, n_received);
        cr_assert_eq(w->a.manager->opening, 0);

        /* It was nobody's place for ever. */
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        world_free(w);
}

static bool a_has_no_peer(World *w)
{
        return !peer_of(&w->a);
}

Test(manager, follows_peers_that_go_and_come)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        w->a.device->n_peers = 0;
        tell_link(&w->a);
        RUN_UNTIL(w->event, a_has_no_peer(w));
        cr_assert_eq(w->a.rendezvous->n_topics, 0);
        add_peer(&w->a);
        tell_link(&w->a);
        RUN_UNTIL(w->event, both_connected(w));
        check_traffic(w);
        world_free(w);
}

Test(manager, survives_the_broker)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        lose_broker(&w->a);
        settle(w);
        cr_assert(both_connected(w));
        check_traffic(w);
        find_broker(&w->a);
        settle(w);
        cr_assert(both_connected(w));
        check_traffic(w);
        world_free(w);
}

Test(manager, asks_nothing_of_a_link_without_port_or_key)
{
        World *w = world_new();
        uint16_t port = w->a.device->listen_port;

        w->a.device->listen_port = 0;
        start(&w->a);
        start(&w->b);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->reason, PEER_REASON_NO_LISTEN_PORT);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 0);
        w->a.device->listen_port = port;
        tell_link(&w->a);
        RUN_UNTIL(w->event, both_connected(w));
        world_free(w);
}

/* On a host whose containers come and go there may be no pause to wait for. */
Test(manager, looks_at_addresses_that_change_all_the_time, .timeout = 90)
{
        World *w = world_new();
        unsigned n_at_start;
        usec_t end;

        start(&w->a);
        cr_assert_geq(manager_start(w->a.manager), 0);
        RUN_UNTIL(w->event, w->a.rendezvous->n_network_changes > 0); /* the first reading is complete */
        n_at_start = w->a.rendezvous->n_network_changes;
        end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;
        for (unsigned i = 0; w->a.rendezvous->n_network_changes == n_at_start; i++) {
                cr_assert_lt(now(CLOCK_MONOTONIC), end, "no change is looked at");
                sandbox_shell("ip address %s 192.0.2.77/32 dev lo", i % 2 ? "del" : "add");
                cr_assert_geq(sd_event_run(w->event, 20 * USEC_PER_MSEC), 0);
        }
        world_free(w);
}

/* A configuration moves from one link to another. */
Test(manager, second_link_with_the_same_keys_takes_over)
{
        World *w = world_new();
        WireguardDevice *wg0, *wg1;
        WireguardPeer *p;

        start(&w->a);
        wg0 = w->a.device;
        settle(w);
        cr_assert_geq(wireguard_device_new("wg1", WIREGUARD_KIND_KERNEL, &wg1), 0);
        wg1->public_key = w->a.public_key;
        wg1->listen_port = 5555;
        cr_assert_geq(wireguard_device_add_peer(wg1, &w->b.public_key, &p), 0);
        w->a.device = wg1;
        tell_link(&w->a);
        settle(w);
        cr_assert(isempty(manager_find_link(w->a.manager, "wg1")->peers->topic_receive));
        manager_broker_callbacks.link_removed(&w->a.broker->b, "wg0", w->a.manager);
        settle(w);
        cr_assert(!isempty(manager_find_link(w->a.manager, "wg1")->peers->topic_receive));
        wireguard_device_free(wg0);
        world_free(w);
}

Test(manager, reload_lets_links_go_and_takes_them_back)
{
        World *w = world_new();

        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        manager_reload(w->a.manager, config_from("[Agent]\nIgnoreLinks=wg0\n"));
        settle(w);
        cr_assert_null(w->a.manager->links);
        manager_reload(w->a.manager, config_from(""));
        RUN_UNTIL(w->event, both_connected(w));
        world_free(w);
}
