/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "netns.h"
#include "privileges.h"
#include "redirect-ebpf.h"
#include "redirect.skel.h"
#include "sandbox.h"
#include "string-util.h"
#include "udp.h"

/* The programs where they belong: at a veth whose other end is in a namespace of its own, in front of real
 * sockets. Each test runs twice, with tcx and with clsact. */

#define UPLINK "up0"

static int here = -EBADF, there = -EBADF; /* network namespaces */

static void add_uplink(const char *options)
{
        sandbox_shell("ip link add " UPLINK " %s type veth peer name out0 && "
                      "ip link set out0 netns /proc/%d/fd/%d && ip address add 192.0.2.1/24 dev " UPLINK
                      " && "
                      "ip address add 2001:db8::1/64 dev " UPLINK " nodad && ip link set " UPLINK " up",
                      options, getpid(), there);
        netns_enter(there);
        sandbox_shell(
                "ip address add 192.0.2.2/24 dev out0 && ip address add 2001:db8::2/64 dev out0 nodad && "
                "ip link set out0 up");
        netns_enter(here);
}

static void setup(void)
{
        sandbox_need_root();
        sandbox_enter();
        here = netns_here();
        there = netns_new();
        add_uplink("");
}

TestSuite(redirect_ebpf, .init = setup, .timeout = 110);

static int uplink(void)
{
        return (int) if_nametoindex(UPLINK);
}

static RedirectBackend *make(bool clsact)
{
        _cleanup_free_ char *message = NULL;
        RedirectBackend *b;
        int r;

        r = clsact ? redirect_ebpf_new_clsact(&b, &message) : redirect_ebpf_new(&b, &message);
        cr_assert_eq(r, 0, "%s: %s", strerror(-r), strna(message));
        return b;
}

static void attach(RedirectBackend *b, int ifindex)
{
        cr_assert_eq(b->ops->set_uplinks(b, &ifindex, ifindex > 0), 0);
}

/* --- what is attached, as others see it --- */

static unsigned count_tcx(int ifindex, enum bpf_attach_type type, char name[static BPF_OBJ_NAME_LEN])
{
        uint32_t ids[8];
        DECLARE_LIBBPF_OPTS(bpf_prog_query_opts, query, .prog_ids = ids, .prog_cnt = ELEMENTSOF(ids));
        struct bpf_prog_info info = {};
        uint32_t size = sizeof(info);
        int fd;

        *name = '\0';
        cr_assert_eq(bpf_prog_query_opts(ifindex, type, &query), 0);
        if (query.prog_cnt == 0)
                return 0;
        fd = bpf_prog_get_fd_by_id(ids[0]);
        cr_assert_geq(fd, 0);
        cr_assert_eq(bpf_prog_get_info_by_fd(fd, &info, &size), 0);
        strcpy(name, info.name);
        close(fd);
        return query.prog_cnt;
}

/* What `tc` says of a link's filters, or of its qdiscs. */
static const char *tc(const char *what)
{
        static char buffer[65536];
        _cleanup_free_ char *command = asprintf_safe("tc %s", what);
        FILE *f = popen(command, "r");
        size_t n;

        cr_assert_not_null(f);
        n = fread(buffer, 1, sizeof(buffer) - 1, f);
        buffer[n] = '\0';
        cr_assert_eq(pclose(f), 0, "%s", command);
        return buffer;
}

static bool is_attached(bool clsact)
{
        char name[BPF_OBJ_NAME_LEN];
        bool in, out;

        if (clsact) {
                in = strstr(tc("filter show dev " UPLINK " ingress"), "icewire_ingress");
                out = strstr(tc("filter show dev " UPLINK " egress"), "icewire_egress");
        } else {
                in = count_tcx(uplink(), BPF_TCX_INGRESS, name) == 1 && streq(name, "icewire_ingress");
                out = count_tcx(uplink(), BPF_TCX_EGRESS, name) == 1 && streq(name, "icewire_egress");
        }
        cr_assert_eq(in, out, "half of it is attached");
        return in;
}

static void assert_untouched(void)
{
        char name[BPF_OBJ_NAME_LEN];

        cr_assert_eq(count_tcx(uplink(), BPF_TCX_INGRESS, name), 0);
        cr_assert_eq(count_tcx(uplink(), BPF_TCX_EGRESS, name), 0);
        cr_assert_null(strstr(tc("qdisc show dev " UPLINK), "clsact"));
}

/* How many of this process's fds are of this kind, by what fdinfo says of them. */
static unsigned count_fds(const char *field)
{
        DIR *dir = opendir("/proc/self/fdinfo");
        const struct dirent *entry;
        unsigned n = 0;

        cr_assert_not_null(dir);
        while ((entry = readdir(dir))) {
                char path[300];
                _cleanup_free_ char *text = NULL;
                size_t size;

                snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", entry->d_name);
                if (read_full_file(path, 1 << 16, &text, &size) >= 0)
                        n += !!strstr(text, field);
        }
        closedir(dir);
        return n;
}

/* --- packets --- */

typedef struct Site {
        int wireguard, ice, friend, stranger;
        SocketAddress w, p, f, s; /* their addresses */
} Site;

static int socket_at(const char *ip, uint16_t port, SocketAddress *ret)
{
        SocketAddress a;
        int fd;

        cr_assert_eq(socket_address_from_ip(ip, port, &a), 0);
        fd = udp_socket(SOCKET_ADDRESS_STR(&a));
        *ret = local_address(fd);
        return fd;
}

static Site open_site(const char *ours, const char *theirs)
{
        Site s;

        s.wireguard = socket_at(ours, 51820, &s.w);
        s.ice = socket_at(ours, 40000, &s.p);
        netns_enter(there);
        s.friend = socket_at(theirs, 0, &s.f);
        s.stranger = socket_at(theirs, 0, &s.s);
        netns_enter(here);
        return s;
}

static void send_to(int fd, const SocketAddress *to, const void *data, size_t size)
{
        cr_assert_eq(sendto(fd, data, size, 0, &to->sa, socket_address_length(to)), (ssize_t) size, "%m");
}

static void expect(int fd, const SocketAddress *from, const void *data, size_t size, const char *what)
{
        struct pollfd p = { fd, POLLIN, 0 };
        uint8_t buffer[2048];
        SocketAddress source = {};
        socklen_t length = sizeof(source);

        cr_assert_eq(poll(&p, 1, (int) (SANDBOX_PATIENCE / USEC_PER_MSEC)), 1, "nothing came: %s", what);
        cr_assert_eq(recvfrom(fd, buffer, sizeof(buffer), 0, &source.sa, &length), (ssize_t) size, "%s",
                     what);
        cr_assert_eq(memcmp(buffer, data, size), 0, "%s", what);
        cr_assert(socket_address_equal(&source, from), "%s: from %s", what, SOCKET_ADDRESS_STR(&source));
}

typedef struct Stun {
        uint16_t type, length;
        uint32_t cookie;
        char id[12];
        uint16_t attribute, attribute_length;
        char value[12];
} Stun;

static Stun stun(uint16_t type, const char *id, const char *username)
{
        Stun m = {
                .type = htons(type),
                .length = htons(16),
                .cookie = htonl(0x2112A442),
                .attribute = htons(6),
                .attribute_length = htons(12),
        };

        memcpy(m.id, id, sizeof(m.id));
        memcpy(m.value, username, sizeof(m.value));
        return m;
}

static RedirectSocket describe(const Site *s, const char *ufrag)
{
        RedirectSocket out = { .local = s->p, .wireguard_port = socket_address_port(&s->w) };
        socklen_t size = sizeof(out.cookie);

        cr_assert_eq(getsockopt(s->ice, SOL_SOCKET, SO_COOKIE, &out.cookie, &size), 0);
        strcpy(out.ufrag, ufrag);
        return out;
}

#define DATA "\4\0\0\0 what looks like a packet of WireGuard's and is not STUN"

static void assert_shared(const Site *s)
{
        const Stun request = stun(1, "request-----", "abcdefgh:you"),
                   response = stun(0x101, "request-----", "            "),
                   unknown = stun(1, "another-----", "ABCDEFGH:you");

        send_to(s->ice, &s->f, &request, sizeof(request));
        expect(s->friend, &s->w, &request, sizeof(request), "a request goes out from W");
        send_to(s->friend, &s->w, &response, sizeof(response));
        expect(s->ice, &s->f, &response, sizeof(response), "a response");
        send_to(s->friend, &s->w, &request, sizeof(request));
        expect(s->ice, &s->f, &request, sizeof(request), "a request from a friend");
        send_to(s->stranger, &s->w, &request, sizeof(request));
        expect(s->ice, &s->s, &request, sizeof(request), "a request from a stranger");
        send_to(s->stranger, &s->w, &unknown, sizeof(unknown));
        expect(s->wireguard, &s->s, &unknown, sizeof(unknown), "a request for nobody");
        send_to(s->friend, &s->w, DATA, sizeof(DATA));
        expect(s->wireguard, &s->f, DATA, sizeof(DATA), "data");
        send_to(s->wireguard, &s->f, DATA, sizeof(DATA));
        expect(s->friend, &s->w, DATA, sizeof(DATA), "data goes out");
}

static void assert_not_shared(const Site *s)
{
        const Stun request = stun(1, "request-----", "abcdefgh:you");

        send_to(s->ice, &s->f, &request, sizeof(request));
        expect(s->friend, &s->p, &request, sizeof(request), "a request goes out from P");
        send_to(s->stranger, &s->w, &request, sizeof(request));
        expect(s->wireguard, &s->s, &request, sizeof(request), "a request comes to W");
}

static void close_site(Site *s)
{
        safe_close(s->wireguard);
        safe_close(s->ice);
        safe_close(s->friend);
        safe_close(s->stranger);
}

/* Both families with one W and one P: what a port means must count its sockets. */
static void run_packets(bool clsact)
{
        Site four = open_site("192.0.2.1", "192.0.2.2"), six = open_site("2001:db8::1", "2001:db8::2");
        const Stun request = stun(1, "to a relay--", "abcdefgh:you");
        RedirectSocket socket4 = describe(&four, "abcdefgh"), socket6 = describe(&six, "abcdefgh");
        RedirectBackend *b = make(clsact);

        attach(b, uplink());
        assert_not_shared(&four);
        cr_assert_eq(b->ops->add(b, &socket4), 0);
        cr_assert_eq(b->ops->add(b, &socket4), -EEXIST);
        assert_shared(&four);
        assert_not_shared(&six);
        cr_assert_eq(b->ops->add(b, &socket6), 0);
        assert_shared(&six);

        b->ops->remove(b, &socket4);
        assert_not_shared(&four);
        assert_shared(&six);

        socket4.keeps_relays = true;
        cr_assert_eq(b->ops->add(b, &socket4), 0);
        cr_assert_eq(b->ops->set_relays(b, (const SocketAddress[]) { four.f, six.f }, 2), 0);
        send_to(four.ice, &four.f, &request, sizeof(request));
        expect(four.friend, &four.p, &request, sizeof(request), "P to a relay");
        send_to(four.ice, &four.s, &request, sizeof(request));
        expect(four.stranger, &four.w, &request, sizeof(request), "W to others");
        assert_shared(&six);
        cr_assert_eq(b->ops->set_relays(b, &four.s, 1), 0);
        assert_shared(&four);
        send_to(four.ice, &four.s, &request, sizeof(request));
        expect(four.stranger, &four.p, &request, sizeof(request), "P to the new relay");

        attach(b, 0);
        assert_not_shared(&six);
        redirect_backend_free(b);
        close_site(&four);
        close_site(&six);
}

Test(redirect_ebpf, packets_find_their_sockets_tcx)
{
        run_packets(/* clsact= */ false);
}

Test(redirect_ebpf, packets_find_their_sockets_clsact)
{
        run_packets(/* clsact= */ true);
}

Test(redirect_ebpf, a_socket_serves_several_ufrags)
{
        Site s = open_site("192.0.2.1", "192.0.2.2");
        const Stun other = stun(1, "for another-", "ABCDEFGH:you");
        RedirectSocket first = describe(&s, "abcdefgh"), second = describe(&s, "ijklmnop"),
                       wrong = describe(&s, "qrstuvwx");
        const Stun for_second = stun(1, "the second--", "ijklmnop:you");
        RedirectBackend *b = make(/* clsact= */ false);

        attach(b, uplink());
        cr_assert_eq(b->ops->add(b, &first), 0);
        cr_assert_eq(b->ops->add(b, &second), 0);
        cr_assert_eq(b->ops->add(b, &second), -EEXIST);
        wrong.keeps_relays = true;
        cr_assert_eq(b->ops->add(b, &wrong), -EEXIST);
        assert_shared(&s);
        send_to(s.stranger, &s.w, &for_second, sizeof(for_second));
        expect(s.ice, &s.s, &for_second, sizeof(for_second), "the second ufrag");

        b->ops->remove(b, &second);
        send_to(s.stranger, &s.w, &for_second, sizeof(for_second));
        expect(s.wireguard, &s.s, &for_second, sizeof(for_second), "the second ufrag is gone");
        assert_shared(&s);
        b->ops->remove(b, &first);
        assert_not_shared(&s);
        send_to(s.stranger, &s.w, &other, sizeof(other));
        expect(s.wireguard, &s.s, &other, sizeof(other), "nobody's");

        /* It is as if it had never been there. */
        cr_assert_eq(b->ops->add(b, &wrong), 0);
        b->ops->remove(b, &wrong);
        redirect_backend_free(b);
        close_site(&s);
}

/* --- uplinks --- */

static void run_uplinks(bool clsact)
{
        RedirectBackend *b = make(clsact);
        int first = uplink(), both[2];
        char index[32];

        snprintf(index, sizeof(index), "index %d", first);
        assert_untouched();
        attach(b, first);
        cr_assert(is_attached(clsact));
        attach(b, first);
        cr_assert(is_attached(clsact), "once, not twice");

        /* Gone: its links are closed. */
        sandbox_shell("ip link delete " UPLINK);
        attach(b, first);
        cr_assert_eq(count_fds("link_type:"), 0);
        /* Another one, of the same index. */
        attach(b, first);
        add_uplink(index);
        cr_assert_eq(uplink(), first);
        assert_untouched();
        attach(b, first);
        cr_assert(is_attached(clsact));
        /* The same without a look in between. */
        sandbox_shell("ip link delete " UPLINK);
        add_uplink(index);
        attach(b, first);
        cr_assert(is_attached(clsact));

        /* From one to another. */
        sandbox_shell("ip link add other0 type veth peer name other1");
        both[0] = (int) if_nametoindex("other0");
        both[1] = first;
        cr_assert_eq(b->ops->set_uplinks(b, both, 2), 0);
        cr_assert(is_attached(clsact));
        cr_assert_eq(b->ops->set_uplinks(b, both, 1), 0);
        assert_untouched();
        cr_assert_eq(b->ops->set_uplinks(b, both, 2), 0);
        redirect_backend_free(b);
        assert_untouched();
        cr_assert_null(strstr(tc("qdisc show"), "clsact"));
        cr_assert_eq(count_fds("prog_type:") + count_fds("map_type:") + count_fds("link_type:"), 0);
}

Test(redirect_ebpf, uplinks_come_and_go_tcx)
{
        run_uplinks(/* clsact= */ false);
}

Test(redirect_ebpf, uplinks_come_and_go_clsact)
{
        run_uplinks(/* clsact= */ true);
}

Test(redirect_ebpf, a_link_without_ethernet_has_other_programs)
{
        RedirectBackend *b = make(/* clsact= */ false);
        char name[BPF_OBJ_NAME_LEN];
        int tun;

        if (access("/dev/net/tun", R_OK) < 0)
                cr_skip_test("needs tun devices");
        sandbox_shell("ip tuntap add tun0 mode tun && ip tuntap add tap0 mode tap");
        tun = (int) if_nametoindex("tun0");
        attach(b, tun);
        cr_assert_eq(count_tcx(tun, BPF_TCX_INGRESS, name), 1);
        cr_assert_str_eq(name, "icewire_l3_ingr");
        cr_assert_eq(count_tcx(tun, BPF_TCX_EGRESS, name), 1);
        cr_assert_str_eq(name, "icewire_l3_egre");
        attach(b, (int) if_nametoindex("tap0"));
        cr_assert_eq(count_tcx((int) if_nametoindex("tap0"), BPF_TCX_INGRESS, name), 1);
        cr_assert_str_eq(name, "icewire_ingress");
        cr_assert_eq(count_tcx(tun, BPF_TCX_INGRESS, name), 0);
        redirect_backend_free(b);
}

/* A broker that was attached to the uplink, and is killed. */
static void attach_and_be_killed(bool clsact)
{
        pid_t pid = fork();
        int status;

        cr_assert_geq(pid, 0);
        if (pid == 0) {
                RedirectBackend *b;
                char *message;

                if ((clsact ? redirect_ebpf_new_clsact(&b, &message) : redirect_ebpf_new(&b, &message)) <
                            0 ||
                    b->ops->set_uplinks(b, &(int) { uplink() }, 1) < 0)
                        _exit(1);
                raise(SIGKILL);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFSIGNALED(status));
}

Test(redirect_ebpf, a_killed_broker_leaves_nothing_by_tcx)
{
        attach_and_be_killed(/* clsact= */ false);
        /* The kernel puts the process's links away in its own time. */
        for (usec_t end = now(CLOCK_MONOTONIC) + SANDBOX_PATIENCE; is_attached(/* clsact= */ false);)
                cr_assert_lt(now(CLOCK_MONOTONIC), end);
        assert_untouched();
}

Test(redirect_ebpf, the_next_broker_removes_what_a_killed_one_left)
{
        attach_and_be_killed(/* clsact= */ true);
        cr_assert(is_attached(/* clsact= */ true), "clsact is known for that");
        redirect_backend_free(make(/* clsact= */ false));
        assert_untouched();
}

/* At another priority it is somebody else's, whatever its name. */
static void add_foreign_filter(void)
{
        DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = uplink(), .attach_point = BPF_TC_INGRESS);
        struct redirect_bpf *skeleton = redirect_bpf__open_and_load();
        DECLARE_LIBBPF_OPTS(bpf_tc_opts, options, .handle = 1, .priority = 77);

        cr_assert_not_null(skeleton);
        options.prog_fd = bpf_program__fd(skeleton->progs.icewire_ingress);
        cr_assert_eq(bpf_tc_attach(&hook, &options), 0);
        redirect_bpf__destroy(skeleton);
}

Test(redirect_ebpf, what_others_have_at_the_qdisc_stays)
{
        RedirectBackend *b;

        /* Their qdisc: before us and after us. */
        sandbox_shell("tc qdisc add dev " UPLINK " clsact");
        b = make(/* clsact= */ true);
        attach(b, uplink());
        cr_assert(is_attached(/* clsact= */ true));
        attach(b, 0);
        cr_assert(!is_attached(/* clsact= */ true));
        cr_assert_not_null(strstr(tc("qdisc show dev " UPLINK), "clsact"));
        redirect_backend_free(b);
        attach_and_be_killed(/* clsact= */ true);
        redirect_backend_free(make(/* clsact= */ true));
        cr_assert(!is_attached(/* clsact= */ true));
        cr_assert_not_null(strstr(tc("qdisc show dev " UPLINK), "clsact"));
        sandbox_shell("tc qdisc delete dev " UPLINK " clsact");

        /* Ours, and they have moved in. */
        b = make(/* clsact= */ true);
        attach(b, uplink());
        add_foreign_filter();
        redirect_backend_free(b);
        cr_assert_not_null(strstr(tc("filter show dev " UPLINK " ingress"), "pref 77"));
        cr_assert_null(strstr(tc("filter show dev " UPLINK " ingress"), "pref 462"));
        cr_assert_null(strstr(tc("filter show dev " UPLINK " egress"), "icewire"));
}

Test(redirect_ebpf, maps_that_are_full_change_nothing)
{
        RedirectBackend *b = make(/* clsact= */ false);
        RedirectSocket s = { .local = address("192.0.2.1:40000"), .wireguard_port = 51820 };
        const SocketAddress relay = address("192.0.2.9:1");
        SocketAddress relays[256], more[256];
        uint64_t n;
        int r;

        for (n = 1;; n++) {
                s.cookie = n;
                snprintf(s.ufrag, sizeof(s.ufrag), "%08u", (unsigned) n);
                r = b->ops->add(b, &s);
                if (r < 0)
                        break;
        }
        cr_assert_eq(r, -ENOSPC);
        cr_assert_eq(n, 16385);
        /* Room for one is room for one. */
        s.cookie = 1;
        strcpy(s.ufrag, "00000001");
        b->ops->remove(b, &s);
        cr_assert_eq(b->ops->add(b, &s), 0);
        cr_assert_eq(b->ops->add(b, &s), -EEXIST);

        for (size_t i = 0; i < ELEMENTSOF(relays); i++) {
                relays[i] = more[i] = relay;
                socket_address_set_port(&relays[i], (uint16_t) (i + 1));
                socket_address_set_port(&more[i], (uint16_t) (i + 1001));
        }
        cr_assert_eq(b->ops->set_relays(b, relays, ELEMENTSOF(relays)), 0);
        cr_assert_eq(b->ops->set_relays(b, more, ELEMENTSOF(more)), 0);
        cr_assert_eq(b->ops->set_relays(b, NULL, 0), 0);
        redirect_backend_free(b);
}

/* --- the self-test, and rights --- */

static void run_self_test(bool clsact)
{
        RedirectBackend *b = make(clsact);
        _cleanup_free_ char *message = NULL;
        char name[BPF_OBJ_NAME_LEN];

        cr_assert_eq(redirect_self_test(b, &message), 0, "%s", strna(message));
        cr_assert_eq(count_tcx(1, BPF_TCX_INGRESS, name), 0);
        cr_assert_null(strstr(tc("qdisc show dev lo"), "clsact"));

        /* A host that drops what nobody has asked for. */
        sandbox_shell("nft 'table inet t { chain c { type filter hook input priority 0; policy drop; "
                      "ct state established accept; }; }'");
        cr_assert_eq(redirect_self_test(b, &message), -ETIMEDOUT);
        cr_assert_str_eq(message, "in the self-test a STUN request that comes unasked does not come to ICE "
                                  "(Connection timed out)");
        cr_assert_eq(count_tcx(1, BPF_TCX_INGRESS, name), 0);
        redirect_backend_free(b);
}

Test(redirect_ebpf, the_self_test_tells_what_fails_tcx)
{
        run_self_test(/* clsact= */ false);
}

Test(redirect_ebpf, the_self_test_tells_what_fails_clsact)
{
        run_self_test(/* clsact= */ true);
}

/* Sends packets through lo to itself, one after the other, until `control` is closed at the other end, which
 * is told when it has begun; returns how many did not come. */
static int lose_on_lo(int control)
{
        struct pollfd fds[2] = { { .fd = -EBADF, .events = POLLIN }, { .fd = control } };
        SocketAddress to;
        char byte = 0;
        int sender, lost = 0;

        sender = udp_socket("127.0.0.1:0");
        fds[0].fd = udp_socket("127.0.0.2:4000");
        cr_assert_eq(socket_address_from_ip("127.0.0.2", 4000, &to), 0);
        for (unsigned n = 0; fds[1].revents == 0; n++) {
                if (n == 1)
                        cr_assert_eq(write(control, &byte, sizeof(byte)), 1);
                send_to(sender, &to, &byte, sizeof(byte));
                if (poll(fds, ELEMENTSOF(fds), 200) == 0)
                        lost++;
                (void) recv(fds[0].fd, &byte, sizeof(byte), MSG_DONTWAIT);
        }
        close(fds[0].fd);
        close(sender);
        return lost;
}

/* It is repeated while the redirect is in force, on a host where others use lo. */
Test(redirect_ebpf, the_repeated_self_test_loses_nothing_on_lo)
{
        RedirectBackend *b = make(/* clsact= */ false);
        usec_t end = now(CLOCK_MONOTONIC) + USEC_PER_SEC;
        int control[2], status;
        char byte;
        pid_t pid;

        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, control), 0);
        pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) {
                close(control[1]);
                _exit(lose_on_lo(control[0]));
        }
        close(control[0]);
        cr_assert_eq(read(control[1], &byte, sizeof(byte)), 1);
        do
                cr_assert_eq(redirect_self_test_unasked(b), 0);
        while (now(CLOCK_MONOTONIC) < end);
        close(control[1]);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status));
        cr_assert_eq(WEXITSTATUS(status), 0, "%d packets were lost", WEXITSTATUS(status));
        redirect_backend_free(b);
}

/* --- rules of NAT --- */

/* They take the socket that was assigned from a packet, if they do, without having changed it. */
static void add_nat(const char *version)
{
        sandbox_shell("nft 'table %s nat { chain c { type nat hook postrouting priority 100; oifname " UPLINK
                      " masquerade; }; }'",
                      version);
}

/* Open is WireGuard's port alone. */
static void add_firewall(const char *version)
{
        sandbox_shell("nft 'table %s wall { chain c { type filter hook input priority 0; iifname " UPLINK
                      " meta l4proto udp udp dport != 51820 drop; }; }'",
                      version);
}

static void delete_table(const char *name)
{
        sandbox_shell("nft delete table %s", name);
}

/* Who gets what a stranger asks, ICE or WireGuard? */
static bool ice_is_asked(const Site *s)
{
        const Stun request = stun(1, "unasked-----", "abcdefgh:you");
        struct pollfd fds[] = { { s->ice, POLLIN, 0 }, { s->wireguard, POLLIN, 0 } };
        bool out;

        send_to(s->stranger, &s->w, &request, sizeof(request));
        cr_assert_eq(poll(fds, ELEMENTSOF(fds), (int) (SANDBOX_PATIENCE / USEC_PER_MSEC)), 1);
        out = fds[0].revents;
        expect(out ? s->ice : s->wireguard, &s->s, &request, sizeof(request), "a stranger's request");
        return out;
}

static void assert_lo_is_clean(void)
{
        char name[BPF_OBJ_NAME_LEN];

        cr_assert_eq(count_tcx(1, BPF_TCX_INGRESS, name) + count_tcx(1, BPF_TCX_EGRESS, name), 0);
        cr_assert_null(strstr(tc("qdisc show dev lo"), "clsact"));
}

static void run_nat(bool clsact)
{
        Site four = open_site("192.0.2.1", "192.0.2.2"), six = open_site("2001:db8::1", "2001:db8::2");
        RedirectSocket socket4 = describe(&four, "abcdefgh"), socket6 = describe(&six, "abcdefgh");
        RedirectBackend *b = make(clsact);
        bool limited;

        attach(b, uplink());
        cr_assert_eq(b->ops->add(b, &socket4), 0);
        cr_assert_eq(b->ops->add(b, &socket6), 0);
        cr_assert_eq(redirect_self_test_unasked(b), 0);

        /* A kernel may come that does not mind. */
        add_nat("ip");
        limited = !ice_is_asked(&four);
        cr_assert_eq(redirect_self_test_unasked(b), limited);
        cr_assert(ice_is_asked(&four));
        add_firewall("ip6");
        cr_assert(ice_is_asked(&six), "of that version there are no rules");
        delete_table("ip6 wall");
        add_nat("ip6");
        cr_assert_eq(redirect_self_test_unasked(b), limited);
        cr_assert(ice_is_asked(&four) && ice_is_asked(&six));
        assert_lo_is_clean();
        cr_assert(is_attached(clsact));
        assert_shared(&four);
        assert_shared(&six);

        /* Nothing gets through: who knows? */
        sandbox_shell("nft 'table inet t { chain c { type filter hook input priority 0; iif lo drop; }; }'");
        cr_assert_eq(redirect_self_test_unasked(b), -ETIMEDOUT);
        assert_lo_is_clean();
        cr_assert(ice_is_asked(&four) && ice_is_asked(&six));
        delete_table("inet t");

        delete_table("ip nat");
        delete_table("ip6 nat");
        cr_assert_eq(redirect_self_test_unasked(b), 0);
        add_firewall("inet");
        cr_assert(ice_is_asked(&four) && ice_is_asked(&six));
        redirect_backend_free(b);
        close_site(&four);
        close_site(&six);
}

Test(redirect_ebpf, rules_of_nat_are_found_and_survived_tcx)
{
        run_nat(/* clsact= */ false);
}

Test(redirect_ebpf, rules_of_nat_are_found_and_survived_clsact)
{
        run_nat(/* clsact= */ true);
}

Test(redirect_ebpf, the_self_test_passes_with_rules_of_nat)
{
        Site site = open_site("192.0.2.1", "192.0.2.2");
        RedirectSocket socket = describe(&site, "abcdefgh");
        RedirectBackend *b = make(/* clsact= */ false);
        _cleanup_free_ char *message = NULL;
        bool limited;

        add_nat("inet");
        attach(b, uplink());
        cr_assert_eq(b->ops->add(b, &socket), 0);
        limited = !ice_is_asked(&site);
        cr_assert_eq(redirect_self_test(b, &message), limited, "%s", strna(message));
        attach(b, uplink());
        assert_shared(&site);
        delete_table("inet nat");
        cr_assert_eq(redirect_self_test(b, &message), 0, "%s", strna(message));
        redirect_backend_free(b);
        close_site(&site);
}

/* As is_attached(), with few rights. */
static bool is_something_attached(bool clsact)
{
        DECLARE_LIBBPF_OPTS(bpf_prog_query_opts, query);

        return clsact ? is_attached(clsact)
                      : bpf_prog_query_opts(uplink(), BPF_TCX_EGRESS, &query) == 0 && query.prog_cnt == 1;
}

/* 0: all is well; otherwise where it was not. No assertions: they are the parent's. */
static int work_with_few_rights(bool clsact)
{
        char *message = NULL;
        RedirectBackend *b;

        if (privileges_drop_for_loading() < 0)
                return 1;
        if ((clsact ? redirect_ebpf_new_clsact(&b, &message) : redirect_ebpf_new(&b, &message)) < 0)
                return 2;
        if (privileges_drop() < 0 || privileges_have(CAP_BPF) || !privileges_have(CAP_NET_ADMIN))
                return 3;
        if (redirect_self_test(b, &message) != 0 || redirect_self_test_unasked(b) != 0)
                return 4;
        if (b->ops->set_uplinks(b, &(int) { uplink() }, 1) < 0 || !is_something_attached(clsact))
                return 5;
        redirect_backend_free(b);
        if (is_something_attached(clsact))
                return 6;
        /* And not again. */
        if (redirect_ebpf_new(&b, &message) != -EPERM)
                return 7;
        return message && strstr(message, "CAP_BPF") ? 0 : 8;
}

static void run_rights(bool clsact)
{
        pid_t pid = fork();
        int status;

        cr_assert_geq(pid, 0);
        if (pid == 0)
                _exit(work_with_few_rights(clsact));
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status));
        cr_assert_eq(WEXITSTATUS(status), 0);
}

Test(redirect_ebpf, loaded_programs_need_no_right_to_load_tcx)
{
        run_rights(/* clsact= */ false);
}

Test(redirect_ebpf, loaded_programs_need_no_right_to_load_clsact)
{
        run_rights(/* clsact= */ true);
}
