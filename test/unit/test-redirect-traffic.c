/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The redirect with sockets: one in WireGuard's place and some of ICE, on a device whose cable the test
 * holds, on loopback, and between namespaces. What arrives where, and on which port the host's firewall
 * would have seen it. */

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#include "fd-util.h"
#include "netns.h"
#include "redirect-fixture.h"
#include "udp.h"
#include "wire.h"

#define W 51820
#define W2 51821
#define P 40001
#define P2 40002
#define ID 0xc0ffee
#define UFRAG "ufrag+01"
#define USERNAME UFRAG ":theirs"

/* As of Linux 2.6.37 and 4.13; the C library's headers lack one. */
#ifndef IPV6_RECVORIGDSTADDR
#define IPV6_RECVORIGDSTADDR 74
#endif

static SocketAddress at(const char *ipv4, const char *ipv6, int family, uint16_t port)
{
        SocketAddress a;

        cr_assert_geq(socket_address_from_ip(family == AF_INET ? ipv4 : ipv6, port, &a), 0);
        return a;
}

static SocketAddress here(int family, uint16_t port)
{
        return at("192.0.2.1", "2001:db8::1", family, port);
}

static SocketAddress there(int family)
{
        return at("198.51.100.7", "2001:db8:5::7", family, 3478);
}

/* Tells to which port what it receives was sent. */
static int open_socket(const SocketAddress *a)
{
        int one = 1, fd = socket(a->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        cr_assert_geq(fd, 0);
        if (a->sa.sa_family == AF_INET)
                cr_assert_eq(setsockopt(fd, SOL_IP, IP_RECVORIGDSTADDR, &one, sizeof(one)), 0);
        else
                cr_assert_eq(setsockopt(fd, SOL_IPV6, IPV6_RECVORIGDSTADDR, &one, sizeof(one)), 0);
        cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
        cr_assert_eq(bind(fd, &a->sa, socket_address_length(a)), 0, "%m");
        return fd;
}

static void send_to(int fd, const SocketAddress *to, const Message *m)
{
        cr_assert_eq(sendto(fd, m->bytes, m->size, 0, &to->sa, socket_address_length(to)), (ssize_t) m->size,
                     "%m");
}

typedef struct Received {
        Message message;
        SocketAddress from;
        uint16_t to; /* the port in the header */
} Received;

static Received receive(int fd, const char *what)
{
        Received r = {};
        uint8_t control[256];
        struct sockaddr_storage from;
        struct iovec iov = { r.message.bytes, sizeof(r.message.bytes) };
        struct msghdr m = {
                .msg_name = &from,
                .msg_namelen = sizeof(from),
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control,
                .msg_controllen = sizeof(control),
        };
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t n;

        cr_assert_eq(poll(&p, 1, SANDBOX_PATIENCE / USEC_PER_MSEC), 1, "%s: nothing came", what);
        n = recvmsg(fd, &m, 0);
        cr_assert_geq(n, 0, "%s: %m", what);
        r.message.size = (size_t) n;
        cr_assert_geq(socket_address_from_sockaddr(&from, m.msg_namelen, &r.from), 0);
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
                SocketAddress to;

                cr_assert_geq(socket_address_from_sockaddr(CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0), &to), 0);
                r.to = socket_address_port(&to);
        }
        return r;
}

/* That exactly this comes next. */
static void expect_received(int fd, const SocketAddress *from, uint16_t to, const Message *m,
                            const char *what)
{
        Received r = receive(fd, what);

        cr_assert(socket_address_equal(&r.from, from), "%s: from %s", what, SOCKET_ADDRESS_STR(&r.from));
        cr_assert_eq(r.to, to, "%s: to %u", what, r.to);
        cr_assert_eq(r.message.size, m->size, "%s: %zu bytes", what, r.message.size);
        cr_assert_arr_eq(r.message.bytes, m->bytes, m->size, "%s", what);
}

typedef struct Host {
        struct redirect_bpf *redirect;
        struct bpf_link *out, *in;
        Wire wire;
        int family;
        int wireguard; /* W */
        int ice;       /* P of W, with UFRAG */
} Host;

static Host host_open(int family, bool link, unsigned flags)
{
        struct redirect_bpf *redirect = redirect_load();
        SocketAddress w = here(family, W), p = here(family, P);
        Host h = { .redirect = redirect, .family = family, .wire = wire_open(link) };

        wire_configure(&h.wire);
        h.wireguard = open_socket(&w);
        h.ice = open_socket(&p);
        redirect_add_socket(redirect, socket_cookie(h.ice), P, W, flags);
        redirect_add_ufrag(redirect, UFRAG, &p, W, P);
        h.out = bpf_program__attach_tcx(link ? redirect->progs.icewire_egress
                                             : redirect->progs.icewire_l3_egress,
                                        h.wire.ifindex, NULL);
        h.in = bpf_program__attach_tcx(link ? redirect->progs.icewire_ingress
                                            : redirect->progs.icewire_l3_ingress,
                                       h.wire.ifindex, NULL);
        cr_assert(h.out && h.in, "%m");
        return h;
}

static void host_close(Host *h)
{
        bpf_link__destroy(h->out);
        bpf_link__destroy(h->in);
        close(h->ice);
        close(h->wireguard);
        redirect_done(h->redirect);
}

static PacketSpec to_host(const Host *h, Message m)
{
        PacketSpec spec = {
                .source = there(h->family),
                .destination = here(h->family, W),
                .message = m,
                .protocol = IPPROTO_UDP,
                .no_link = !h->wire.link,
        };

        memcpy(spec.from, wire_other_mac, ETH_ALEN);
        memcpy(spec.to, wire_mac, ETH_ALEN);
        return spec;
}

static void inject(const Host *h, const PacketSpec *spec)
{
        Packet packet = packet_build(spec);

        wire_inject(&h->wire, &packet);
}

/* Puts it on the wire, and says who has to get it. */
static void expect_arrives(const Host *h, const PacketSpec *spec, int fd, uint16_t to, const char *what)
{
        inject(h, spec);
        expect_received(fd, &spec->source, to, &spec->message, what);
}

/* Reads what leaves until it is UDP to there(), and compares all of it, but for what the kernel alone
 * decides in an IP header: TOS, identification, flags, TTL; flow label. */
static void expect_leaves(const Host *h, uint16_t from, const SocketAddress *to, const Message *m,
                          unsigned options, unsigned n_extensions, bool no_checksum, const char *what)
{
        PacketSpec spec = {
                .source = here(h->family, from),
                .destination = *to,
                .message = *m,
                .protocol = IPPROTO_UDP,
                .no_link = !h->wire.link,
                .options = options,
                .extensions = { IPPROTO_HOPOPTS },
                .n_extensions = n_extensions,
                .no_checksum = no_checksum,
        };
        Packet expected;
        uint8_t out[sizeof(expected.bytes)], *ip, *wanted;
        size_t size, source = h->family == AF_INET ? 12 : 8;

        memcpy(spec.from, wire_mac, ETH_ALEN);
        memcpy(spec.to, wire_other_mac, ETH_ALEN);
        expected = packet_build(&spec);
        ip = out + expected.network;
        wanted = expected.bytes + expected.network;
        /* The kernel itself speaks from addresses that are not ours: multicast, neighbours. */
        do
                size = wire_receive(&h->wire, out, sizeof(out));
        while (size <= expected.transport || ip[0] >> 4 != wanted[0] >> 4 ||
               memcmp(ip + source, wanted + source, h->family == AF_INET ? 4 : 16) != 0);

        if (h->family == AF_INET) {
                wanted[1] = ip[1];
                memcpy(wanted + 4, ip + 4, 5);
                put16(wanted + 10, 0);
                put16(wanted + 10, (uint16_t) ~fold16(sum16(wanted, 20 + options, 0)));
        } else {
                memcpy(wanted, ip, 4);
                wanted[7] = ip[7];
        }
        assert_packet_eq(&expected, out, size, what);
}

static void expect_leaves_plain(const Host *h, uint16_t from, const SocketAddress *to, const Message *m,
                                const char *what)
{
        expect_leaves(h, from, to, m, /* options= */ 0, /* n_extensions= */ 0, /* no_checksum= */ false,
                      what);
}

#define FOR_BOTH(name)                                                                                      \
        static void name(int family, bool link);                                                            \
        Test(traffic, name##_ipv4)                                                                          \
        {                                                                                                   \
                name(AF_INET, true);                                                                        \
        }                                                                                                   \
        Test(traffic, name##_ipv6)                                                                          \
        {                                                                                                   \
                name(AF_INET6, true);                                                                       \
        }                                                                                                   \
        Test(traffic, name##_l3_ipv4)                                                                       \
        {                                                                                                   \
                name(AF_INET, false);                                                                       \
        }                                                                                                   \
        Test(traffic, name##_l3_ipv6)                                                                       \
        {                                                                                                   \
                name(AF_INET6, false);                                                                      \
        }                                                                                                   \
        static void name(int family, bool link)

/* We ask, and get the answer. */
FOR_BOTH(answered)
{
        Host h = host_open(family, link, 0);
        SocketAddress remote = there(family);
        Message request = stun_request(ID, "theirs00:" UFRAG), data = wireguard_message(4, 148);
        PacketSpec response = to_host(&h, stun_response(ID)), wireguard = to_host(&h, data);

        send_to(h.ice, &remote, &request);
        expect_leaves_plain(&h, W, &remote, &request, "our request");
        expect_arrives(&h, &response, h.ice, P, "the response");
        /* What the peer asks of us then belongs to the same flow. */
        response.message = stun_request(1, USERNAME);
        expect_arrives(&h, &response, h.ice, P, "the peer's request");
        expect_arrives(&h, &wireguard, h.wireguard, W, "WireGuard's data");
        assert_statistics(h.redirect, (uint64_t[_REDIRECT_STATISTIC_MAX]) {
                                              [REDIRECT_SENT] = 1, [REDIRECT_RECEIVED] = 2 });
        host_close(&h);
}

/* The peer asks first, so that the firewall has to see W; when we have answered, P. */
FOR_BOTH(asked)
{
        Host h = host_open(family, link, 0);
        SocketAddress remote = there(family);
        PacketSpec request = to_host(&h, stun_request(1, USERNAME));
        Message response = stun_response(1);

        expect_arrives(&h, &request, h.ice, W, "unsolicited request");
        expect_arrives(&h, &request, h.ice, W, "again");
        send_to(h.ice, &remote, &response);
        expect_leaves_plain(&h, W, &remote, &response, "our response");
        expect_arrives(&h, &request, h.ice, P, "solicited request");
        assert_statistics(h.redirect,
                          (uint64_t[_REDIRECT_STATISTIC_MAX]) {
                                  [REDIRECT_SENT] = 1, [REDIRECT_RECEIVED] = 1, [REDIRECT_ASSIGNED] = 2 });
        host_close(&h);
}

/* Where the broker has found that it has to be so. */
FOR_BOTH(asked_and_rewritten)
{
        Host h = host_open(family, link, 0);
        PacketSpec request = to_host(&h, stun_request(1, USERNAME));

        h.redirect->bss->redirect_rewrites = family == AF_INET ? REDIRECT_REWRITES_IPV6
                                                               : REDIRECT_REWRITES_IPV4;
        expect_arrives(&h, &request, h.ice, W, "the other version is rewritten");
        h.redirect->bss->redirect_rewrites = REDIRECT_REWRITES_IPV4 | REDIRECT_REWRITES_IPV6;
        expect_arrives(&h, &request, h.ice, P, "rewritten");
        request.message = stun_request(1, "ufrag+02:theirs");
        expect_arrives(&h, &request, h.wireguard, W, "nobody's");
        assert_statistics(
                h.redirect,
                (uint64_t[_REDIRECT_STATISTIC_MAX]) {
                        [REDIRECT_RECEIVED] = 1, [REDIRECT_ASSIGNED] = 1, [REDIRECT_UNEXPECTED] = 1 });
        host_close(&h);
}

/* Conntrack has forgotten it. */
FOR_BOTH(asked_after_long)
{
        Host h = host_open(family, link, 0);
        SocketAddress remote = there(family), local = here(family, P);
        PacketSpec request = to_host(&h, stun_request(1, USERNAME));

        redirect_add_contact(h.redirect, &remote, &local, P, REDIRECT_SOLICITED_NSEC);
        expect_arrives(&h, &request, h.ice, W, "request after 25 s");
        redirect_add_contact(h.redirect, &remote, &local, P, REDIRECT_SOLICITED_NSEC / 2);
        expect_arrives(&h, &request, h.ice, P, "request after 12 s");
        host_close(&h);
}

/* Nobody's: WireGuard gets it, as without us. */
FOR_BOTH(not_ours)
{
        Host h = host_open(family, link, 0);
        PacketSpec spec = to_host(&h, stun_request(1, "ufrag+02:theirs"));

        expect_arrives(&h, &spec, h.wireguard, W, "unknown ufrag");
        spec.message = stun_response(1);
        expect_arrives(&h, &spec, h.wireguard, W, "unknown transaction");
        assert_counted(h.redirect, REDIRECT_UNEXPECTED, 2);
        host_close(&h);
}

/* The socket is gone, and the broker has not heard of it. */
FOR_BOTH(closed)
{
        Host h = host_open(family, link, 0);
        PacketSpec spec = to_host(&h, stun_request(1, USERNAME));

        close(h.ice);
        h.ice = -EBADF;
        expect_arrives(&h, &spec, h.wireguard, W, "for a socket that is gone");
        assert_counted(h.redirect, _REDIRECT_STATISTIC_MAX, 0);
        host_close(&h);
}

/* Another socket on the very same port. */
FOR_BOTH(wrong_cookie)
{
        Host h = host_open(family, link, 0);
        SocketAddress local = here(family, P), remote = there(family);
        Message request = stun_request(ID, NULL);
        _cleanup_close_ int other = open_socket(&local);

        send_to(other, &remote, &request);
        expect_leaves_plain(&h, P, &remote, &request, "of another socket");
        assert_counted(h.redirect, _REDIRECT_STATISTIC_MAX, 0);
        send_to(h.ice, &remote, &request);
        expect_leaves_plain(&h, W, &remote, &request, "of our socket");
        host_close(&h);
}

/* What goes to a TURN server is not rewritten, nor is what comes back; the STUN client asks the same server
 * from W. */
FOR_BOTH(relay)
{
        Host h = host_open(family, link, REDIRECT_SOCKET_KEEPS_RELAYS);
        SocketAddress local = here(family, P2), server = there(family);
        _cleanup_close_ int client = open_socket(&local);
        Message request = stun_request(ID, NULL);
        PacketSpec response = to_host(&h, stun_response(ID)), allocated = response;

        redirect_add_relay(h.redirect, &server);
        redirect_add_socket(h.redirect, socket_cookie(client), P2, W, 0);

        send_to(h.ice, &server, &request);
        expect_leaves_plain(&h, P, &server, &request, "to the relay");
        socket_address_set_port(&allocated.destination, P);
        expect_arrives(&h, &allocated, h.ice, P, "from the relay");
        expect_arrives(&h, &response, h.wireguard, W, "of no transaction behind W");

        send_to(client, &server, &request);
        expect_leaves_plain(&h, W, &server, &request, "of the STUN client");
        expect_arrives(&h, &response, client, P2, "to the STUN client");
        host_close(&h);
}

/* A wrong checksum is not made right. */
FOR_BOTH(broken_checksum)
{
        Host h = host_open(family, link, 0);
        SocketAddress remote = there(family), local = here(family, P);
        PacketSpec spec = to_host(&h, stun_request(1, USERNAME));
        Packet packet = packet_build(&spec);

        redirect_add_contact(h.redirect, &remote, &local, P, 0);
        packet.bytes[packet.size - 1] ^= 1;
        wire_inject(&h.wire, &packet);
        /* Nothing comes before the good one. */
        spec.message = stun_request(2, USERNAME);
        expect_arrives(&h, &spec, h.ice, P, "after a broken packet");
        assert_counted(h.redirect, REDIRECT_RECEIVED, 2);
        host_close(&h);
}

static void move_in_place(struct redirect_bpf *redirect, const SocketAddress *from, const SocketAddress *to)
{
        redirect_add_move(redirect, from, W,
                          &(struct redirect_move) {
                                  .to = redirect_endpoint(to),
                                  .until = redirect_now() + SANDBOX_PATIENCE * 1000,
                          });
}

/* What comes by the old path looks as if it came by the new one, and whoever answers answers there. */
FOR_BOTH(moved)
{
        Host h = host_open(family, link, 0);
        SocketAddress from = there(family), to = at("203.0.113.99", "2001:db8:99::99", family, 51830);
        Message data = wireguard_message(4, 148);
        PacketSpec spec = to_host(&h, data);

        expect_arrives(&h, &spec, h.wireguard, W, "before");
        move_in_place(h.redirect, &from, &to);
        for (unsigned checksum = 0; checksum < (family == AF_INET ? 2 : 1); checksum++) {
                spec.no_checksum = checksum;
                inject(&h, &spec);
                expect_received(h.wireguard, &to, W, &data, "moved");
        }
        spec.no_checksum = false;
        spec.message = stun_request(1, USERNAME);
        expect_arrives(&h, &spec, h.ice, W, "STUN says where it comes from");
        cr_assert_eq(redirect_count_moved(h.redirect, &from, W), family == AF_INET ? 2 : 1);
        host_close(&h);
}

/* In pieces, which neither program touches: WireGuard gets the whole. */
FOR_BOTH(fragmented)
{
        Host h = host_open(family, link, 0);
        SocketAddress remote = there(family);
        Message request = stun_request(1, USERNAME);
        uint8_t filler[1800] = {}, out[3000];
        PacketSpec spec = to_host(&h, request);
        Packet whole, piece;
        const size_t first = 800;

        stun_add(&spec.message, STUN_SOFTWARE, filler, sizeof(filler));
        whole = packet_build(&spec);
        for (size_t offset = 0; offset < whole.size - whole.transport; offset += first) {
                PacketSpec s = spec;
                size_t size = MIN(first, whole.size - whole.transport - offset);
                bool more = offset + size < whole.size - whole.transport;

                s.fragment = (uint16_t) (family == AF_INET ? offset / 8 | (more ? IP_MF : 0)
                                                           : offset | more);
                s.extensions[0] = IPPROTO_FRAGMENT;
                s.n_extensions = 1;
                s.message.size = size - 8;
                piece = packet_build(&s);
                memcpy(piece.bytes + piece.transport, whole.bytes + whole.transport + offset, size);
                wire_inject(&h.wire, &piece);
        }
        expect_received(h.wireguard, &spec.source, W, &spec.message, "reassembled");

        sandbox_shell("ip link set " WIRE_NAME " mtu 1280");
        if (family == AF_INET)
                cr_assert_eq(
                        setsockopt(h.ice, SOL_IP, IP_MTU_DISCOVER, &(int) { IP_PMTUDISC_DONT }, sizeof(int)),
                        0);
        send_to(h.ice, &remote, &spec.message);
        do
                (void) wire_receive(&h.wire, out, sizeof(out));
        while (out[whole.network] >> 4 != (family == AF_INET ? 4 : 6) ||
               (family == AF_INET6 && out[whole.network + 6] != IPPROTO_FRAGMENT));
        cr_assert_eq(get16(out + whole.transport + (family == AF_INET ? 0 : 8)), P);
        assert_counted(h.redirect, _REDIRECT_STATISTIC_MAX, 0);
        host_close(&h);
}

/* With options, both ways. */
Test(traffic, ip_options)
{
        Host h = host_open(AF_INET, /* link= */ true, 0);
        SocketAddress remote = there(AF_INET);
        PacketSpec spec = to_host(&h, stun_request(1, USERNAME));
        Message response = stun_response(1);

        spec.options = 12;
        expect_arrives(&h, &spec, h.ice, W, "unsolicited");
        cr_assert_eq(setsockopt(h.ice, SOL_IP, IP_OPTIONS, "\1\1\1\1\1\1\1\1", 8), 0, "%m");
        send_to(h.ice, &remote, &response);
        expect_leaves(&h, W, &remote, &response, /* options= */ 8, /* n_extensions= */ 0,
                      /* no_checksum= */ false, "with options");
        expect_arrives(&h, &spec, h.ice, P, "solicited");
        host_close(&h);
}

Test(traffic, extension_headers)
{
        static const uint8_t pad[8] = { 0, 0, 0x1e, 4 };
        Host h = host_open(AF_INET6, /* link= */ true, 0);
        SocketAddress remote = there(AF_INET6);
        PacketSpec spec = to_host(&h, stun_request(1, USERNAME));
        Message response = stun_response(1);

        memcpy(spec.extensions, (uint8_t[]) { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS }, 2);
        spec.n_extensions = 2;
        expect_arrives(&h, &spec, h.ice, W, "unsolicited");
        cr_assert_eq(setsockopt(h.ice, SOL_IPV6, IPV6_HOPOPTS, pad, sizeof(pad)), 0, "%m");
        send_to(h.ice, &remote, &response);
        expect_leaves(&h, W, &remote, &response, /* options= */ 0, /* n_extensions= */ 1,
                      /* no_checksum= */ false, "with extension headers");
        expect_arrives(&h, &spec, h.ice, P, "solicited");
        host_close(&h);
}

Test(traffic, zero_checksum)
{
        Host h = host_open(AF_INET, /* link= */ true, 0);
        SocketAddress remote = there(AF_INET);
        PacketSpec spec = to_host(&h, stun_request(1, USERNAME));
        Message response = stun_response(1);

        spec.no_checksum = true;
        expect_arrives(&h, &spec, h.ice, W, "unsolicited");
        cr_assert_eq(setsockopt(h.ice, SOL_SOCKET, SO_NO_CHECK, &(int) { 1 }, sizeof(int)), 0);
        send_to(h.ice, &remote, &response);
        expect_leaves(&h, W, &remote, &response, /* options= */ 0, /* n_extensions= */ 0,
                      /* no_checksum= */ true, "without checksum");
        expect_arrives(&h, &spec, h.ice, P, "solicited");
        host_close(&h);
}

/* Before Linux 6.6 there is no tcx: the same programs, as filters. */
Test(traffic, clsact)
{
        Host h = host_open(AF_INET, /* link= */ true, 0);
        SocketAddress remote = there(AF_INET);
        PacketSpec spec = to_host(&h, stun_request(1, USERNAME));
        Message response = stun_response(1);
        struct {
                enum bpf_tc_attach_point point;
                struct bpf_program *program;
        } sides[] = {
                { BPF_TC_INGRESS, h.redirect->progs.icewire_ingress },
                { BPF_TC_EGRESS, h.redirect->progs.icewire_egress },
        };

        cr_assert_eq(bpf_link__destroy(TAKE_PTR(h.out)), 0);
        cr_assert_eq(bpf_link__destroy(TAKE_PTR(h.in)), 0);
        expect_arrives(&h, &spec, h.wireguard, W, "without programs");
        LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = h.wire.ifindex,
                    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
        cr_assert_eq(bpf_tc_hook_create(&both), 0, "%m");
        for (unsigned i = 0; i < ELEMENTSOF(sides); i++) {
                LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = h.wire.ifindex, .attach_point = sides[i].point);
                LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = bpf_program__fd(sides[i].program), .handle = 1,
                            .priority = 1);
                cr_assert_eq(bpf_tc_attach(&hook, &opts), 0, "%m");
        }
        expect_arrives(&h, &spec, h.ice, W, "unsolicited");
        send_to(h.ice, &remote, &response);
        expect_leaves_plain(&h, W, &remote, &response, "our response");
        expect_arrives(&h, &spec, h.ice, P, "solicited");
        host_close(&h);
}

/* Two links of this host, each with a session with the other, over loopback. */
static void meet_on_loopback(int family)
{
        struct redirect_bpf *redirect = redirect_load();
        SocketAddress w1 = at("127.0.0.1", "::1", family, W), w2 = w1, p1 = w1, p2 = w1;
        Message request = stun_request(ID, "ufrag+02:" UFRAG), response = stun_response(ID),
                data = wireguard_message(4, 64);
        int ifindex = (int) if_nametoindex("lo"), ice1, ice2, wireguard1, wireguard2;
        struct bpf_link *out, *in;

        socket_address_set_port(&w2, W2);
        socket_address_set_port(&p1, P);
        socket_address_set_port(&p2, P2);
        wireguard1 = open_socket(&w1);
        wireguard2 = open_socket(&w2);
        ice1 = open_socket(&p1);
        ice2 = open_socket(&p2);
        redirect_add_socket(redirect, socket_cookie(ice1), P, W, 0);
        redirect_add_socket(redirect, socket_cookie(ice2), P2, W2, 0);
        redirect_add_ufrag(redirect, UFRAG, &p1, W, P);
        redirect_add_ufrag(redirect, "ufrag+02", &p2, W2, P2);
        out = bpf_program__attach_tcx(redirect->progs.icewire_egress, ifindex, NULL);
        in = bpf_program__attach_tcx(redirect->progs.icewire_ingress, ifindex, NULL);
        cr_assert(out && in, "%m");

        send_to(ice1, &w2, &request);
        expect_received(ice2, &w1, W2, &request, "request");
        send_to(ice2, &w1, &response);
        expect_received(ice1, &w2, P, &response, "response");
        request = stun_request(ID + 1, UFRAG ":ufrag+02");
        send_to(ice2, &w1, &request);
        expect_received(ice1, &w2, P, &request, "request back");
        send_to(wireguard1, &w2, &data);
        expect_received(wireguard2, &w1, W2, &data, "data");

        bpf_link__destroy(out);
        bpf_link__destroy(in);
        close(ice1);
        close(ice2);
        close(wireguard1);
        close(wireguard2);
        redirect_done(redirect);
}

Test(traffic, loopback_ipv4)
{
        meet_on_loopback(AF_INET);
}

Test(traffic, loopback_ipv6)
{
        meet_on_loopback(AF_INET6);
}

/* All of many sessions behind one port, each with a peer of its own or the same one. */
Test(traffic, many_sessions)
{
        enum { SESSIONS = 50 };
        Host h = host_open(AF_INET, /* link= */ true, 0);
        int sockets[SESSIONS];
        SocketAddress remote = there(AF_INET);

        for (uint16_t i = 0; i < SESSIONS; i++) {
                SocketAddress local = here(AF_INET, 30000 + i);
                char ufrag[9];

                (void) snprintf(ufrag, sizeof(ufrag), "many%04u", i);
                sockets[i] = open_socket(&local);
                redirect_add_socket(h.redirect, socket_cookie(sockets[i]), 30000 + i, W, 0);
                redirect_add_ufrag(h.redirect, ufrag, &local, W, 30000 + i);
        }
        for (uint16_t i = 0; i < SESSIONS; i++) {
                Message asked = stun_request(i, NULL);

                send_to(sockets[i], &remote, &asked);
                expect_leaves_plain(&h, W, &remote, &asked, "of many");
        }
        for (uint16_t i = SESSIONS; i-- > 0;) {
                PacketSpec response = to_host(&h, stun_response(i)), request;
                char username[32];

                expect_arrives(&h, &response, sockets[i], 30000 + i, "response to one of many");
                (void) snprintf(username, sizeof(username), "many%04u:theirs", i);
                request = to_host(&h, stun_request(1, username));
                socket_address_set_port(&request.source, 1000 + i);
                expect_arrives(&h, &request, sockets[i], W, "request to one of many");
                close(sockets[i]);
        }
        assert_statistics(h.redirect,
                          (uint64_t[_REDIRECT_STATISTIC_MAX]) { [REDIRECT_SENT] = SESSIONS,
                                                                [REDIRECT_RECEIVED] = SESSIONS,
                                                                [REDIRECT_ASSIGNED] = SESSIONS });
        host_close(&h);
}

/* Namespaces: "peer" and "third" on a cable each with the host, which is 192.0.2.1 and 203.0.113.1. */

static int socket_in(const char *name, const char *a)
{
        _cleanup_close_ int home = netns_here(), away = netns_open(name);
        SocketAddress local = address(a);
        int fd;

        netns_enter(away);
        fd = open_socket(&local);
        netns_enter(home);
        return fd;
}

#define PEER "/run/netns/peer"
#define THIRD "/run/netns/third"

/* Whether the device leaves checksums to hardware, which a veth has not: it passes them on unfinished. */
static void set_checksum_offload(const char *name, const char *device, bool on)
{
        _cleanup_close_ int home = netns_here(), away = netns_open(name);
        struct ethtool_value value = { .cmd = ETHTOOL_STXCSUM, .data = on };
        struct ifreq ifr = { .ifr_data = (void *) &value };
        _cleanup_close_ int fd = -EBADF;

        netns_enter(away);
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        memcpy(ifr.ifr_name, device, strlen(device));
        cr_assert_eq(ioctl(fd, SIOCETHTOOL, &ifr), 0, "%m");
        netns_enter(home);
}

typedef struct Cables {
        struct redirect_bpf *redirect;
        struct bpf_link *out, *in;
        int peer;      /* 192.0.2.2:3478 */
        int wireguard; /* 192.0.2.1:W */
        int ice;       /* 192.0.2.1:P */
} Cables;

static Cables cables_open(bool offload)
{
        Cables c = { .redirect = redirect_load() };
        SocketAddress w = here(AF_INET, W), p = here(AF_INET, P);
        int ifindex;

        sandbox_shell("mount -t tmpfs tmpfs /run && ip netns add peer && ip netns add third");
        sandbox_shell("ip link add to-peer type veth peer name home netns peer && ip link add to-third type "
                      "veth peer name home netns third");
        sandbox_shell("ip addr add 192.0.2.1/24 dev to-peer && ip addr add 203.0.113.1/24 dev to-third");
        sandbox_shell("ip link set to-peer up && ip link set to-third up");
        sandbox_shell(
                "ip -n peer addr add 192.0.2.2/24 dev home && ip -n peer link set home up && ip -n peer "
                "route add default via 192.0.2.1");
        sandbox_shell(
                "ip -n third addr add 203.0.113.2/24 dev home && ip -n third link set home up && ip -n "
                "third route add default via 203.0.113.1");
        set_checksum_offload("/proc/self/ns/net", "to-peer", offload);
        set_checksum_offload(PEER, "home", offload);
        c.peer = socket_in(PEER, "192.0.2.2:3478");
        c.wireguard = open_socket(&w);
        c.ice = open_socket(&p);
        redirect_add_socket(c.redirect, socket_cookie(c.ice), P, W, 0);
        redirect_add_ufrag(c.redirect, UFRAG, &p, W, P);
        ifindex = (int) if_nametoindex("to-peer");
        c.out = bpf_program__attach_tcx(c.redirect->progs.icewire_egress, ifindex, NULL);
        c.in = bpf_program__attach_tcx(c.redirect->progs.icewire_ingress, ifindex, NULL);
        cr_assert(c.out && c.in, "%m");
        return c;
}

static void cables_close(Cables *c)
{
        bpf_link__destroy(c->out);
        bpf_link__destroy(c->in);
        close(c->peer);
        close(c->wireguard);
        close(c->ice);
        redirect_done(c->redirect);
}

/* The receiver looks at a checksum that the sender has made; one that was left to a device, which here is
 * none, has to stay as it is. */
static void expect_offload(bool offload)
{
        Cables c = cables_open(offload);
        SocketAddress w = here(AF_INET, W), remote = address("192.0.2.2:3478"),
                      to = address("192.0.2.3:51830");
        Message request = stun_request(ID, "theirs00:" UFRAG), response = stun_response(ID),
                data = wireguard_message(4, 1400);

        send_to(c.peer, &w, &data);
        expect_received(c.wireguard, &remote, W, &data, "data in");
        send_to(c.ice, &remote, &request);
        expect_received(c.peer, &w, 3478, &request, "request");
        send_to(c.peer, &w, &response);
        expect_received(c.ice, &remote, P, &response, "response");
        request = stun_request(1, USERNAME);
        send_to(c.peer, &w, &request);
        expect_received(c.ice, &remote, P, &request, "request back");
        send_to(c.wireguard, &remote, &data);
        expect_received(c.peer, &w, 3478, &data, "data out");
        move_in_place(c.redirect, &remote, &to);
        send_to(c.peer, &w, &data);
        expect_received(c.wireguard, &to, W, &data, "data that is moved");
        assert_statistics(c.redirect, (uint64_t[_REDIRECT_STATISTIC_MAX]) {
                                              [REDIRECT_SENT] = 1, [REDIRECT_RECEIVED] = 2 });
        cables_close(&c);
}

Test(traffic, checksum_offload)
{
        expect_offload(true);
}

Test(traffic, no_checksum_offload)
{
        expect_offload(false);
}

static void send_segments(int fd, const SocketAddress *to, const Message *m, uint16_t size)
{
        cr_assert_eq(setsockopt(fd, SOL_UDP, UDP_SEGMENT, &(int) { size }, sizeof(int)), 0, "%m");
        send_to(fd, to, m);
        cr_assert_eq(setsockopt(fd, SOL_UDP, UDP_SEGMENT, &(int) { 0 }, sizeof(int)), 0, "%m");
}

static void expect_segments(int fd, const SocketAddress *from, uint16_t to, const Message *m, uint16_t size,
                            const char *what)
{
        for (size_t offset = 0; offset < m->size; offset += size) {
                Message segment = { .size = MIN(size, m->size - offset) };

                memcpy(segment.bytes, m->bytes + offset, segment.size);
                expect_received(fd, from, to, &segment, what);
        }
}

/* A large packet of a socket of ours leaves from W, in whole or in pieces; one that comes to W whole
 * passes. */
static void expect_trains(bool offload)
{
        Cables c = cables_open(offload);
        SocketAddress w = here(AF_INET, W), remote = address("192.0.2.2:3478"),
                      to = address("192.0.2.3:51830");
        Message train = wireguard_message(4, 5000), stun = stun_request(1, USERNAME);

        send_segments(c.ice, &remote, &train, 1200);
        expect_segments(c.peer, &w, 3478, &train, 1200, "out");
        send_segments(c.peer, &w, &train, 1200);
        expect_segments(c.wireguard, &remote, W, &train, 1200, "in");
        assert_statistics(c.redirect, (uint64_t[_REDIRECT_STATISTIC_MAX]) { [REDIRECT_SENT] = 1 });
        /* Alone it is no train. */
        send_segments(c.peer, &w, &stun, 1200);
        expect_received(c.ice, &remote, P, &stun, "STUN of a sender of trains");
        move_in_place(c.redirect, &remote, &to);
        send_segments(c.peer, &w, &train, 1200);
        expect_segments(c.wireguard, &to, W, &train, 1200, "moved");
        cr_assert_eq(redirect_count_moved(c.redirect, &remote, W), 5);
        cables_close(&c);
}

Test(traffic, trains)
{
        expect_trains(true);
}

Test(traffic, trains_without_offload)
{
        expect_trains(false);
}

/* The host routes between its neighbours: what it forwards from P or to W is theirs, even where STUN in it
 * has an ID or a ufrag of ours. */
Test(traffic, router)
{
        Cables c = cables_open(/* offload= */ true);
        _cleanup_close_ int peer_p = socket_in(PEER, "192.0.2.2:40001"),
                            third_p = socket_in(THIRD, "203.0.113.2:40001"),
                            third_w = socket_in(THIRD, "203.0.113.2:51820");
        SocketAddress from_peer = address("192.0.2.2:40001"), from_third = address("203.0.113.2:40001"),
                      to_third = address("203.0.113.2:51820");
        Message request = stun_request(ID, USERNAME), response = stun_response(ID);

        sandbox_write("/proc/sys/net/ipv4/conf/all/forwarding", "1");
        redirect_add_transaction(c.redirect, ID, P, W);
        redirect_add_ufrag(c.redirect, UFRAG, &to_third, W, P);
        redirect_add_contact(c.redirect, &from_peer, &to_third, P, 0);

        send_to(peer_p, &to_third, &request);
        expect_received(third_w, &from_peer, W, &request, "request to the third");
        send_to(peer_p, &to_third, &response);
        expect_received(third_w, &from_peer, W, &response, "response to the third");
        send_to(third_p, &from_peer, &request);
        expect_received(peer_p, &from_third, P, &request, "from P of the third");
        assert_counted(c.redirect, _REDIRECT_STATISTIC_MAX, 0);

        /* The router's own still works. */
        to_third = here(AF_INET, W);
        send_to(c.peer, &to_third, &request);
        to_third = address("192.0.2.2:3478");
        expect_received(c.ice, &to_third, W, &request, "to the router itself");
        cables_close(&c);
}
