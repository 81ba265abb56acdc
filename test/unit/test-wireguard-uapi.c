/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wireguard-uapi.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "event-util.h"
#include "fd-util.h"
#include "sandbox.h"
#include "string-util.h"

/* --- the text --- */

#define KEY_A "b080acc6c2775b6fec95f1e688361aa2cc16447327239b67de11144bd813a741"
#define KEY_B "38cddfd9255e4239d8ce6a3f7d225ba1221721283dad43a5780cda974014fb4e"
#define KEY_C "b730110a5e9b09a214da3c6e148607022371689f6309657cc1e01a0e25881d22"

static int parse(const char *text, size_t size, WireguardDevice **ret, char **ret_error)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = NULL;
        _cleanup_free_ char *exact = malloc(size);
        int r;

        if (size > 0)
                memcpy(exact, text, size);
        cr_assert_eq(wireguard_device_new("wg0", WIREGUARD_KIND_USERSPACE, &device), 0);
        r = wireguard_uapi_parse(exact, size, device, ret_error);
        if (ret)
                *ret = TAKE_PTR(device);
        return r;
}

/* What wireguard-go says. */
static const char sample[] =
        "private_key=" KEY_A "\nlisten_port=5555\nfwmark=7\npublic_key=" KEY_B "\npreshared_key=" KEY_C
        "\nprotocol_version=1\nendpoint=[::1]:77\nlast_handshake_time_sec=1700000000\n"
        "last_handshake_time_nsec=123456789\ntx_bytes=148\nrx_bytes=18446744073709551615\n"
        "persistent_keepalive_interval=25\nallowed_ip=10.0.0.0/24\nallowed_ip=fd00::/64\n"
        "public_key=" KEY_A "\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\nerrno=0\n\n";

Test(parse, reads_a_device)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *device = NULL;
        WireguardKey a, b, c;
        const WireguardPeer *peer;

        cr_assert_eq(wireguard_key_from_hex(KEY_A, &a), 0);
        cr_assert_eq(wireguard_key_from_hex(KEY_B, &b), 0);
        cr_assert_eq(wireguard_key_from_hex(KEY_C, &c), 0);
        cr_assert_eq(parse(sample, strlen(sample), &device, /* ret_error= */ NULL), 0);
        cr_assert(wireguard_key_equal(&device->private_key, &a));
        cr_assert_eq(device->listen_port, 5555);
        cr_assert_eq(device->fwmark, 7);
        cr_assert_eq(device->n_peers, 2);
        peer = wireguard_device_find_peer(device, &b);
        cr_assert(wireguard_key_equal(&peer->preshared_key, &c));
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&peer->endpoint), "[::1]:77");
        cr_assert_eq(peer->last_handshake, 1700000000 * USEC_PER_SEC + 123456);
        cr_assert_eq(peer->tx_bytes, 148);
        cr_assert_eq(peer->rx_bytes, UINT64_MAX);
        cr_assert_eq(peer->persistent_keepalive, 25);
        cr_assert_eq(peer->n_allowed_ips, 2);
        cr_assert_str_eq(IP_PREFIX_STR(peer->allowed_ips + 1), "fd00::/64");
        peer = wireguard_device_find_peer(device, &a);
        cr_assert_eq(peer->last_handshake, 0);
        cr_assert(wireguard_key_is_zero(&peer->preshared_key));
        cr_assert_not(socket_address_is_set(&peer->endpoint));
}

Test(parse, takes_other_dialects)
{
        static const struct {
                const char *text;
                int result;
        } cases[] = {
                { "errno=0\n\n", 0 },
                { "errno=2\n\n", -ENOENT },
                { "errno=-22\n\n", -EINVAL },
                { "own_public_key=" KEY_A "\nlisten_port=0\nerrno=0\n\n", 0 },
                { "something_new=with any: value=\nerrno=0\n\n", 0 },
                { "public_key=" KEY_A "\nendpoint=[fe80::1%no-such-link]:5\nerrno=0\n\n", 0 },
                { "public_key=" KEY_A "\nallowed_ip=10.0.0.5/24\nerrno=0\n\n", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                cr_assert_eq(parse(cases[i].text, strlen(cases[i].text), NULL, NULL), cases[i].result, "%s",
                             cases[i].text);
}

Test(parse, says_where_it_went_wrong)
{
        static const struct {
                const char *text;
                const char *error;
        } cases[] = {
                { "", "line 1: cut short" },
                { "listen_port=1\n", "line 2: cut short" },
                { "errno=0", "line 1: cut short" },
                { "errno=0\n", "line 2: one empty line and nothing else may follow errno" },
                { "errno=0\n\nx", "line 2: one empty line and nothing else may follow errno" },
                { "errno=0\n\n\n", "line 2: one empty line and nothing else may follow errno" },
                { "\n\n", "line 1: not of the form key=value" },
                { "listen_port\nerrno=0\n\n", "line 1: not of the form key=value" },
                { "=1\nerrno=0\n\n", "line 1: not of the form key=value" },
                { "Listen_Port=1\nerrno=0\n\n", "line 1: not of the form key=value" },
                { "listen_port=65536\nerrno=0\n\n", "line 1: listen_port: not a valid value" },
                { "listen_port= 1\nerrno=0\n\n", "line 1: listen_port: not a valid value" },
                { "listen_port=\nerrno=0\n\n", "line 1: listen_port: not a valid value" },
                { "fwmark=-1\nerrno=0\n\n", "line 1: fwmark: not a valid value" },
                { "private_key=" KEY_A "0\nerrno=0\n\n", "line 1: private_key: not a valid value" },
                { "errno=4096\n\n", "line 1: errno: not a valid value" },
                { "errno=--1\n\n", "line 1: errno: not a valid value" },
                { "rx_bytes=1\nerrno=0\n\n",
                  "line 1: rx_bytes: a peer's property before the first public_key" },
                { "public_key=" KEY_A "\nfwmark=1\nerrno=0\n\n",
                  "line 2: fwmark: the device's property behind a public_key" },
                { "public_key=" KEY_A "\npublic_key=" KEY_A "\nerrno=0\n\n",
                  "line 2: public_key: not a valid value" },
                { "public_key=" KEY_A "\nallowed_ip=10.0.0.0/33\nerrno=0\n\n",
                  "line 2: allowed_ip: not a valid value" },
                { "public_key=" KEY_A "\nendpoint=example.com:1\nerrno=0\n\n",
                  "line 2: endpoint: not a valid value" },
                { "public_key=" KEY_A "\nlast_handshake_time_nsec=1000000000\nerrno=0\n\n",
                  "line 2: last_handshake_time_nsec: not a valid value" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *error = NULL;

                cr_assert_eq(parse(cases[i].text, strlen(cases[i].text), NULL, &error), -EBADMSG, "case %zu",
                             i);
                cr_assert_str_eq(error, cases[i].error);
        }
        /* A NUL byte would hide what is behind it. */
        cr_assert_eq(parse("listen_port=1\0002\nerrno=0\n\n", 24, NULL, NULL), -EBADMSG);
}

Test(parse, refuses_every_cut)
{
        for (size_t cut = 0; cut < strlen(sample); cut++)
                cr_assert_eq(parse(sample, cut, NULL, NULL), -EBADMSG, "cut to %zu", cut);
}

/* --- calls, with a socket of ours at the other end --- */

typedef struct Result {
        unsigned n;
        int error;
        WireguardDevice *device;
        WireguardCall *call;
} Result;

static void on_device(int error, WireguardDevice *device, void *userdata)
{
        Result *result = userdata;

        result->n++;
        result->error = error;
        result->device = device;
        cr_assert_eq(error < 0, device == NULL);
        result->call = wireguard_call_free(result->call);
}

static void on_done(int error, void *userdata)
{
        Result *result = userdata;

        result->n++;
        result->error = error;
}

typedef struct Server {
        char folder[64];
        char path[96];
        int listener;
        int connection;
} Server;

static void server_start(Server *server, int backlog)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX };

        strcpy(server->folder, "/tmp/icewire-uapi-XXXXXX");
        cr_assert_not_null(mkdtemp(server->folder));
        snprintf(server->path, sizeof(server->path), "%s/wg0.sock", server->folder);
        strcpy(a.sun_path, server->path);
        server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        server->connection = -EBADF;
        cr_assert_eq(bind(server->listener, (struct sockaddr *) &a, sizeof(a)), 0);
        cr_assert_eq(listen(server->listener, backlog), 0);
}

static void server_stop(Server *server)
{
        unlink(server->path);
        rmdir(server->folder);
        safe_close(server->connection);
        safe_close(server->listener);
}

/* Takes the connection, which is there already, and its request. */
static void server_expect(Server *server, sd_event *event, const char *request)
{
        char buf[1024];
        ssize_t n;

        server->connection = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        cr_assert_geq(server->connection, 0);
        run_pending(event);
        n = read(server->connection, buf, sizeof(buf) - 1);
        cr_assert_gt(n, 0);
        buf[n] = '\0';
        cr_assert_str_eq(buf, request);
}

static void server_say(Server *server, const char *text, size_t size)
{
        cr_assert_eq(write(server->connection, text, size), (ssize_t) size);
}

Test(calls, read_an_answer_that_comes_in_pieces)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *direct = NULL;

        cr_assert_eq(parse(sample, strlen(sample), &direct, NULL), 0);
        for (size_t cut = 0; cut < strlen(sample); cut += cut + 12 < strlen(sample) ? 7 : 1) {
                _cleanup_event_ sd_event *event = NULL;
                Server server;
                Result get = {};

                server_start(&server, 1);
                cr_assert_geq(sd_event_new(&event), 0);
                cr_assert_eq(wireguard_uapi_get(event, server.folder, "wg0", on_device, &get, &get.call), 0);
                server_expect(&server, event, "get=1\n\n");
                server_say(&server, sample, cut);
                run_pending(event);
                cr_assert_eq(get.n, 0);
                server_say(&server, sample + cut, strlen(sample) - cut);
                RUN_UNTIL(event, get.n > 0);
                cr_assert_eq(get.error, 0);
                cr_assert_eq(get.device->kind, WIREGUARD_KIND_USERSPACE);
                cr_assert_eq(wireguard_device_compare(get.device, direct), 0);
                wireguard_device_free(get.device);
                server_stop(&server);
        }
}

Test(calls, write_an_endpoint)
{
        _cleanup_event_ sd_event *event = NULL;
        SocketAddress endpoint;
        WireguardKey key;
        Server server;
        Result set = {}, failing = {};

        server_start(&server, 1);
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(wireguard_key_from_hex(KEY_A, &key), 0);
        cr_assert_eq(socket_address_from_string("[2001:db8::1]:4711", &endpoint), 0);
        cr_assert_eq(wireguard_uapi_set_endpoint(event, server.folder, "wg0", &key, &endpoint, 25, on_done,
                                                 &set, /* ret= */ NULL),
                     0);
        server_expect(&server, event,
                      "set=1\npublic_key=" KEY_A "\nupdate_only=true\nendpoint=[2001:db8::1]:4711\n"
                      "persistent_keepalive_interval=25\n\n");
        server_say(&server, "errno=0\n\n", 9);
        RUN_UNTIL(event, set.n > 0);
        cr_assert_eq(set.error, 0);

        safe_close(server.connection);
        cr_assert_eq(wireguard_uapi_set_endpoint(event, server.folder, "wg0", &key, /* endpoint= */ NULL, -1,
                                                 on_done, &failing, /* ret= */ NULL),
                     0);
        server_expect(&server, event, "set=1\npublic_key=" KEY_A "\nupdate_only=true\n\n");
        server_say(&server, "errno=-5\n\n", 10);
        RUN_UNTIL(event, failing.n > 0);
        cr_assert_eq(failing.error, -EIO);
        server_stop(&server);
}

Test(calls, tell_what_went_wrong)
{
        _cleanup_event_ sd_event *event = NULL;
        WireguardKey key = {};
        Server server;
        Result missing = {}, stale = {}, cut = {}, silent = {}, cancelled = {}, malformed = {};

        server_start(&server, 1);
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(wireguard_uapi_get(event, server.folder, "wg1", on_device, &missing, NULL), 0);
        cr_assert_eq(missing.n, 0);
        RUN_UNTIL(event, missing.n > 0);
        cr_assert_eq(missing.error, -ENODEV);

        cr_assert_eq(wireguard_uapi_get(event, server.folder, "wg0", on_device, &malformed, NULL), 0);
        server_expect(&server, event, "get=1\n\n");
        server_say(&server, "what?\n\n", 7);
        RUN_UNTIL(event, malformed.n > 0);
        cr_assert_eq(malformed.error, -EBADMSG);
        safe_close(server.connection);

        cr_assert_eq(wireguard_uapi_get(event, server.folder, "wg0", on_device, &cut, NULL), 0);
        server_expect(&server, event, "get=1\n\n");
        server_say(&server, sample, 100);
        server.connection = safe_close(server.connection);
        RUN_UNTIL(event, cut.n > 0);
        cr_assert_eq(cut.error, -EBADMSG);

        cr_assert_eq(wireguard_uapi_get(event, server.folder, "wg0", on_device, &silent, NULL), 0);
        server_expect(&server, event, "get=1\n\n");
        server.connection = safe_close(server.connection);
        RUN_UNTIL(event, silent.n > 0);
        cr_assert_eq(silent.error, -ECONNRESET);

        cr_assert_eq(wireguard_uapi_get(event, server.folder, "wg0", on_device, &cancelled, &cancelled.call),
                     0);
        server_expect(&server, event, "get=1\n\n");
        wireguard_call_free(cancelled.call);
        run_pending(event);
        cr_assert_eq(cancelled.n, 0);
        cr_assert_eq(read(server.connection, &key, 1), 0, "the connection is closed");

        server.listener = safe_close(server.listener);
        cr_assert_eq(wireguard_uapi_get(event, server.folder, "wg0", on_device, &stale, NULL), 0);
        RUN_UNTIL(event, stale.n > 0);
        cr_assert_eq(stale.error, -ECONNREFUSED);

        cr_assert_eq(wireguard_uapi_get(event, server.folder, "../wg0", on_device, &stale, NULL), -EINVAL);
        cr_assert_eq(wireguard_uapi_set_endpoint(event, server.folder, "wg0", &key, NULL, 65536, on_done,
                                                 &stale, NULL),
                     -EINVAL);
        cr_assert_eq(wireguard_uapi_get(event,
                                        "/a-folder-with-a-name-so-long-that-it-does-not-fit-into-a-socket-"
                                        "address/which-has-only-108-bytes-for-it",
                                        "wg0", on_device, &stale, NULL),
                     -ENAMETOOLONG);
        server_stop(&server);
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
        *(bool *) userdata = true;
        return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

Test(calls, wait_for_their_turn_at_a_busy_socket)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_event_source_ sd_event_source *source = NULL;
        bool readable = false;
        Server server;
        Result first = {}, second = {};

        /* A backlog of 0 holds one connection. */
        server_start(&server, 0);
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(wireguard_uapi_get(event, server.folder, "wg0", on_device, &first, &first.call), 0);
        cr_assert_eq(wireguard_uapi_get(event, server.folder, "wg0", on_device, &second, &second.call), 0);
        run_pending(event);
        cr_assert_eq(second.n, 0);
        server_expect(&server, event, "get=1\n\n");
        server_say(&server, "errno=0\n\n", 9);
        RUN_UNTIL(event, first.n > 0);
        cr_assert_eq(first.error, 0);
        wireguard_device_free(first.device);
        safe_close(server.connection);

        /* Now there is room for the second one, which tries again by itself. */
        cr_assert_geq(sd_event_add_io(event, &source, server.listener, EPOLLIN, on_readable, &readable), 0);
        RUN_UNTIL(event, readable);
        server_expect(&server, event, "get=1\n\n");
        server_say(&server, "errno=0\n\n", 9);
        RUN_UNTIL(event, second.n > 0);
        cr_assert_eq(second.error, 0);
        wireguard_device_free(second.device);
        server_stop(&server);
}

/* An answer without end does not fill the memory. */
Test(calls, stop_reading_at_a_limit)
{
        static char chunk[64 * 1024];
        _cleanup_event_ sd_event *event = NULL;
        Server server;
        Result get = {};
        size_t written = 0;

        memset(chunk, 'a', sizeof(chunk));
        server_start(&server, 1);
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(wireguard_uapi_get(event, server.folder, "wg0", on_device, &get, &get.call), 0);
        server_expect(&server, event, "get=1\n\n");
        while (get.n == 0) {
                ssize_t n = send(server.connection, chunk, sizeof(chunk), MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n > 0)
                        written += (size_t) n;
                run_pending(event);
        }
        cr_assert_eq(get.error, -EMSGSIZE);
        cr_assert_geq(written, (size_t) WIREGUARD_UAPI_SIZE_MAX);
        server_stop(&server);
}

Test(calls, time_out)
{
        _cleanup_event_ sd_event *event = NULL;
        Server server;
        Result get = {};

        server_start(&server, 1);
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(wireguard_uapi_get(event, server.folder, "wg0", on_device, &get, &get.call), 0);
        RUN_UNTIL(event, get.n > 0);
        cr_assert_eq(get.error, -ETIMEDOUT);
        server_stop(&server);
}

/* --- wireguard-go --- */

static pid_t wireguard_go;

static void stop_wireguard_go(void)
{
        if (wireguard_go <= 0)
                return;
        kill(wireguard_go, SIGKILL);
        waitpid(wireguard_go, NULL, 0);
}

/* A /run/wireguard of our own: others' links stay out of sight, and what is left behind goes with us. */
static void enter_private_run(void)
{
        sandbox_need_root();
        sandbox_enter_bare();
        (void) mkdir(WIREGUARD_UAPI_FOLDER, 0700);
        if (mount("tmpfs", WIREGUARD_UAPI_FOLDER, "tmpfs", 0, NULL) < 0)
                cr_skip_test("no private " WIREGUARD_UAPI_FOLDER);
        if (access("/dev/net/tun", R_OK | W_OK) < 0 || system("command -v wireguard-go wg >/dev/null") != 0)
                cr_skip_test("needs wireguard-go, wg and /dev/net/tun");
}

static int on_created(sd_event_source *source, const struct inotify_event *e, void *userdata)
{
        *(bool *) userdata |= e->len > 0 && streq(e->name, "wgtest.sock");
        return 0;
}

static void start_wireguard_go(sd_event *event)
{
        _cleanup_event_source_ sd_event_source *inotify = NULL;
        bool there = false;
        pid_t parent = getpid();

        cr_assert_geq(
                sd_event_add_inotify(event, &inotify, WIREGUARD_UAPI_FOLDER, IN_CREATE, on_created, &there),
                0);
        wireguard_go = fork();
        cr_assert_geq(wireguard_go, 0);
        if (wireguard_go == 0) {
                /* It goes with the test, however that ends. */
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                        _exit(1);
                setenv("LOG_LEVEL", "silent", 1);
                /* Its banner does not belong into the test's output. */
                if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
                        _exit(1);
                execlp("wireguard-go", "wireguard-go", "-f", "wgtest", NULL);
                _exit(127);
        }
        RUN_UNTIL(event, there);
}

/* Between bind(2) and listen(2) of the other side the socket is there and refuses. */
static WireguardDevice *get_device(sd_event *event)
{
        Result get;

        do {
                get = (Result) {};
                cr_assert_eq(wireguard_uapi_get(event, WIREGUARD_UAPI_FOLDER, "wgtest", on_device, &get,
                                                &get.call),
                             0);
                RUN_UNTIL(event, get.n > 0);
        } while (get.error == -ECONNREFUSED);
        cr_assert_eq(get.error, 0);
        return get.device;
}

Test(wireguard_go, is_read_and_written, .fini = stop_wireguard_go)
{
        _cleanup_event_ sd_event *event = NULL;
        _cleanup_(wireguard_device_freep) WireguardDevice *empty = NULL, *before = NULL, *after = NULL;
        WireguardKey nobody = { .bytes = { 1 } };
        const WireguardPeer *peer;
        SocketAddress endpoint;
        Result set = {}, absent = {};

        enter_private_run();
        cr_assert_geq(sd_event_new(&event), 0);
        start_wireguard_go(event);
        empty = get_device(event);
        cr_assert_eq(empty->n_peers, 0);
        cr_assert_eq(empty->ifindex, (int) if_nametoindex("wgtest"));

        sandbox_shell("wg genkey | wg set wgtest private-key /dev/stdin listen-port 5555; "
                      "wg genpsk | wg set wgtest peer $(wg genkey | wg pubkey) preshared-key /dev/stdin "
                      "allowed-ips 10.0.0.0/24,fd00::/64 persistent-keepalive 25; "
                      "wg set wgtest peer $(wg genkey | wg pubkey) endpoint 127.0.0.1:9");
        before = get_device(event);
        cr_assert_eq(before->n_peers, 2);
        cr_assert_eq(before->listen_port, 5555);
        cr_assert_not(wireguard_key_is_zero(&before->private_key));
        peer = before->peers[0].n_allowed_ips == 2 ? before->peers : before->peers + 1;
        cr_assert_eq(peer->n_allowed_ips, 2);
        cr_assert_eq(peer->persistent_keepalive, 25);
        cr_assert_not(wireguard_key_is_zero(&peer->preshared_key));
        cr_assert_not(socket_address_is_set(&peer->endpoint));
        cr_assert_eq(wireguard_device_compare(empty, before) & WIREGUARD_CHANGE_CONFIGURATION,
                     WIREGUARD_CHANGE_CONFIGURATION);

        cr_assert_eq(socket_address_from_string("[::1]:4711", &endpoint), 0);
        cr_assert_eq(wireguard_uapi_set_endpoint(event, WIREGUARD_UAPI_FOLDER, "wgtest", &peer->public_key,
                                                 &endpoint, -1, on_done, &set, NULL),
                     0);
        cr_assert_eq(wireguard_uapi_set_endpoint(event, WIREGUARD_UAPI_FOLDER, "wgtest", &nobody, &endpoint,
                                                 10, on_done, &absent, NULL),
                     0);
        RUN_UNTIL(event, set.n > 0 && absent.n > 0);
        cr_assert_eq(set.error, 0);
        cr_assert_eq(absent.error, 0);

        after = get_device(event);
        cr_assert_eq(after->n_peers, 2, "no peer was made");
        cr_assert_eq(wireguard_device_compare(before, after) & ~WIREGUARD_CHANGE_COUNTERS,
                     WIREGUARD_CHANGE_ENDPOINT);
        peer = wireguard_device_find_peer(after, &peer->public_key);
        cr_assert(socket_address_equal(&peer->endpoint, &endpoint));
        cr_assert_eq(peer->persistent_keepalive, 25);
}
