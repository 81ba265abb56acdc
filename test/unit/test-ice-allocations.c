/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What becomes of allocations that are one too many. Of what is lost by that only the sanitizers tell. */

#include "fast-clock.h"
#include "turnserver.h"

#include "event-util.h"
#include "ice.h"
#include "own-sockets.h"

typedef struct Side {
        IceAgent *agent;
        IceCandidate host;
        unsigned n_relays;
        bool gathered;
        IceState state;
} Side;

static void on_candidate(IceAgent *agent, const IceCandidate *candidate, void *userdata)
{
        Side *s = userdata;

        if (candidate->type == ICE_CANDIDATE_HOST && candidate->transport == ICE_TRANSPORT_UDP)
                s->host = *candidate;
        s->n_relays += candidate->type == ICE_CANDIDATE_RELAY;
}

static void on_gathering_done(IceAgent *agent, void *userdata)
{
        ((Side *) userdata)->gathered = true;
}

static void on_state(IceAgent *agent, IceState state, void *userdata)
{
        ((Side *) userdata)->state = state;
}

static const IceAgentCallbacks callbacks = {
        .candidate = on_candidate,
        .gathering_done = on_gathering_done,
        .state = on_state,
};

/* local: addresses, the last one NULL. */
static void side_start(Side *s, sd_event *event, IceServerKind kind, bool tcp, const char *const *local)
{
        IceServer server = {
                .kind = kind,
                .address = address(TURN_ADDRESS),
                .username = "user",
                .password = "secret",
        };
        SocketAddress addresses[4];
        IceAgentParameters p = {
                .tcp = tcp,
                .local_addresses = addresses,
                .servers = &server,
                .n_servers = kind != ICE_SERVER_STUN,
        };

        for (; local[p.n_local_addresses]; p.n_local_addresses++)
                cr_assert_geq(socket_address_from_ip(local[p.n_local_addresses], 0,
                                                     addresses + p.n_local_addresses),
                              0);
        cr_assert_geq(ice_agent_new(event, &p, &callbacks, s, &s->agent), 0);
        cr_assert_geq(ice_agent_gather(s->agent), 0);
}

static const char *const one[] = { "127.0.0.1", NULL }, *const two[] = { "127.0.0.1", "127.0.0.2", NULL };

/* Does a socket of the agent still have its port? */
static bool is_there(const Side *s)
{
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        bool is_free = bind(fd, &s->host.address.sa, socket_address_length(&s->host.address)) >= 0;

        close(fd);
        return !is_free;
}

/* Once its engine has heard that it is to close. */
static void close_side(Side *s, sd_event *event)
{
        s->agent = ice_agent_free(s->agent);
        run_pending(event);
}

Test(ice_allocations, two_from_one_server_are_given_back_before_the_agent_goes)
{
        _cleanup_event_ sd_event *event = NULL;
        usec_t gathered;
        Side s = {};
        pid_t pid;

        sandbox_enter();
        pid = turnserver_start();
        cr_assert_geq(sd_event_new(&event), 0);
        fast_clock_begin();
        side_start(&s, event, ICE_SERVER_TURN_UDP, /* tcp= */ false, two);
        RUN_UNTIL(event, s.gathered);
        gathered = now(CLOCK_MONOTONIC);
        cr_assert_eq(s.n_relays, 1, "libnice keeps one");
        close_side(&s, event);
        cr_assert(is_there(&s));
        RUN_UNTIL(event, !is_there(&s));
        /* As long as libnice takes to repeat the other one's release seven times. */
        cr_assert_geq(now(CLOCK_MONOTONIC) - gathered, 39500 * USEC_PER_MSEC);
        turnserver_stop(pid);
}

/* Nor does a server that says nothing make it longer. */
Test(ice_allocations, two_are_waited_for_from_the_end_of_the_agent)
{
        SocketAddress from = address("127.0.0.1:0");
        IceServer servers[] = {
                { ICE_SERVER_TURN_UDP, address(TURN_ADDRESS), .username = "user", .password = "secret" },
                { ICE_SERVER_TURN_UDP, address("127.0.0.3:3478"), .username = "user", .password = "secret" },
        };
        IceAgentParameters p = {
                .local_addresses = &from,
                .n_local_addresses = 1,
                .servers = servers,
                .n_servers = ELEMENTSOF(servers),
        };
        _cleanup_event_ sd_event *event = NULL;
        usec_t closed;
        Side s = {};
        int silent;
        pid_t pid;

        sandbox_enter();
        pid = turnserver_start();
        silent = udp_socket("127.0.0.3:3478");
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_geq(ice_agent_new(event, &p, &callbacks, &s, &s.agent), 0);
        cr_assert_geq(ice_agent_gather(s.agent), 0);
        RUN_UNTIL(event, s.n_relays == 1);
        cr_assert(!s.gathered);
        fast_clock_begin();
        closed = now(CLOCK_MONOTONIC);
        close_side(&s, event);
        cr_assert(is_there(&s));
        RUN_UNTIL(event, !is_there(&s));
        cr_assert_lt(now(CLOCK_MONOTONIC) - closed, 60 * USEC_PER_SEC);
        close(silent);
        turnserver_stop(pid);
}

Test(ice_allocations, one_alone_is_given_back_at_once)
{
        _cleanup_event_ sd_event *event = NULL;
        usec_t gathered;
        Side s = {};
        pid_t pid;

        sandbox_enter();
        pid = turnserver_start();
        cr_assert_geq(sd_event_new(&event), 0);
        side_start(&s, event, ICE_SERVER_TURN_UDP, /* tcp= */ false, one);
        RUN_UNTIL(event, s.gathered);
        gathered = now(CLOCK_MONOTONIC);
        close_side(&s, event);
        RUN_UNTIL(event, !is_there(&s));
        cr_assert_lt(now(CLOCK_MONOTONIC) - gathered, 39500 * USEC_PER_MSEC);
        turnserver_stop(pid);
}

/* The end of the loop does not wait for that. closed: it was waited for already. */
static void end_loop(bool closed)
{
        sd_event *event = NULL;
        Side s = {};
        usec_t began;
        pid_t pid;

        sandbox_enter();
        pid = turnserver_start();
        cr_assert_geq(sd_event_new(&event), 0);
        side_start(&s, event, ICE_SERVER_TURN_UDP, /* tcp= */ false, two);
        RUN_UNTIL(event, s.gathered);
        s.agent = ice_agent_free(s.agent);
        if (closed)
                run_pending(event);
        began = now(CLOCK_MONOTONIC);
        cr_assert_eq(sd_event_unref(event), NULL);
        cr_assert_lt(now(CLOCK_MONOTONIC) - began, 39500 * USEC_PER_MSEC);
        cr_assert(!is_there(&s));
        turnserver_stop(pid);
}

Test(ice_allocations, two_from_one_server_when_the_loop_ends)
{
        end_loop(/* closed= */ false);
}

Test(ice_allocations, two_from_one_server_when_the_loop_ends_later)
{
        end_loop(/* closed= */ true);
}

/* It is somebody who no longer takes part. */
Test(ice_allocations, an_agent_that_only_waits_for_that_is_silent)
{
        _cleanup_event_ sd_event *event = NULL;
        Side a = {}, b = {};
        pid_t pid;

        sandbox_enter();
        pid = turnserver_start();
        cr_assert_geq(sd_event_new(&event), 0);
        fast_clock_begin();
        side_start(&a, event, ICE_SERVER_TURN_UDP, /* tcp= */ false, two);
        side_start(&b, event, ICE_SERVER_STUN, /* tcp= */ false, one);
        RUN_UNTIL(event, a.gathered && b.gathered);
        cr_assert_geq(
                ice_agent_set_remote_credentials(a.agent, ice_agent_ufrag(b.agent), ice_agent_pwd(b.agent)),
                0);
        cr_assert_geq(
                ice_agent_set_remote_credentials(b.agent, ice_agent_ufrag(a.agent), ice_agent_pwd(a.agent)),
                0);
        cr_assert_eq(ice_agent_add_remote_candidate(a.agent, &b.host), 1);
        close_side(&a, event);
        cr_assert(is_there(&a));
        cr_assert_eq(ice_agent_add_remote_candidate(b.agent, &a.host), 1);
        cr_assert_geq(ice_agent_end_of_candidates(b.agent), 0);
        RUN_UNTIL(event, b.state == ICE_STATE_FAILED || b.state >= ICE_STATE_CONNECTED);
        cr_assert_eq(b.state, ICE_STATE_FAILED);
        close_side(&b, event);
        RUN_UNTIL(event, !is_there(&a));
        turnserver_stop(pid);
}

/* With ICE-TCP libnice makes two connections for each address. */
static void connect_once(const char *const *local, bool tcp)
{
        _cleanup_event_ sd_event *event = NULL;
        SocketAddress server = address(TURN_ADDRESS);
        Side s = {};
        int fds[8];

        cr_assert_geq(sd_event_new(&event), 0);
        side_start(&s, event, ICE_SERVER_TURN_TCP, tcp, local);
        RUN_UNTIL(event, s.gathered);
        cr_assert_eq(s.n_relays, 1);
        cr_assert_eq(own_connections_find(&server, /* local= */ NULL, fds, ELEMENTSOF(fds)), 1);
        close_side(&s, event);
        RUN_UNTIL(event, !is_there(&s) && own_connections_find(&server, NULL, fds, ELEMENTSOF(fds)) == 0);
}

Test(ice_allocations, there_is_one_connection_to_a_server)
{
        pid_t pid;

        sandbox_enter();
        pid = turnserver_start();
        connect_once(one, /* tcp= */ false);
        connect_once(one, /* tcp= */ true);
        connect_once(two, /* tcp= */ false);
        connect_once(two, /* tcp= */ true);
        turnserver_stop(pid);
}

/* A server that none of our addresses can ask keeps nobody waiting. */
Test(ice_allocations, a_server_of_another_family_is_left_out)
{
        static const char *const six[] = { "::1", NULL };
        _cleanup_event_ sd_event *event = NULL;
        Side s = {};

        sandbox_enter();
        for (IceServerKind kind = ICE_SERVER_TURN_UDP; kind <= ICE_SERVER_TURN_TCP; kind++) {
                cr_assert_geq(sd_event_new(&event), 0);
                side_start(&s, event, kind, /* tcp= */ false, six);
                RUN_UNTIL(event, s.gathered);
                cr_assert_eq(s.n_relays, 0);
                s = (Side) { .agent = ice_agent_free(s.agent) };
                event = sd_event_unref(event);
        }
}

/* Nor does one that there is no way to. */
Test(ice_allocations, a_server_that_cannot_be_reached_is_left_out)
{
        IceServer server = {
                .kind = ICE_SERVER_TURN_TCP,
                .address = address("192.0.2.1:3478"),
                .username = "user",
                .password = "secret",
        };
        SocketAddress from = address("127.0.0.1:0");
        IceAgentParameters p = {
                .local_addresses = &from,
                .n_local_addresses = 1,
                .servers = &server,
                .n_servers = 1,
        };
        _cleanup_event_ sd_event *event = NULL;
        Side s = {};

        sandbox_enter();
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_geq(ice_agent_new(event, &p, &callbacks, &s, &s.agent), 0);
        cr_assert_geq(ice_agent_gather(s.agent), 0);
        RUN_UNTIL(event, s.gathered);
        cr_assert_eq(s.n_relays, 0);
        close_side(&s, event);
}
