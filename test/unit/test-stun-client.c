/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stun-client.h"

#include "event-util.h"
#include "fd-util.h"
#include "turnserver.h"

#define N 3

typedef struct Answers {
        unsigned n;
        SocketAddress server, mapped;
        int error;
        usec_t rtt;
        unsigned n_hairpin;
        bool came;
        bool free_client;
} Answers;

static sd_event *event;
static StunClient *client;
static int servers[N];
static SocketAddress addresses[N];
static Answers got;

static void on_answered(StunClient *c, const SocketAddress *server, int error, const SocketAddress *mapped,
                        usec_t rtt, void *userdata)
{
        got.n++;
        got.server = *server;
        got.mapped = mapped ? *mapped : (SocketAddress) {};
        got.error = error;
        got.rtt = rtt;
        if (got.free_client)
                client = stun_client_free(client);
}

static void on_hairpin(StunClient *c, bool came, void *userdata)
{
        got.n_hairpin++;
        got.came = came;
        if (got.free_client)
                client = stun_client_free(client);
}

static const StunClientCallbacks callbacks = { .answered = on_answered, .hairpin = on_hairpin };

static void start(void)
{
        SocketAddress local = address("127.0.0.1:7");

        sandbox_enter();
        cr_assert_geq(sd_event_new(&event), 0);
        for (size_t i = 0; i < N; i++) {
                servers[i] = udp_socket("127.0.0.1:0");
                addresses[i] = local_address(servers[i]);
        }
        cr_assert_eq(stun_client_new(event, &local, &callbacks, NULL, &client), 0);
}

static void stop(void)
{
        client = stun_client_free(client);
        for (size_t i = 0; i < N; i++)
                close(servers[i]);
        event = sd_event_unref(event);
}

TestSuite(stun_client, .init = start, .fini = stop, .timeout = 60);

/* A server's next request, which is there already or comes by retransmission. */
static void receive(size_t i, uint8_t request[static 128], SocketAddress *from)
{
        struct pollfd p = { .fd = servers[i], .events = POLLIN };

        RUN_UNTIL(event, poll(&p, 1, 0) == 1);
        cr_assert_gt(stun_receive(servers[i], request, 128, from), 0);
}

static void send_to_client(int fd, const void *data, size_t size)
{
        const SocketAddress *to = stun_client_local(client);

        cr_assert_eq(sendto(fd, data, size, 0, &to->sa, socket_address_length(to)), (ssize_t) size);
}

Test(stun_client, asks_several_servers_from_one_port)
{
        uint8_t requests[N][128];
        SocketAddress from, own = *stun_client_local(client);

        cr_assert_neq(socket_address_port(&own), 7);
        for (size_t i = 0; i < N; i++)
                cr_assert_eq(stun_client_ask(client, &addresses[i]), 0);
        for (size_t i = 0; i < N; i++) {
                receive(i, requests[i], &from);
                cr_assert(socket_address_equal(&from, &own));
        }
        /* They answer in another order; the dead one is waited for by nobody. */
        for (size_t i = N; i-- > 1;) {
                SocketAddress mapped = address("192.0.2.1:1000");

                socket_address_set_port(&mapped, (uint16_t) (1000 + i));
                stun_answer(servers[i], requests[i], &mapped, &from);
                RUN_UNTIL(event, got.n == N - i);
                cr_assert_eq(got.error, 0);
                cr_assert(socket_address_equal(&got.server, &addresses[i]));
                cr_assert(socket_address_equal(&got.mapped, &mapped));
                cr_assert_lt(got.rtt, USEC_INFINITY);
        }
}

Test(stun_client, repeats_a_request_that_was_lost)
{
        SocketAddress from, mapped = address("192.0.2.1:1000");
        uint8_t first[128], second[128];

        cr_assert_eq(stun_client_ask(client, &addresses[0]), 0);
        receive(0, first, &from);
        receive(0, second, &from);
        cr_assert_eq(memcmp(first, second, 20), 0);
        stun_answer(servers[0], second, &mapped, &from);
        RUN_UNTIL(event, got.n);
        cr_assert_eq(got.error, 0);
        /* The other one's answer comes as well, and is none any more. */
        stun_answer(servers[0], first, &mapped, &from);
        run_pending(event);
        cr_assert_eq(got.n, 1);
}

Test(stun_client, asks_again_with_a_new_transaction)
{
        SocketAddress from, old = address("192.0.2.1:1"), new = address("192.0.2.1:2");
        uint8_t first[128], second[128];

        cr_assert_eq(stun_client_ask(client, &addresses[0]), 0);
        receive(0, first, &from);
        cr_assert_eq(stun_client_ask(client, &addresses[0]), 0);
        receive(0, second, &from);
        cr_assert_neq(memcmp(first, second, 20), 0);
        stun_answer(servers[0], first, &old, &from);
        stun_answer(servers[0], second, &new, &from);
        RUN_UNTIL(event, got.n);
        cr_assert(socket_address_equal(&got.mapped, &new));
        run_pending(event);
        cr_assert_eq(got.n, 1);

        /* As often as one likes: nothing piles up. */
        for (unsigned i = 0; i < 500; i++)
                cr_assert_eq(stun_client_ask(client, &addresses[0]), 0);
}

/* One server cannot answer for another, nor anybody for a server. */
Test(stun_client, takes_answers_from_whom_it_asked_only)
{
        SocketAddress from, wrong = address("192.0.2.66:6"), mapped = address("192.0.2.1:1000");
        uint8_t requests[2][128], other[128];

        for (size_t i = 0; i < 2; i++) {
                cr_assert_eq(stun_client_ask(client, &addresses[i]), 0);
                receive(i, requests[i], &from);
        }
        memcpy(other, requests[0], sizeof(other));
        other[12] ^= 1;
        stun_answer(servers[2], requests[0], &wrong, &from);
        stun_answer(servers[1], requests[0], &wrong, &from);
        stun_answer(servers[0], other, &wrong, &from);
        send_to_client(servers[0], requests[0], 20);
        send_to_client(servers[0], "", 0);
        for (size_t n = 1; n < 20; n++)
                send_to_client(servers[0], requests[0], n);
        stun_answer(servers[0], requests[0], &mapped, &from);
        RUN_UNTIL(event, got.n);
        cr_assert(socket_address_equal(&got.server, &addresses[0]));
        cr_assert(socket_address_equal(&got.mapped, &mapped));
        stun_answer(servers[1], requests[1], &mapped, &from);
        RUN_UNTIL(event, got.n == 2);
        cr_assert(socket_address_equal(&got.server, &addresses[1]));
}

/* A success response that says 2001:db8::1 (as it is without XOR, in MAPPED-ADDRESS), to an IPv4 client. */
Test(stun_client, an_answer_of_the_other_family_is_a_refusal)
{
        uint8_t request[128], b[44] = { 0x01, 0x01, 0, 24 };
        SocketAddress from;

        cr_assert_eq(stun_client_ask(client, &addresses[0]), 0);
        receive(0, request, &from);
        memcpy(b + 4, request + 4, 16);
        memcpy(b + 20, "\x00\x01\x00\x14\x00\x02\x10\x00\x20\x01\x0d\xb8", 12);
        b[43] = 1;
        send_to_client(servers[0], b, sizeof(b));
        RUN_UNTIL(event, got.n);
        cr_assert_eq(got.error, -EPROTO);
}

Test(stun_client, forgets_a_server)
{
        SocketAddress from, mapped = address("192.0.2.1:1000");
        uint8_t request[128];

        cr_assert_eq(stun_client_ask(client, &addresses[0]), 0);
        receive(0, request, &from);
        stun_client_forget(client, &addresses[0]);
        stun_client_forget(client, &addresses[1]);
        stun_answer(servers[0], request, &mapped, &from);
        run_pending(event);
        cr_assert_eq(got.n, 0);
}

Test(stun_client, refuses_what_it_cannot_ask)
{
        SocketAddress v6 = address("[::1]:3478"), unreachable = address("192.0.2.1:3478");

        cr_assert_eq(stun_client_ask(client, &v6), -EAFNOSUPPORT);
        cr_assert_lt(stun_client_ask(client, &unreachable), 0);
        for (uint16_t i = 0; i < STUN_CLIENT_SERVERS_MAX; i++) {
                SocketAddress a = addresses[0];

                socket_address_set_port(&a, (uint16_t) (20000 + i));
                cr_assert_eq(stun_client_ask(client, &a), 0);
        }
        cr_assert_eq(stun_client_ask(client, &addresses[0]), -ENOBUFS);
}

Test(stun_client, may_be_freed_by_its_callbacks)
{
        SocketAddress from, mapped = address("192.0.2.1:1000"), own = *stun_client_local(client);
        uint8_t request[128];

        got.free_client = true;
        cr_assert_eq(stun_client_ask(client, &addresses[0]), 0);
        receive(0, request, &from);
        stun_answer(servers[0], request, &mapped, &from);
        stun_answer(servers[0], request, &mapped, &from);
        RUN_UNTIL(event, got.n);
        cr_assert_null(client);

        cr_assert_eq(stun_client_new(event, &own, &callbacks, NULL, &client), 0);
        own = *stun_client_local(client);
        cr_assert_eq(stun_client_test_hairpin(client, "abcdefgh", &own), 0);
        RUN_UNTIL(event, got.n_hairpin);
        cr_assert_null(client);
}

/* ---- Hairpin ---- */

Test(stun_client, a_hairpin_that_works)
{
        SocketAddress own = *stun_client_local(client);

        cr_assert_eq(stun_client_test_hairpin(client, "abcdefgh", &own), 0);
        RUN_UNTIL(event, got.n_hairpin);
        cr_assert(got.came);
        run_pending(event);
        cr_assert_eq(got.n_hairpin, 1);
        cr_assert_eq(got.n, 0);
}

/* The NAT may bring it back from another address; that somebody else's request comes says nothing. */
Test(stun_client, a_hairpin_by_way_of_others)
{
        uint8_t request[128], changed[128];
        SocketAddress from;
        size_t n;

        cr_assert_eq(stun_client_test_hairpin(client, "abcdefgh", &addresses[0]), 0);
        RUN_UNTIL(event, (n = stun_receive(servers[0], request, sizeof(request), &from)) > 0);
        cr_assert_eq(n, 20 + 4 + 16);
        cr_assert_eq(memcmp(request, "\x00\x01\x00\x14", 4), 0);
        cr_assert_eq(memcmp(request + 20,
                            "\x00\x06\x00\x10"
                            "abcdefgh:hairpin",
                            20),
                     0);
        for (size_t i = 0; i < n; i++) {
                memcpy(changed, request, n);
                changed[i] ^= 1;
                send_to_client(servers[1], changed, n);
                run_pending(event);
        }
        send_to_client(servers[1], request, n - 1);
        run_pending(event);
        cr_assert_eq(got.n_hairpin, 0);
        send_to_client(servers[1], request, n);
        RUN_UNTIL(event, got.n_hairpin);
        cr_assert(got.came);
}

Test(stun_client, a_hairpin_that_never_comes)
{
        uint8_t request[128];
        SocketAddress from;
        unsigned n = 0;

        cr_assert_eq(stun_client_test_hairpin(client, "abcdefgh", &addresses[0]), 0);
        RUN_UNTIL(event, got.n_hairpin);
        cr_assert(!got.came);
        while (stun_receive(servers[0], request, sizeof(request), &from) > 0)
                n++;
        cr_assert_eq(n, 3);
}

Test(stun_client, asks_a_real_server_over_ipv6)
{
        SocketAddress local = address("[::1]:0"), server = address("[::1]:3478");
        pid_t pid = turnserver_start();

        stun_client_free(client);
        cr_assert_eq(stun_client_new(event, &local, &callbacks, NULL, &client), 0);
        cr_assert_eq(stun_client_ask(client, &server), 0);
        RUN_UNTIL(event, got.n);
        cr_assert_eq(got.error, 0);
        cr_assert(socket_address_equal(&got.mapped, stun_client_local(client)));
        turnserver_stop(pid);
}
