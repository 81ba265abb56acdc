/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sandbox.h"

#include <arpa/inet.h>
#include <sys/epoll.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "resolve.h"
#include "string-util.h"

typedef struct Answer {
        unsigned n_calls;
        int error;
        SocketAddress addresses[RESOLVER_ADDRESSES_MAX];
        size_t n;
} Answer;

static sd_event *event;
static Resolver *resolver;

static void start(void)
{
        sandbox_need_root();
        sandbox_enter();
        sandbox_replace("/etc/hosts",
                        "127.0.0.1 localhost\n::1 two.test\n192.0.2.7 two.test\n192.0.2.1 one.test\n");
        sandbox_replace("/etc/resolv.conf", "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n");
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_geq(resolver_new(event, &resolver), 0);
}

static void stop(void)
{
        resolver = resolver_free(resolver);
        event = sd_event_unref(event);
}

TestSuite(resolve, .init = start, .fini = stop, .timeout = 60);

static void on_answer(int error, const SocketAddress *addresses, size_t n, void *userdata)
{
        Answer *answer = userdata;

        answer->n_calls++;
        answer->error = error;
        answer->n = n;
        memcpy(answer->addresses, addresses, n * sizeof(*addresses));
}

static Answer resolve(const char *host)
{
        Answer answer = {};
        ResolverQuery *query;

        cr_assert_geq(resolver_query(resolver, host, 53, on_answer, &answer, &query), 0);
        cr_assert_eq(answer.n_calls, 0);
        RUN_UNTIL(event, answer.n_calls >= 1);
        return answer;
}

static bool answer_has(const Answer *answer, const char *address)
{
        for (size_t i = 0; i < answer->n; i++)
                if (streq(SOCKET_ADDRESS_STR(&answer->addresses[i]), address))
                        return true;
        return false;
}

static void expect_one(const char *host, const char *address)
{
        Answer answer = resolve(host);

        cr_assert_eq(answer.error, 0, "%s: %s", host, strerror(-answer.error));
        cr_assert_eq(answer.n, 1, "%s: %zu", host, answer.n);
        cr_assert(answer_has(&answer, address), "%s", SOCKET_ADDRESS_STR(&answer.addresses[0]));
}

Test(resolve, literals)
{
        expect_one("192.0.2.4", "192.0.2.4:53");
        expect_one("2001:db8::4", "[2001:db8::4]:53");
}

Test(resolve, hosts_file)
{
        Answer answer;

        expect_one("one.test", "192.0.2.1:53");
        answer = resolve("two.test");
        cr_assert_eq(answer.error, 0);
        cr_assert_eq(answer.n, 2, "%zu", answer.n);
        cr_assert(answer_has(&answer, "192.0.2.7:53"));
        cr_assert(answer_has(&answer, "[::1]:53"));
}

/* What an administrator writes there counts from the next query on. */
Test(resolve, hosts_file_changes)
{
        cr_assert_eq(resolve("new.test").error, -ECONNREFUSED);
        sandbox_write("/etc/hosts", "192.0.2.9 new.test\n");
        expect_one("new.test", "192.0.2.9:53");
}

Test(resolve, no_server)
{
        cr_assert_eq(resolve("nowhere.test").error, -ECONNREFUSED);
}

Test(resolve, bad_names)
{
        char label[100];

        cr_assert_lt(resolve("").error, 0);
        memset(label, 'a', sizeof(label) - 1);
        label[sizeof(label) - 1] = '\0';
        cr_assert_lt(resolve(label).error, 0);
}

/* ---- With a name server of our own ---- */

typedef struct Server {
        int fd;
        sd_event_source *io;
        bool silent;
        unsigned n_queries;
} Server;

/* Answers A with 192.0.2.33 and AAAA with 2001:db8::33 for names that begin with "known", no such name for
 * others. RFC 1035 section 4. */
static size_t server_answer(uint8_t *p, size_t n)
{
        static const uint8_t a[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 33 };
        static const uint8_t aaaa[] = { 0xc0, 12,   0, 28, 0, 1, 0, 0, 0, 60, 0, 16, 0x20, 0x01,
                                        0x0d, 0xb8, 0, 0,  0, 0, 0, 0, 0, 0,  0, 0,  0,    0x33 };
        size_t end = 12 + strlen((char *) p + 12) + 1;
        bool ipv6 = p[end + 1] == 28, known = strncmp((char *) p + 12, "\005known", 6) == 0;

        p[2] = 0x81;
        p[3] = known ? 0x80 : 0x83;
        p[7] = known;
        p[9] = p[11] = 0;
        n = end + 4;
        if (!known)
                return n;
        memcpy(p + n, ipv6 ? aaaa : a, ipv6 ? sizeof(aaaa) : sizeof(a));
        return n + (ipv6 ? sizeof(aaaa) : sizeof(a));
}

static int on_server(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Server *server = userdata;
        uint8_t buf[1024] = {};
        struct sockaddr_storage from;
        socklen_t size = sizeof(from);
        ssize_t n = recvfrom(fd, buf, 512, 0, (struct sockaddr *) &from, &size);

        server->n_queries++;
        if (n > 17 && !server->silent)
                (void) sendto(fd, buf, server_answer(buf, (size_t) n), 0, (struct sockaddr *) &from, size);
        return 0;
}

static void server_start(Server *server)
{
        SocketAddress a;

        cr_assert_geq(socket_address_from_ip("127.0.0.1", 53, &a), 0);
        server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_geq(server->fd, 0);
        cr_assert_eq(bind(server->fd, &a.sa, sizeof(a.in)), 0, "%m");
        cr_assert_geq(event_add_io(event, &server->io, server->fd, EPOLLIN, on_server, server, "dns"), 0);
}

static void server_stop(Server *server)
{
        event_source_disable_unref(server->io);
        safe_close(server->fd);
}

Test(resolve, name_server)
{
        Server server = {};
        Answer answer;

        server_start(&server);
        answer = resolve("known.test");
        cr_assert_eq(answer.error, 0);
        cr_assert_eq(answer.n, 2);
        cr_assert(answer_has(&answer, "192.0.2.33:53"));
        cr_assert(answer_has(&answer, "[2001:db8::33]:53"));
        cr_assert_eq(resolve("unknown.test").error, -ESRCH);
        server_stop(&server);
}

Test(resolve, server_is_silent)
{
        Server server = { .silent = true };

        server_start(&server);
        cr_assert_eq(resolve("known.test").error, -ETIMEDOUT);
        server_stop(&server);
}

/* Others go on when one is given up, also one that was never answered. */
Test(resolve, many_and_given_up)
{
        Server server = {};
        Answer answers[50] = {};
        ResolverQuery *queries[50];

        server_start(&server);
        for (size_t i = 0; i < ELEMENTSOF(queries); i++)
                cr_assert_geq(resolver_query(resolver, "known.test", 1, on_answer, &answers[i], &queries[i]),
                              0);
        for (size_t i = 0; i < ELEMENTSOF(queries); i += 2)
                queries[i] = resolver_query_free(queries[i]);
        for (size_t i = 1; i < ELEMENTSOF(queries); i += 2) {
                RUN_UNTIL(event, answers[i].n_calls >= 1);
                cr_assert_eq(answers[i].n, 2);
                cr_assert_eq(answers[i - 1].n_calls, 0);
        }
        server_stop(&server);
}
