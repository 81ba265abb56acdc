/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For tests that talk over a network: each in a network and mount namespace of its own, with nothing but
 * loopback and an empty /tmp; so they neither meet each other nor leave anything behind. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "fd-util.h"
#include "socket-address.h"
#include "time-util.h"

static inline void sandbox_write(const char *path, const char *text)
{
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                cr_skip("no user namespaces here");
        close(fd);
}

static inline void sandbox_enter(void)
{
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
        bool root = geteuid() == 0;
        char map[64];
        int fd;

        snprintf(map, sizeof(map), "0 %u 1", (unsigned) geteuid());
        if (unshare(CLONE_NEWNET | CLONE_NEWNS | (root ? 0 : CLONE_NEWUSER)) < 0)
                cr_skip("no namespaces here");
        if (!root)
                sandbox_write("/proc/self/uid_map", map);
        cr_assert(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) >= 0);
        cr_assert(mount("tmpfs", "/tmp", "tmpfs", 0, NULL) >= 0);
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        cr_assert(ioctl(fd, SIOCSIFFLAGS, &request) >= 0);
        close(fd);
}

/* Runs the loop until the condition holds. The limit is no part of any test: it only ends a broken one. */
#define SANDBOX_PATIENCE (60 * USEC_PER_SEC)
#define RUN_UNTIL(event, condition)                                                                         \
        do {                                                                                                \
                usec_t _end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE;                                      \
                while (!(condition)) {                                                                      \
                        cr_assert(now(CLOCK_MONOTONIC) < _end, "never came: %s", #condition);               \
                        cr_assert(sd_event_run((event), SANDBOX_PATIENCE) >= 0);                            \
                }                                                                                           \
        } while (false)

static inline SocketAddress address(const char *s)
{
        SocketAddress a;

        cr_assert(socket_address_from_string(s, &a) >= 0, "%s", s);
        return a;
}

static inline SocketAddress local_address(int fd)
{
        struct sockaddr_storage storage;
        socklen_t size = sizeof(storage);
        SocketAddress a;

        cr_assert(getsockname(fd, (struct sockaddr *) &storage, &size) >= 0);
        cr_assert(socket_address_from_sockaddr(&storage, size, &a) >= 0);
        return a;
}

static inline int udp_socket(const char *s)
{
        SocketAddress a = address(s);
        int fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        cr_assert(fd >= 0);
        cr_assert(bind(fd, &a.sa, socket_address_length(&a)) >= 0);
        return fd;
}

/* A real coturn on 127.0.0.1 and ::1, port 3478, with the user "user" and the password "secret". It dies
 * with us. */
#define TURN_ADDRESS "127.0.0.1:3478"

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
               "--pidfile", "/tmp/turn.pid", "--userdb", "/tmp/turn.db", NULL);
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

/* ---- a STUN server of our own, that answers what it is told to ---- */

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
