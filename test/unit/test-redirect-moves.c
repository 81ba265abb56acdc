/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Moves by the eBPF backend, with real sockets on real links, and with wireguard-go. */

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "netns.h"
#include "redirect-ebpf.h"
#include "sandbox.h"
#include "string-util.h"
#include "udp.h"

#define W 51820
#define LOOPBACK 1
#define PROXY "127.128.0.1:0"
#define DATA "\4\0\0\0 what looks like a packet of WireGuard's and is not STUN"

static int here = -EBADF, there = -EBADF; /* network namespaces */

/* Two links to the other namespace. The kernel looks closely at where things come from. */
static void setup(void)
{
        sandbox_need_root();
        sandbox_enter();
        cr_assert_eq(mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"), 0);
        here = netns_here();
        there = netns_new();
        for (unsigned i = 0; i < 2; i++) {
                sandbox_shell("ip link add up%u type veth peer name out%u && ip link set out%u netns "
                              "/proc/%d/fd/%d && ip address add 192.0.%u.1/24 dev up%u && ip address add "
                              "2001:db8:%u::1/64 dev up%u nodad && ip link set up%u up",
                              i, i, i, getpid(), there, i, i, i, i, i);
                netns_enter(there);
                sandbox_shell(
                        "ip address add 192.0.%u.2/24 dev out%u && ip address add 2001:db8:%u::2/64 dev "
                        "out%u nodad && ip link set out%u up",
                        i, i, i, i, i);
                netns_enter(here);
        }
        sandbox_write("/proc/sys/net/ipv4/conf/all/rp_filter", "1");
}

TestSuite(redirect_moves, .init = setup, .timeout = 110);

/* --- what it is tried with --- */

static RedirectBackend *make(bool clsact)
{
        const int uplinks[] = { (int) if_nametoindex("up0"), (int) if_nametoindex("up1") };
        _cleanup_free_ char *message = NULL;
        RedirectBackend *b;
        int r;

        r = clsact ? redirect_ebpf_new_clsact(&b, &message) : redirect_ebpf_new(&b, &message);
        cr_assert_eq(r, 0, "%s: %s", strerror(-r), strna(message));
        cr_assert_eq(b->ops->set_uplinks(b, uplinks, ELEMENTSOF(uplinks)), 0);
        return b;
}

static RedirectMove move_between(const SocketAddress *from, const SocketAddress *to)
{
        return (RedirectMove) { .wireguard_port = W, .from = *from, .to = *to };
}

static RedirectMove begin(RedirectBackend *b, const SocketAddress *from, const SocketAddress *to)
{
        RedirectMove move = move_between(from, to);

        cr_assert_eq(b->ops->move(b, &move, now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE), 0);
        return move;
}

/* Are programs at the way into lo? */
static bool loopback_is_attached(bool clsact)
{
        DECLARE_LIBBPF_OPTS(bpf_prog_query_opts, query);

        if (clsact)
                return system("tc filter show dev lo ingress | grep -q icewire_ingress") == 0;
        cr_assert_eq(bpf_prog_query_opts(LOOPBACK, BPF_TCX_INGRESS, &query), 0);
        return query.prog_cnt > 0;
}

/* In WireGuard's place: on all addresses, and what it answers goes the way that the question came. */
static int wireguard_socket(int family)
{
        int fd = udp_socket(family == AF_INET ? "0.0.0.0:51820" : "[::]:51820"), one = 1;

        if (family == AF_INET)
                cr_assert_eq(setsockopt(fd, SOL_IP, IP_PKTINFO, &one, sizeof(one)), 0);
        else
                cr_assert_eq(setsockopt(fd, SOL_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one)), 0);
        return fd;
}

static int socket_there(const char *address, SocketAddress *ret)
{
        int fd;

        netns_enter(there);
        fd = udp_socket(address);
        netns_enter(here);
        *ret = local_address(fd);
        return fd;
}

static void send_to(int fd, const SocketAddress *to)
{
        cr_assert_eq(sendto(fd, DATA, sizeof(DATA), 0, &to->sa, socket_address_length(to)),
                     (ssize_t) sizeof(DATA), "%m");
}

static void await(int fd, const char *what)
{
        struct pollfd p = { fd, POLLIN, 0 };

        cr_assert_eq(poll(&p, 1, (int) (SANDBOX_PATIENCE / USEC_PER_MSEC)), 1, "nothing came: %s", what);
}

/* Takes it, and answers just as a "sticky" socket does (wireguard-go): by the same link, from the address
 * that it came to. */
static void answer(int fd, const SocketAddress *from, const char *what)
{
        uint8_t buffer[256], control[256];
        SocketAddress source = {};
        struct iovec iov = { buffer, sizeof(buffer) };
        struct msghdr m = {
                .msg_name = &source,
                .msg_namelen = sizeof(source),
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control,
                .msg_controllen = sizeof(control),
        };
        ssize_t n;

        await(fd, what);
        n = recvmsg(fd, &m, 0);
        cr_assert_eq(n, (ssize_t) sizeof(DATA), "%s: %zi", what, n);
        cr_assert_eq(memcmp(buffer, DATA, sizeof(DATA)), 0, "%s", what);
        cr_assert(socket_address_equal(&source, from), "%s: from %s", what, SOCKET_ADDRESS_STR(&source));
        iov.iov_len = (size_t) n;
        cr_assert_eq(sendmsg(fd, &m, 0), n, "%s: %m", what);
}

static void expect(int fd, const SocketAddress *from, const char *what)
{
        SocketAddress source = {};
        socklen_t length = sizeof(source);
        uint8_t buffer[256];

        await(fd, what);
        cr_assert_eq(recvfrom(fd, buffer, sizeof(buffer), 0, &source.sa, &length), (ssize_t) sizeof(DATA));
        cr_assert(socket_address_equal(&source, from), "%s: from %s", what, SOCKET_ADDRESS_STR(&source));
}

/* --- in place, and from link to link --- */

static void run_uplinks(int family, bool clsact)
{
        bool v4 = family == AF_INET;
        RedirectBackend *b = make(clsact);
        int wireguard = wireguard_socket(family), old, new, other;
        SocketAddress from, to, far, w = address(v4 ? "192.0.0.1:51820" : "[2001:db8::1]:51820"),
                                     w1 = address(v4 ? "192.0.1.1:51820" : "[2001:db8:1::1]:51820");
        RedirectMove move;

        old = socket_there(v4 ? "192.0.0.2:0" : "[2001:db8::2]:0", &from);
        new = socket_there(v4 ? "192.0.0.2:0" : "[2001:db8::2]:0", &to);
        other = socket_there(v4 ? "192.0.1.2:0" : "[2001:db8:1::2]:0", &far);

        send_to(old, &w);
        answer(wireguard, &from, "not moved");
        expect(old, &w, "not moved");
        move = begin(b, &from, &to);
        send_to(old, &w);
        answer(wireguard, &to, "moved");
        expect(new, &w, "moved");
        cr_assert_eq(b->ops->count_moved(b, &move), 1);

        /* To where another link leads. */
        move = begin(b, &from, &far);
        send_to(old, &w);
        answer(wireguard, &far, "moved to the other link");
        expect(other, &w1, "moved to the other link");
        cr_assert_eq(b->ops->count_moved(b, &move), 2);
        cr_assert(!loopback_is_attached(clsact));

        /* It ends in time by itself. */
        cr_assert_eq(b->ops->move(b, &move, now(CLOCK_MONOTONIC) - USEC_PER_SEC), 0);
        send_to(old, &w);
        answer(wireguard, &from, "expired");
        expect(old, &w, "expired");
        (void) begin(b, &from, &far);
        b->ops->end_move(b, &move);
        send_to(old, &w);
        answer(wireguard, &from, "ended");
        cr_assert_eq(b->ops->count_moved(b, &move), 0);
        b->ops->end_move(b, &move);

        redirect_backend_free(b);
        close(wireguard);
        close(old);
        close(new);
        close(other);
}

Test(redirect_moves, uplinks_ipv4)
{
        run_uplinks(AF_INET, /* clsact= */ false);
}

Test(redirect_moves, uplinks_ipv6)
{
        run_uplinks(AF_INET6, /* clsact= */ false);
}

Test(redirect_moves, uplinks_clsact)
{
        run_uplinks(AF_INET, /* clsact= */ true);
}

/* --- from lo --- */

static void run_loopback(int family, bool clsact)
{
        bool v4 = family == AF_INET;
        RedirectBackend *b = make(clsact);
        int wireguard = wireguard_socket(family), proxy = udp_socket(v4 ? PROXY : "[::1]:0"),
            second = udp_socket(v4 ? "127.128.0.2:0" : "[::1]:0"), new;
        SocketAddress from = local_address(proxy), from2 = local_address(second), to,
                      w = address(v4 ? "127.0.0.1:51820" : "[::1]:51820"),
                      outside = address(v4 ? "192.0.1.1:51820" : "[2001:db8:1::1]:51820");
        RedirectMove move, move2;

        new = socket_there(v4 ? "192.0.1.2:0" : "[2001:db8:1::2]:0", &to);
        send_to(proxy, &w);
        answer(wireguard, &from, "not moved");
        expect(proxy, &w, "not moved");
        move = begin(b, &from, &to);
        cr_assert(loopback_is_attached(clsact));
        for (unsigned i = 0; i < 3; i++) {
                send_to(proxy, &w);
                answer(wireguard, &to, "moved");
                expect(new, &outside, "the answer leaves by the uplink");
        }
        send_to(second, &w);
        answer(wireguard, &from2, "another proxy");
        expect(second, &w, "another proxy");

        /* lo is left when nothing needs it. */
        move2 = begin(b, &from2, &to);
        b->ops->end_move(b, &move);
        cr_assert(loopback_is_attached(clsact));
        send_to(second, &w);
        answer(wireguard, &to, "the second");
        expect(new, &outside, "the second");
        cr_assert_geq(redirect_self_test_unasked(b), 0);
        cr_assert(loopback_is_attached(clsact), "the test has taken it away");
        send_to(second, &w);
        answer(wireguard, &to, "after the test");
        b->ops->end_move(b, &move2);
        cr_assert(!loopback_is_attached(clsact));
        send_to(second, &w);
        answer(wireguard, &from2, "ended");

        (void) begin(b, &from, &to);
        redirect_backend_free(b);
        cr_assert(!loopback_is_attached(clsact));
        close(wireguard);
        close(proxy);
        close(second);
        close(new);
}

Test(redirect_moves, loopback_ipv4)
{
        run_loopback(AF_INET, /* clsact= */ false);
}

Test(redirect_moves, loopback_ipv6)
{
        run_loopback(AF_INET6, /* clsact= */ false);
}

Test(redirect_moves, loopback_clsact)
{
        run_loopback(AF_INET, /* clsact= */ true);
}

/* Between two proxies it stays on lo. */
Test(redirect_moves, loopback_to_loopback)
{
        RedirectBackend *b = make(/* clsact= */ false);
        int wireguard = wireguard_socket(AF_INET), proxy = udp_socket(PROXY),
            second = udp_socket("127.128.0.2:0");
        SocketAddress from = local_address(proxy), to = local_address(second),
                      w = address("127.0.0.1:51820");

        (void) begin(b, &from, &to);
        send_to(proxy, &w);
        answer(wireguard, &to, "moved");
        expect(second, &w, "moved");
        redirect_backend_free(b);
        close(wireguard);
        close(proxy);
        close(second);
}

/* The kernel would not take it. */
Test(redirect_moves, not_from_outside_to_loopback)
{
        RedirectBackend *b = make(/* clsact= */ false);
        SocketAddress from = address("192.0.0.2:1"), to = address("127.128.0.1:1");
        RedirectMove move = move_between(&from, &to);

        cr_assert_eq(b->ops->move(b, &move, now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE), -ENOTSUP);
        cr_assert_eq(b->ops->count_moved(b, &move), 0);
        redirect_backend_free(b);
}

/* The proxy sends trains, which stay whole up to WireGuard's socket if that wants them so. */
static void run_trains(bool whole)
{
        RedirectBackend *b = make(/* clsact= */ false);
        int wireguard = wireguard_socket(AF_INET), proxy = udp_socket(PROXY), new, segment = 1200;
        SocketAddress from = local_address(proxy), to, w = address("127.0.0.1:51820"), source = {};
        socklen_t length = sizeof(source);
        uint8_t train[6000], buffer[sizeof(train)];
        RedirectMove move;
        size_t received = 0;

        for (size_t i = 0; i < sizeof(train); i++)
                train[i] = (uint8_t) (i % 251);
        new = socket_there("192.0.0.2:0", &to);
        move = begin(b, &from, &to);
        cr_assert_eq(setsockopt(proxy, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
        if (whole)
                cr_assert_eq(setsockopt(wireguard, SOL_UDP, UDP_GRO, &(int) { 1 }, sizeof(int)), 0);
        cr_assert_eq(sendto(proxy, train, sizeof(train), 0, &w.sa, socket_address_length(&w)),
                     (ssize_t) sizeof(train));
        while (received < sizeof(train)) {
                ssize_t n;

                await(wireguard, "a train");
                n = recvfrom(wireguard, buffer + received, sizeof(buffer) - received, 0, &source.sa,
                             &length);
                cr_assert_eq(n, whole ? (ssize_t) sizeof(train) : segment);
                cr_assert(socket_address_equal(&source, &to));
                received += (size_t) n;
        }
        cr_assert_arr_eq(buffer, train, sizeof(train));
        cr_assert_eq(b->ops->count_moved(b, &move), sizeof(train) / (size_t) segment);
        redirect_backend_free(b);
        close(wireguard);
        close(proxy);
        close(new);
}

Test(redirect_moves, trains)
{
        run_trains(/* whole= */ false);
}

Test(redirect_moves, whole_trains)
{
        run_trains(/* whole= */ true);
}

/* To a firewall that lets in nothing but answers it is an answer, as soon as WireGuard has sent there. */
Test(redirect_moves, firewall_sees_the_new_path)
{
        RedirectBackend *b = make(/* clsact= */ false);
        int wireguard = wireguard_socket(AF_INET), proxy = udp_socket(PROXY), new;
        SocketAddress from = local_address(proxy), to, w = address("127.0.0.1:51820"),
                      outside = address("192.0.1.1:51820");

        sandbox_shell("printf 'table inet f { chain in { type filter hook input priority 0; policy drop; "
                      "ct state established accept; iifname lo accept; }; }' | nft -f -");
        new = socket_there("192.0.1.2:0", &to);
        (void) begin(b, &from, &to);
        send_to(wireguard, &to);
        expect(new, &outside, "WireGuard's");
        send_to(proxy, &w);
        answer(wireguard, &to, "moved");
        redirect_backend_free(b);
        close(wireguard);
        close(proxy);
        close(new);
}

/* --- wireguard-go --- */

static pid_t start(const char *name)
{
        pid_t pid = fork();

        cr_assert_geq(pid, 0);
        if (pid > 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("LOG_LEVEL", "silent", 1);
        execlp("wireguard-go", "wireguard-go", "-f", name, NULL);
        _exit(127);
}

/* A proxy: between WireGuard here, on lo, and the peer, until it is killed. It drops what goes out when the
 * peer is to be reached directly, so that nothing but the new path can carry it. */
static pid_t start_proxy(int inside, int outside, const SocketAddress *w, const SocketAddress *peer,
                         bool one_way)
{
        struct pollfd p[] = { { inside, POLLIN, 0 }, { outside, POLLIN, 0 } };
        pid_t pid = fork();
        uint8_t buffer[2048];

        cr_assert_geq(pid, 0);
        if (pid > 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (poll(p, 2, -1) >= 0)
                for (unsigned i = 0; i < 2; i++) {
                        const SocketAddress *to = i == 0 ? peer : w;
                        ssize_t n = recv(p[i].fd, buffer, sizeof(buffer), MSG_DONTWAIT);

                        if (n > 0 && (i == 1 || !one_way))
                                (void) sendto(p[1 - i].fd, buffer, (size_t) n, 0, &to->sa,
                                              socket_address_length(to));
                }
        _exit(1);
}

static void stop(pid_t pid)
{
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

/* Two devices with keys of each other, wg-here and wg-there, and an address each in the tunnel. */
static void configure(const char *relay)
{
        sandbox_shell("for i in here there; do wg genkey >$i.key; wg pubkey <$i.key >$i.pub; done");
        sandbox_shell("until wg set wg-here private-key here.key listen-port 51820 peer $(cat there.pub) "
                      "allowed-ips 10.0.0.2/32; do sleep .05; done 2>/dev/null");
        sandbox_shell("ip addr add 10.0.0.1/24 dev wg-here && ip link set wg-here up");
        netns_enter(there);
        sandbox_shell("until wg set wg-there private-key there.key listen-port 51821 peer $(cat here.pub) "
                      "allowed-ips 10.0.0.1/32 endpoint %s; do sleep .05; done 2>/dev/null",
                      relay);
        sandbox_shell("ip addr add 10.0.0.2/24 dev wg-there && ip link set wg-there up");
        sandbox_shell("ping -c1 -W20 10.0.0.1 >ping.log 2>&1");
        netns_enter(here);
}

/* The peer's packets come by the proxy, while ours are to go directly: so they do, and the endpoint stays.
 * wireguard-go answers by the link that the last packet came by. */
Test(redirect_moves, wireguard_go_stays_with_the_new_path)
{
        int inside = udp_socket(PROXY), outside = udp_socket("192.0.0.1:0");
        SocketAddress from = local_address(inside), relay = local_address(outside),
                      w = address("127.0.0.1:51820"), peer = address("192.0.0.2:51821"),
                      direct = address("192.0.1.2:51821");
        pid_t device, other, proxy;
        RedirectBackend *b;

        if (access("/usr/bin/wireguard-go", X_OK) < 0)
                cr_skip_test("needs wireguard-go");
        b = make(/* clsact= */ false);
        device = start("wg-here");
        netns_enter(there);
        other = start("wg-there");
        netns_enter(here);
        proxy = start_proxy(inside, outside, &w, &peer, /* one_way= */ false);
        configure(SOCKET_ADDRESS_STR(&relay));
        sandbox_shell("wg show wg-here endpoints | grep -qF '%s'", SOCKET_ADDRESS_STR(&from));

        stop(proxy);
        proxy = start_proxy(inside, outside, &w, &peer, /* one_way= */ true);
        sandbox_shell("wg set wg-here peer $(cat there.pub) endpoint %s", SOCKET_ADDRESS_STR(&direct));
        RedirectMove move = begin(b, &from, &direct);
        netns_enter(there);
        /* The peer's endpoint follows our answers; each of its packets is to come by the old path. */
        for (unsigned i = 0; i < 5; i++)
                sandbox_shell("wg set wg-there peer $(cat here.pub) endpoint %s && ping -c1 -W20 10.0.0.1 "
                              ">ping.log 2>&1",
                              SOCKET_ADDRESS_STR(&relay));
        netns_enter(here);
        cr_assert_geq(b->ops->count_moved(b, &move), 5);
        sandbox_shell("wg show wg-here endpoints | grep -qF '%s'", SOCKET_ADDRESS_STR(&direct));

        /* And so it would not be without the move. */
        b->ops->end_move(b, &move);
        netns_enter(there);
        sandbox_shell(
                "wg set wg-there peer $(cat here.pub) endpoint %s && ! ping -c1 -W1 10.0.0.1 >ping.log "
                "2>&1",
                SOCKET_ADDRESS_STR(&relay));
        netns_enter(here);
        sandbox_shell("wg show wg-here endpoints | grep -qF '%s'", SOCKET_ADDRESS_STR(&from));

        stop(proxy);
        kill(device, SIGTERM);
        kill(other, SIGTERM);
        waitpid(device, NULL, 0);
        waitpid(other, NULL, 0);
        redirect_backend_free(b);
        close(inside);
        close(outside);
}
