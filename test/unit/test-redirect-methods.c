/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The Varlink methods before the registry of shared sockets: a server in this process, a client on the wire,
 * WireGuard in userspace. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "alloc-util.h"
#include "broker-varlink.h"
#include "fake-redirect.h"
#include "fd-util.h"
#include "sandbox.h"

#define SOCKET SANDBOX_DIR "/broker/socket"
#define WIREGUARD_PORT 51820

static sd_event *event;
static BrokerRedirect *served;
static BrokerServer *server;
static BrokerManager *manager;
static pid_t wireguard;

static void start_server(void)
{
        cr_assert_eq(broker_redirect_new(USER, &factory, &served), 0);
        broker_redirect_test(served);
        cr_assert_eq(broker_server_new(event, USER, &server), 0);
        cr_assert_geq(broker_server_listen(server, SOCKET), 0);
        cr_assert_eq(broker_manager_new(event, "/run/wireguard", &broker_server_manager_callbacks, server,
                                        &manager),
                     0);
        server->manager = manager;
        server->redirect = served;
        server->redirect_checked = now(CLOCK_BOOTTIME);
        cr_assert_eq(broker_server_watch_initiations(server, event), 0);
}

static void start_wireguard(void)
{
        wireguard = fork();
        cr_assert_geq(wireguard, 0);
        if (wireguard > 0)
                return;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("LOG_LEVEL", "silent", 1);
        execlp("wireguard-go", "wireguard-go", "-f", "wga", NULL);
        _exit(127);
}

static void setup(void)
{
        reset();
        sandbox_need_root();
        if (access("/usr/bin/wireguard-go", X_OK) < 0)
                cr_skip_test("needs wireguard-go");
        sandbox_enter();
        cr_assert_eq(mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"), 0);
        cr_assert_eq(sd_event_new(&event), 0);
        start_server();
}

/* Clients have closed their connections; the server has to see it, or they stay. */
static void teardown(void)
{
        run_pending(event);
        broker_server_free(server);
        broker_manager_free(manager);
        broker_redirect_free(served);
        event = sd_event_unref(event);
        if (wireguard > 0) {
                kill(wireguard, SIGTERM);
                waitpid(wireguard, NULL, 0);
        }
}

TestSuite(redirect_methods, .init = setup, .fini = teardown, .timeout = 110);

static int connect_client(void)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = SOCKET };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        cr_assert_eq(connect(fd, (struct sockaddr *) &a, sizeof(a)), 0, "%m");
        return fd;
}

static void send_call(int fd, const char *method, const char *parameters, const int *fds, size_t n_fds)
{
        _cleanup_free_ char *json = asprintf_safe("{\"method\":\"org.icewire.Broker.%s\",\"parameters\":%s}",
                                                  method, parameters);
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(32 * sizeof(int))];
        } control = {};
        struct iovec iov = { json, strlen(json) + 1 };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        cr_assert_leq(n_fds, 32);
        if (n_fds > 0) {
                m.msg_control = &control;
                m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                control.header = (struct cmsghdr) { CMSG_LEN(n_fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
                memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
        }
        cr_assert_eq(sendmsg(fd, &m, MSG_NOSIGNAL), (ssize_t) iov.iov_len);
}

static bool is_readable(int fd)
{
        struct pollfd p = { fd, POLLIN, 0 };

        return poll(&p, 1, 0) > 0;
}

static const char *receive_answer(int fd)
{
        static char buffer[4096];
        ssize_t n;

        RUN_UNTIL(event, is_readable(fd));
        n = recv(fd, buffer, sizeof(buffer) - 1, 0);
        cr_assert_gt(n, 0);
        buffer[n] = '\0';
        return buffer;
}

static const char *call(int fd, const char *method, const char *parameters, const int *fds, size_t n_fds)
{
        send_call(fd, method, parameters, fds, n_fds);
        return receive_answer(fd);
}

#define AUTO "{\"mode\":\"auto\",\"uplinks\":[],\"relays\":[]}"
#define ADD "{\"link\":\"wga\",\"ufrag\":\"abcdefgh\",\"keepsRelays\":true}"

static void assert_contains(const char *answer, const char *wanted)
{
        cr_assert_not_null(strstr(answer, wanted), "no '%s' in: %s", wanted, answer);
}

static void wait_for_link(void)
{
        start_wireguard();
        RUN_UNTIL(event, broker_manager_find(manager, "wga"));
        sandbox_shell("wg set wga listen-port %d && ip link set wga up", WIREGUARD_PORT);
        RUN_UNTIL(event, broker_manager_find(manager, "wga")->device->listen_port == WIREGUARD_PORT);
}

Test(redirect_methods, a_request_is_checked_and_obeyed)
{
        const SocketAddress relay = address("[2001:db8::1]:5");
        int fd = connect_client();
        char parameters[256];

        sandbox_shell("ip link add up0 type veth peer name other0");
        snprintf(parameters, sizeof(parameters),
                 "{\"mode\":\"auto\",\"uplinks\":[%u,999],\"relays\":[\"192.0.2.1:3478\",\"[2001:db8::1]:"
                 "5\"]}",
                 if_nametoindex("up0"));
        /* Sent before the links are known: it waits, it is not refused. */
        cr_assert(!manager->settled);
        assert_contains(call(fd, "SetRedirect", parameters, NULL, 0), "\"kind\":\"ebpf\"");
        cr_assert(manager->settled);
        cr_assert_eq(EBPF->n_uplinks, 2);
        cr_assert_eq(EBPF->uplinks[0], (int) if_nametoindex("up0"));
        cr_assert_eq(EBPF->n_relays, 2);
        cr_assert(socket_address_equal(&EBPF->relays[1], &relay));

        assert_contains(
                call(fd, "SetRedirect", "{\"mode\":\"proxy\",\"uplinks\":[],\"relays\":[]}", NULL, 0),
                "\"reason\":\"Redirect=proxy is set.\"");
        cr_assert_eq(EBPF->n_uplinks, 0);
        close(fd);
}

Test(redirect_methods, links_that_are_no_uplinks_are_refused)
{
        static const char *const names[] = { "lo", "port0", "wga" };
        int fd = connect_client();

        wait_for_link();
        sandbox_shell("ip link add br0 type bridge && ip link add port0 type veth peer name other0 && "
                      "ip link set port0 master br0");
        RUN_UNTIL(event, ({
                          const RtnlLink *l = rtnl_monitor_find_link(manager->rtnl,
                                                                     (int) if_nametoindex("port0"));
                          l && l->master != 0;
                  }));
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char parameters[128];
                const char *answer;

                snprintf(parameters, sizeof(parameters),
                         "{\"mode\":\"auto\",\"uplinks\":[%u,%u],\"relays\":[]}", if_nametoindex("br0"),
                         if_nametoindex(names[i]));
                answer = call(fd, "SetRedirect", parameters, NULL, 0);
                assert_contains(answer, "InvalidParameter");
                assert_contains(answer, "\"uplinks\"");
        }
        cr_assert_eq(broker_redirect_kind(served), REDIRECT_PROXY);
        close(fd);
}

Test(redirect_methods, only_bound_udp_sockets_are_shared)
{
        int fd = connect_client(), good = udp_socket("127.0.0.1:1234"), many[17];
        const int others[] = {
                socket(AF_INET, SOCK_STREAM, 0),
                socket(AF_UNIX, SOCK_DGRAM, 0),
                socket(AF_INET, SOCK_RAW, IPPROTO_ICMP),
                open("/dev/null", O_RDWR | O_CLOEXEC),
                socket(AF_INET, SOCK_DGRAM, 0), /* not bound */
                udp_socket("0.0.0.0:1235"),
        };

        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        assert_contains(call(fd, "AddSockets", ADD, &good, 1), "NoSuchLink");
        wait_for_link();
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                cr_assert_geq(others[i], 0);
                assert_contains(call(fd, "AddSockets", ADD, (const int[]) { good, others[i] }, 2), "error");
                cr_assert_eq(EBPF->n_sockets, 0);
        }
        assert_contains(call(fd, "AddSockets", ADD, NULL, 0), "error");
        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                many[i] = good;
        assert_contains(call(fd, "AddSockets", ADD, many, ELEMENTSOF(many)), "error");
        cr_assert_eq(EBPF->n_sockets, 0);

        broker_manager_find(manager, "wga")->device->listen_port = 1234;
        assert_contains(call(fd, "AddSockets", ADD, &good, 1), "error");
        cr_assert_eq(EBPF->n_sockets, 0, "a socket at W itself");
        close(fd);
}

Test(redirect_methods, bad_ufrags_are_refused)
{
        static const char *const ufrags[] = { "",         "abcdefg",  "abcdefghi",
                                              "abcdefg:", "abcd fgh", "\\u00e9abcdef" };
        int fd = connect_client(), good = udp_socket("127.0.0.1:1234");

        wait_for_link();
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        for (size_t i = 0; i < ELEMENTSOF(ufrags); i++) {
                char parameters[128];
                const char *answer;

                snprintf(parameters, sizeof(parameters),
                         "{\"link\":\"wga\",\"ufrag\":\"%s\",\"keepsRelays\":false}", ufrags[i]);
                answer = call(fd, "AddSockets", parameters, &good, 1);
                assert_contains(answer, "error");
                cr_assert_eq(EBPF->n_sockets, 0, "%s", ufrags[i]);
        }
        close(fd);
}

Test(redirect_methods, sockets_are_described_removed_and_go_with_their_connection)
{
        int fd = connect_client(), second = connect_client();
        const int sockets[] = { udp_socket("127.0.0.1:1234"), udp_socket("[::1]:1234") };
        int another = udp_socket("127.0.0.1:1235");
        const SocketAddress local = address("[::1]:1234");
        const RedirectSocket *s = EBPF->sockets;
        uint64_t cookie;
        socklen_t size = sizeof(cookie);

        wait_for_link();
        assert_contains(call(fd, "AddSockets", ADD, sockets, 2), "NoRedirect");
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        cr_assert_null(strstr(call(fd, "AddSockets", ADD, sockets, 2), "error"));
        cr_assert_eq(EBPF->n_sockets, 2);
        cr_assert_eq(getsockopt(sockets[1], SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
        cr_assert_eq(s[1].cookie, cookie);
        cr_assert(socket_address_equal(&s[1].local, &local));
        cr_assert_eq(s[1].wireguard_port, WIREGUARD_PORT);
        cr_assert_str_eq(s[1].ufrag, "abcdefgh");
        cr_assert(s[1].keeps_relays);
        assert_contains(call(second, "AddSockets", ADD, sockets, 2), "error");

        cr_assert_null(
                strstr(call(second, "AddSockets",
                            "{\"link\":\"wga\",\"ufrag\":\"ABCD+/12\",\"keepsRelays\":false}", &another, 1),
                       "error"));
        cr_assert_eq(EBPF->n_sockets, 3);
        cr_assert(!s[2].keeps_relays);
        call(second, "RemoveSockets", "{\"ufrag\":\"abcdefgh\"}", NULL, 0);
        cr_assert_eq(EBPF->n_sockets, 3, "that is the other connection's");
        call(fd, "RemoveSockets", "{\"ufrag\":\"abcdefgh\"}", NULL, 0);
        cr_assert_eq(EBPF->n_sockets, 1);
        cr_assert_null(strstr(call(fd, "AddSockets", ADD, sockets, 2), "error"));

        close(second);
        RUN_UNTIL(event, EBPF->n_sockets == 2);
        cr_assert_eq(broker_redirect_kind(served), REDIRECT_EBPF);
        close(fd);
        RUN_UNTIL(event, EBPF->n_sockets == 0);
        RUN_UNTIL(event, broker_redirect_kind(served) == REDIRECT_PROXY);
}

Test(redirect_methods, a_link_without_a_port_shares_none)
{
        int fd = connect_client(), good = udp_socket("127.0.0.1:1234");

        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        wait_for_link();
        broker_manager_find(manager, "wga")->device->listen_port = 0;
        assert_contains(call(fd, "AddSockets", ADD, &good, 1), "NoListenPort");
        close(fd);
}

static int connect_watcher(void)
{
        static const char call[] = "{\"method\":\"org.icewire.Broker.WatchLinks\",\"more\":true}";
        int fd = connect_client();

        cr_assert_eq(send(fd, call, sizeof(call), MSG_NOSIGNAL), (ssize_t) sizeof(call));
        assert_contains(receive_answer(fd), "ready");
        return fd;
}

/* The timer's turn, before its time. */
static void let_it_look(void)
{
        unsigned n = EBPF->n_unasked;

        cr_assert_eq(sd_event_source_set_time_relative(server->redirect_check, 0), 0);
        RUN_UNTIL(event, EBPF->n_unasked == n + 1);
        run_pending(event);
}

Test(redirect_methods, a_limit_is_looked_for_now_and_then)
{
        int fd = connect_client(), watcher = connect_watcher(), enabled;

        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        EBPF->limited = true;
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        cr_assert_eq(EBPF->n_unasked, 0, "it was looked a moment ago");
        server->redirect_checked -= 10 * USEC_PER_SEC;
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "nftables");
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "NAT rules");
        cr_assert_eq(EBPF->n_unasked, 1);
        cr_assert(!is_readable(watcher), "who has asked has heard it");

        /* The last request is followed by another look. */
        EBPF->limited = false;
        let_it_look();
        cr_assert_eq(broker_redirect_kind(served), REDIRECT_NFTABLES);
        assert_contains(receive_answer(watcher), "{\"event\":\"redirect\"}");
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        let_it_look();
        cr_assert(!is_readable(watcher), "nothing has changed");

        call(fd, "SetRedirect", "{\"mode\":\"proxy\",\"uplinks\":[],\"relays\":[]}", NULL, 0);
        cr_assert_eq(sd_event_source_get_enabled(server->redirect_check, &enabled), 0);
        cr_assert_eq(enabled, SD_EVENT_OFF);
        close(watcher);
        close(fd);
}

#define MOVE(from, to, seconds)                                                                             \
        "{\"link\":\"wga\",\"from\":\"" from "\",\"to\":\"" to "\",\"seconds\":" #seconds "}"

Test(redirect_methods, moves_are_checked_made_and_end)
{
        static const struct {
                const char *parameters, *wanted;
        } bad[] = {
                { MOVE("192.0.2.1:0", "192.0.2.2:2", 5), "\"parameter\":\"from\"" },
                { MOVE("0.0.0.0:1", "192.0.2.2:2", 5), "\"parameter\":\"from\"" },
                { MOVE("192.0.2.1:1", "example.org:1", 5), "\"parameter\":\"to\"" },
                { MOVE("192.0.2.1:1", "[2001:db8::1]:1", 5), "\"parameter\":\"to\"" },
                { MOVE("192.0.2.1:1", "192.0.2.2:2", 121), "\"parameter\":\"seconds\"" },
                { MOVE("192.0.2.1:1", "192.0.2.2:2", -1), "\"parameter\":\"seconds\"" },
                { MOVE("192.0.2.1:1", "192.0.2.2:2", true), "\"parameter\":\"seconds\"" },
                { "{\"link\":\"wga\",\"from\":\"192.0.2.1:1\",\"seconds\":1}", "\"parameter\":\"to\"" },
                { "{\"link\":\"wgb\",\"from\":\"192.0.2.1:1\",\"to\":\"192.0.2.1:2\",\"seconds\":1}",
                  "NoSuchLink" },
        };
        int fd = connect_client(), second = connect_client(), enabled;
        usec_t before = now(CLOCK_MONOTONIC);

        wait_for_link();
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_contains(call(fd, "MoveSource", bad[i].parameters, NULL, 0), bad[i].wanted);
        assert_contains(call(fd, "MoveSource", MOVE("192.0.2.1:1", "192.0.2.2:2", 5), NULL, 0),
                        "NoRedirect");
        assert_contains(call(fd, "SetRedirect", AUTO, NULL, 0), "ebpf");
        assert_contains(call(second, "MoveSource", MOVE("192.0.2.1:1", "192.0.2.2:2", 5), NULL, 0),
                        "\"packets\":1");
        cr_assert_eq(EBPF->n_moves, 1);
        cr_assert_eq(EBPF->moves[0].move.wireguard_port, WIREGUARD_PORT);
        cr_assert_geq(EBPF->moves[0].until, before + 5 * USEC_PER_SEC);
        cr_assert_leq(EBPF->moves[0].until, now(CLOCK_MONOTONIC) + 5 * USEC_PER_SEC);
        EBPF->move_error = -ENOTSUP;
        assert_contains(call(second, "MoveSource", MOVE("192.0.2.3:3", "192.0.2.4:4", 5), NULL, 0),
                        "NoRedirect");
        EBPF->move_error = 0;

        /* The timer's turn, before that of the move: it is armed for what is left. */
        cr_assert_eq(sd_event_source_set_time_relative(server->move_expiry, 0), 0);
        run_pending(event);
        cr_assert_eq(EBPF->n_moves, 1);
        cr_assert_eq(sd_event_source_get_enabled(server->move_expiry, &enabled), 1);
        assert_contains(call(second, "MoveSource", MOVE("192.0.2.1:1", "192.0.2.2:2", 0), NULL, 0),
                        "\"packets\":1");
        cr_assert_eq(EBPF->n_moves, 0);
        cr_assert_eq(sd_event_source_get_enabled(server->move_expiry, &enabled), 0);

        assert_contains(call(second, "MoveSource", MOVE("192.0.2.1:1", "192.0.2.2:2", 5), NULL, 0),
                        "packets");
        close(second);
        RUN_UNTIL(event, EBPF->n_moves == 0);
        close(fd);
}

/* What has come so far, of all messages. */
static bool has_come(int fd, const char *text)
{
        static char seen[1 << 20];
        static size_t n;

        while (is_readable(fd)) {
                ssize_t k = recv(fd, seen + n, sizeof(seen) - n, 0);

                cr_assert_gt(k, 0);
                n += (size_t) k;
        }
        return memmem(seen, n, text, strlen(text));
}

Test(redirect_methods, initiations_are_told_with_the_link)
{
        int watcher = connect_watcher();
        SocketAddress nobodys = address("192.0.2.1:5"), remote = address("[2001:db8::1]:5");

        wait_for_link();
        EBPF->initiated(WIREGUARD_PORT + 1, &nobodys, EBPF->watcher);
        EBPF->initiated(WIREGUARD_PORT, &remote, EBPF->watcher);
        RUN_UNTIL(event, has_come(watcher, "{\"event\":\"initiation\",\"name\":\"wga\",\"endpoint\":"
                                           "\"[2001:db8::1]:5\"}"));
        cr_assert(!has_come(watcher, "192.0.2.1:5"));
        close(watcher);
}

Test(redirect_methods, too_many_initiations_are_not_told)
{
        int watcher = connect_watcher();
        SocketAddress remote = address("192.0.2.1:1"), last = address("192.0.2.2:2");

        wait_for_link();
        for (unsigned i = 0; i < 10000; i++)
                EBPF->initiated(WIREGUARD_PORT, &remote, EBPF->watcher);
        EBPF->initiated(WIREGUARD_PORT, &last, EBPF->watcher);
        run_pending(event);
        cr_assert(has_come(watcher, "192.0.2.1:1"));
        cr_assert(!has_come(watcher, "192.0.2.2:2"));
        /* Later there is room again. */
        server->initiations.started = false;
        EBPF->initiated(WIREGUARD_PORT, &last, EBPF->watcher);
        RUN_UNTIL(event, has_come(watcher, "192.0.2.2:2"));
        close(watcher);
}
