/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sandbox.h"

#include <arpa/inet.h>
#include <sys/epoll.h>
#include <systemd/sd-varlink.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "json.h"
#include "resolve.h"
#include "resolved.h"
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
        usec_t pause; /* before it answers for the first time; nothing else goes on meanwhile */
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

/* One question. false: there is none. */
static bool server_take(Server *server)
{
        uint8_t buf[1024] = {};
        struct sockaddr_storage from;
        socklen_t size = sizeof(from);
        ssize_t n = recvfrom(server->fd, buf, 512, 0, (struct sockaddr *) &from, &size);

        if (n < 0)
                return false;
        server->n_queries++;
        if (n > 17 && !server->silent)
                (void) sendto(server->fd, buf, server_answer(buf, (size_t) n), 0, (struct sockaddr *) &from,
                              size);
        return true;
}

static int on_server(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Server *server = userdata;

        (void) usleep((useconds_t) TAKE_GENERIC(server->pause, 0));
        while (server_take(server))
                ;
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

/* What would last for minutes, as /etc/resolv.conf and c-ares have it, ends when the resolver says. */
Test(resolve, dead_servers_do_not_add_up)
{
        Server server = { .silent = true };

        sandbox_write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions attempts:5 timeout:30\n");
        server_start(&server);
        resolver_set_timeout(resolver, 100 * USEC_PER_MSEC);
        cr_assert_eq(resolve("known.test").error, -ETIMEDOUT);
        cr_assert_gt(server.n_queries, 0);
        server.silent = false;
        resolver_set_timeout(resolver, RESOLVER_TIMEOUT);
        cr_assert_eq(resolve("known.test").error, 0);
        server_stop(&server);
}

/* The answers and the limit come in the same turn of the loop: one of them counts, and each query ends once.
 */
Test(resolve, an_answer_at_the_limit)
{
        Server server = { .pause = 150 * USEC_PER_MSEC };
        Answer answers[20] = {};
        ResolverQuery *query;

        server_start(&server);
        resolver_set_timeout(resolver, 100 * USEC_PER_MSEC);
        for (size_t i = 0; i < ELEMENTSOF(answers); i++)
                cr_assert_geq(resolver_query(resolver, "known.test", 1, on_answer, &answers[i], &query), 0);
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                RUN_UNTIL(event, answers[i].n_calls >= 1);
                cr_assert(answers[i].error == 0 || answers[i].error == -ETIMEDOUT, "%d", answers[i].error);
                cr_assert_eq(answers[i].n, answers[i].error == 0 ? 2 : 0);
        }
        resolver_set_timeout(resolver, RESOLVER_TIMEOUT);
        cr_assert_eq(resolve("known.test").error, 0);
        for (size_t i = 0; i < ELEMENTSOF(answers); i++)
                cr_assert_eq(answers[i].n_calls, 1);
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

/* ---- With a systemd-resolved of our own; the name says what it answers ---- */

typedef struct Resolved {
        sd_varlink_server *server;
        sd_varlink *open; /* a reference: who is not answered; connections live on without their server */
        unsigned n_queries;
        unsigned n_disconnected;
} Resolved;

static int on_resolve_hostname(sd_varlink *link, sd_json_variant *parameters,
                               sd_varlink_method_flags_t flags, void *userdata)
{
        static const struct {
                const char *name, *reply;
        } replies[] = {
                { "both.test", "[{\"family\":10,\"address\":[32,1,13,184,0,0,0,0,0,0,0,0,0,0,0,51]},"
                               "{\"ifindex\":1,\"family\":2,\"address\":[127,0,0,33]},"
                               "{\"family\":2,\"address\":[127,0,0,33]},{\"family\":77,\"address\":[]}]" },
                { "none.test", "[]" },
                { "short.test", "[{\"family\":2,\"address\":[127,0,0]}]" },
                { "long.test", "[{\"family\":2,\"address\":[127,0,0,1,1]}]" },
                { "big.test", "[{\"family\":2,\"address\":[127,0,0,256]}]" },
                { "negative.test", "[{\"family\":2,\"address\":[127,0,0,-1]}]" },
                { "text.test", "[{\"family\":2,\"address\":\"127.0.0.1\"}]" },
                { "wrong.test", "[{\"family\":10,\"address\":[127,0,0,1]}]" },
                { "object.test", "{}" },
                { "number.test", "[7]" },
        };
        Resolved *resolved = userdata;
        const char *name = string_at(parameters, "name"), *error = startswith(name, "error-");
        sd_json_variant *addresses = NULL;
        int r;

        resolved->n_queries++;
        if (streq(name, "nxdomain.test"))
                return sd_varlink_errorbo(link, "io.systemd.Resolve.DNSError",
                                          SD_JSON_BUILD_PAIR_INTEGER("rcode", 3));
        if (streq(name, "servfail.test"))
                return sd_varlink_errorbo(link, "io.systemd.Resolve.DNSError",
                                          SD_JSON_BUILD_PAIR_INTEGER("rcode", 2));
        if (error) {
                _cleanup_free_ char *id = asprintf_safe("io.systemd.Resolve.%s", error);

                return sd_varlink_error(link, id, NULL);
        }
        for (size_t i = 0; i < ELEMENTSOF(replies); i++)
                if (streq(name, replies[i].name))
                        cr_assert_geq(sd_json_parse(replies[i].reply, 0, &addresses, NULL, NULL), 0);
        if (!addresses) { /* never */
                resolved->open = sd_varlink_ref(link);
                return 0;
        }
        r = sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("addresses", addresses),
                               SD_JSON_BUILD_PAIR_STRING("name", name),
                               SD_JSON_BUILD_PAIR_INTEGER("flags", 1));
        sd_json_variant_unref(addresses);
        return r;
}

static void on_resolved_disconnect(sd_varlink_server *server, sd_varlink *link, void *userdata)
{
        Resolved *resolved = userdata;

        resolved->n_disconnected++;
}

static void resolved_start(Resolved *resolved, const char *method)
{
        sandbox_shell("mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/resolve");
        cr_assert_geq(sd_varlink_server_new(&resolved->server, SD_VARLINK_SERVER_INHERIT_USERDATA), 0);
        sd_varlink_server_set_userdata(resolved->server, resolved);
        cr_assert_geq(sd_varlink_server_bind_method(resolved->server, method, on_resolve_hostname), 0);
        cr_assert_geq(sd_varlink_server_bind_disconnect(resolved->server, on_resolved_disconnect), 0);
        cr_assert_geq(sd_varlink_server_listen_address(resolved->server, RESOLVED_SOCKET, 0666), 0);
        cr_assert_geq(sd_varlink_server_attach_event(resolved->server, event, 0), 0);
}

#define RESOLVE_METHOD "io.systemd.Resolve.ResolveHostname"

static void resolved_stop(Resolved *resolved)
{
        resolved->open = sd_varlink_close_unref(resolved->open);
        RUN_UNTIL(event, sd_varlink_server_current_connections(resolved->server) == 0);
        sd_varlink_server_shutdown(resolved->server);
        sd_varlink_server_unref(resolved->server);
}

/* It is asked although /etc/resolv.conf points elsewhere. There is no route to its first address. */
Test(resolve, resolved)
{
        Resolved resolved = {};
        Answer answer;

        resolved_start(&resolved, RESOLVE_METHOD);
        answer = resolve("both.test");
        cr_assert_eq(answer.error, 0);
        cr_assert_eq(answer.n, 2, "%zu", answer.n);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&answer.addresses[0]), "127.0.0.33:53");
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&answer.addresses[1]), "[2001:db8::33]:53");
        expect_one("192.0.2.4", "192.0.2.4:53");
        cr_assert_eq(resolved.n_queries, 1);
        resolved_stop(&resolved);
}

Test(resolve, resolved_knows_no_answer)
{
        static const struct {
                const char *name;
                int error;
        } cases[] = {
                { "nxdomain.test", -ESRCH },
                { "none.test", -ESRCH },
                { "error-NoSuchResourceRecord", -ESRCH },
                { "servfail.test", -EIO },
                { "error-DNSError", -EIO },
                { "error-DNSSECValidationFailed", -EIO },
                { "error-QueryTimedOut", -ETIMEDOUT },
                { "error-NoNameServers", -ECONNREFUSED },
                { "error-Unheard", -EIO },
        };
        Resolved resolved = {};

        resolved_start(&resolved, RESOLVE_METHOD);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                cr_assert_eq(resolve(cases[i].name).error, cases[i].error, "%s", cases[i].name);
        resolved_stop(&resolved);
}

/* Whoever makes no sense is not believed: /etc/hosts and the name servers are asked. */
Test(resolve, resolved_makes_no_sense)
{
        static const char *const names[] = { "short.test", "long.test",  "big.test",    "negative.test",
                                             "text.test",  "wrong.test", "object.test", "number.test" };
        Resolved resolved = {};

        resolved_start(&resolved, RESOLVE_METHOD);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ char *hosts = asprintf_safe("192.0.2.44 %s\n", names[i]);

                sandbox_write("/etc/hosts", hosts);
                expect_one(names[i], "192.0.2.44:53");
        }
        cr_assert_eq(resolved.n_queries, ELEMENTSOF(names));
        resolved_stop(&resolved);
}

Test(resolve, resolved_is_something_else)
{
        Resolved resolved = {};

        resolved_start(&resolved, "io.systemd.Other.Method");
        expect_one("one.test", "192.0.2.1:53");
        cr_assert_eq(resolved.n_queries, 0);
        resolved_stop(&resolved);
}

Test(resolve, resolved_stops_while_it_is_asked)
{
        Resolved resolved = {};
        Answer answer = {};
        ResolverQuery *query;

        resolved_start(&resolved, RESOLVE_METHOD);
        sandbox_write("/etc/hosts", "192.0.2.45 never.test\n");
        cr_assert_geq(resolver_query(resolver, "never.test", 53, on_answer, &answer, &query), 0);
        RUN_UNTIL(event, resolved.n_queries);
        resolved_stop(&resolved);
        RUN_UNTIL(event, answer.n_calls);
        cr_assert_eq(answer.error, 0);
        cr_assert(answer_has(&answer, "192.0.2.45:53"));
}

Test(resolve, resolved_is_given_up)
{
        Resolved resolved = {};
        Answer answer = {};
        ResolverQuery *query;

        resolved_start(&resolved, RESOLVE_METHOD);
        cr_assert_geq(resolver_query(resolver, "never.test", 53, on_answer, &answer, &query), 0);
        RUN_UNTIL(event, resolved.n_queries);
        resolver_query_free(query);
        RUN_UNTIL(event, resolved.n_disconnected);
        cr_assert_eq(answer.n_calls, 0);
        resolved_stop(&resolved);
}
