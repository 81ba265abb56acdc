/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "string-util.h"
#include "tls-leg.h"

/* Against OpenSSL's own server side, in a process of its own. */

#define PORT 5349
#define MEGABYTE (1024 * 1024)

/* What the server does with each connection. */
typedef enum Mode {
        MODE_ECHO,
        MODE_SAY,      /* says "bye" and ends TLS, then TCP */
        MODE_SAY_BARE, /* says "bye" and ends TCP */
        MODE_COUNT,    /* reads to the end, when it is told to, and tells how much it was */
        MODE_PLAIN,    /* speaks no TLS */
} Mode;

typedef struct Server {
        pid_t pid;
        int control; /* a byte to it: begin to read; a size_t from it: what was read */
} Server;

typedef struct Outcome {
        unsigned n_established, n_failed, n_idle;
        int error;
        char reason[256];
} Outcome;

static sd_event *event;
static Outcome outcome;

/* ---- the server ---- */

static void make_certificates(void)
{
        sandbox_shell("exec >openssl.log 2>&1; set -e\n"
                      "for ca in ca other; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
                      "-nodes -days 2 -subj /CN=$ca -keyout $ca.key -out $ca.pem; done\n"
                      "make() { n=$1; names=$2; shift 2; openssl req -newkey ec -pkeyopt "
                      "ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout $n.key -out $n.csr;"
                      " printf 'subjectAltName=%%s' $names >$n.ext; openssl x509 -req -in $n.csr "
                      "-CA ca.pem -CAkey ca.key -extfile $n.ext -out $n.pem \"$@\"; }\n"
                      "make good DNS:turn.test,IP:127.0.0.1,IP:::1 -days 2\n"
                      "make wrong DNS:elsewhere.test,IP:192.0.2.1 -days 2\n"
                      "make expired DNS:turn.test -not_before 20200101000000Z -not_after 20200201000000Z\n"
                      "cp other.pem self.pem; cp other.key self.key\n");
}

static void serve_echo(SSL *ssl)
{
        char data[16384];
        int n;

        while ((n = SSL_read(ssl, data, sizeof(data))) > 0)
                if (SSL_write(ssl, data, n) != n)
                        return;
        SSL_shutdown(ssl);
}

static void serve_count(SSL *ssl, int control)
{
        char data[16384], begin;
        size_t total = 0;
        int n;

        if (read(control, &begin, 1) != 1)
                return;
        while ((n = SSL_read(ssl, data, sizeof(data))) > 0)
                total += (size_t) n;
        if (write(control, &total, sizeof(total)) != sizeof(total))
                _exit(1);
}

static void serve(SSL *ssl, int fd, Mode mode, int control)
{
        if (mode == MODE_PLAIN) {
                (void) !write(fd, "220 this is no TLS at all\r\n", 27);
                return;
        }
        if (SSL_accept(ssl) != 1)
                return;
        switch (mode) {
        case MODE_ECHO:
                serve_echo(ssl);
                break;
        case MODE_COUNT:
                serve_count(ssl, control);
                break;
        default:
                SSL_write(ssl, "bye", 3);
                if (mode == MODE_SAY)
                        SSL_shutdown(ssl);
                /* What would be left unread would make of the end a reset. */
                shutdown(fd, SHUT_WR);
                while (read(fd, (char[256]) {}, 256) > 0)
                        ;
        }
}

static void server_run(const char *certificate, Mode mode, int listener, int control)
{
        _cleanup_free_ char *chain = asprintf_safe("%s.pem", certificate),
                            *key = asprintf_safe("%s.key", certificate);
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

        if (SSL_CTX_use_certificate_chain_file(ctx, chain) != 1 ||
            SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
                _exit(1);
        for (;;) {
                int fd = accept(listener, NULL, NULL);
                SSL *ssl = SSL_new(ctx);

                SSL_set_fd(ssl, fd);
                serve(ssl, fd, mode, control);
                SSL_free(ssl);
                close(fd);
        }
}

static int listen_at(const char *ip)
{
        int fd = socket(strchr(ip, ':') ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
        SocketAddress a;

        cr_assert_geq(socket_address_from_ip(ip, PORT, &a), 0);
        cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
        cr_assert_eq(bind(fd, &a.sa, socket_address_length(&a)), 0, "%m");
        cr_assert_eq(listen(fd, 8), 0);
        return fd;
}

static Server server_start(const char *certificate, Mode mode, const char *ip)
{
        Server s;
        int pair[2], listener = listen_at(ip);

        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        s.pid = fork();
        cr_assert_geq(s.pid, 0);
        if (s.pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                signal(SIGPIPE, SIG_IGN);
                close(pair[0]);
                server_run(certificate, mode, listener, pair[1]);
        }
        close(listener);
        close(pair[1]);
        s.control = pair[0];
        return s;
}

static void server_stop(Server *s)
{
        close(s->control);
        kill(s->pid, SIGKILL);
        cr_assert_eq(waitpid(s->pid, NULL, 0), s->pid);
}

/* ---- the leg and who uses it ---- */

static void on_established(TlsLeg *leg, void *userdata)
{
        outcome.n_established++;
}

static void on_failed(TlsLeg *leg, int error, const char *reason, void *userdata)
{
        outcome.n_failed++;
        outcome.error = error;
        (void) snprintf(outcome.reason, sizeof(outcome.reason), "%s", reason);
}

static void on_idle(TlsLeg *leg, void *userdata)
{
        outcome.n_idle++;
}

static const TlsLegCallbacks callbacks = {
        .established = on_established,
        .failed = on_failed,
        .idle = on_idle,
};

static TlsLeg *leg_to(const char *ip, const char *name)
{
        TlsLeg *leg = NULL;
        SocketAddress a;

        cr_assert_geq(socket_address_from_ip(ip, PORT, &a), 0);
        cr_assert_geq(tls_leg_new(event, &a, name, SANDBOX_DIR "/ca.pem", &callbacks, NULL, &leg), 0);
        return leg;
}

static int connect_to(const TlsLeg *leg, int family)
{
        const SocketAddress *a = tls_leg_address(leg, family);
        int fd;

        cr_assert_not_null(a);
        fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(fd, &a->sa, socket_address_length(a)), 0, "%m");
        cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        return fd;
}

static bool has_ended(int fd)
{
        char c;
        ssize_t n = recv(fd, &c, 1, MSG_PEEK);

        return n == 0 || (n < 0 && errno != EAGAIN);
}

static void set_up(void)
{
        sandbox_enter();
        make_certificates();
        cr_assert_geq(sd_event_new(&event), 0);
        signal(SIGPIPE, SIG_DFL);
}

static void tear_down(void)
{
        event = sd_event_unref(event);
}

TestSuite(tls_leg, .init = set_up, .fini = tear_down);

/* For what no event of the loop tells. */
#define LOOK_UNTIL(condition)                                                                               \
        do {                                                                                                \
                usec_t _end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;                                      \
                while (!(condition)) {                                                                      \
                        cr_assert_lt(now(CLOCK_MONOTONIC), _end, "never came: %s", #condition);             \
                        cr_assert_geq(sd_event_run(event, 10 * USEC_PER_MSEC), 0);                          \
                }                                                                                           \
        } while (false)

/* Sends and receives `size` bytes of a pattern at the same time. */
static void exchange(int fd, size_t size)
{
        size_t sent = 0, received = 0;
        uint8_t data[4096];

        while (received < size) {
                ssize_t n;

                for (size_t i = 0; i < sizeof(data); i++)
                        data[i] = (uint8_t) ((sent + i) % 251);
                n = sent < size ? send(fd, data, MIN(sizeof(data), size - sent), 0) : 0;
                sent += n > 0 ? (size_t) n : 0;
                n = recv(fd, data, sizeof(data), 0);
                cr_assert(n > 0 || (n < 0 && errno == EAGAIN), "%m");
                for (ssize_t i = 0; i < n; i++)
                        cr_assert_eq(data[i], (received + (size_t) i) % 251);
                received += n > 0 ? (size_t) n : 0;
                if (n <= 0)
                        cr_assert_geq(sd_event_run(event, 10 * USEC_PER_MSEC), 0);
        }
}

Test(tls_leg, carries_bytes_both_ways)
{
        Server s = server_start("good", MODE_ECHO, "127.0.0.1");
        TlsLeg *leg = leg_to("127.0.0.1", "turn.test");
        int fd = connect_to(leg, AF_INET);

        exchange(fd, 3 * MEGABYTE);
        cr_assert_eq(outcome.n_established, 1);
        cr_assert_eq(tls_leg_n_connections(leg), 1);
        close(fd);
        RUN_UNTIL(event, tls_leg_n_connections(leg) == 0);
        cr_assert_eq(outcome.n_failed, 0);
        cr_assert_eq(outcome.n_idle, 0);
        tls_leg_free(leg);
        server_stop(&s);
}

/* The family of the one side is nothing to the other, and a literal is a name as well. */
Test(tls_leg, joins_families)
{
        Server s = server_start("good", MODE_ECHO, "::1");
        TlsLeg *leg = leg_to("::1", "::1");
        int fd4 = connect_to(leg, AF_INET), fd6 = connect_to(leg, AF_INET6);

        exchange(fd4, 1000);
        close(fd4);
        exchange(fd6, 1000);
        close(fd6);
        tls_leg_free(leg);
        server_stop(&s);
}

static void expect_refusal(const char *certificate, const char *name, const char *reason)
{
        Server s = server_start(certificate, MODE_ECHO, "127.0.0.1");
        TlsLeg *leg = leg_to("127.0.0.1", name);
        int fd = connect_to(leg, AF_INET);

        cr_assert_eq(send(fd, "secret", 6, 0), 6);
        RUN_UNTIL(event, outcome.n_failed == 1 && has_ended(fd));
        cr_assert_eq(outcome.error, -EKEYREJECTED, "%s", outcome.reason);
        cr_assert(strstr(outcome.reason, reason), "\"%s\" is not about \"%s\"", outcome.reason, reason);
        cr_assert_eq(outcome.n_established, 0);
        close(fd);
        tls_leg_free(leg);
        server_stop(&s);
}

Test(tls_leg, refuses_another_name)
{
        expect_refusal("wrong", "turn.test", "hostname mismatch");
}

Test(tls_leg, refuses_another_address)
{
        expect_refusal("wrong", "127.0.0.1", "IP address mismatch");
}

Test(tls_leg, refuses_an_expired_certificate)
{
        expect_refusal("expired", "turn.test", "expired");
}

Test(tls_leg, refuses_a_self_signed_certificate)
{
        expect_refusal("self", "other", "self-signed");
}

static void expect_goodbye(Mode mode)
{
        Server s = server_start("good", mode, "127.0.0.1");
        TlsLeg *leg = leg_to("127.0.0.1", "turn.test");
        int fd = connect_to(leg, AF_INET);
        char data[8];

        RUN_UNTIL(event, recv(fd, data, sizeof(data), MSG_PEEK) == 3 || has_ended(fd));
        cr_assert_eq(recv(fd, data, sizeof(data), 0), 3);
        cr_assert_eq(memcmp(data, "bye", 3), 0);
        RUN_UNTIL(event, has_ended(fd) && tls_leg_n_connections(leg) == 0);
        cr_assert_eq(outcome.n_failed, 0, "%s", outcome.reason);
        close(fd);
        tls_leg_free(leg);
        server_stop(&s);
}

Test(tls_leg, passes_on_the_servers_end)
{
        expect_goodbye(MODE_SAY);
}

Test(tls_leg, passes_on_an_end_without_goodbye)
{
        expect_goodbye(MODE_SAY_BARE);
}

static size_t count_of(Server *s)
{
        size_t total = 0;
        struct pollfd p = { .fd = s->control, .events = POLLIN };

        LOOK_UNTIL(poll(&p, 1, 0) == 1);
        cr_assert_eq(read(s->control, &total, sizeof(total)), sizeof(total));
        return total;
}

/* What was sent before the end arrives, although who sent it is gone: libnice gives an allocation back so.
 */
Test(tls_leg, passes_on_our_end)
{
        Server s = server_start("good", MODE_COUNT, "127.0.0.1");
        TlsLeg *leg = leg_to("127.0.0.1", "turn.test");
        int fd = connect_to(leg, AF_INET);

        cr_assert_eq(write(s.control, "x", 1), 1);
        RUN_UNTIL(event, tls_leg_n_connections(leg) == 1);
        cr_assert_eq(send(fd, "the last words", 14, 0), 14);
        close(fd);
        cr_assert_eq(count_of(&s), 14);
        tls_leg_free(leg);
        server_stop(&s);
}

/* Nothing is lost, and nothing piles up: who sends has to wait for a server that does not read. */
Test(tls_leg, waits_for_a_slow_server)
{
        Server s = server_start("good", MODE_COUNT, "127.0.0.1");
        TlsLeg *leg = leg_to("127.0.0.1", "turn.test");
        int fd = connect_to(leg, AF_INET), small = 65536;
        static uint8_t data[65536];
        unsigned idle = 0;
        size_t sent = 0;

        cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
        /* Until it has taken nothing for a while. */
        while (idle < 50) {
                ssize_t n = send(fd, data, sizeof(data), 0);

                sent += n > 0 ? (size_t) n : 0;
                cr_assert_lt(sent, 64 * MEGABYTE, "it is kept somewhere");
                idle = n > 0 ? 0 : idle + (sd_event_run(event, 10 * USEC_PER_MSEC) == 0);
        }
        cr_assert_gt(sent, 0);
        cr_assert_eq(write(s.control, "x", 1), 1);
        close(fd);
        cr_assert_eq(count_of(&s), sent);
        tls_leg_free(leg);
        server_stop(&s);
}

Test(tls_leg, tells_of_a_server_that_is_not_there)
{
        TlsLeg *leg = leg_to("127.0.0.1", "turn.test");
        int fd = connect_to(leg, AF_INET);

        RUN_UNTIL(event, outcome.n_failed == 1 && has_ended(fd));
        cr_assert_eq(outcome.error, -ECONNREFUSED);
        cr_assert_str_eq(outcome.reason, "Connection refused");
        close(fd);
        tls_leg_free(leg);
}

Test(tls_leg, tells_of_a_server_without_tls)
{
        Server s = server_start("good", MODE_PLAIN, "127.0.0.1");
        TlsLeg *leg = leg_to("127.0.0.1", "turn.test");
        int fd = connect_to(leg, AF_INET);

        RUN_UNTIL(event, outcome.n_failed == 1 && has_ended(fd));
        cr_assert_eq(outcome.error, -EPROTO, "%s", outcome.reason);
        close(fd);
        tls_leg_free(leg);
        server_stop(&s);
}

/* Exits with 0 if it was let in. */
static pid_t stranger_start(const TlsLeg *leg)
{
        pid_t pid = fork();

        cr_assert_geq(pid, 0);
        if (pid == 0) {
                const SocketAddress *a = tls_leg_address(leg, AF_INET);
                int fd = socket(AF_INET, SOCK_STREAM, 0);
                char c;

                if (connect(fd, &a->sa, socket_address_length(a)) < 0)
                        _exit(2);
                _exit(send(fd, "x", 1, MSG_NOSIGNAL) == 1 && recv(fd, &c, 1, 0) == 1 ? 0 : 1);
        }
        return pid;
}

Test(tls_leg, lets_nobody_else_in)
{
        Server s = server_start("good", MODE_ECHO, "127.0.0.1");
        TlsLeg *leg = leg_to("127.0.0.1", "turn.test");
        pid_t pid = stranger_start(leg);
        int status = 0;

        LOOK_UNTIL(waitpid(pid, &status, WNOHANG) == pid);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1, "status %i", status);
        cr_assert_eq(outcome.n_established, 0);
        tls_leg_free(leg);
        server_stop(&s);
}

/* None is free below the one that was opened last. */
static void leave_no_descriptor(int last, rlim_t *ret_before)
{
        struct rlimit limit;

        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        *ret_before = limit.rlim_cur;
        limit.rlim_cur = (rlim_t) last + 1;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void allow_descriptors(rlim_t n)
{
        struct rlimit limit;

        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = n;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Who cannot be let in for now waits, and so do we. */
Test(tls_leg, rests_when_there_is_no_descriptor)
{
        Server s = server_start("good", MODE_ECHO, "127.0.0.1");
        TlsLeg *leg = leg_to("127.0.0.1", "turn.test");
        int fd = connect_to(leg, AF_INET);
        unsigned n = 0;
        rlim_t before;

        leave_no_descriptor(fd, &before);
        while (sd_event_run(event, 0) > 0)
                cr_assert_lt(++n, 50, "it spins");
        allow_descriptors(before);
        exchange(fd, 1000);
        close(fd);
        tls_leg_free(leg);
        server_stop(&s);
}

Test(tls_leg, retires_when_its_last_connection_has_gone)
{
        Server s = server_start("good", MODE_ECHO, "127.0.0.1");
        TlsLeg *leg = leg_to("127.0.0.1", "turn.test");
        int fd = connect_to(leg, AF_INET);

        exchange(fd, 1000);
        tls_leg_retire(leg);
        cr_assert_null(tls_leg_address(leg, AF_INET));
        exchange(fd, 1000);
        cr_assert_eq(outcome.n_idle, 0);
        close(fd);
        RUN_UNTIL(event, outcome.n_idle == 1);
        tls_leg_free(leg);

        leg = leg_to("127.0.0.1", "turn.test");
        tls_leg_retire(leg);
        RUN_UNTIL(event, outcome.n_idle == 2);
        tls_leg_free(leg);
        server_stop(&s);
}
