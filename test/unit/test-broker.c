/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <openssl/bn.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "alloc-util.h"
#include "broker-client.h"
#include "broker-poll.h"
#include "broker-secrets.h"
#include "encode.h"
#include "event-util.h"
#include "fd-util.h"
#include "random-util.h"
#include "sandbox.h"
#include "string-util.h"
#include "varlink-broker.h"
#include "varlink-util.h"

/* The real broker, as a child, against real userspace WireGuard (and the kernel's, where there is one) in a
 * network and mount namespace of this test. What must happen is waited for, with a deadline that only a
 * failure meets. */

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#else
#define SANITIZED false
#endif

#define FOREIGN_USER 4242U
#define LINKS_MAX 8U
#define KEYS_MAX 8U

static char folder[] = "/tmp/test-broker.XXXXXX";
static char *socket_path;
static sd_event *event;
static pid_t broker_pid;
static pid_t device_pids[LINKS_MAX];
static size_t n_device_pids;

/* What the client told last. */
static struct {
        WireguardDevice *links[LINKS_MAX];
        size_t n;
        unsigned n_changed;
        unsigned n_ready;
        unsigned n_lost;
        int error;
        SocketAddress initiated; /* where to */
} seen;

/* Every secret that a test made. */
static WireguardKey secrets[KEYS_MAX];
static size_t n_secrets;

/* --- processes --- */

static pid_t start(const char *const argv[])
{
        pid_t pid = fork();

        cr_assert_geq(pid, 0);
        if (pid > 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp(argv[0], (char *const *) argv);
        _exit(127);
}

static void stop(pid_t pid, int signal)
{
        if (pid <= 0)
                return;
        /* In case that a test has suspended it; and before the signal, because a process that ends may look
         * for leaks, by ptrace(2): SIGCONT takes away the SIGSTOP of that, which then never comes. */
        kill(pid, SIGCONT);
        kill(pid, signal);
        waitpid(pid, NULL, 0);
}

/* All of its threads: until then one of them might still answer. */
static void suspend(pid_t pid)
{
        int status = 0;

        cr_assert_eq(kill(pid, SIGSTOP), 0);
        cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
        cr_assert(WIFSTOPPED(status));
}

static char *output_of(const char *command)
{
        static char buffer[65536];
        FILE *f = popen(command, "r");
        size_t n;

        cr_assert_not_null(f);
        n = fread(buffer, 1, sizeof(buffer) - 1, f);
        buffer[n] = '\0';
        pclose(f);
        return buffer;
}

static void start_broker(void)
{
        _cleanup_free_ char *program = asprintf_safe("%s/src/icewire-broker", getenv("ICEWIRE_BUILD")),
                            *listen = asprintf_safe("--socket=%s", socket_path);

        broker_pid = start((const char *const[]) { program, listen, "--user=1", NULL });
}

/* --- keys and devices --- */

static const WireguardKey *new_key(void)
{
        WireguardKey *key = &secrets[n_secrets++];

        cr_assert_leq(n_secrets, KEYS_MAX);
        random_bytes(key->bytes, sizeof(key->bytes));
        key->bytes[0] &= 248;
        key->bytes[31] = (key->bytes[31] & 127) | 64;
        return key;
}

static WireguardKey public_of(const WireguardKey *key)
{
        _cleanup_free_ char *command = asprintf_safe("echo %s | wg pubkey", WIREGUARD_KEY_STR(key));
        WireguardKey out;
        char *s = output_of(command);

        s[strcspn(s, "\n")] = '\0';
        cr_assert_eq(wireguard_key_from_base64(s, &out), 0);
        return out;
}

static pid_t start_userspace(const char *name)
{
        pid_t pid;

        setenv("LOG_LEVEL", "silent", 1);
        pid = start((const char *const[]) { "wireguard-go", "-f", name, NULL });
        device_pids[n_device_pids++] = pid;
        return pid;
}

/* wg(8) removes a socket that is there and does not listen yet. */
static bool device_listens(const char *name)
{
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un sa = { .sun_family = AF_UNIX };

        (void) snprintf(sa.sun_path, sizeof(sa.sun_path), "/var/run/wireguard/%s.sock", name);
        return connect(fd, (struct sockaddr *) &sa, sizeof(sa)) >= 0;
}

static void wg_set_key(const char *name, const WireguardKey *key)
{
        for (usec_t t = now(CLOCK_BOOTTIME);;) {
                _cleanup_free_ char *command = asprintf_safe("echo %s | wg set %s private-key /dev/stdin "
                                                             "2>/dev/null",
                                                             WIREGUARD_KEY_STR(key), name);

                if (device_listens(name) && system(command) == 0)
                        return;
                cr_assert_lt(now(CLOCK_BOOTTIME), t + SANDBOX_PATIENCE);
                poll(NULL, 0, 10);
        }
}

/* --- the client --- */

static WireguardDevice *find_link(const char *name)
{
        for (size_t i = 0; i < seen.n; i++)
                if (streq(seen.links[i]->name, name))
                        return seen.links[i];
        return NULL;
}

static void on_removed(Broker *b, const char *name, void *userdata)
{
        for (size_t i = 0; i < seen.n; i++)
                if (streq(seen.links[i]->name, name)) {
                        wireguard_device_free(seen.links[i]);
                        seen.links[i] = seen.links[--seen.n];
                        return;
                }
}

static void on_changed(Broker *b, const WireguardDevice *device, void *userdata)
{
        _cleanup_json_ sd_json_variant *v = NULL;

        cr_assert(wireguard_key_is_zero(&device->private_key));
        seen.n_changed++;
        on_removed(b, device->name, NULL);
        cr_assert_eq(broker_link_build_json(device, &v), 0);
        cr_assert_eq(broker_link_parse_json(v, &seen.links[seen.n++]), 0);
}

static void on_ready(Broker *b, void *userdata)
{
        seen.n_ready++;
}

static void on_lost(Broker *b, int error, void *userdata)
{
        seen.n_lost++;
        seen.error = error;
}

static void on_redirect_changed(Broker *b, void *userdata)
{
        cr_assert_fail("nothing has changed");
}

static void on_initiated(Broker *b, const char *link, const SocketAddress *endpoint, void *userdata)
{
        cr_assert_str_eq(link, "wga");
        seen.initiated = *endpoint;
}

static const BrokerCallbacks callbacks = {
        .link_changed = on_changed,
        .link_removed = on_removed,
        .ready = on_ready,
        .lost = on_lost,
        .redirect_changed = on_redirect_changed,
        .handshake_initiated = on_initiated,
};

#define WAIT_FOR(condition) RUN_UNTIL(event, condition)

typedef struct Answer {
        bool there;
        int error;
        uint8_t data[16384];
        size_t size;
        char text[128];
        char send[128], receive[128];
        WireguardDevice *device;
} Answer;

static void on_data(Broker *b, int error, const void *data, size_t size, const char *text, void *userdata)
{
        Answer *a = userdata;

        cr_assert_leq(size, sizeof(a->data));
        a->there = true;
        a->error = error;
        a->size = size;
        if (size > 0)
                memcpy(a->data, data, size);
        snprintf(a->text, sizeof(a->text), "%s", strempty(text));
}

static void on_done(Broker *b, int error, void *userdata)
{
        Answer *a = userdata;

        a->there = true;
        a->error = error;
}

static void on_topics(Broker *b, int error, const char *send, const char *receive, void *userdata)
{
        Answer *a = userdata;

        a->there = true;
        a->error = error;
        snprintf(a->send, sizeof(a->send), "%s", strempty(send));
        snprintf(a->receive, sizeof(a->receive), "%s", strempty(receive));
}

static void on_device(Broker *b, int error, const WireguardDevice *device, void *userdata)
{
        Answer *a = userdata;
        _cleanup_json_ sd_json_variant *v = NULL;

        a->there = true;
        a->error = error;
        if (!device)
                return;
        cr_assert_eq(broker_link_build_json(device, &v), 0);
        cr_assert_eq(broker_link_parse_json(v, &a->device), 0);
}

static Broker *connect_client(void)
{
        Broker *b;

        cr_assert_eq(broker_client_new(event, socket_path, &callbacks, NULL, &b), 0);
        return b;
}

static Answer seal(Broker *b, const char *link, const WireguardKey *peer, const void *body, size_t size)
{
        Answer a = {};

        cr_assert_eq(b->ops->seal(b, link, peer, body, size, on_data, &a, NULL), 0);
        WAIT_FOR(a.there);
        return a;
}

static Answer open_envelope(Broker *b, const char *link, const WireguardKey *peer, const void *envelope,
                            size_t size)
{
        Answer a = {};

        cr_assert_eq(b->ops->open(b, link, peer, envelope, size, on_data, &a, NULL), 0);
        WAIT_FOR(a.there);
        return a;
}

static int set_endpoint(Broker *b, const char *link, const WireguardKey *peer, const char *endpoint,
                        int keepalive)
{
        SocketAddress address = {};
        Answer a = {};

        if (endpoint)
                cr_assert_eq(socket_address_from_string(endpoint, &address), 0);
        cr_assert_eq(b->ops->set_endpoint(b, link, peer, &address, keepalive, on_done, &a, NULL), 0);
        WAIT_FOR(a.there);
        return a.error;
}

/* --- the wire, without a client --- */

static int raw_connect(void)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        usec_t t = now(CLOCK_BOOTTIME);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        strcpy(address.sun_path, socket_path);
        while (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
                cr_assert_lt(now(CLOCK_BOOTTIME), t + SANDBOX_PATIENCE);
                poll(NULL, 0, 10);
        }
        return fd;
}

static void raw_send(int fd, const char *json, const int *fds, size_t n_fds)
{
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(64 * sizeof(int))];
        } control = {};
        struct iovec iov = { (char *) json, strlen(json) + 1 };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n_fds > 0) {
                m.msg_control = &control;
                m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                control.header = (struct cmsghdr) { CMSG_LEN(n_fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
                memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
        }
        cr_assert_eq(sendmsg(fd, &m, MSG_NOSIGNAL), (ssize_t) iov.iov_len);
}

/* One message, or "" at the end of the connection. Every byte that comes is searched for every secret. */
static char *raw_receive(int fd)
{
        static char buffer[1 << 20];
        size_t n = 0;

        while (n == 0 || buffer[n - 1] != '\0') {
                struct pollfd p = { fd, POLLIN, 0 };
                ssize_t k;

                cr_assert_eq(poll(&p, 1, (int) (SANDBOX_PATIENCE / USEC_PER_MSEC)), 1, "no answer");
                k = recv(fd, buffer + n, 1, 0);
                if (k <= 0)
                        return strcpy(buffer, "");
                n++;
        }
        for (size_t i = 0; i < n_secrets; i++) {
                char hex[HEX_SIZE(WIREGUARD_KEY_SIZE)];
                const char *base64 = WIREGUARD_KEY_STR(&secrets[i]);

                hex_encode(secrets[i].bytes, WIREGUARD_KEY_SIZE, hex);
                cr_assert_null(strstr(buffer, base64));
                cr_assert_null(strcasestr(buffer, hex));
                cr_assert_null(memmem(buffer, n, secrets[i].bytes, WIREGUARD_KEY_SIZE));
                /* The middle of it too, as it would stand in base64 at any alignment of a larger blob. */
                for (size_t shift = 0; shift < 3; shift++) {
                        char part[BASE64_SIZE(27)];

                        base64_encode(secrets[i].bytes + shift, 27, part);
                        cr_assert_null(strstr(buffer, part));
                }
        }
        return buffer;
}

static char *raw_call(int fd, const char *method, const char *parameters)
{
        _cleanup_free_ char *json = asprintf_safe("{\"method\":\"org.icewire.Broker.%s\",\"parameters\":%s}",
                                                  method, parameters);

        raw_send(fd, json, NULL, 0);
        return raw_receive(fd);
}

/* --- set up --- */

static void enter_namespaces(void)
{
        sandbox_need_root();
        if (access("/usr/bin/wireguard-go", X_OK) < 0)
                cr_skip_test("needs wireguard-go");
        sandbox_enter();
        cr_assert_eq(mount("tmpfs", "/run", "tmpfs", 0, "mode=0755"), 0);
}

static void setup(void)
{
        enter_namespaces();
        cr_assert_not_null(mkdtemp(folder));
        cr_assert_eq(chmod(folder, 0755), 0);
        socket_path = asprintf_safe("%s/broker/socket", folder);
        cr_assert_eq(sd_event_new(&event), 0);
}

static void teardown(void)
{
        stop(broker_pid, SIGTERM);
        for (size_t i = 0; i < n_device_pids; i++)
                stop(device_pids[i], SIGTERM);
        while (seen.n > 0)
                wireguard_device_free(seen.links[--seen.n]);
        event = sd_event_unref(event);
        if (socket_path)
                sandbox_shell("rm -rf %s", folder);
        free(socket_path);
}

TestSuite(broker, .init = setup, .fini = teardown, .timeout = 110);

/* --- links --- */

Test(broker, userspace_link_comes_changes_and_goes)
{
        Broker *b = connect_client();
        const WireguardKey *key = new_key(), *peer_key = new_key();
        WireguardKey public_key = public_of(key), peer = public_of(peer_key);
        WireguardDevice *d;
        WireguardPeer *p;
        pid_t pid;

        start_broker();
        WAIT_FOR(seen.n_ready == 1);
        cr_assert_eq(seen.n, 0);

        /* The folder of the sockets does not exist when the broker starts. */
        pid = start_userspace("wgtest0");
        WAIT_FOR(find_link("wgtest0"));
        cr_assert_eq(find_link("wgtest0")->kind, WIREGUARD_KIND_USERSPACE);
        cr_assert(wireguard_key_is_zero(&find_link("wgtest0")->public_key));

        wg_set_key("wgtest0", key);
        WAIT_FOR((d = find_link("wgtest0")) && wireguard_key_equal(&d->public_key, &public_key));

        sandbox_shell("wg set wgtest0 listen-port 5555 fwmark 7 peer %s allowed-ips 10.1.0.0/16,fd00::/64 "
                      "persistent-keepalive 25 endpoint 192.0.2.1:99",
                      WIREGUARD_KEY_STR(&peer));
        WAIT_FOR((d = find_link("wgtest0")) && d->n_peers == 1);
        p = wireguard_device_find_peer(d, &peer);
        cr_assert_not_null(p);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&p->endpoint), "192.0.2.1:99");
        cr_assert_eq(p->persistent_keepalive, 25);
        cr_assert_eq(p->n_allowed_ips, 2);
        cr_assert_eq(d->listen_port, 5555);
        cr_assert_eq(d->fwmark, 7);

        sandbox_shell("wg set wgtest0 peer %s remove", WIREGUARD_KEY_STR(&peer));
        WAIT_FOR((d = find_link("wgtest0")) && d->n_peers == 0);

        /* Another private key, none, and the interface up and gone. */
        wg_set_key("wgtest0", peer_key);
        WAIT_FOR((d = find_link("wgtest0")) && wireguard_key_equal(&d->public_key, &peer));
        sandbox_shell("ip link set wgtest0 up");
        sandbox_shell("ip link del wgtest0");
        WAIT_FOR(!find_link("wgtest0"));
        waitpid(pid, NULL, 0);
        device_pids[0] = 0;
        b = broker_free(b);
}

Test(broker, stale_socket_is_no_link)
{
        Broker *b = connect_client();
        pid_t pid;

        pid = start_userspace("wgtest0");
        start_broker();
        WAIT_FOR(find_link("wgtest0"));
        kill(pid, SIGKILL);
        WAIT_FOR(!find_link("wgtest0"));
        cr_assert_eq(access("/run/wireguard/wgtest0.sock", F_OK), 0, "the socket must be there still");

        /* The next one takes its place. */
        (void) start_userspace("wgtest0");
        WAIT_FOR(find_link("wgtest0"));
        b = broker_free(b);
}

Test(broker, other_files_in_the_folder_are_no_links)
{
        Broker *b = connect_client();

        sandbox_shell("mkdir -p /run/wireguard/dir.sock && touch /run/wireguard/file.sock "
                      "/run/wireguard/.sock '/run/wireguard/a b.sock' /run/wireguard/toolongforaname0.sock");
        (void) start_userspace("wgtest0");
        start_broker();
        WAIT_FOR(seen.n_ready == 1);
        WAIT_FOR(find_link("wgtest0"));
        cr_assert_eq(seen.n, 1);
        b = broker_free(b);
}

Test(broker, kernel_link_comes_is_renamed_and_goes)
{
        Broker *b;
        const WireguardKey *key = new_key();
        WireguardKey public_key = public_of(key);
        WireguardDevice *d;
        unsigned changed;

        if (system("ip link add wgk0 type wireguard 2>/dev/null") != 0)
                cr_skip_test("no WireGuard in this kernel");
        b = connect_client();
        start_broker();
        WAIT_FOR((d = find_link("wgk0")) && d->kind == WIREGUARD_KIND_KERNEL && d->ifindex > 0);
        wg_set_key("wgk0", key);
        WAIT_FOR((d = find_link("wgk0")) && wireguard_key_equal(&d->public_key, &public_key));
        changed = seen.n_changed;
        sandbox_shell("ip link set wgk0 up");
        WAIT_FOR(seen.n_changed > changed);
        sandbox_shell("ip link set wgk0 down && ip link set wgk0 name wgk1");
        WAIT_FOR(find_link("wgk1") && !find_link("wgk0"));
        sandbox_shell("ip link del wgk1");
        WAIT_FOR(!find_link("wgk1"));
        b = broker_free(b);
}

/* --- methods --- */

/* Two links that know each other. */
static void two_links(WireguardKey *ret_a, WireguardKey *ret_b, const char *psk)
{
        const WireguardKey *a = new_key(), *b = new_key();

        *ret_a = public_of(a);
        *ret_b = public_of(b);
        (void) start_userspace("wga");
        (void) start_userspace("wgb");
        wg_set_key("wga", a);
        wg_set_key("wgb", b);
        sandbox_shell(
                "printf %%s '%s' > %s/psk; wg set wga peer %s preshared-key %s/psk; wg set wgb peer %s "
                "preshared-key %s/psk",
                psk, folder, WIREGUARD_KEY_STR(ret_b), folder, WIREGUARD_KEY_STR(ret_a), folder);
        start_broker();
}

static bool links_are_there(void)
{
        return find_link("wga") && find_link("wga")->n_peers > 0 && find_link("wgb") &&
               find_link("wgb")->n_peers > 0;
}

Test(broker, set_endpoint_is_seen_by_wg)
{
        Broker *b = connect_client();
        WireguardKey a_key, b_key, stranger = public_of(new_key());
        Answer answer = {};
        WireguardPeer *p;

        two_links(&a_key, &b_key, "");
        WAIT_FOR(links_are_there());

        cr_assert_eq(set_endpoint(b, "wga", &b_key, "127.0.0.9:1234", -1), 0);
        cr_assert_not_null(strstr(output_of("wg show wga endpoints"), "\t127.0.0.9:1234\n"));
        cr_assert_not_null(strstr(output_of("wg show wga persistent-keepalive"), "\toff\n"));
        cr_assert_eq(set_endpoint(b, "wga", &b_key, "[::1]:1235", 21), 0);
        cr_assert_not_null(strstr(output_of("wg show wga endpoints"), "\t[::1]:1235\n"));
        cr_assert_not_null(strstr(output_of("wg show wga persistent-keepalive"), "\t21\n"));
        cr_assert_eq(set_endpoint(b, "wga", &b_key, NULL, 0), 0);
        cr_assert_not_null(strstr(output_of("wg show wga endpoints"), "\t[::1]:1235\n"));
        cr_assert_not_null(strstr(output_of("wg show wga persistent-keepalive"), "\toff\n"));

        /* Watchers hear of it without waiting for the poll. */
        WAIT_FOR((p = wireguard_device_find_peer(find_link("wga"), &b_key)) &&
                 streq(SOCKET_ADDRESS_STR(&p->endpoint), "[::1]:1235"));

        cr_assert_eq(set_endpoint(b, "wga", &stranger, "127.0.0.9:1234", -1), -ENOENT);
        cr_assert_null(strstr(output_of("wg show wga peers"), WIREGUARD_KEY_STR(&stranger)));
        cr_assert_eq(set_endpoint(b, "wgnone", &b_key, "127.0.0.9:1234", -1), -ENODEV);

        cr_assert_eq(b->ops->read_link(b, "wga", on_device, &answer, NULL), 0);
        WAIT_FOR(answer.there);
        cr_assert_eq(answer.error, 0);
        cr_assert_str_eq(answer.device->name, "wga");
        cr_assert_eq(answer.device->n_peers, 1);
        wireguard_device_free(answer.device);
        b = broker_free(b);
}

static unsigned preshared_keys_seen(const WireguardKey *peer)
{
        return wireguard_device_find_peer(find_link("wgb"), peer)->preshared_key_changes;
}

/* Which it is, icewired does not learn. */
Test(broker, another_preshared_key_is_told)
{
        Broker *b = connect_client();
        WireguardKey a_key, b_key;

        two_links(&a_key, &b_key, WIREGUARD_KEY_STR(new_key()));
        WAIT_FOR(links_are_there());
        cr_assert_eq(preshared_keys_seen(&a_key), 0);
        sandbox_shell("printf %%s '%s' > %s/psk; wg set wgb peer %s preshared-key %s/psk",
                      WIREGUARD_KEY_STR(new_key()), folder, WIREGUARD_KEY_STR(&a_key), folder);
        WAIT_FOR(preshared_keys_seen(&a_key) == 1);
        sandbox_shell("wg set wgb peer %s preshared-key /dev/null", WIREGUARD_KEY_STR(&a_key));
        WAIT_FOR(preshared_keys_seen(&a_key) == 2);
        cr_assert_eq(set_endpoint(b, "wgb", &a_key, "127.0.0.9:1234", -1), 0);
        WAIT_FOR(socket_address_is_set(&wireguard_device_find_peer(find_link("wgb"), &a_key)->endpoint));
        cr_assert_eq(preshared_keys_seen(&a_key), 2);
        b = broker_free(b);
}

static void send_into_tunnel(unsigned n)
{
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        uint8_t data[512] = {};
        SocketAddress to;

        cr_assert_geq(fd, 0);
        cr_assert_geq(socket_address_from_string("10.9.0.2:9", &to), 0);
        while (n-- > 0)
                cr_assert_eq(sendto(fd, data, sizeof(data), 0, &to.sa, socket_address_length(&to)),
                             sizeof(data));
        close(fd);
}

static uint64_t told_of_sent(const WireguardKey *peer)
{
        return wireguard_device_find_peer(find_link("wga"), peer)->tx_bytes;
}

/* Is everybody told of traffic when somebody reads the link? */
static bool reading_is_told_to_all(Broker *b)
{
        Answer answer = {};
        unsigned n = seen.n_changed;

        send_into_tunnel(10);
        cr_assert_eq(b->ops->read_link(b, "wga", on_device, &answer, NULL), 0);
        WAIT_FOR(answer.there);
        wireguard_device_free(answer.device);
        return seen.n_changed != n;
}

/* Whoever wants to know more reads the link then. */
Test(broker, traffic_is_told_of)
{
        Broker *b = connect_client();
        WireguardKey a_key, b_key;
        uint64_t sent;
        unsigned n = 0;

        two_links(&a_key, &b_key, "");
        sandbox_shell("ip addr add 10.9.0.1/24 dev wga && ip link set wga up && ip link set wgb up && "
                      "wg set wgb listen-port 4711 && wg set wga peer %s allowed-ips 10.9.0.2/32 endpoint "
                      "127.0.0.1:4711",
                      WIREGUARD_KEY_STR(&b_key));
        WAIT_FOR(links_are_there());
        send_into_tunnel(1);
        WAIT_FOR(wireguard_device_find_peer(find_link("wga"), &b_key)->last_handshake > 0);
        sent = told_of_sent(&b_key);
        send_into_tunnel(10);
        WAIT_FOR(told_of_sent(&b_key) >= sent + 10 * 512);
        /* What it reads for somebody is told to him alone. Its own readings, which are told to all, come at
         * least a second apart: one may be due just then, but not each time. */
        while (reading_is_told_to_all(b))
                cr_assert_lt(++n, 5);
        b = broker_free(b);
}

Test(broker, envelopes_go_between_two_links_only)
{
        Broker *b = connect_client();
        WireguardKey a_key, b_key, stranger = public_of(new_key());
        static const char body[] = "{\"type\":\"hello\"}";
        Answer sealed, opened, ta = {}, tb = {};

        two_links(&a_key, &b_key, WIREGUARD_KEY_STR(new_key()));
        WAIT_FOR(links_are_there());

        sealed = seal(b, "wga", &b_key, body, strlen(body));
        cr_assert_eq(sealed.error, 0);
        opened = open_envelope(b, "wgb", &a_key, sealed.data, sealed.size);
        cr_assert_eq(opened.error, 0);
        cr_assert_eq(opened.size, strlen(body));
        cr_assert_eq(memcmp(opened.data, body, opened.size), 0);

        /* Not for the sender itself, not damaged, not for or from whom the link does not know. */
        opened = open_envelope(b, "wga", &b_key, sealed.data, sealed.size);
        cr_assert_eq(opened.error, -EBADMSG);
        cr_assert_str_eq(opened.text, "not-sealed-for-us");
        sealed.data[sealed.size / 2] ^= 1;
        cr_assert_eq(open_envelope(b, "wgb", &a_key, sealed.data, sealed.size).error, -EBADMSG);
        cr_assert_eq(open_envelope(b, "wgb", &a_key, "x", 1).error, -EBADMSG);
        cr_assert_eq(seal(b, "wga", &stranger, body, strlen(body)).error, -ENOENT);
        cr_assert_eq(seal(b, "wgnone", &b_key, body, strlen(body)).error, -ENODEV);
        cr_assert_eq(open_envelope(b, "wgb", &stranger, sealed.data, sealed.size).error, -ENOENT);

        cr_assert_eq(b->ops->derive_topics(b, "wga", &b_key, on_topics, &ta, NULL), 0);
        cr_assert_eq(b->ops->derive_topics(b, "wgb", &a_key, on_topics, &tb, NULL), 0);
        WAIT_FOR(ta.there && tb.there);
        cr_assert_eq(strlen(ta.send), 64);
        cr_assert_str_eq(ta.send, tb.receive);
        cr_assert_str_eq(ta.receive, tb.send);
        cr_assert_str_neq(ta.send, ta.receive);

        /* The preshared key counts: without it on one side nothing opens. */
        sealed = seal(b, "wga", &b_key, body, strlen(body));
        sandbox_shell("wg set wgb peer %s preshared-key /dev/null", WIREGUARD_KEY_STR(&a_key));
        cr_assert_eq(set_endpoint(b, "wgb", &a_key, NULL, 1), 0); /* reads the link anew */
        cr_assert_eq(open_envelope(b, "wgb", &a_key, sealed.data, sealed.size).error, -EBADMSG);
        b = broker_free(b);
}

Test(broker, link_without_private_key_seals_nothing)
{
        Broker *b = connect_client();
        WireguardKey peer = public_of(new_key());

        (void) start_userspace("wga");
        start_broker();
        WAIT_FOR(find_link("wga"));
        sandbox_shell("wg set wga peer %s", WIREGUARD_KEY_STR(&peer));
        WAIT_FOR(find_link("wga")->n_peers == 1);
        cr_assert_eq(seal(b, "wga", &peer, "x", 1).error, -ENOKEY);
        b = broker_free(b);
}

static int started_in_callback;

static void on_data_then_call(Broker *b, int error, const void *data, size_t size, const char *text,
                              void *userdata)
{
        Answer *a = userdata;

        cr_assert_eq(error, 0);
        a->there = true;
        started_in_callback = b->ops->derive_topics(b, "wga", (const WireguardKey *) a->data, on_topics,
                                                    &a[1], NULL);
}

Test(broker, calls_are_pipelined_cancelled_and_made_from_callbacks)
{
        static Answer answers[64], chain[2];
        Broker *b = connect_client();
        WireguardKey a_key, b_key;
        BrokerCall *calls[ELEMENTSOF(answers)];
        usec_t t;

        two_links(&a_key, &b_key, "");
        WAIT_FOR(links_are_there());
        t = now(CLOCK_BOOTTIME);
        for (size_t i = 0; i < ELEMENTSOF(answers); i++)
                cr_assert_eq(b->ops->seal(b, "wga", &b_key, &i, sizeof(i), on_data, &answers[i], &calls[i]),
                             0);
        cr_assert(!answers[0].there, "a callback from inside");
        for (size_t i = 0; i < ELEMENTSOF(answers); i += 2)
                calls[i] = broker_call_free(calls[i]);
        WAIT_FOR(answers[ELEMENTSOF(answers) - 1].there);
        fprintf(stderr, "# %zu seals: %s\n", ELEMENTSOF(answers) / 2, TIMESPAN_STR(now(CLOCK_BOOTTIME) - t));
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                Answer opened;

                cr_assert_eq(answers[i].there, i % 2 == 1);
                if (!answers[i].there)
                        continue;
                opened = open_envelope(b, "wgb", &a_key, answers[i].data, answers[i].size);
                cr_assert_eq(opened.error, 0);
                cr_assert_eq(memcmp(opened.data, &i, sizeof(i)), 0, "the answers are out of order");
        }

        memcpy(chain[0].data, &b_key, sizeof(b_key));
        cr_assert_eq(b->ops->seal(b, "wga", &b_key, "x", 1, on_data_then_call, &chain[0], NULL), 0);
        WAIT_FOR(chain[1].there);
        cr_assert_eq(started_in_callback, 0);
        cr_assert_eq(chain[1].error, 0);

        /* Sent, and given up before the answer is there. */
        cr_assert_eq(b->ops->seal(b, "wga", &b_key, "x", 1, on_data, &answers[0], &calls[0]), 0);
        cr_assert_geq(sd_event_run(event, 0), 0);
        broker_call_free(calls[0]);
        cr_assert_eq(seal(b, "wga", &b_key, "x", 1).error, 0);
        cr_assert(!answers[0].there);
        b = broker_free(b);
}

/* One device does not answer: the others are served, and the client does not lose the broker. */
Test(broker, a_device_that_hangs_holds_up_no_other)
{
        static Answer hung[8], other;
        Broker *b = connect_client();
        WireguardKey a_key, b_key;
        SocketAddress endpoint;

        two_links(&a_key, &b_key, "");
        WAIT_FOR(links_are_there());
        cr_assert_eq(socket_address_from_string("127.0.0.9:1234", &endpoint), 0);
        suspend(device_pids[0]);
        for (size_t i = 0; i < ELEMENTSOF(hung); i++)
                cr_assert_eq(b->ops->set_endpoint(b, "wga", &b_key, &endpoint, -1, on_done, &hung[i], NULL),
                             0);
        cr_assert_eq(b->ops->set_endpoint(b, "wgb", &a_key, &endpoint, -1, on_done, &other, NULL), 0);
        WAIT_FOR(other.there);
        cr_assert_eq(other.error, 0);
        cr_assert_eq(seen.n_lost, 0);
        for (size_t i = 0; i < ELEMENTSOF(hung); i++)
                cr_assert_eq(hung[i].error, -EIO);

        kill(device_pids[0], SIGCONT);
        do
                hung[0] = (Answer) { .error = set_endpoint(b, "wga", &b_key, "127.0.0.9:1234", -1) };
        while (hung[0].error == -EIO);
        cr_assert_eq(hung[0].error, 0);
        cr_assert_not_null(strstr(output_of("wg show wga endpoints"), "\t127.0.0.9:1234\n"));
        b = broker_free(b);
}

/* --- who may, and with what --- */

Test(broker, no_secret_is_ever_sent)
{
        WireguardKey a_key, b_key;
        _cleanup_free_ char *about = NULL, *link = NULL, *peer_only = NULL;
        _cleanup_close_ int fd = -EBADF, watch = -EBADF;
        const char *more = "{\"method\":\"org.icewire.Broker.WatchLinks\",\"more\":true}";
        int n = 0;

        two_links(&a_key, &b_key, WIREGUARD_KEY_STR(new_key()));
        fd = raw_connect();
        watch = raw_connect();
        raw_send(watch, more, NULL, 0);
        while (!strstr(raw_receive(watch), "\"ready\""))
                n++;
        cr_assert_eq(n, 2);

        cr_assert_not_null(
                strstr(raw_call(fd, "ReadLink", "{\"name\":\"wga\"}"), "\"hasPresharedKey\":true"));
        peer_only = asprintf_safe("\"link\":\"wga\",\"peer\":\"%s\"", WIREGUARD_KEY_STR(&b_key));
        about = asprintf_safe("{%s}", peer_only);
        cr_assert_not_null(strstr(raw_call(fd, "DeriveTopics", about), "send"));
        /* Whose "body" is the key itself, as far as a caller could know it. */
        link = asprintf_safe("{%s,\"body\":\"%s\"}", peer_only, WIREGUARD_KEY_STR(&b_key));
        cr_assert_not_null(strstr(raw_call(fd, "Seal", link), "envelope"));
        cr_assert_not_null(strstr(raw_call(fd, "SetEndpoint", about), "parameters"));
        cr_assert_not_null(strstr(raw_call(fd, "GrowBuffers", "{}"), "error"));

        /* A change of keys is told without telling them. */
        wg_set_key("wga", new_key());
        cr_assert_not_null(strstr(raw_call(fd, "ReadLink", "{\"name\":\"wga\"}"), "wga"));
        cr_assert_not_null(strstr(raw_receive(watch), "changed"));
}

/* How often these bytes are in the broker's memory, whatever they are in there for. */
static size_t count_in_broker(const void *bytes, size_t size)
{
        _cleanup_free_ char *maps_path = asprintf_safe("/proc/%d/maps", broker_pid),
                            *memory_path = asprintf_safe("/proc/%d/mem", broker_pid), *maps = NULL;
        _cleanup_close_ int fd = open(memory_path, O_RDONLY | O_CLOEXEC);
        size_t n = 0, maps_size;
        char *save = NULL;

        cr_assert_geq(fd, 0);
        cr_assert_eq(read_full_file(maps_path, 1 << 20, &maps, &maps_size), 0);
        for (char *line = strtok_r(maps, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                _cleanup_free_ uint8_t *memory = NULL;
                unsigned long start, end;
                ssize_t k;

                /* What cannot be written holds nothing that was made at run time. */
                cr_assert_eq(sscanf(line, "%lx-%lx", &start, &end), 2);
                if (!strstr(line, " rw"))
                        continue;
                memory = malloc(end - start);
                k = pread(fd, memory, end - start, (off_t) start);
                for (uint8_t *p = memory; k > 0 && (p = memmem(p, (size_t) (memory + k - p), bytes, size));
                     p++)
                        n++;
        }
        return n;
}

/* In each form that a key has on its way: bytes, the UAPI's hexadecimal digits, base64. */
static size_t count_key_in_broker(const WireguardKey *key)
{
        char hex[HEX_SIZE(WIREGUARD_KEY_SIZE)];

        hex_encode(key->bytes, WIREGUARD_KEY_SIZE, hex);
        return count_in_broker(key->bytes, WIREGUARD_KEY_SIZE) + count_in_broker(hex, sizeof(hex) - 1) +
               count_in_broker(WIREGUARD_KEY_STR(key), WIREGUARD_KEY_STRLEN - 2);
}

/* What signing makes of a private key: the number modulo the order of the base point, or its opposite. */
static size_t count_scalars_in_broker(const WireguardKey *key)
{
        BIGNUM *order = NULL, *scalar = BN_lebin2bn(key->bytes, WIREGUARD_KEY_SIZE, NULL);
        BN_CTX *ctx = BN_CTX_new();
        uint8_t bytes[WIREGUARD_KEY_SIZE];
        size_t n = 0;

        cr_assert(BN_hex2bn(&order, "1000000000000000000000000000000014DEF9DEA2F79CD65812631A5CF5D3ED"));
        cr_assert(BN_nnmod(scalar, scalar, order, ctx));
        for (size_t i = 0; i < 2; i++) {
                cr_assert_eq(BN_bn2lebinpad(scalar, bytes, sizeof(bytes)), (int) sizeof(bytes));
                n += count_in_broker(bytes, sizeof(bytes));
                cr_assert(BN_sub(scalar, order, scalar));
        }
        BN_CTX_free(ctx);
        BN_free(scalar);
        BN_free(order);
        return n;
}

/* Each link has its keys once, and one that is gone leaves nothing behind; nor does a message. */
Test(broker, keys_are_in_memory_once_and_then_not_at_all)
{
        static const char body[] = "a body that has the password of ICE in it";
        char base64[BASE64_SIZE(sizeof(body) - 1)];
        const WireguardKey *psk = new_key(), *a = &secrets[1], *b = &secrets[2];
        WireguardKey a_key, b_key;
        Broker *broker = connect_client();
        Answer sealed;

        if (SANITIZED)
                cr_skip_test("realloc(3) copies there, also when it shrinks");
        two_links(&a_key, &b_key, WIREGUARD_KEY_STR(psk));
        WAIT_FOR(links_are_there());
        for (size_t i = 0; i < 3; i++) {
                sealed = seal(broker, "wga", &b_key, body, strlen(body));
                cr_assert_eq(open_envelope(broker, "wgb", &a_key, sealed.data, sealed.size).error, 0);
                cr_assert_eq(set_endpoint(broker, "wga", &b_key, "127.0.0.9:1234", -1), 0);
        }
        cr_expect_eq(count_key_in_broker(a), 1);
        cr_expect_eq(count_key_in_broker(b), 1);
        cr_expect_eq(count_key_in_broker(psk), 2);
        cr_expect_eq(count_scalars_in_broker(a), 0);
        cr_expect_eq(count_in_broker(body, strlen(body)), 0);
        base64_encode(body, strlen(body), base64);
        cr_expect_eq(count_in_broker(base64, strlen(base64) - 4), 0);

        wg_set_key("wga", new_key());
        cr_assert_eq(set_endpoint(broker, "wga", &b_key, NULL, 1), 0); /* reads the link anew */
        cr_expect_eq(count_key_in_broker(a), 0);
        sandbox_shell("ip link del wgb");
        WAIT_FOR(!find_link("wgb"));
        cr_expect_eq(count_key_in_broker(b), 0);
        cr_expect_eq(count_key_in_broker(psk), 1);
        broker_free(broker);
}

/* How many of the methods answer with `wanted` to a process of this user. */
static int count_answers_as(uid_t uid, const char *wanted)
{
        static const char *const calls[] = {
                "{\"method\":\"org.icewire.Broker.ReadLink\",\"parameters\":{\"name\":\"wga\"}}",
                "{\"method\":\"org.icewire.Broker.SetEndpoint\",\"parameters\":{\"link\":\"wga\",\"peer\":"
                "\"%s\"}}",
                "{\"method\":\"org.icewire.Broker.Seal\",\"parameters\":{\"link\":\"wga\",\"peer\":\"%s\","
                "\"body\":\"eA==\"}}",
                "{\"method\":\"org.icewire.Broker.Open\",\"parameters\":{\"link\":\"wga\",\"peer\":\"%s\","
                "\"envelope\":\"eA==\"}}",
                "{\"method\":\"org.icewire.Broker.DeriveTopics\",\"parameters\":{\"link\":\"wga\",\"peer\":"
                "\"%s\"}}",
                "{\"method\":\"org.icewire.Broker.GrowBuffers\",\"parameters\":{}}",
                "{\"method\":\"org.icewire.Broker.SetRedirect\",\"parameters\":{\"mode\":\"auto\","
                "\"uplinks\":"
                "[],\"relays\":[]}}",
                "{\"method\":\"org.icewire.Broker.AddSockets\",\"parameters\":{\"link\":\"wga\",\"ufrag\":"
                "\"abcdefgh\",\"keepsRelays\":true}}",
                "{\"method\":\"org.icewire.Broker.RemoveSockets\",\"parameters\":{\"ufrag\":\"abcdefgh\"}}",
                "{\"method\":\"org.icewire.Broker.WatchLinks\",\"more\":true}",
        };
        static const char key[] = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA=";
        int status, n = 0;
        pid_t pid = fork();

        if (pid != 0) {
                waitpid(pid, &status, 0);
                return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        }
        if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
                _exit(100);
        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                _cleanup_close_ int fd = raw_connect();
                char text[512], *mark;

                mark = strstr(calls[i], "%s");
                snprintf(text, sizeof(text), "%.*s%s%s", mark ? (int) (mark - calls[i]) : 511, calls[i],
                         mark ? key : "", mark ? mark + 2 : "");
                raw_send(fd, text, NULL, 0);
                n += !!strstr(raw_receive(fd), wanted);
        }
        _exit(n);
}

Test(broker, only_root_and_the_chosen_user_are_served)
{
        WireguardKey a_key, b_key;

        two_links(&a_key, &b_key, "");
        cr_assert_eq(count_answers_as(FOREIGN_USER, "org.icewire.Broker.NotAllowed"), 10);
        cr_assert_eq(count_answers_as(1, "org.icewire.Broker.NotAllowed"), 0);
        cr_assert_eq(count_answers_as(0, "org.icewire.Broker.NotAllowed"), 0);
}

/* The answer to each to this user, one letter: served, denied, or something else. */
static char *service_answers(uid_t uid)
{
        static const char *const calls[] = {
                "{\"method\":\"io.systemd.service.Ping\"}",
                "{\"method\":\"io.systemd.service.GetLogLevel\"}",
                "{\"method\":\"io.systemd.service.Reload\"}",
                "{\"method\":\"io.systemd.service.GetEnvironment\"}",
                "{\"method\":\"io.systemd.service.SetLogLevel\",\"parameters\":{\"level\":3}}",
        };
        static char answers[ELEMENTSOF(calls) + 1];
        int pipes[2];
        pid_t pid;

        cr_assert_eq(pipe(pipes), 0);
        pid = fork();
        if (pid == 0) {
                if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
                        _exit(1);
                for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                        int fd = raw_connect();
                        const char *answer;

                        raw_send(fd, calls[i], NULL, 0);
                        answer = raw_receive(fd);
                        (void) !write(pipes[1],
                                      strstr(answer, "PermissionDenied") ? "d"
                                      : strstr(answer, "\"error\"")      ? "e"
                                                                         : "s",
                                      1);
                        close(fd);
                }
                _exit(0);
        }
        close(pipes[1]);
        for (size_t n = 0; read(pipes[0], answers + n, 1) == 1; n++)
                ;
        close(pipes[0]);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        return answers;
}

Test(broker, service)
{
        start_broker();
        close(raw_connect());
        cr_assert_str_eq(service_answers(0), "sssss");
        cr_assert_str_eq(service_answers(FOREIGN_USER), "ssddd");
}

Test(broker, strangers_cannot_take_all_connections)
{
        int fds[64];
        pid_t pid;
        int status;

        start_broker();
        close(raw_connect());
        pid = fork();
        if (pid == 0) {
                if (setresuid(FOREIGN_USER, FOREIGN_USER, FOREIGN_USER) < 0)
                        _exit(1);
                for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                        fds[i] = raw_connect();
                /* The last one was closed by the broker, the first one is served. */
                if (!*raw_receive(fds[63]) &&
                    strstr(raw_call(fds[0], "ReadLink", "{\"name\":\"x\"}"), "NotAllowed"))
                        _exit(0);
                _exit(1);
        }
        waitpid(pid, &status, 0);
        cr_assert_eq(status, 0);
        cr_assert_not_null(strstr(raw_call(raw_connect(), "ReadLink", "{\"name\":\"x\"}"), "NoSuchLink"));
}

Test(broker, malformed_parameters_are_refused_one_by_one)
{
        static const char invalid[] = "org.varlink.service.InvalidParameter";
        static const char *const key = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA=";
        static const struct {
                const char *method, *parameters, *field;
        } cases[] = {
                { "ReadLink", "{}", "name" },
                { "ReadLink", "{\"name\":null}", "name" },
                { "ReadLink", "{\"name\":7}", "name" },
                { "ReadLink", "{\"name\":\"\"}", "name" },
                { "ReadLink", "{\"name\":\"..\"}", "name" },
                { "ReadLink", "{\"name\":\"a/b\"}", "name" },
                { "ReadLink", "{\"name\":\"a b\"}", "name" },
                { "ReadLink", "{\"name\":\"a\\u0007b\"}", "name" },
                { "ReadLink", "{\"name\":\"sixteencharacter\"}", "name" },
                { "ReadLink", "{\"name\":\"wga\",\"more\":1}", "more" },
                { "SetEndpoint", "{\"link\":\"wga\"}", "peer" },
                { "SetEndpoint", "{\"link\":\"wga\",\"peer\":\"short\"}", "peer" },
                { "SetEndpoint",
                  "{\"link\":\"wga\",\"peer\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}", "peer" },
                { "SetEndpoint", "{\"link\":\"wga\",\"peer\":\"%s\",\"endpoint\":\"example.org:1\"}",
                  "endpoint" },
                { "SetEndpoint", "{\"link\":\"wga\",\"peer\":\"%s\",\"endpoint\":\"127.0.0.1:0\"}",
                  "endpoint" },
                { "SetEndpoint", "{\"link\":\"wga\",\"peer\":\"%s\",\"endpoint\":\"127.0.0.1\"}",
                  "endpoint" },
                { "SetEndpoint", "{\"link\":\"wga\",\"peer\":\"%s\",\"endpoint\":\"224.0.0.1:5\"}",
                  "endpoint" },
                { "SetEndpoint", "{\"link\":\"wga\",\"peer\":\"%s\",\"endpoint\":\"255.255.255.255:5\"}",
                  "endpoint" },
                { "SetEndpoint", "{\"link\":\"wga\",\"peer\":\"%s\",\"endpoint\":\"0.0.0.0:5\"}",
                  "endpoint" },
                { "SetEndpoint", "{\"link\":\"wga\",\"peer\":\"%s\",\"endpoint\":\"[ff02::1]:5\"}",
                  "endpoint" },
                { "SetEndpoint",
                  "{\"link\":\"wga\",\"peer\":\"%s\",\"endpoint\":\"1.2.3.4:5\\nprivate_key=\"}",
                  "endpoint" },
                { "SetEndpoint", "{\"link\":\"wga\",\"peer\":\"%s\",\"persistentKeepalive\":65536}",
                  "persistentKeepalive" },
                { "SetEndpoint", "{\"link\":\"wga\",\"peer\":\"%s\",\"persistentKeepalive\":-1}",
                  "persistentKeepalive" },
                { "SetEndpoint", "{\"link\":\"wga\",\"peer\":\"%s\",\"persistentKeepalive\":\"7\"}",
                  "persistentKeepalive" },
                { "Seal", "{\"link\":\"wga\",\"peer\":\"%s\"}", "body" },
                { "Seal", "{\"link\":\"wga\",\"peer\":\"%s\",\"body\":\"\"}", "body" },
                { "Seal", "{\"link\":\"wga\",\"peer\":\"%s\",\"body\":\"eA\"}", "body" },
                { "Seal", "{\"link\":\"wga\",\"peer\":\"%s\",\"body\":\"e A==\"}", "body" },
                { "Seal", "{\"link\":\"wga\",\"peer\":\"%s\",\"body\":[]}", "body" },
                { "Open", "{\"link\":\"wga\",\"peer\":\"%s\",\"envelope\":\"*\"}", "envelope" },
                { "DeriveTopics", "{\"link\":\"wga\",\"peer\":\"%s\",\"x\":1}", "x" },
                { "GrowBuffers", "{\"size\":1}", "size" },
                { "SetRedirect", "{\"mode\":\"best\",\"uplinks\":[],\"relays\":[]}", "mode" },
                { "SetRedirect", "{\"mode\":\"auto\",\"uplinks\":[0],\"relays\":[]}", "uplinks" },
                { "SetRedirect", "{\"mode\":\"auto\",\"uplinks\":[-2],\"relays\":[]}", "uplinks" },
                { "SetRedirect", "{\"mode\":\"auto\",\"uplinks\":[\"2\"],\"relays\":[]}", "uplinks" },
                { "SetRedirect", "{\"mode\":\"auto\",\"uplinks\":[4294967298],\"relays\":[]}", "uplinks" },
                { "SetRedirect", "{\"mode\":\"auto\",\"relays\":[]}", "uplinks" },
                { "SetRedirect", "{\"mode\":\"auto\",\"uplinks\":[],\"relays\":[\"example.org:1\"]}",
                  "relays" },
                { "SetRedirect", "{\"mode\":\"auto\",\"uplinks\":[],\"relays\":[\"192.0.2.1:0\"]}",
                  "relays" },
                { "SetRedirect", "{\"mode\":\"auto\",\"uplinks\":[],\"relays\":[null]}", "relays" },
                { "AddSockets", "{\"link\":\"wga\",\"ufrag\":\"short\",\"keepsRelays\":true}", "ufrag" },
                { "AddSockets", "{\"link\":\"..\",\"ufrag\":\"abcdefgh\",\"keepsRelays\":true}", "link" },
                { "AddSockets", "{\"link\":\"wga\",\"ufrag\":\"abcdefgh\",\"keepsRelays\":1}",
                  "keepsRelays" },
                { "AddSockets", "{\"link\":\"wga\",\"ufrag\":\"abcdefgh\"}", "keepsRelays" },
                { "RemoveSockets", "{\"ufrag\":7}", "ufrag" },
        };
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *large = NULL, *call = NULL;

        (void) start_userspace("wga");
        wg_set_key("wga", new_key());
        sandbox_shell("wg set wga peer %s", key);
        start_broker();
        fd = raw_connect();
        while (!strstr(raw_call(fd, "ReadLink", "{\"name\":\"wga\"}"), "peers"))
                poll(NULL, 0, 10);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *mark = strstr(cases[i].parameters, "%s");
                char parameters[512], field[64], *answer;

                snprintf(parameters, sizeof(parameters), "%.*s%s%s",
                         mark ? (int) (mark - cases[i].parameters) : 511, cases[i].parameters,
                         mark ? key : "", mark ? mark + 2 : "");
                snprintf(field, sizeof(field), "\"parameter\":\"%s\"", cases[i].field);
                answer = raw_call(fd, cases[i].method, parameters);
                cr_assert_not_null(strstr(answer, invalid), "%s %s: %s", cases[i].method, parameters,
                                   answer);
                cr_assert_not_null(strstr(answer, field), "%s %s: %s", cases[i].method, parameters, answer);
        }
        /* One byte more than an envelope holds. */
        large = new0(char, 16388 + 1);
        memset(large, 'A', 16388);
        call = asprintf_safe("{\"link\":\"wga\",\"peer\":\"%s\",\"body\":\"%s\"}", key, large);
        cr_assert_not_null(strstr(raw_call(fd, "Seal", call), "\"parameter\":\"body\""));

        cr_assert_not_null(strstr(raw_call(fd, "WatchLinks", "{}"), "ExpectedMore"));
        cr_assert_not_null(strstr(raw_call(fd, "Nothing", "{}"), "MethodNotFound"));
        /* It is all as it was. */
        cr_assert_not_null(strstr(output_of("wg show wga endpoints"), "(none)"));
        raw_send(fd, "no json", NULL, 0);
        cr_assert_str_eq(raw_receive(fd), "");
        fd = safe_close(fd);
        fd = raw_connect();
        cr_assert_not_null(strstr(raw_call(fd, "ReadLink", "{\"name\":\"wga\"}"), "peers"));
}

/* --- buffers --- */

static int buffer_size(int fd, int option)
{
        int value = 0;
        socklen_t size = sizeof(value);

        cr_assert_eq(getsockopt(fd, SOL_SOCKET, option, &value, &size), 0);
        return value;
}

static bool buffers_are_large(const int *fds, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (buffer_size(fds[i], SO_RCVBUF) < 8 << 20 || buffer_size(fds[i], SO_SNDBUF) < 8 << 20)
                        return false;
        return true;
}

Test(broker, buffers_grow)
{
        Broker *b = connect_client();
        int fds[40];

        start_broker();
        WAIT_FOR(seen.n_ready == 1);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = socket(i % 2 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
        cr_assert(!buffers_are_large(fds, 1));
        for (size_t i = 0; i < ELEMENTSOF(fds); i += 20)
                cr_assert_eq(b->ops->grow_buffers(b, fds + i, 20), 0);
        WAIT_FOR(buffers_are_large(fds, ELEMENTSOF(fds)));
        b = broker_free(b);
}

static void done_nothing(Broker *b, int error, void *userdata)
{
}

static void told_nothing(Broker *b, int error, RedirectKind kind, const char *reason, void *userdata)
{
}

/* Many sessions begin at once: their descriptors are counted, but nothing else is lost for it. */
Test(broker, descriptors_that_wait_are_bounded)
{
        Broker *b = connect_client();
        int fds[16];
        BrokerCall *c;

        start_broker();
        WAIT_FOR(seen.n_ready == 1);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
        while (b->ops->grow_buffers(b, fds, ELEMENTSOF(fds)) == 0)
                ;
        cr_assert_eq(b->ops->add_sockets(b, "wg0", "abcdefgh", true, fds, 1, done_nothing, NULL, &c),
                     -ENOBUFS);
        cr_assert_eq(b->ops->remove_sockets(b, "abcdefgh"), 0);
        cr_assert_eq(b->ops->set_redirect(b, REDIRECT_MODE_AUTO, NULL, 0, NULL, 0, told_nothing, NULL, &c),
                     0);
        b = broker_free(b);
}

Test(broker, only_udp_sockets_grow)
{
        static const char call[] = "{\"method\":\"org.icewire.Broker.GrowBuffers\"}";
        int udp = socket(AF_INET, SOCK_DGRAM, 0), many[17];
        const int others[] = {
                socket(AF_INET, SOCK_STREAM, 0),
                socket(AF_UNIX, SOCK_DGRAM, 0),
                socket(AF_INET, SOCK_RAW, IPPROTO_ICMP),
                open("/dev/null", O_RDWR),
        };
        int fd;

        start_broker();
        fd = raw_connect();
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                cr_assert_geq(others[i], 0);
                raw_send(fd, call, (const int[]) { udp, others[i] }, 2);
                cr_assert_not_null(strstr(raw_receive(fd), "error"));
        }
        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                many[i] = udp;
        raw_send(fd, call, many, ELEMENTSOF(many));
        cr_assert_not_null(strstr(raw_receive(fd), "error"));
        cr_assert(!buffers_are_large(&udp, 1), "something was half applied");
        raw_send(fd, call, many, 16);
        cr_assert_null(strstr(raw_receive(fd), "error"));
        cr_assert(buffers_are_large(&udp, 1));
}

/* --- the redirect --- */

typedef struct RedirectAnswer {
        bool there;
        int error;
        RedirectKind kind;
        uint64_t packets;
} RedirectAnswer;

static void on_redirect(Broker *b, int error, RedirectKind kind, const char *reason, void *userdata)
{
        *(RedirectAnswer *) userdata = (RedirectAnswer) { .there = true, .error = error, .kind = kind };
}

static void on_moved(Broker *b, int error, uint64_t packets, void *userdata)
{
        *(RedirectAnswer *) userdata = (RedirectAnswer) { .there = true,
                                                          .error = error,
                                                          .packets = packets };
}

static RedirectAnswer set_redirect(Broker *b, RedirectMode mode, int uplink)
{
        RedirectAnswer a = {};
        BrokerCall *c;

        cr_assert_eq(b->ops->set_redirect(b, mode, &uplink, 1, NULL, 0, on_redirect, &a, &c), 0);
        WAIT_FOR(a.there);
        return a;
}

static RedirectAnswer move_source(Broker *b, const char *link, const char *from, const char *to,
                                  unsigned seconds)
{
        SocketAddress x, y;
        RedirectAnswer a = {};
        BrokerCall *c;

        cr_assert_eq(socket_address_from_string(from, &x), 0);
        cr_assert_eq(socket_address_from_string(to, &y), 0);
        cr_assert_eq(b->ops->move_source(b, link, &x, &y, seconds, on_moved, &a, &c), 0);
        WAIT_FOR(a.there);
        return a;
}

static int add_socket(Broker *b, int fd, const char *ufrag)
{
        Answer a = {};
        BrokerCall *c;

        cr_assert_eq(b->ops->add_sockets(b, "wga", ufrag, false, &fd, 1, on_done, &a, &c), 0);
        WAIT_FOR(a.there);
        return a.error;
}

/* What the agent asks of it, up to the kernel and back, with the rights that the broker keeps. */
Test(broker, sources_are_moved_and_initiations_told)
{
        Broker *b = connect_client();
        const WireguardKey *key = new_key(), *peer_key = new_key();
        WireguardKey peer = public_of(peer_key);
        SocketAddress from, to, other, ice;
        RedirectAnswer a = {};
        BrokerCall *c;
        int fd = socket(AF_INET, SOCK_DGRAM, 0), uplink;
        usec_t t;

        sandbox_shell("ip link add up0 type veth peer name out0 && ip link set out0 up && ip address add "
                      "192.0.2.1/24 dev up0 && ip link set up0 up && ip neigh add 192.0.2.2 lladdr "
                      "2:0:0:0:0:1 dev up0");
        uplink = (int) if_nametoindex("up0");
        cr_assert_eq(socket_address_from_string("192.0.2.1:40000", &ice), 0);
        cr_assert_eq(bind(fd, &ice.sa, socket_address_length(&ice)), 0);
        start_userspace("wga");
        wg_set_key("wga", key);
        sandbox_shell("wg set wga listen-port 51820 && ip link set wga up");
        start_broker();
        WAIT_FOR(seen.n_ready == 1 && find_link("wga") && find_link("wga")->listen_port == 51820);
        cr_assert_eq(move_source(b, "wga", "192.0.2.2:1", "192.0.2.3:1", 5).error, -ENOTSUP);
        cr_assert_eq(socket_address_from_string("192.0.2.2:1", &from), 0);
        cr_assert_eq(socket_address_from_string("[2001:db8::1]:1", &to), 0);
        cr_assert_eq(b->ops->move_source(b, "wga", &from, &to, 5, on_moved, &a, &c), -EAFNOSUPPORT);

        a = set_redirect(b, REDIRECT_MODE_EBPF, uplink);
        cr_assert_eq(a.error, 0);
        if (a.kind != REDIRECT_EBPF)
                cr_skip_test("no eBPF here");
        cr_assert_eq(add_socket(b, fd, "abcdefgh"), 0);
        cr_assert_eq(add_socket(b, fd, "ijklmnop"), 0);
        cr_assert_neq(add_socket(b, fd, "ijklmnop"), 0);
        cr_assert_eq(b->ops->remove_sockets(b, "abcdefgh"), 0);
        cr_assert_eq(add_socket(b, fd, "abcdefgh"), 0);

        sandbox_shell("wg set wga peer %s endpoint 192.0.2.2:99 persistent-keepalive 1",
                      WIREGUARD_KEY_STR(&peer));
        cr_assert_eq(socket_address_from_string("192.0.2.2:99", &other), 0);
        WAIT_FOR(socket_address_equal(&seen.initiated, &other));

        a = move_source(b, "wga", "192.0.2.2:1", "192.0.2.3:1", 5);
        cr_assert_eq(a.error, 0);
        cr_assert_eq(a.packets, 0);
        /* From a proxy: programs come to lo, and go with the move. */
        cr_assert_eq(move_source(b, "wga", "127.128.0.1:1", "192.0.2.3:1", 5).error, 0);
        cr_assert_not_null(strstr(output_of("bpftool net show dev lo"), "icewire_ingress"));
        cr_assert_eq(move_source(b, "wga", "127.128.0.1:1", "192.0.2.3:1", 0).error, 0);
        cr_assert_null(strstr(output_of("bpftool net show dev lo"), "icewire_ingress"));
        cr_assert_eq(move_source(b, "wga", "192.0.2.2:1", "127.128.0.1:1", 5).error, -ENOTSUP);
        cr_assert_eq(move_source(b, "wgb", "192.0.2.2:1", "192.0.2.3:1", 5).error, -ENODEV);

        /* A second is over when it is over. */
        cr_assert_eq(move_source(b, "wga", "127.128.0.1:1", "192.0.2.3:1", 1).error, 0);
        cr_assert_not_null(strstr(output_of("bpftool net show dev lo"), "icewire_ingress"));
        t = now(CLOCK_BOOTTIME);
        while (strstr(output_of("bpftool net show dev lo"), "icewire_ingress")) {
                cr_assert_lt(now(CLOCK_BOOTTIME), t + SANDBOX_PATIENCE);
                poll(NULL, 0, 10);
        }
        b = broker_free(b);
        close(fd);
}

/* --- the broker's life --- */

Test(broker, client_comes_back_after_a_kill)
{
        static Answer answer;
        WireguardKey a_key, b_key;
        Broker *b = connect_client();
        int fd = socket(AF_INET, SOCK_DGRAM, 0);

        two_links(&a_key, &b_key, "");
        WAIT_FOR(links_are_there() && seen.n_ready == 1);
        for (unsigned i = 1; i <= 2; i++) {
                answer = (Answer) {};
                kill(broker_pid, SIGSTOP);
                cr_assert_eq(b->ops->seal(b, "wga", &b_key, "x", 1, on_data, &answer, NULL), 0);
                cr_assert_eq(b->ops->grow_buffers(b, &fd, 1), 0);
                stop(broker_pid, SIGKILL);
                WAIT_FOR(seen.n_lost == i);
                cr_assert(answer.there);
                cr_assert_eq(answer.error, -ECONNRESET);
                cr_assert(!b->connected);
                cr_assert_eq(b->ops->seal(b, "wga", &b_key, "x", 1, on_data, &answer, NULL), -ENOTCONN);
                start_broker();
                WAIT_FOR(seen.n_ready == i + 1);
                cr_assert_eq(seen.n_lost, i);
                cr_assert_eq(seal(b, "wga", &b_key, "x", 1).error, 0);
        }
        b = broker_free(b);
}

Test(broker, client_says_when_there_is_no_broker_or_it_does_not_serve_us)
{
        Broker *b = connect_client();

        WAIT_FOR(seen.n_lost == 1);
        cr_assert_eq(seen.error, -ENOENT);
        start_broker();
        WAIT_FOR(seen.n_ready == 1);
        b = broker_free(b);

        if (fork() == 0) {
                seen.n_lost = 0;
                if (setresuid(FOREIGN_USER, FOREIGN_USER, FOREIGN_USER) < 0)
                        _exit(1);
                event = NULL;
                if (sd_event_new(&event) < 0)
                        _exit(1);
                b = connect_client();
                WAIT_FOR(seen.n_lost == 1);
                _exit(seen.error == -EACCES ? 0 : 1);
        } else {
                int status;

                wait(&status);
                cr_assert_eq(status, 0);
        }
}

Test(broker, stops_and_reloads_on_signals)
{
        Broker *b = connect_client();
        WireguardKey peer = public_of(new_key());
        int status;

        (void) start_userspace("wga");
        start_broker();
        WAIT_FOR(find_link("wga"));
        sandbox_shell("wg set wga peer %s", WIREGUARD_KEY_STR(&peer));
        kill(broker_pid, SIGHUP);
        WAIT_FOR(find_link("wga")->n_peers == 1);
        kill(broker_pid, SIGTERM);
        waitpid(broker_pid, &status, 0);
        cr_assert_eq(status, 0);
        broker_pid = 0;
        b = broker_free(b);
}

Test(broker, missing_right_is_one_clear_error)
{
        _cleanup_free_ char *command = asprintf_safe(
                "setpriv --bounding-set -net_admin --inh-caps -net_admin %s/src/icewire-broker "
                "--socket=%s 2>&1; echo $?",
                getenv("ICEWIRE_BUILD"), socket_path);
        char *said = output_of(command);

        cr_assert_not_null(
                strstr(said, "icewire-broker needs CAP_NET_ADMIN: start it by systemd or as root."), "%s",
                said);
        cr_assert_not_null(strstr(said, "\n1\n"), "%s", said);
}

Test(broker, drops_what_it_does_not_need)
{
        _cleanup_free_ char *path = NULL, *status = NULL;
        size_t size;

        start_broker();
        cr_assert_not_null(strstr(raw_call(raw_connect(), "ReadLink", "{\"name\":\"x\"}"), "NoSuchLink"));
        path = asprintf_safe("/proc/%d/status", broker_pid);
        cr_assert_eq(read_full_file(path, 1 << 16, &status, &size), 0);
        cr_assert_not_null(strstr(status, "NoNewPrivs:\t1\n"));
        for (const char *p = status; (p = strstr(p, "\nCap")); p++) {
                unsigned long long set = strtoull(strchr(p, '\t') + 1, NULL, 16);

                cr_assert_eq(set & ~(1ULL << CAP_NET_ADMIN), 0, "%.30s", p);
        }
        cr_assert_not_null(strstr(status, "\nCapEff:\t0000000000001000\n"));
}

/* --- without a broker --- */

Test(broker_poll, hurries_after_a_change_and_calms_down)
{
        BrokerPoll poll = {};
        usec_t t = 0;

        cr_assert_eq(broker_poll_next(&poll, 0), BROKER_POLL_MIN);
        cr_assert_eq(broker_poll_next(&poll, 0), 2 * BROKER_POLL_MIN);
        cr_assert_eq(broker_poll_next(&poll, WIREGUARD_CHANGE_COUNTERS), 4 * BROKER_POLL_MIN);
        cr_assert_eq(broker_poll_next(&poll, WIREGUARD_CHANGE_HANDSHAKE), 4 * BROKER_POLL_MIN);
        for (size_t i = 0; i < 100; i++)
                t = broker_poll_next(&poll, 0);
        cr_assert_eq(t, BROKER_POLL_MAX);
        cr_assert_eq(broker_poll_next(&poll, WIREGUARD_CHANGE_ENDPOINT), BROKER_POLL_MIN);
        (void) broker_poll_next(&poll, 0);
        cr_assert_eq(broker_poll_next(&poll, WIREGUARD_CHANGE_CONFIGURATION), BROKER_POLL_MIN);
        (void) broker_poll_next(&poll, 0);
        broker_poll_restart(&poll);
        cr_assert_eq(broker_poll_next(&poll, 0), BROKER_POLL_MIN);
}

/* A device of n peers, of which each third has no preshared key. */
static WireguardDevice *secret_device(size_t n)
{
        WireguardDevice *d;

        cr_assert_eq(wireguard_device_new("wg0", WIREGUARD_KIND_KERNEL, &d), 0);
        memset(&d->private_key, 0x55, sizeof(d->private_key));
        for (size_t i = 0; i < n; i++) {
                WireguardKey key = { .bytes = { (uint8_t) (i * 77), (uint8_t) (i >> 8), 1 } };
                WireguardPeer *peer;

                cr_assert_eq(wireguard_device_add_peer(d, &key, &peer), 0);
                if (i % 3 > 0)
                        peer->preshared_key = (WireguardKey) { .bytes = { (uint8_t) i, 99 } };
        }
        return d;
}

Test(broker_secrets, moves_keys_and_finds_them)
{
        WireguardDevice *d = secret_device(200);
        BrokerSecrets *s;

        cr_assert_eq(broker_secrets_take(d, &s), 0);
        cr_assert(wireguard_key_is_zero(&d->private_key));
        cr_assert_eq(broker_secrets_private_key(s)->bytes[7], 0x55);
        for (size_t i = 0; i < d->n_peers; i++) {
                const WireguardKey *key = broker_secrets_preshared_key(s, &d->peers[i].public_key);

                cr_assert_eq(wireguard_key_is_zero(&d->peers[i].preshared_key), i % 3 == 0);
                cr_assert_neq(d->peers[i].preshared_key.bytes[1], 99);
                cr_assert_eq(!key, i % 3 == 0);
                if (key)
                        cr_assert_eq(key->bytes[0], (uint8_t) i);
        }
        cr_assert_null(broker_secrets_preshared_key(s, &(WireguardKey) {}));
        s = broker_secrets_free(s);
        wireguard_device_free(d);
}

Test(broker_secrets, tells_readings_apart)
{
        WireguardDevice *d[4];
        BrokerSecrets *s[4];

        for (size_t i = 0; i < ELEMENTSOF(d); i++)
                d[i] = secret_device(5);
        d[2]->peers[4].preshared_key.bytes[31] ^= 1;
        wireguard_key_erase(&d[3]->private_key);
        for (size_t i = 0; i < ELEMENTSOF(d); i++)
                cr_assert_eq(broker_secrets_take(d[i], &s[i]), 0);
        cr_assert(broker_secrets_equal(s[0], s[1]));
        cr_assert(!broker_secrets_equal(s[0], s[2]));
        cr_assert(!broker_secrets_equal(s[0], s[3]));
        cr_assert(!broker_secrets_equal(s[0], NULL));
        cr_assert(broker_secrets_equal(NULL, NULL));
        cr_assert_null(broker_secrets_private_key(s[3]));
        cr_assert_null(broker_secrets_private_key(NULL));
        for (size_t i = 0; i < ELEMENTSOF(d); i++) {
                broker_secrets_free(s[i]);
                wireguard_device_free(d[i]);
        }
}
