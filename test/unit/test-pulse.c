/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Paths that are probed, against ICE agents and against probes, by the redirect's programs on loopback
 * (world.h). WireGuard's counters are the test's own. */

#include "event-util.h"
#include "link-probes.h"
#include "lost-path.h"
#include "session.h"
#include "world.h"

static Pulse *pulse_of(Side *side)
{
        return &peer_of(side)->pulse;
}

static bool both_answer(World *w)
{
        return pulse_of(&w->a)->probe->own.answers && pulse_of(&w->b)->probe->own.answers;
}

static bool is_measured(Side *side)
{
        return peer_of(side)->path.round_trip_time != USEC_INFINITY;
}

static void rest(Side *side)
{
        peer_of(side)->path.since -= 61 * USEC_PER_SEC;
        tell_link(side);
        cr_assert_null(peer_of(side)->session);
}

/* So that the next answer is seen. */
static void forget_answers(Side *side)
{
        Liveness *l = &pulse_of(side)->liveness;

        l->round_trip_time = l->deviation = USEC_INFINITY;
        l->trusted = false;
        peer_of(side)->path.round_trip_time = USEC_INFINITY;
}

/* One probe, however lately there was one before. */
static void probe_now(Side *side)
{
        Probe *probe = pulse_of(side)->probe;

        forget_answers(side);
        probe->check = stun_check_free(probe->check);
        probe_send(probe);
}

static void check_is_answered(World *w, Side *side)
{
        probe_now(side);
        RUN_UNTIL(w->event, is_measured(side));
        cr_assert(pulse_of(side)->liveness.trusted);
}

Test(pulse, a_session_answers_probes_and_the_time_is_known)
{
        World *w = connect_directly();

        RUN_UNTIL(w->event, is_measured(&w->a) && is_measured(&w->b));
        cr_assert_lt(peer_of(&w->a)->path.round_trip_time, USEC_PER_SEC);
        cr_assert(pulse_of(&w->a)->liveness.trusted);
        cr_assert_not_null(peer_of(&w->a)->session);
        check_is_answered(w, &w->a);
        check_is_answered(w, &w->b);
        cr_assert_eq(peer_of(&w->a)->counters.paths, 1, "libnice was not led astray");
        world_free(w);
}

Test(pulse, probes_are_answered_after_the_sessions)
{
        World *w = connect_directly();

        rest(&w->a);
        /* One has a session, the other has none. */
        RUN_UNTIL(w->event, pulse_of(&w->a)->probe->own.answers);
        check_is_answered(w, &w->a);
        check_is_answered(w, &w->b);
        rest(&w->b);
        RUN_UNTIL(w->event, both_answer(w));
        check_is_answered(w, &w->a);
        check_is_answered(w, &w->b);
        check_traffic(w);
        world_free(w);
}

Test(pulse, whoever_has_not_the_password_is_not_answered)
{
        World *w = connect_directly();

        rest(&w->a);
        rest(&w->b);
        RUN_UNTIL(w->event, both_answer(w));
        pulse_of(&w->a)->probe->credentials.remote_pwd[0] ^= 1;
        probe_now(&w->a);
        settle(w);
        cr_assert(!is_measured(&w->a));
        world_free(w);
}

Test(pulse, answers_are_limited)
{
        World *w = connect_directly();
        RateLimit *limit;

        rest(&w->b);
        RUN_UNTIL(w->event, pulse_of(&w->b)->probe->own.answers);
        limit = &pulse_of(&w->b)->probe->answer_limit;
        check_is_answered(w, &w->a);
        *limit = (RateLimit) {
                .interval = USEC_PER_HOUR, .burst = 1, .started = true, .refilled = now(CLOCK_BOOTTIME)
        };
        probe_now(&w->a);
        settle(w);
        cr_assert(!is_measured(&w->a));
        world_free(w);
}

/* As in an attack, or from a host that was connected before. */
Test(pulse, the_broker_is_lost_and_probes_go_on)
{
        World *w = connect_directly();

        rest(&w->a);
        rest(&w->b);
        RUN_UNTIL(w->event, both_answer(w));
        lose_broker(&w->a);
        cr_assert(!probe_is_ready(pulse_of(&w->a)->probe));
        cr_assert(!pulse_of(&w->a)->probe->own.answers);
        find_broker(&w->a);
        RUN_UNTIL(w->event, both_answer(w));
        check_is_answered(w, &w->a);
        check_is_answered(w, &w->b);
        world_free(w);
}

static void check_is_probed(World *w)
{
        Side *sides[] = { &w->a, &w->b };

        RUN_UNTIL(w->event, is_measured(&w->a) && is_measured(&w->b));
        for (size_t i = 0; i < ELEMENTSOF(sides); i++) {
                cr_assert_not_null(pulse_of(sides[i])->probe->session);
                cr_assert_lt(peer_of(sides[i])->path.round_trip_time, USEC_PER_SEC);
                check_is_answered(w, sides[i]);
                cr_assert_eq(peer_of(sides[i])->counters.paths, 1, "libnice was not led astray");
                cr_assert(!pulse_is_dead(peer_of(sides[i])));
        }
        check_traffic(w);
}

Test(pulse, a_path_by_two_proxies_is_probed)
{
        World *w = connect_by_proxies();

        check_is_probed(w);
        world_free(w);
}

/* One side's WireGuard has the path by itself, and the other one's does not know which it is. */
Test(pulse, a_path_by_one_proxy_is_probed)
{
        World *w = world_new_shared();

        w->a.shares_nothing = true;
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        RUN_UNTIL(w->event, is_measured(&w->a) && is_measured(&w->b));
        cr_assert_not_null(pulse_of(&w->a)->probe->session);
        cr_assert_null(pulse_of(&w->b)->probe->session);
        check_is_answered(w, &w->a);
        check_is_answered(w, &w->b);
        /* It is not ICE that has answered a. */
        rest(&w->b);
        RUN_UNTIL(w->event, pulse_of(&w->b)->probe->own.answers);
        check_is_answered(w, &w->a);
        check_is_answered(w, &w->b);
        check_traffic(w);
        world_free(w);
}

Test(pulse, what_a_session_answers_is_limited)
{
        World *w = connect_by_proxies();

        check_is_answered(w, &w->a);
        peer_of(&w->b)->session->probe_limit = (RateLimit) {
                .interval = USEC_PER_HOUR, .burst = 1, .started = true, .refilled = now(CLOCK_BOOTTIME)
        };
        probe_now(&w->a);
        settle(w);
        cr_assert(!is_measured(&w->a));
        check_is_answered(w, &w->b);
        world_free(w);
}

Test(pulse, whoever_has_not_the_password_is_not_answered_by_a_session)
{
        World *w = connect_by_proxies();

        pulse_of(&w->a)->probe->credentials.remote_pwd[0] ^= 1;
        probe_now(&w->a);
        settle(w);
        cr_assert(!is_measured(&w->a));
        world_free(w);
}

Test(pulse, probes_end_with_the_session_that_carries_them)
{
        World *w = connect_by_proxies();
        Peer *peer = peer_of(&w->a);

        check_is_answered(w, &w->a);
        peer->session = session_free(peer->session);
        cr_assert_null(peer->pulse.probe);
        cr_assert(!peer->pulse.liveness.probes);
        world_free(w);
}

Test(pulse, a_path_by_tcp_is_probed)
{
        World *w = world_new();

        sandbox_shell("nft 'table ip block { chain out { type filter hook output priority 0; "
                      "ip daddr " HOST_ADDRESS " meta l4proto udp drop; }; }'");
        w->a.settings = w->b.settings = "[ICE]\nTCP=yes\n";
        start(&w->a);
        start(&w->b);
        RUN_UNTIL(w->event, both_connected(w));
        cr_assert_eq(peer_of(&w->a)->path.transport, PATH_TRANSPORT_TCP);
        cr_assert(pulse_of(&w->a)->liveness.stream);
        check_is_probed(w);
        world_free(w);
}

/* NATs forget what nobody uses; an open session has keepalives of its own. */
Test(pulse, a_path_is_kept_open_where_wireguard_does_not)
{
        World *w = connect_directly();

        w->a.device->peers[0].persistent_keepalive = 0;
        tell_link(&w->a);
        cr_assert(!event_timer_is_armed(pulse_of(&w->a)->open_timer));
        w->a.device->peers[0].persistent_keepalive = 25;
        rest(&w->a);
        RUN_UNTIL(w->event, pulse_of(&w->a)->probe->own.answers);
        tell_link(&w->a);
        cr_assert(!event_timer_is_armed(pulse_of(&w->a)->open_timer));
        w->a.device->peers[0].persistent_keepalive = 0;
        tell_link(&w->a);
        forget_answers(&w->a);
        elapse(pulse_of(&w->a)->open_timer);
        RUN_UNTIL(w->event, is_measured(&w->a));
        cr_assert(event_timer_is_armed(pulse_of(&w->a)->open_timer));
        world_free(w);
}

/* ---- A path dies ---- */

/* What goes from site to site is lost, whatever it is. */
static void cut(World *w)
{
        sandbox_shell("nft -f - <<'X'\ntable inet cut { chain out { type filter hook output priority 200; "
                      "udp dport { %u, %u } drop; }; }\nX",
                      w->a.device->listen_port, w->b.device->listen_port);
}

static void mend(void)
{
        sandbox_shell("nft delete table inet cut");
}

/* It would send, and nothing comes. */
static void send_more(Side *side)
{
        side->device->peers[0].tx_bytes += 1000;
        tell_link(side);
}

static bool is_dead(Side *side)
{
        if (!liveness_is_dead(&pulse_of(side)->liveness))
                side->device->peers[0].tx_bytes += 1000;
        return pulse_is_dead(peer_of(side));
}

static bool is_asking(Side *side)
{
        side->device->peers[0].tx_bytes += 1000;
        return pulse_of(side)->liveness.state == LIVENESS_ASKING;
}

static void check_dies(World *w, Side *side)
{
        unsigned n = (unsigned) peer_of(side)->counters.sessions;

        RUN_UNTIL(w->event, pulse_of(side)->liveness.trusted);
        send_more(side);
        cut(w);
        send_more(side);
        RUN_UNTIL(w->event, is_dead(side));
        cr_assert_eq(peer_of(side)->path.kind, PATH_DIRECT, "it is all there is");
        cr_assert_eq(peer_of(side)->state, PEER_STATE_CONNECTED);
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.sessions + peer_of(&w->b)->counters.sessions > n + 1);
}

Test(pulse, a_dead_path_is_left_and_not_dropped)
{
        World *w = connect_directly();

        check_dies(w, &w->a);
        world_free(w);
}

Test(pulse, a_dead_path_through_a_proxy_is_left_and_not_dropped)
{
        World *w = connect_by_proxies();

        RUN_UNTIL(w->event, pulse_of(&w->a)->liveness.trusted);
        send_more(&w->a);
        sandbox_shell("nft 'table ip cut { chain out { type filter hook output priority 200; "
                      "ip daddr " HOST_ADDRESS " meta l4proto udp drop; }; }'");
        send_more(&w->a);
        RUN_UNTIL(w->event, is_dead(&w->a));
        cr_assert_eq(peer_of(&w->a)->path.kind, PATH_PROXIED, "it is all there is");
        RUN_UNTIL(w->event, peer_of(&w->a)->counters.sessions + peer_of(&w->b)->counters.sessions > 2);
        sandbox_shell("nft delete table ip cut");
        RUN_UNTIL(w->event, !pulse_is_dead(peer_of(&w->a)));
        check_traffic(w);
        world_free(w);
}

Test(pulse, a_dead_path_without_a_session_is_noticed)
{
        World *w = connect_directly();

        rest(&w->a);
        rest(&w->b);
        RUN_UNTIL(w->event, both_answer(w));
        check_dies(w, &w->b);
        world_free(w);
}

Test(pulse, a_dead_path_is_used_again_when_it_is_back)
{
        World *w = connect_directly();

        check_dies(w, &w->a);
        mend();
        elapse(pulse_of(&w->a)->timer);
        RUN_UNTIL(w->event, !pulse_is_dead(peer_of(&w->a)));
        check_traffic(w);
        world_free(w);
}

Test(pulse, what_wireguard_receives_is_proof)
{
        World *w = connect_directly();

        RUN_UNTIL(w->event, pulse_of(&w->a)->liveness.trusted);
        send_more(&w->a);
        cut(w);
        RUN_UNTIL(w->event, is_asking(&w->a));
        w->a.device->peers[0].rx_bytes += 32;
        tell_link(&w->a);
        cr_assert_eq(pulse_of(&w->a)->liveness.state, LIVENESS_ALIVE);
        settle(w);
        cr_assert_eq(peer_of(&w->a)->counters.sessions, 1);
        world_free(w);
}

/* Another path, by a relay, has taken over meanwhile. */
Test(pulse, a_lost_path_is_probed_and_found_again)
{
        World *w = connect_directly();
        Path relayed;

        RUN_UNTIL(w->event, pulse_of(&w->a)->liveness.trusted);
        rest(&w->a);
        rest(&w->b);
        RUN_UNTIL(w->event, both_answer(w));
        check_dies(w, &w->a);
        relayed = peer_of(&w->a)->path;
        relayed.kind = PATH_RELAYED;
        relayed.remote.type = ICE_CANDIDATE_RELAY;
        cr_assert_geq(socket_address_from_string("192.0.2.9:3478", &relayed.endpoint), 0);
        relayed.remote.address = relayed.endpoint;
        peer_set_path(peer_of(&w->a), &relayed);
        cr_assert_not_null(pulse_of(&w->a)->lost);
        cr_assert_null(pulse_of(&w->a)->probe);
        cr_assert(pulse_of(&w->a)->liveness.stream, "how the peer comes to its relay is not known");
        cr_assert(lost_path_probe(pulse_of(&w->a)->lost)->own.answers, "the peer looks for it as well");
        mend();
        RUN_UNTIL(w->event, peer_of(&w->a)->path.kind == PATH_DIRECT);
        cr_assert_null(pulse_of(&w->a)->lost);
        world_free(w);
}

/* ---- Two probes of one session ---- */

static void on_nothing(Probe *probe, void *userdata)
{
}

static void on_nothing_answered(Probe *probe, usec_t round_trip_time, void *userdata)
{
}

static const ProbeCallbacks no_callbacks = { .ready = on_nothing, .answered = on_nothing_answered };

/* It has found another pair since the direct one was lost. */
Test(pulse, a_session_ends_for_the_lost_path_as_well)
{
        World *w = connect_directly();
        Peer *peer = peer_of(&w->a);
        Pulse *p = &peer->pulse;

        cr_assert_eq(lost_path_new(peer, TAKE_PTR(p->probe), &p->lost), 0);
        cr_assert_eq(probe_new_carried(peer->session, &no_callbacks, /* userdata= */ NULL, &p->probe), 0);
        peer->session = session_free(peer->session);
        cr_assert_null(p->probe);
        cr_assert(lost_path_probe(p->lost)->session_is_over);
        RUN_UNTIL(w->event, lost_path_probe(p->lost)->own.answers);
        world_free(w);
}

Test(pulse, a_name_of_two_probes_outlives_the_first)
{
        World *w = connect_directly();
        Pulse *p = pulse_of(&w->a);
        Probe *second;

        rest(&w->a);
        RUN_UNTIL(w->event, p->probe->own.answers);
        cr_assert_eq(probe_new_plain(peer_of(&w->a), &w->a.manager->addresses[0], &p->probe->remote,
                                     &p->probe->credentials, &no_callbacks, /* userdata= */ NULL, &second),
                     0);
        probe_session_is_over(second);
        settle(w);
        cr_assert(p->probe->own.answers && !second->own.answers);
        p->probe = probe_free(p->probe);
        RUN_UNTIL(w->event, second->own.answers && second->beside.answers);
        check_is_answered(w, &w->b);
        probe_free(second);
        world_free(w);
}

/* ---- When the link is read ---- */

static unsigned n_readings;
static int (*read_link)(Broker *b, const char *link, broker_device_callback_t callback, void *userdata,
                        BrokerCall **ret);

static int count_reading(Broker *b, const char *link, broker_device_callback_t callback, void *userdata,
                         BrokerCall **ret)
{
        n_readings++;
        return read_link(b, link, callback, userdata, ret);
}

static void count_readings(Side *side)
{
        static BrokerOps ops;

        ops = *side->broker->b.ops;
        read_link = ops.read_link;
        ops.read_link = count_reading;
        side->broker->b.ops = &ops;
        n_readings = 0;
}

Test(pulse, traffic_makes_the_link_be_read_and_its_end_ends_that)
{
        World *w = connect_directly();

        count_readings(&w->a);
        send_more(&w->a);
        RUN_UNTIL(w->event, n_readings >= 3);
        RUN_UNTIL(w->event, watch_due(&peer_of(&w->a)->link->watch) == USEC_INFINITY);
        n_readings = 0;
        settle(w);
        cr_assert_eq(n_readings, 0);
        world_free(w);
}

Test(pulse, traffic_through_a_proxy_makes_the_link_be_read)
{
        World *w = connect_by_proxies();
        const uint8_t data[48] = { 4 }, keepalive[32] = { 4 }, initiation[148] = { 1 };
        const SocketAddress *to = proxy_endpoint(peer_of(&w->a)->proxy);

        RUN_UNTIL(w->event, watch_due(&peer_of(&w->a)->link->watch) == USEC_INFINITY);
        count_readings(&w->a);
        cr_assert_eq(
                sendto(w->a.wireguard, keepalive, sizeof(keepalive), 0, &to->sa, socket_address_length(to)),
                (ssize_t) sizeof(keepalive));
        cr_assert_eq(sendto(w->a.wireguard, initiation, sizeof(initiation), 0, &to->sa,
                            socket_address_length(to)),
                     (ssize_t) sizeof(initiation));
        settle(w);
        cr_assert_eq(n_readings, 0, "WireGuard does that by itself");
        cr_assert_eq(sendto(w->a.wireguard, data, sizeof(data), 0, &to->sa, socket_address_length(to)),
                     (ssize_t) sizeof(data));
        RUN_UNTIL(w->event, n_readings > 0);
        world_free(w);
}

Test(pulse, an_initiation_that_was_not_expected_makes_the_link_be_read)
{
        World *w = connect_directly();

        RUN_UNTIL(w->event, watch_due(&peer_of(&w->a)->link->watch) == USEC_INFINITY);
        count_readings(&w->a);
        tell_initiation(&w->a, &w->a.device->peers[0].endpoint);
        RUN_UNTIL(w->event, n_readings > 0);
        world_free(w);
}

Test(pulse, an_initiation_to_an_unknown_endpoint_makes_the_link_be_read)
{
        World *w = connect_directly();
        SocketAddress unknown;

        RUN_UNTIL(w->event, watch_due(&peer_of(&w->a)->link->watch) == USEC_INFINITY);
        count_readings(&w->a);
        cr_assert_geq(socket_address_from_string("198.51.100.9:1", &unknown), 0);
        tell_initiation(&w->a, &unknown);
        RUN_UNTIL(w->event, n_readings > 0);
        world_free(w);
}

Test(pulse, without_a_path_nothing_is_read)
{
        World *w = world_new();

        start(&w->a);
        settle(w);
        count_readings(&w->a);
        send_more(&w->a);
        link_watch(peer_of(&w->a)->link);
        settle(w);
        cr_assert_eq(n_readings, 0);
        cr_assert(!event_timer_is_armed(peer_of(&w->a)->link->watch_timer));
        world_free(w);
}
