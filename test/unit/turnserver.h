/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* STUN and TURN servers for tests, in their sandbox: coturn, and one of our own that answers what it is told
 * to. */

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "sandbox.h"
#include "udp.h"

/* A real coturn on 127.0.0.1 and ::1, port 3478, with the user "user" and the password "secret". It dies
 * with us. */
#define TURN_ADDRESS "127.0.0.1:3478"
#define TURN_TLS_ADDRESS "127.0.0.1:5349"
#define TURN_NAME "turn.test"
#define TURN_USER_QUOTA 12

/* What it is told beside; NULL: nothing. */
typedef struct TurnserverOptions {
        const char *secret; /* in place of the user: time-limited credentials from this one */
        bool tls;           /* on port 5349 as well, with what turnserver_make_certificate() has made */
        const char
                *addresses[3]; /* it listens there as well, and its relays are at the first; NULL: no more */
} TurnserverOptions;

/* ca.pem in SANDBOX_DIR vouches for it. */
static inline void turnserver_make_certificate(void)
{
        sandbox_shell(
                "exec >openssl.log 2>&1; set -e\n"
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca"
                " -keyout ca.key -out ca.pem\n"
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x"
                " -CA ca.pem -CAkey ca.key -addext subjectAltName=DNS:" TURN_NAME
                " -addext basicConstraints=critical,CA:FALSE -keyout turn.key -out turn.pem\n");
}

static inline void turnserver_exec(pid_t parent, const TurnserverOptions *options)
{
        const char *relays = options && options->addresses[0] ? options->addresses[0] : "127.0.0.1";
        const char *argv[48] = {
                "turnserver",
                "-n",
                "-L",
                "127.0.0.1",
                "-L",
                "::1",
                "-E",
                relays,
                "-p",
                "3478",
                "--allow-loopback-peers",
                "-r",
                "test",
                "--no-dtls",
                "--no-cli",
                "-m",
                "1",
                "--log-file",
                "stdout",
                "--simple-log",
                "--pidfile",
                "/tmp/turn.pid",
                "--userdb",
                "/tmp/turn.db",
                "--user-quota",
                STRINGIFY(TURN_USER_QUOTA),
        };
        const char *plain[] = { "--lt-cred-mech", "-u", "user:secret" };
        const char *timed[] = { "--use-auth-secret", "--static-auth-secret",
                                options ? options->secret : NULL };
        const char *tls[] = { "--tls-listening-port", "5349", "--cert", "turn.pem", "--pkey", "turn.key" };
        bool has_secret = options && options->secret, has_tls = options && options->tls;
        int null = open("/dev/null", O_RDWR);
        size_t n = 0;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        while (argv[n])
                n++;
        for (size_t i = 0; i < ELEMENTSOF(plain); i++)
                argv[n++] = has_secret ? timed[i] : plain[i];
        for (size_t i = 0; has_tls && i < ELEMENTSOF(tls); i++)
                argv[n++] = tls[i];
        if (!has_tls)
                argv[n++] = "--no-tls";
        for (size_t i = 0; options && i < ELEMENTSOF(options->addresses) && options->addresses[i]; i++) {
                argv[n++] = "-L";
                argv[n++] = options->addresses[i];
        }
        execvp("turnserver", (char *const *) argv);
        _exit(127);
}

/* Asks until there is an answer: coturn has no other way to say that it listens. */
static inline bool turnserver_answers(const char *server, int type)
{
        static const uint8_t request[20] = { 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42 };
        SocketAddress a = address(server);
        uint8_t answer[256];
        struct pollfd p = { .events = POLLIN };
        bool answered;

        p.fd = socket(a.sa.sa_family, type | SOCK_CLOEXEC, 0);
        answered = connect(p.fd, &a.sa, socket_address_length(&a)) >= 0 &&
                   send(p.fd, request, sizeof(request), MSG_NOSIGNAL) == sizeof(request) &&
                   poll(&p, 1, 100) == 1 && recv(p.fd, answer, sizeof(answer), 0) > 0;
        close(p.fd);
        return answered;
}

static inline bool turnserver_listens(const TurnserverOptions *options)
{
        SocketAddress tls = address(TURN_TLS_ADDRESS);
        bool listens = turnserver_answers(TURN_ADDRESS, SOCK_DGRAM) &&
                       turnserver_answers("[::1]:3478", SOCK_DGRAM) &&
                       turnserver_answers(TURN_ADDRESS, SOCK_STREAM);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (options && options->tls)
                listens = listens && connect(fd, &tls.sa, socket_address_length(&tls)) >= 0;
        close(fd);
        return listens;
}

static inline pid_t turnserver_start_with(const TurnserverOptions *options)
{
        usec_t end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;
        pid_t parent = getpid(), pid;

        pid = fork();
        cr_assert(pid >= 0);
        if (pid == 0)
                turnserver_exec(parent, options);
        while (!turnserver_listens(options)) {
                int status;

                if (waitpid(pid, &status, WNOHANG) == pid)
                        cr_skip("no coturn here");
                cr_assert(now(CLOCK_MONOTONIC) < end);
                (void) poll(NULL, 0, 10);
        }
        return pid;
}

static inline pid_t turnserver_start(void)
{
        return turnserver_start_with(NULL);
}

static inline void turnserver_stop(pid_t pid)
{
        kill(pid, SIGKILL);
        cr_assert(waitpid(pid, NULL, 0) == pid);
}

#define STUN_COOKIE 0x2112a442U

/* A Binding request's bytes, and who sent it; 0 if there is none. */
static inline size_t stun_receive(int fd, uint8_t *buf, size_t size, SocketAddress *ret)
{
        struct sockaddr_storage storage;
        socklen_t n_storage = sizeof(storage);
        ssize_t n = recvfrom(fd, buf, size, 0, (struct sockaddr *) &storage, &n_storage);

        if (n < 20 || socket_address_from_sockaddr(&storage, n_storage, ret) < 0)
                return 0;
        return (size_t) n;
}

/* A success response to `request` that says `mapped` (IPv4). */
static inline void stun_answer(int fd, const uint8_t *request, const SocketAddress *mapped,
                               const SocketAddress *to)
{
        uint8_t b[32] = { 0x01, 0x01, 0, 12 };
        uint16_t port = htons((uint16_t) (socket_address_port(mapped) ^ (STUN_COOKIE >> 16)));
        uint32_t ip = mapped->in.sin_addr.s_addr ^ htonl(STUN_COOKIE);

        memcpy(b + 4, request + 4, 16);
        b[21] = 0x20; /* XOR-MAPPED-ADDRESS */
        b[23] = 8;
        b[25] = 1;
        memcpy(b + 26, &port, 2);
        memcpy(b + 28, &ip, 4);
        cr_assert(sendto(fd, b, sizeof(b), 0, &to->sa, socket_address_length(to)) == sizeof(b));
}

/* Has a request come that nobody has read? */
static inline bool stun_was_asked(int fd)
{
        return poll(&(struct pollfd) { .fd = fd, .events = POLLIN }, 1, 0) == 1;
}

/* The next request is answered. */
static inline void stun_answer_next(sd_event *loop, int fd, const char *mapped)
{
        SocketAddress from, a = address(mapped);
        uint8_t request[128];

        RUN_UNTIL(loop, stun_was_asked(fd));
        cr_assert_gt(stun_receive(fd, request, sizeof(request), &from), 0);
        stun_answer(fd, request, &a, &from);
}
