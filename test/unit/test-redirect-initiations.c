/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Handshake initiations, seen by the egress program and read by the backend. */

#include <arpa/inet.h>
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

/* Every one that was told. */
static struct {
        uint16_t port;
        SocketAddress remote;
} told[16];
static size_t n_told;

static sd_event *event;
static RedirectBackend *backend;

static void on_initiation(uint16_t wireguard_port, const SocketAddress *remote, void *userdata)
{
        cr_assert_eq(userdata, &event);
        cr_assert_lt(n_told, ELEMENTSOF(told));
        told[n_told].port = wireguard_port;
        told[n_told++].remote = *remote;
}

/* Two links to nobody, and a socket of ICE beside W. */
static void setup(void)
{
        _cleanup_free_ char *message = NULL;
        RedirectSocket socket = { .wireguard_port = W, .ufrag = "abcdefgh" };
        socklen_t size = sizeof(socket.cookie);
        int ice;

        sandbox_need_root();
        sandbox_enter();
        cr_assert_eq(mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"), 0);
        sandbox_shell(
                "ip link add up0 type veth peer name out0 && ip link set out0 up && "
                "ip address add 192.0.2.1/24 dev up0 && ip address add 2001:db8::1/64 dev up0 nodad && "
                "ip link set up0 up && ip neigh add 192.0.2.2 lladdr 2:0:0:0:0:1 dev up0 && "
                "ip neigh add 192.0.2.3 lladdr 2:0:0:0:0:1 dev up0 && "
                "ip -6 neigh add 2001:db8::2 lladdr 2:0:0:0:0:1 dev up0");
        cr_assert_eq(sd_event_new(&event), 0);
        cr_assert_eq(redirect_ebpf_new(&backend, &message), 0, "%s", strna(message));
        cr_assert_eq(backend->ops->watch(backend, event, on_initiation, &event), 0);
        cr_assert_eq(backend->ops->set_uplinks(backend, &(int) { (int) if_nametoindex("up0") }, 1), 0);
        ice = udp_socket("192.0.2.1:40000");
        cr_assert_eq(getsockopt(ice, SOL_SOCKET, SO_COOKIE, &socket.cookie, &size), 0);
        socket.local = local_address(ice);
        cr_assert_eq(backend->ops->add(backend, &socket), 0);
        close(ice);
}

static void teardown(void)
{
        redirect_backend_free(backend);
        event = sd_event_unref(event);
}

TestSuite(redirect_initiations, .init = setup, .fini = teardown, .timeout = 110);

static void send_message(int fd, const char *to, uint8_t type, uint8_t reserved, size_t size)
{
        uint8_t message[1500] = { type, 0, 0, reserved };
        SocketAddress a = address(to);

        cr_assert_eq(sendto(fd, message, size, 0, &a.sa, socket_address_length(&a)), (ssize_t) size, "%m");
}

static void send_initiation(int fd, const char *to)
{
        send_message(fd, to, 1, 0, 148);
}

static bool was_told(size_t i, const char *remote)
{
        SocketAddress a = address(remote);

        return i < n_told && told[i].port == W && socket_address_equal(&told[i].remote, &a);
}

Test(redirect_initiations, are_told)
{
        int wireguard = udp_socket("0.0.0.0:51820"), wireguard6 = udp_socket("[2001:db8::1]:51820");

        send_initiation(wireguard, "192.0.2.2:5");
        send_initiation(wireguard6, "[2001:db8::2]:5");
        send_initiation(wireguard, "192.0.2.3:5");
        send_initiation(wireguard, "192.0.2.3:6");
        run_pending(event);
        cr_assert_eq(n_told, 4);
        cr_assert(was_told(0, "192.0.2.2:5"));
        cr_assert(was_told(1, "[2001:db8::2]:5"));
        cr_assert(was_told(2, "192.0.2.3:5"));
        cr_assert(was_told(3, "192.0.2.3:6"));
        close(wireguard);
        close(wireguard6);
}

/* With options in the header, and with a header for options behind it, that is not where it mostly is. */
Test(redirect_initiations, behind_options_are_told)
{
        static const uint8_t options[] = { 1, 1, 1, 0 };               /* RFC 791: no operation, end */
        static const uint8_t extension[] = { 0, 0, 1, 4, 0, 0, 0, 0 }; /* RFC 8200: next, length, PadN */
        int wireguard = udp_socket("0.0.0.0:51820"), wireguard6 = udp_socket("[2001:db8::1]:51820"),
            other = udp_socket("0.0.0.0:51821");

        cr_assert_eq(setsockopt(other, IPPROTO_IP, IP_OPTIONS, options, sizeof(options)), 0, "%m");
        cr_assert_eq(setsockopt(wireguard, IPPROTO_IP, IP_OPTIONS, options, sizeof(options)), 0, "%m");
        cr_assert_eq(setsockopt(wireguard6, IPPROTO_IPV6, IPV6_DSTOPTS, extension, sizeof(extension)), 0,
                     "%m");
        send_initiation(other, "192.0.2.3:5");
        send_initiation(wireguard, "192.0.2.2:5");
        send_initiation(wireguard6, "[2001:db8::2]:5");
        run_pending(event);
        cr_assert_eq(n_told, 2);
        cr_assert(was_told(0, "192.0.2.2:5"));
        cr_assert(was_told(1, "[2001:db8::2]:5"));
        close(wireguard);
        close(wireguard6);
        close(other);
}

Test(redirect_initiations, nothing_else_is_told)
{
        int wireguard = udp_socket("0.0.0.0:51820"), other = udp_socket("0.0.0.0:51821");

        send_message(wireguard, "192.0.2.2:5", 4, 0, 148); /* data, of the same length */
        send_message(wireguard, "192.0.2.2:5", 2, 0, 92);  /* a response */
        send_message(wireguard, "192.0.2.2:5", 1, 0, 147);
        send_message(wireguard, "192.0.2.2:5", 1, 0, 149);
        send_message(wireguard, "192.0.2.2:5", 1, 1, 148);
        send_initiation(other, "192.0.2.2:5");
        run_pending(event);
        cr_assert_eq(n_told, 0);
        /* And it does work. */
        send_initiation(wireguard, "192.0.2.2:5");
        run_pending(event);
        cr_assert_eq(n_told, 1);
        close(wireguard);
        close(other);
}

/* One that follows too soon is not told, and later it is. */
Test(redirect_initiations, are_told_now_and_then)
{
        int wireguard = udp_socket("0.0.0.0:51820");
        unsigned sent;

        for (sent = 0; n_told < 2; sent++) {
                send_initiation(wireguard, "192.0.2.2:5");
                cr_assert_geq(sd_event_run(event, USEC_PER_MSEC), 0);
        }
        cr_assert_gt(sent, 2, "nothing was held back");
        close(wireguard);
}

/* Others are behind this host, and have a WireGuard on the same port. */
Test(redirect_initiations, what_is_forwarded_is_not_ours)
{
        int home = netns_here(), away = netns_new(), wireguard;

        sandbox_write("/proc/sys/net/ipv4/conf/all/forwarding", "1");
        sandbox_shell("ip link add in0 type veth peer name eth0 netns /proc/%d/fd/%d && ip address add "
                      "10.0.0.1/24 dev in0 && ip link set in0 up",
                      getpid(), away);
        netns_enter(away);
        sandbox_shell(
                "ip address add 10.0.0.2/24 dev eth0 && ip link set eth0 up && ip route add default via "
                "10.0.0.1");
        wireguard = udp_socket("0.0.0.0:51820");
        send_initiation(wireguard, "192.0.2.2:5");
        /* It has been forwarded when this has come back. */
        sandbox_shell("ping -c1 -W20 10.0.0.1 >ping.log 2>&1");
        netns_enter(home);
        sandbox_shell("ip -j -s link show up0 | grep -q '\"tx\":{\"bytes\":[1-9]'");
        run_pending(event);
        cr_assert_eq(n_told, 0);
        close(wireguard);
        close(home);
        close(away);
}

Test(redirect_initiations, of_wireguard_go)
{
        pid_t pid;

        if (access("/usr/bin/wireguard-go", X_OK) < 0)
                cr_skip_test("needs wireguard-go");
        pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                setenv("LOG_LEVEL", "silent", 1);
                execlp("wireguard-go", "wireguard-go", "-f", "wga", NULL);
                _exit(127);
        }
        sandbox_shell("umask 077; wg genkey >key; until wg set wga private-key key listen-port 51820 peer "
                      "$(wg genkey | wg pubkey) allowed-ips 10.9.0.0/24 endpoint 192.0.2.2:99 "
                      "persistent-keepalive 1; do sleep .05; done 2>/dev/null; ip link set wga up");
        RUN_UNTIL(event, n_told > 0);
        cr_assert(was_told(0, "192.0.2.2:99"));
        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
}
