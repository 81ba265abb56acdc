/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "turnserver.h"

#include <string.h>

#include "event-util.h"
#include "fd-util.h"
#include "macro.h"
#include "stun.h"

typedef struct Answer {
        unsigned n;
        int error;
        SocketAddress mapped;
        usec_t rtt;
        bool free_query;
} Answer;

static void on_answer(StunQuery *query, int error, const SocketAddress *mapped, usec_t rtt, void *userdata)
{
        Answer *a = userdata;

        a->n++;
        a->error = error;
        a->rtt = rtt;
        if (mapped)
                a->mapped = *mapped;
        if (a->free_query)
                stun_query_free(query);
}

static sd_event *make_event(void)
{
        sd_event *event;

        cr_assert(sd_event_new(&event) >= 0);
        return event;
}

Test(stun, asks_a_real_server_from_any_port)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(stun_query_freep) StunQuery *query = NULL;
        SocketAddress server = address(TURN_ADDRESS);
        Answer a = {};
        pid_t pid;

        sandbox_enter();
        pid = turnserver_start();
        event = make_event();
        cr_assert(stun_query_new(event, -EBADF, &server, on_answer, &a, &query) >= 0);
        RUN_UNTIL(event, a.n);
        cr_assert(a.error == 0, "%s", strerror(-a.error));
        cr_assert(socket_address_is_loopback(&a.mapped));
        cr_assert(socket_address_port(&a.mapped) > 0);
        cr_assert(a.rtt < USEC_INFINITY);
        turnserver_stop(pid);
}

static void ask_from_a_shared_port(const char *local, const char *server_string)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(stun_query_freep) StunQuery *query = NULL;
        SocketAddress server = address(server_string), base_address;
        Answer a = {};
        int base, stranger, value;
        socklen_t size = sizeof(value);
        pid_t pid;
        char buf[8];

        sandbox_enter();
        pid = turnserver_start();
        event = make_event();
        base = udp_socket(local);
        base_address = local_address(base);
        cr_assert(stun_query_new(event, base, &server, on_answer, &a, &query) >= 0);

        /* Others still reach the owner of the port, while the query is under way. */
        stranger = udp_socket(local);
        cr_assert(sendto(stranger, "hello", 5, 0, &base_address.sa, socket_address_length(&base_address)) ==
                  5);
        cr_assert(recv(base, buf, sizeof(buf), 0) == 5);

        RUN_UNTIL(event, a.n);
        cr_assert(a.error == 0, "%s", strerror(-a.error));
        cr_assert(socket_address_equal(&a.mapped, &base_address), "%s", SOCKET_ADDRESS_STR(&a.mapped));
        cr_assert(recv(base, buf, sizeof(buf), MSG_DONTWAIT) < 0);

        /* And nobody else can join the port. */
        cr_assert(getsockopt(base, SOL_SOCKET, SO_REUSEADDR, &value, &size) >= 0 && value == 0);
        close(base);
        close(stranger);
        turnserver_stop(pid);
}

Test(stun, shares_an_ipv4_port)
{
        ask_from_a_shared_port("127.0.0.1:0", TURN_ADDRESS);
}

Test(stun, shares_an_ipv6_port)
{
        ask_from_a_shared_port("[::1]:0", "[::1]:3478");
}

Test(stun, several_queries_share_one_port)
{
        _cleanup_event_ sd_event *event = NULL;
        StunQuery *queries[4];
        Answer answers[4] = {};
        int servers[4], base;

        sandbox_enter();
        event = make_event();
        base = udp_socket("127.0.0.1:0");
        for (size_t i = 0; i < 4; i++) {
                SocketAddress a;

                servers[i] = udp_socket("127.0.0.1:0");
                a = local_address(servers[i]);
                cr_assert(stun_query_new(event, base, &a, on_answer, answers + i, queries + i) >= 0);
        }
        for (size_t i = 0; i < 4; i++) {
                SocketAddress from, mapped = address("192.0.2.1:1000"), own = local_address(base);
                uint8_t request[128];

                cr_assert(stun_receive(servers[i], request, sizeof(request), &from) > 0);
                cr_assert(socket_address_equal(&from, &own));
                socket_address_set_port(&mapped, (uint16_t) (1000 + i));
                stun_answer(servers[i], request, &mapped, &from);
        }
        for (size_t i = 0; i < 4; i++) {
                RUN_UNTIL(event, answers[i].n);
                cr_assert(socket_address_port(&answers[i].mapped) == 1000 + i);
                stun_query_free(queries[i]);
                close(servers[i]);
        }
        close(base);
}

Test(stun, a_closed_port_is_refused_at_once)
{
        _cleanup_event_ sd_event *event = NULL;
        SocketAddress server = address("127.0.0.1:9");
        StunQuery *query;
        Answer a = { .free_query = true };

        sandbox_enter();
        event = make_event();
        cr_assert(stun_query_new(event, -EBADF, &server, on_answer, &a, &query) >= 0);
        RUN_UNTIL(event, a.n);
        cr_assert(a.error == -ECONNREFUSED);
        cr_assert(a.rtt == USEC_INFINITY);
}

Test(stun, no_route_is_an_error_at_once)
{
        _cleanup_event_ sd_event *event = NULL;
        SocketAddress server = address("192.0.2.1:3478");
        StunQuery *query = NULL;
        Answer a = {};

        sandbox_enter();
        event = make_event();
        cr_assert(stun_query_new(event, -EBADF, &server, on_answer, &a, &query) == -ENETUNREACH);
        cr_assert(!query && a.n == 0);
}

Test(stun, repeats_what_is_lost)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(stun_query_freep) StunQuery *query = NULL;
        _cleanup_close_ int fd = -EBADF;
        SocketAddress server, from, mapped = address("192.0.2.1:4000");
        uint8_t first[128], second[128];
        struct pollfd p;
        Answer a = {};
        size_t n;

        sandbox_enter();
        event = make_event();
        fd = udp_socket("127.0.0.1:0");
        server = local_address(fd);
        cr_assert(stun_query_new(event, -EBADF, &server, on_answer, &a, &query) >= 0);
        n = stun_receive(fd, first, sizeof(first), &from);
        cr_assert(n > 0);
        p = (struct pollfd) { .fd = fd, .events = POLLIN };
        RUN_UNTIL(event, poll(&p, 1, 0) == 1);
        cr_assert(stun_receive(fd, second, sizeof(second), &from) == n);
        cr_assert(memcmp(first, second, n) == 0);
        stun_answer(fd, second, &mapped, &from);
        RUN_UNTIL(event, a.n);
        cr_assert(socket_address_equal(&a.mapped, &mapped));
}

/* What is not the answer is ignored; the answer that follows counts. */
Test(stun, ignores_what_is_not_its_answer)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(stun_query_freep) StunQuery *query = NULL;
        SocketAddress server, from, mapped = address("192.0.2.1:4000"), wrong = address("192.0.2.66:6");
        uint8_t request[128], other[128];
        int fd, stranger;
        Answer a = {};

        sandbox_enter();
        event = make_event();
        fd = udp_socket("127.0.0.1:0");
        stranger = udp_socket("127.0.0.1:0");
        server = local_address(fd);
        cr_assert(stun_query_new(event, -EBADF, &server, on_answer, &a, &query) >= 0);
        cr_assert(stun_receive(fd, request, sizeof(request), &from) > 0);

        memcpy(other, request, sizeof(other));
        other[12] ^= 1;
        stun_answer(fd, other, &wrong, &from);         /* another transaction */
        stun_answer(stranger, request, &wrong, &from); /* another source */
        cr_assert(sendto(fd, "", 0, 0, &from.sa, sizeof(from.in)) == 0);
        cr_assert(sendto(fd, request, 20, 0, &from.sa, sizeof(from.in)) == 20); /* its own request */
        for (size_t n = 1; n < 20; n++)
                cr_assert(sendto(fd, request, n, 0, &from.sa, sizeof(from.in)) == (ssize_t) n);
        stun_answer(fd, request, &mapped, &from);
        RUN_UNTIL(event, a.n);
        cr_assert(a.error == 0 && socket_address_equal(&a.mapped, &mapped));
        close(fd);
        close(stranger);
}

Test(stun, an_error_response_is_a_refusal)
{
        static const uint8_t rest[] = { 0x00, 0x09, 0, 4, 0, 0, 4, 0 }; /* ERROR-CODE 400 */
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_close_ int fd = -EBADF;
        SocketAddress server, from;
        uint8_t b[128];
        StunQuery *query;
        Answer a = { .free_query = true };

        sandbox_enter();
        event = make_event();
        fd = udp_socket("127.0.0.1:0");
        server = local_address(fd);
        cr_assert(stun_query_new(event, -EBADF, &server, on_answer, &a, &query) >= 0);
        cr_assert(stun_receive(fd, b, sizeof(b), &from) > 0);
        b[0] = 0x01;
        b[1] = 0x11;
        b[2] = 0;
        b[3] = sizeof(rest);
        memcpy(b + 20, rest, sizeof(rest));
        cr_assert(sendto(fd, b, 20 + sizeof(rest), 0, &from.sa, sizeof(from.in)) > 0);
        RUN_UNTIL(event, a.n);
        cr_assert(a.error == -EPROTO);
}
