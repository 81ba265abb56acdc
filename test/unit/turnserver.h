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
#define TURN_USER_QUOTA 12

static inline void turnserver_exec(pid_t parent)
{
        int null = open("/dev/null", O_RDWR);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execlp("turnserver", "turnserver", "-n", "-L", "127.0.0.1", "-L", "::1", "-E", "127.0.0.1", "-p",
               "3478", "--allow-loopback-peers", "--lt-cred-mech", "-u", "user:secret", "-r", "test",
               "--no-tls", "--no-dtls", "--no-cli", "-m", "1", "--log-file", "stdout", "--simple-log",
               "--pidfile", "/tmp/turn.pid", "--userdb", "/tmp/turn.db", "--user-quota",
               STRINGIFY(TURN_USER_QUOTA), NULL);
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

static inline pid_t turnserver_start(void)
{
        usec_t end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;
        pid_t parent = getpid(), pid;

        pid = fork();
        cr_assert(pid >= 0);
        if (pid == 0)
                turnserver_exec(parent);
        while (!turnserver_answers(TURN_ADDRESS, SOCK_DGRAM) ||
               !turnserver_answers("[::1]:3478", SOCK_DGRAM) ||
               !turnserver_answers(TURN_ADDRESS, SOCK_STREAM)) {
                int status;

                if (waitpid(pid, &status, WNOHANG) == pid)
                        cr_skip("no coturn here");
                cr_assert(now(CLOCK_MONOTONIC) < end);
                (void) poll(NULL, 0, 10);
        }
        return pid;
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
