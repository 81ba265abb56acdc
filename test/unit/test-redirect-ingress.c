/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The redirect's way in, on crafted packets, by bpf_prog_test_run_opts(). Whole packets are compared. Such a
 * packet cannot be given to a socket: what is, the unsolicited ones, is in test-redirect-traffic.c. */

#include <linux/pkt_cls.h>

#include "redirect-fixture.h"
#include "udp.h"

#define W 51820
#define W2 51821
#define P 40001
#define P2 40002
#define ID 0xc0ffee
#define UFRAG "ufrag+01"
#define USERNAME UFRAG ":theirs"

static SocketAddress here(int family, uint16_t port)
{
        SocketAddress a = address(family == AF_INET ? "192.0.2.1:0" : "[2001:db8::1]:0");

        socket_address_set_port(&a, port);
        return a;
}

static SocketAddress there(int family)
{
        return address(family == AF_INET ? "198.51.100.7:3478" : "[2001:db8:5::7]:3478");
}

static PacketSpec to_us(int family, Message message)
{
        return (PacketSpec) {
                .source = there(family),
                .destination = here(family, W),
                .message = message,
                .protocol = IPPROTO_UDP,
        };
}

/* Runs the program on it: the result has to be `expected`. */
static void expect(struct redirect_bpf *redirect, const Packet *in, const Packet *expected,
                   struct __sk_buff *context, const char *what)
{
        uint8_t out[sizeof(in->bytes) + 64];
        LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->bytes, .data_size_in = (uint32_t) in->size,
                    .data_out = out, .data_size_out = sizeof(out), .ctx_in = context,
                    .ctx_size_in = context ? sizeof(*context) : 0, .repeat = 1);

        cr_assert_eq(bpf_prog_test_run_opts(bpf_program__fd(redirect->progs.icewire_ingress), &opts), 0,
                     "%s: %m", what);
        cr_assert_eq((int) opts.retval, TCX_NEXT, "%s: verdict %d", what, (int) opts.retval);
        assert_packet_eq(expected, out, opts.data_size_out, what);
}

static void expect_passes(struct redirect_bpf *redirect, const PacketSpec *spec, const char *what)
{
        Packet packet = packet_build(spec);

        expect(redirect, &packet, &packet, /* context= */ NULL, what);
}

/* Towards P, with all checksums as if it had been sent there. */
static void expect_received(struct redirect_bpf *redirect, const PacketSpec *spec, uint16_t p,
                            const char *what)
{
        Packet packet = packet_build(spec), expected;
        PacketSpec received = *spec;

        socket_address_set_port(&received.destination, p);
        expected = packet_build(&received);
        expect(redirect, &packet, &expected, /* context= */ NULL, what);
}

/* One socket on P behind W, for both families: its ufrag is UFRAG, ID is a transaction of its, and it has
 * just sent something to there(). */
static struct redirect_bpf *load_receiver(void)
{
        struct redirect_bpf *redirect = redirect_load();

        redirect_add_socket(redirect, UINT64_MAX, P, W, 0);
        redirect_add_transaction(redirect, ID, P, W);
        for (int i = 0; i < 2; i++) {
                int family = i == 0 ? AF_INET : AF_INET6;
                SocketAddress local = here(family, P), remote = there(family);

                redirect_add_ufrag(redirect, UFRAG, &local, W, P);
                redirect_add_contact(redirect, &remote, &local, P, 0);
        }
        return redirect;
}

/* Name, what the packet is, what becomes of it; and how it differs. */
#define TEST_INGRESS(name, family, message_, expectation, ...)                                              \
        Test(ingress, name)                                                                                 \
        {                                                                                                   \
                struct redirect_bpf *redirect = load_receiver();                                            \
                PacketSpec spec = to_us(family, message_);                                                  \
                __VA_ARGS__                                                                                 \
                expectation(redirect, &spec);                                                               \
                redirect_done(redirect);                                                                    \
        }                                                                                                   \
        struct UNIQUE(_trailing_semicolon_)

static void rewritten(struct redirect_bpf *redirect, const PacketSpec *spec)
{
        expect_received(redirect, spec, P, "for P");
        assert_counted(redirect, REDIRECT_RECEIVED, 1);
}

static void unexpected(struct redirect_bpf *redirect, const PacketSpec *spec)
{
        expect_passes(redirect, spec, "nobody's");
        assert_counted(redirect, REDIRECT_UNEXPECTED, 1);
}

static void ignored(struct redirect_bpf *redirect, const PacketSpec *spec)
{
        expect_passes(redirect, spec, "not ours");
        assert_counted(redirect, _REDIRECT_STATISTIC_MAX, 0);
}

TEST_INGRESS(response_ipv4, AF_INET, stun_response(ID), rewritten);
TEST_INGRESS(response_ipv6, AF_INET6, stun_response(ID), rewritten);
TEST_INGRESS(error_response, AF_INET, stun_message(STUN_BINDING_ERROR, ID), rewritten);
TEST_INGRESS(request_ipv4, AF_INET, stun_request(ID + 1, USERNAME), rewritten);
TEST_INGRESS(request_ipv6, AF_INET6, stun_request(ID + 1, USERNAME), rewritten);
TEST_INGRESS(other_method, AF_INET, stun_message(0x0103, ID), rewritten);

TEST_INGRESS(response_unknown, AF_INET, stun_response(ID + 1), unexpected);
TEST_INGRESS(response_unknown_ipv6, AF_INET6, stun_response(ID + 1), unexpected);
TEST_INGRESS(request_unknown_ufrag, AF_INET, stun_request(ID, "ufrag+02:theirs"), unexpected);
/* Its own transaction ID does not make a request of ours one to us. */
TEST_INGRESS(request_reflected, AF_INET, stun_request(ID, "theirs00:" UFRAG), unexpected);
TEST_INGRESS(indication_without_username, AF_INET, stun_message(STUN_BINDING_INDICATION, ID), unexpected);

TEST_INGRESS(username_absent, AF_INET, stun_request(ID, NULL), unexpected);
TEST_INGRESS(username_short, AF_INET, stun_request(ID, UFRAG), unexpected);
TEST_INGRESS(username_shorter, AF_INET, stun_request(ID, "ufrag+0:theirs"), unexpected);
TEST_INGRESS(username_empty, AF_INET, stun_request(ID, ""), unexpected);
TEST_INGRESS(username_without_colon, AF_INET, stun_request(ID, UFRAG "+theirs"), unexpected);
TEST_INGRESS(username_longer, AF_INET, stun_request(ID, UFRAG "9:theirs"), unexpected);
TEST_INGRESS(username_barely, AF_INET, stun_request(ID, UFRAG ":"), rewritten);

TEST_INGRESS(zero_checksum, AF_INET, stun_response(ID), rewritten, spec.no_checksum = true;);
TEST_INGRESS(padded_frame, AF_INET, stun_message(STUN_BINDING_SUCCESS, ID), rewritten, spec.padding = 18;);
TEST_INGRESS(padded_frame_ipv6, AF_INET6, stun_response(ID), rewritten, spec.padding = 2;);

TEST_INGRESS(vlan, AF_INET, stun_response(ID), rewritten, spec.vlan_tags = 1;);
TEST_INGRESS(vlan_ipv6, AF_INET6, stun_request(ID, USERNAME), rewritten, spec.vlan_tags = 1;);
TEST_INGRESS(vlan_in_vlan, AF_INET, stun_request(ID, USERNAME), rewritten, spec.vlan_tags = 2;);
TEST_INGRESS(vlan_too_deep, AF_INET, stun_response(ID), ignored, spec.vlan_tags = 3;);

Test(ingress, options)
{
        struct redirect_bpf *redirect = load_receiver();

        for (unsigned options = 4; options <= 40; options += 4) {
                PacketSpec response = to_us(AF_INET, stun_response(ID)),
                           request = to_us(AF_INET, stun_request(1, USERNAME));

                response.options = request.options = options;
                expect_received(redirect, &response, P, "response with options");
                expect_received(redirect, &request, P, "request with options");
                request.vlan_tags = 1;
                expect_received(redirect, &request, P, "request with a tag and options");
        }
        redirect_done(redirect);
}

static const uint8_t extensions[][12] = {
        { IPPROTO_HOPOPTS },
        { IPPROTO_DSTOPTS },
        { IPPROTO_ROUTING },
        { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS },
        { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_DSTOPTS, IPPROTO_DSTOPTS, IPPROTO_DSTOPTS,
          IPPROTO_DSTOPTS, IPPROTO_DSTOPTS, IPPROTO_DSTOPTS },
};
static const unsigned n_extensions[] = { 1, 1, 1, 4, 8 };

Test(ingress, extension_headers)
{
        struct redirect_bpf *redirect = load_receiver();

        for (unsigned i = 0; i < ELEMENTSOF(extensions); i++) {
                PacketSpec spec = to_us(AF_INET6, stun_request(1, USERNAME));

                memcpy(spec.extensions, extensions[i], sizeof(spec.extensions));
                spec.n_extensions = n_extensions[i];
                expect_received(redirect, &spec, P, "with extension headers");
                spec.message = stun_response(ID);
                expect_received(redirect, &spec, P, "response with extension headers");
        }
        redirect_done(redirect);
}

TEST_INGRESS(extension_headers_too_many, AF_INET6, stun_response(ID), ignored,
             memset(spec.extensions, IPPROTO_DSTOPTS, 9);
             spec.n_extensions = 9;);
TEST_INGRESS(extension_header_unknown, AF_INET6, stun_response(ID), ignored, spec.extensions[0] = IPPROTO_AH;
             spec.n_extensions = 1;);

TEST_INGRESS(fragment_first, AF_INET, stun_response(ID), ignored, spec.fragment = 0x2000;);
TEST_INGRESS(fragment_later, AF_INET, stun_response(ID), ignored, spec.fragment = 0x0010;);
TEST_INGRESS(fragment_middle, AF_INET, stun_response(ID), ignored, spec.fragment = 0x2010;);
TEST_INGRESS(fragment_first_with_options, AF_INET, stun_response(ID), ignored, spec.fragment = 0x2000;
             spec.options = 8;);
TEST_INGRESS(dont_fragment, AF_INET, stun_response(ID), rewritten, spec.fragment = 0x4000;);
TEST_INGRESS(fragment_first_ipv6, AF_INET6, stun_response(ID), ignored,
             spec.extensions[0] = IPPROTO_FRAGMENT;
             spec.n_extensions = 1; spec.fragment = 1;);
TEST_INGRESS(fragment_later_ipv6, AF_INET6, stun_response(ID), ignored, spec.extensions[0] = IPPROTO_HOPOPTS;
             spec.extensions[1] = IPPROTO_FRAGMENT; spec.n_extensions = 2; spec.fragment = 0x80;);

TEST_INGRESS(tcp, AF_INET, stun_response(ID), ignored, spec.protocol = IPPROTO_TCP;);
TEST_INGRESS(tcp_ipv6, AF_INET6, stun_response(ID), ignored, spec.protocol = IPPROTO_TCP;);
TEST_INGRESS(udplite, AF_INET, stun_response(ID), ignored, spec.protocol = IPPROTO_UDPLITE;);
TEST_INGRESS(other_port, AF_INET, stun_response(ID), ignored,
             socket_address_set_port(&spec.destination, W2););
/* STUN to P itself is P's already. */
TEST_INGRESS(own_port, AF_INET, stun_response(ID), ignored, socket_address_set_port(&spec.destination, P););

TEST_INGRESS(other_host, AF_INET, stun_response(ID), ignored, memcpy(spec.to, "\x02stran", ETH_ALEN););
TEST_INGRESS(broadcast, AF_INET, stun_response(ID), ignored, memset(spec.to, 0xff, ETH_ALEN););

static size_t ip_header_size(const PacketSpec *spec)
{
        return spec->source.sa.sa_family == AF_INET ? 20 : 40;
}

Test(ingress, truncated)
{
        struct redirect_bpf *redirect = load_receiver();
        PacketSpec specs[] = {
                to_us(AF_INET, stun_request(ID, USERNAME)), to_us(AF_INET6, stun_request(ID, USERNAME)),
                to_us(AF_INET, stun_response(ID)),          to_us(AF_INET, stun_response(ID)),
                to_us(AF_INET6, stun_response(ID)),         to_us(AF_INET6, stun_response(ID)),
        };

        specs[3].options = 12;
        specs[3].vlan_tags = 1;
        specs[4].extensions[0] = IPPROTO_HOPOPTS;
        specs[4].extensions[1] = IPPROTO_DSTOPTS;
        specs[4].n_extensions = 2;
        specs[5] = specs[4];
        specs[5].vlan_tags = 2;
        for (unsigned i = 0; i < ELEMENTSOF(specs); i++) {
                Packet whole = packet_build(&specs[i]);

                /* The kernel makes no packet here of an IP header that it can see to be short. */
                for (size_t size = specs[i].vlan_tags ? ETH_HLEN + 1
                                                      : whole.network + ip_header_size(&specs[i]);
                     size < whole.size; size++) {
                        Packet packet = whole;

                        packet.size = size;
                        expect(redirect, &packet, &packet, /* context= */ NULL, "truncated");
                }
                expect_received(redirect, &specs[i], P, "not truncated");
        }
        assert_counted(redirect, REDIRECT_RECEIVED, ELEMENTSOF(specs));
        redirect_done(redirect);
}

/* With one byte that is wrong. */
static void expect_broken(struct redirect_bpf *redirect, int family, size_t at, uint8_t value,
                          const char *what)
{
        PacketSpec spec = to_us(family, stun_response(ID));
        Packet packet = packet_build(&spec);

        cr_assert_neq(packet.bytes[at], value);
        packet.bytes[at] = value;
        expect(redirect, &packet, &packet, /* context= */ NULL, what);
        assert_counted(redirect, _REDIRECT_STATISTIC_MAX, 0);
}

Test(ingress, broken_headers)
{
        struct redirect_bpf *redirect = load_receiver();

        expect_broken(redirect, AF_INET, ETH_HLEN, 0x44, "header of 16 bytes");
        expect_broken(redirect, AF_INET, ETH_HLEN, 0x40, "header of no bytes");
        expect_broken(redirect, AF_INET, ETH_HLEN, 0x65, "IPv6 in IPv4's type");
        expect_broken(redirect, AF_INET, ETH_HLEN + 24, 0xff, "UDP length beyond the packet");
        expect_broken(redirect, AF_INET, ETH_HLEN + 25, 8, "UDP length of nothing");
        expect_broken(redirect, AF_INET, ETH_HLEN + 25, 7, "UDP length of less than nothing");
        expect_broken(redirect, AF_INET, ETH_HLEN - 1, 0x06, "ARP");
        expect_broken(redirect, AF_INET6, ETH_HLEN + 45, 9, "UDP length too short for STUN");
        redirect_done(redirect);
}

/* The length in the STUN header, changed by this much. */
static void expect_length_ignored(int by)
{
        struct redirect_bpf *redirect = load_receiver();
        PacketSpec spec = to_us(AF_INET, stun_response(ID));

        put16(spec.message.bytes + 2, (uint16_t) (get16(spec.message.bytes + 2) + by));
        ignored(redirect, &spec);
        redirect_done(redirect);
}

Test(ingress, stun_length_too_long)
{
        expect_length_ignored(4);
}

Test(ingress, stun_length_too_short)
{
        expect_length_ignored(-4);
}

Test(ingress, stun_length_odd)
{
        struct redirect_bpf *redirect = load_receiver();

        /* Not a multiple of 4, though it is what the datagram holds. */
        for (size_t more = 1; more < 4; more++) {
                PacketSpec spec = to_us(AF_INET, stun_response(ID));

                spec.message.size += more;
                put16(spec.message.bytes + 2, (uint16_t) (spec.message.size - 20));
                ignored(redirect, &spec);
        }
        redirect_done(redirect);
}

TEST_INGRESS(wrong_cookie, AF_INET, stun_response(ID), ignored, spec.message.bytes[7] ^= 1;);
TEST_INGRESS(wrong_cookie_with_options, AF_INET, stun_response(ID), ignored, spec.message.bytes[4] ^= 1;
             spec.options = 4;);
TEST_INGRESS(channel_data, AF_INET, stun_response(ID), ignored, spec.message.bytes[0] |= 0x40;);
TEST_INGRESS(dtls_or_rtp, AF_INET, stun_response(ID), ignored, spec.message.bytes[0] |= 0x80;);
TEST_INGRESS(nothing, AF_INET, ((Message) {}), ignored);
TEST_INGRESS(one_byte, AF_INET, ((Message) { .size = 1 }), ignored);
TEST_INGRESS(cookie_alone, AF_INET,
             ((Message) { .bytes = { 1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42 }, .size = 8 }), ignored);

Test(ingress, wireguard)
{
        static const size_t sizes[] = { 148, 92, 64, 32, 1452 };
        struct redirect_bpf *redirect = load_receiver();

        for (uint8_t type = 1; type <= 4; type++)
                for (unsigned i = 0; i < ELEMENTSOF(sizes); i++) {
                        PacketSpec spec = to_us(AF_INET, wireguard_message(type, sizes[i]));

                        ignored(redirect, &spec);
                        spec.options = 4;
                        ignored(redirect, &spec);
                        spec = to_us(AF_INET6, wireguard_message(type, sizes[i]));
                        ignored(redirect, &spec);
                        /* Any other index */
                        put32(spec.message.bytes + 4, 0x01020304);
                        ignored(redirect, &spec);
                }
        redirect_done(redirect);
}

/* As many as there may be before USERNAME, of lengths that need padding and that do not. */
static Message with_attributes(unsigned n, size_t size)
{
        Message m = stun_message(STUN_BINDING_REQUEST, 1);

        for (unsigned i = 0; i < n; i++)
                stun_add(&m, STUN_SOFTWARE, "software that has a name", size);
        return m;
}

Test(ingress, username_anywhere)
{
        struct redirect_bpf *redirect = load_receiver();

        for (unsigned n = 0; n < 24; n++)
                for (size_t size = 0; size < 9; size++) {
                        PacketSpec spec = to_us(AF_INET, with_attributes(n, size));

                        stun_add_username(&spec.message, USERNAME);
                        expect_received(redirect, &spec, P, "USERNAME last");
                        stun_add(&spec.message, STUN_MESSAGE_INTEGRITY, "01234567890123456789", 20);
                        expect_received(redirect, &spec, P, "USERNAME in the middle");
                }
        redirect_done(redirect);
}

TEST_INGRESS(username_too_late, AF_INET, with_attributes(24, 4), unexpected,
             stun_add_username(&spec.message, USERNAME););
/* The first one counts. */
TEST_INGRESS(username_twice, AF_INET, with_attributes(0, 0), unexpected,
             stun_add_username(&spec.message, "ufrag+02:theirs");
             stun_add_username(&spec.message, USERNAME););
/* An attribute that swallows it, and one that is longer than the message. */
TEST_INGRESS(attribute_too_long, AF_INET, with_attributes(1, 4), unexpected,
             stun_add_username(&spec.message, USERNAME);
             put16(spec.message.bytes + 22, 20););
TEST_INGRESS(attribute_longest, AF_INET, with_attributes(1, 4), unexpected,
             stun_add_username(&spec.message, USERNAME);
             put16(spec.message.bytes + 22, 0xffff););
/* The colon is the next attribute's. */
TEST_INGRESS(username_short_before_a_colon, AF_INET, with_attributes(0, 0), unexpected,
             stun_add_username(&spec.message, UFRAG);
             stun_add(&spec.message, ':' << 8, "", 0););
/* It says more than there is, and what there is behind the datagram would make it right. */
TEST_INGRESS(username_beyond_the_end, AF_INET, with_attributes(0, 0), unexpected,
             stun_add_username(&spec.message, UFRAG);
             put16(spec.message.bytes + 22, 9); spec.padding = 8; spec.filler = ':';);

Test(ingress, checksum_that_becomes_zero)
{
        struct redirect_bpf *redirect = load_receiver();
        unsigned found = 0;

        /* Zero would mean that there is none. One of these transactions makes it so. */
        for (uint32_t id = 0; id < 0x10000 && found == 0; id++) {
                PacketSpec spec = to_us(AF_INET6, stun_response(id)), received = spec;
                Packet packet;

                socket_address_set_port(&received.destination, P);
                packet = packet_build(&received);
                if (get16(packet.bytes + packet.transport + 6) != 0xffff)
                        continue;
                found++;
                redirect_add_transaction(redirect, id, P, W);
                expect_received(redirect, &spec, P, "mangled zero");
        }
        cr_assert_eq(found, 1);
        redirect_done(redirect);
}

Test(ingress, two_links)
{
        struct redirect_bpf *redirect = load_receiver();
        SocketAddress local = here(AF_INET, P2), remote = there(AF_INET);
        PacketSpec first = to_us(AF_INET, stun_request(1, USERNAME)), second = first;

        redirect_add_wireguard(redirect, W2);
        redirect_add_ufrag(redirect, "ufrag+02", &local, W2, P2);
        redirect_add_transaction(redirect, 2, P2, W2);
        redirect_add_contact(redirect, &remote, &local, P2, 0);
        second.message = stun_request(1, "ufrag+02:theirs");
        socket_address_set_port(&second.destination, W2);

        expect_received(redirect, &first, P, "request to the first");
        expect_received(redirect, &second, P2, "request to the second");
        first.message = stun_response(ID);
        second.message = stun_response(2);
        expect_received(redirect, &first, P, "response to the first");
        expect_received(redirect, &second, P2, "response to the second");
        assert_counted(redirect, REDIRECT_RECEIVED, 4);
        redirect_done(redirect);
}

/* What belongs to one link comes in at another one's port. */
TEST_INGRESS(response_at_the_other_link, AF_INET, stun_response(ID), unexpected,
             redirect_add_wireguard(redirect, W2);
             socket_address_set_port(&spec.destination, W2););
TEST_INGRESS(request_at_the_other_link, AF_INET, stun_request(1, USERNAME), unexpected,
             redirect_add_wireguard(redirect, W2);
             socket_address_set_port(&spec.destination, W2););
TEST_INGRESS(request_at_another_address, AF_INET, stun_request(1, USERNAME), unexpected,
             spec.destination = address("192.0.2.2:51820"););

Test(ingress, many_sessions)
{
        struct redirect_bpf *redirect = load_receiver();
        SocketAddress local = here(AF_INET, 0), remote = there(AF_INET);
        char username[32];

        for (uint16_t i = 0; i < 500; i++) {
                (void) snprintf(username, sizeof(username), "many%04u", i);
                redirect_add_ufrag(redirect, username, &local, W, 20000 + i);
                redirect_add_transaction(redirect, 1000 + i, 20000 + i, W);
                redirect_add_contact(redirect, &remote, &local, 20000 + i, 0);
        }
        for (uint16_t i = 0; i < 500; i++) {
                PacketSpec response = to_us(AF_INET, stun_response(1000 + i)), request;

                (void) snprintf(username, sizeof(username), "many%04u:theirs", i);
                request = to_us(AF_INET, stun_request(1, username));
                expect_received(redirect, &request, 20000 + i, username);
                expect_received(redirect, &response, 20000 + i, username);
        }
        assert_counted(redirect, REDIRECT_RECEIVED, 1000);
        redirect_done(redirect);
}

/* On a router, packets to W of a host behind it are that host's. */
static void expect_router(int family)
{
        struct redirect_bpf *redirect = load_receiver();
        PacketSpec ours, theirs = to_us(family, stun_response(ID));
        SocketAddress local = address(family == AF_INET ? "127.0.0.1:40001" : "[::1]:40001"),
                      remote = there(family);

        sandbox_write("/proc/sys/net/ipv4/conf/all/forwarding", "1");
        sandbox_write("/proc/sys/net/ipv6/conf/all/forwarding", "1");
        sandbox_shell("ip route add 192.0.2.0/24 dev lo && ip route add 198.51.100.0/24 dev lo");
        sandbox_shell("ip route add 2001:db8::/32 dev lo");

        ignored(redirect, &theirs);
        theirs.message = stun_request(1, USERNAME);
        ignored(redirect, &theirs);

        redirect_add_contact(redirect, &remote, &local, P, 0);
        socket_address_set_port(&local, W);
        ours = to_us(family, stun_response(ID));
        ours.destination = local;
        rewritten(redirect, &ours);
        redirect_done(redirect);
}

Test(ingress, router_ipv4)
{
        expect_router(AF_INET);
}

Test(ingress, router_ipv6)
{
        expect_router(AF_INET6);
}

/* Unsolicited, a packet keeps W, so that the firewall may judge by that; here is no socket that it could be
 * given to. */
static void expect_solicited(uint64_t age, bool solicited)
{
        struct redirect_bpf *redirect = load_receiver();
        PacketSpec spec = to_us(AF_INET, stun_request(1, USERNAME));
        SocketAddress local = here(AF_INET, 0), remote = there(AF_INET);

        redirect_add_contact(redirect, &remote, &local, P, age);
        if (solicited)
                rewritten(redirect, &spec);
        else
                ignored(redirect, &spec);
        redirect_done(redirect);
}

Test(ingress, solicited)
{
        expect_solicited(10000000000, true);
}

Test(ingress, solicited_too_long_ago)
{
        expect_solicited(25000000000, false);
}

TEST_INGRESS(unsolicited_port, AF_INET, stun_request(1, USERNAME), ignored,
             socket_address_set_port(&spec.source, 3479););
TEST_INGRESS(unsolicited_address, AF_INET, stun_request(1, USERNAME), ignored,
             spec.source = address("198.51.100.8:3478"););
TEST_INGRESS(unsolicited_ipv6, AF_INET6, stun_response(ID), ignored,
             spec.source = address("[2001:db8:5::8]:3478"););

/* What GRO has merged; the STUN in it, if any, cannot be taken out. */
static void expect_train(Message message, unsigned size)
{
        struct redirect_bpf *redirect = load_receiver();
        PacketSpec spec = to_us(AF_INET, message);
        Packet packet = packet_build(&spec);
        struct __sk_buff context = { .gso_size = size, .gso_segs = 2 };

        expect(redirect, &packet, &packet, &context, "train");
        redirect_done(redirect);
}

Test(ingress, train)
{
        Message m = wireguard_message(4, 200);

        put32(m.bytes + 4, 1234);
        expect_train(m, 100);
}

Test(ingress, train_behind_stun)
{
        Message m = stun_response(ID);

        m.size *= 2;
        expect_train(m, (unsigned) m.size / 2);
}
