/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The redirect's moves, on crafted packets, by bpf_prog_test_run_opts(). Whole packets are compared, once
 * with a checksum that nobody has looked at yet, and once with the sum of a device over all of the packet,
 * which the kernel compares afterwards. Checksums that are left to a device, and trains, come with sockets,
 * in test-redirect-ebpf.c. */

#include <linux/pkt_cls.h>

#include "redirect-fixture.h"
#include "udp.h"

#define W 51820
#define LATER (10 * 1000000000ULL)

/* As of Linux 6.17. */
#ifndef BPF_F_TEST_SKB_CHECKSUM_COMPLETE
#define BPF_F_TEST_SKB_CHECKSUM_COMPLETE (1U << 2)
#endif

static const uint8_t mac[ETH_ALEN] = { 2, 0, 0, 0, 0, 7 };

static SocketAddress of_family(int family, const char *ipv4, const char *ipv6)
{
        return address(family == AF_INET ? ipv4 : ipv6);
}

static SocketAddress here(int family)
{
        return of_family(family, "192.0.2.1:51820", "[2001:db8::1]:51820");
}

static SocketAddress before(int family)
{
        return of_family(family, "198.51.100.7:3478", "[2001:db8:5::7]:3478");
}

static SocketAddress after(int family)
{
        return of_family(family, "203.0.113.99:51830", "[2001:db8:99:ffff::99]:51830");
}

static SocketAddress elsewhere(int family)
{
        return of_family(family, "203.0.113.1:0", "[2001:db8:99::1]:0");
}

static PacketSpec to_us(int family, Message message)
{
        return (PacketSpec) {
                .source = before(family),
                .destination = here(family),
                .message = message,
                .protocol = IPPROTO_UDP,
        };
}

/* Everything is as the kernel has to find it for its own packets to be local; before() becomes after(). */
static struct redirect_bpf *load_moving(uint32_t ifindex)
{
        struct redirect_bpf *redirect = redirect_load();

        for (int i = 0; i < 2; i++) {
                int family = i == 0 ? AF_INET : AF_INET6;
                SocketAddress from = before(family), to = after(family), local = elsewhere(family);
                struct redirect_move move = {
                        .to = redirect_endpoint(&to),
                        .local = redirect_endpoint(&local).address,
                        .ifindex = ifindex,
                        .until = redirect_now() + LATER,
                };

                memcpy(move.mac, mac, sizeof(mac));
                redirect_add_move(redirect, &from, W, &move);
        }
        return redirect;
}

static bool kernel_sums(void)
{
        static const uint8_t packet[64];
        static int known = -1;
        LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = packet, .data_size_in = sizeof(packet), .repeat = 1,
                    .flags = BPF_F_TEST_SKB_CHECKSUM_COMPLETE);
        struct redirect_bpf *redirect;

        if (known < 0) {
                redirect = redirect_bpf__open_and_load();
                cr_assert_not_null(redirect);
                known = bpf_prog_test_run_opts(bpf_program__fd(redirect->progs.icewire_egress), &opts) == 0;
                redirect_done(redirect);
        }
        return known > 0;
}

static void run(const struct bpf_program *program, const Packet *in, const Packet *expected, int verdict,
                uint32_t flags, struct __sk_buff *context, const char *what)
{
        uint8_t out[sizeof(in->bytes) + 64];
        LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->bytes, .data_size_in = (uint32_t) in->size,
                    .data_out = out, .data_size_out = sizeof(out), .ctx_in = context,
                    .ctx_size_in = context ? sizeof(*context) : 0, .repeat = 1, .flags = flags);

        cr_assert_eq(bpf_prog_test_run_opts(bpf_program__fd(program), &opts), 0, "%s, flags %x: %m", what,
                     flags);
        cr_assert_eq((int) opts.retval, verdict, "%s: verdict %d", what, (int) opts.retval);
        assert_packet_eq(expected, out, opts.data_size_out, what);
}

static void expect(struct redirect_bpf *redirect, const PacketSpec *spec, const PacketSpec *expected,
                   int verdict, struct __sk_buff *context, const char *what)
{
        const struct bpf_program *program = redirect->progs.icewire_ingress;
        Packet in = packet_build(spec), out = packet_build(expected);

        run(program, &in, &out, verdict, 0, context, what);
        if (!context && kernel_sums())
                run(program, &in, &out, verdict, BPF_F_TEST_SKB_CHECKSUM_COMPLETE, NULL, what);
}

static void moved(struct redirect_bpf *redirect, const PacketSpec *spec)
{
        uint64_t n = redirect_count_moved(redirect, &spec->source, W);
        PacketSpec expected = *spec;

        expected.source = after(spec->source.sa.sa_family);
        expect(redirect, spec, &expected, TCX_NEXT, /* context= */ NULL, "moved");
        cr_assert_eq(redirect_count_moved(redirect, &spec->source, W), n + 1 + kernel_sums());
}

static void passes(struct redirect_bpf *redirect, const PacketSpec *spec)
{
        expect(redirect, spec, spec, TCX_NEXT, /* context= */ NULL, "passes");
}

#define TEST_MOVE(name, family, message_, expectation, ...)                                                 \
        Test(redirect_move, name)                                                                           \
        {                                                                                                   \
                struct redirect_bpf *redirect = load_moving(0);                                             \
                PacketSpec spec = to_us(family, message_);                                                  \
                __VA_ARGS__                                                                                 \
                expectation(redirect, &spec);                                                               \
                redirect_done(redirect);                                                                    \
        }                                                                                                   \
        struct UNIQUE(_trailing_semicolon_)

TEST_MOVE(data_ipv4, AF_INET, wireguard_message(4, 1452), moved);
TEST_MOVE(data_ipv6, AF_INET6, wireguard_message(4, 1452), moved);
TEST_MOVE(odd_size, AF_INET6, wireguard_message(4, 33), moved);
TEST_MOVE(keepalive, AF_INET, wireguard_message(4, 32), moved);
TEST_MOVE(initiation, AF_INET, wireguard_message(1, 148), moved);
TEST_MOVE(no_checksum_ipv4, AF_INET, wireguard_message(4, 148), moved, spec.no_checksum = true;);
TEST_MOVE(no_checksum_ipv6, AF_INET6, wireguard_message(4, 148), moved, spec.no_checksum = true;);
TEST_MOVE(padded_frame, AF_INET, wireguard_message(4, 32), moved, spec.padding = 18;);
TEST_MOVE(options, AF_INET, wireguard_message(4, 148), moved, spec.options = 8;);
TEST_MOVE(extension_headers, AF_INET6, wireguard_message(4, 148), moved,
          spec.extensions[0] = IPPROTO_HOPOPTS;
          spec.extensions[1] = IPPROTO_DSTOPTS; spec.n_extensions = 2;);
TEST_MOVE(vlan, AF_INET, wireguard_message(4, 148), moved, spec.vlan_tags = 1;);
TEST_MOVE(vlan_ipv6, AF_INET6, wireguard_message(4, 148), moved, spec.vlan_tags = 2;);

TEST_MOVE(other_address, AF_INET, wireguard_message(4, 148), passes,
          spec.source = address("198.51.100.8:3478"););
TEST_MOVE(other_port, AF_INET, wireguard_message(4, 148), passes,
          spec.source = address("198.51.100.7:3479"););
TEST_MOVE(other_address_ipv6, AF_INET6, wireguard_message(4, 148), passes,
          spec.source = address("[2001:db8:5::8]:3478"););
/* What comes from where it is moved to is what it is. */
TEST_MOVE(new_path, AF_INET, wireguard_message(4, 148), passes, spec.source = after(AF_INET););
TEST_MOVE(other_destination_port, AF_INET, wireguard_message(4, 148), passes,
          spec.destination = address("192.0.2.1:51821"););
TEST_MOVE(first_fragment, AF_INET, wireguard_message(4, 1200), passes, spec.fragment = 0x2000;);
TEST_MOVE(later_fragment, AF_INET, wireguard_message(4, 1200), passes, spec.fragment = 150;);
TEST_MOVE(not_udp, AF_INET, wireguard_message(4, 148), passes, spec.protocol = IPPROTO_TCP;);
TEST_MOVE(not_udp_with_options, AF_INET, wireguard_message(4, 148), passes, spec.protocol = IPPROTO_TCP;
          spec.options = 4;);
/* The checks of a session on the old path have to say by which one they came. */
TEST_MOVE(stun, AF_INET, stun_request(1, "ufrag+01:theirs"), passes);
TEST_MOVE(stun_ipv6, AF_INET6, stun_response(1), passes);
TEST_MOVE(stun_with_options, AF_INET, stun_response(1), passes, spec.options = 4;);

TEST_MOVE(two_links, AF_INET, wireguard_message(4, 148), moved, {
        /* Another link's port has moves of its own, from there as well. */
        SocketAddress to = address("203.0.113.5:5");
        struct redirect_move other = { .to = redirect_endpoint(&to), .until = redirect_now() + LATER };
        PacketSpec second = spec, expected = spec;

        redirect_add_move(redirect, &spec.source, W + 1, &other);
        socket_address_set_port(&second.destination, W + 1);
        expected = second;
        expected.source = to;
        expect(redirect, &second, &expected, TCX_NEXT, NULL, "the other link's");
});

Test(redirect_move, expires)
{
        struct redirect_bpf *redirect = load_moving(0);
        PacketSpec spec = to_us(AF_INET, wireguard_message(4, 148));
        SocketAddress to = after(AF_INET);
        struct redirect_move over = { .to = redirect_endpoint(&to), .until = redirect_now() };

        moved(redirect, &spec);
        redirect_add_move(redirect, &spec.source, W, &over);
        passes(redirect, &spec);
        cr_assert_eq(redirect_count_moved(redirect, &spec.source, W), 0);
        redirect_done(redirect);
}

/* The flag of the port is what makes all of it free where there is no move. */
Test(redirect_move, needs_the_flag)
{
        struct redirect_bpf *redirect = load_moving(0);
        PacketSpec spec = to_us(AF_INET, wireguard_message(4, 148));

        redirect->bss->redirect_ports[htobe16(W)] = REDIRECT_PORT_WIREGUARD;
        passes(redirect, &spec);
        spec.options = 4;
        passes(redirect, &spec);
        redirect->bss->redirect_ports[htobe16(W)] |= REDIRECT_PORT_MOVES;
        moved(redirect, &spec);
        redirect_done(redirect);
}

/* Zero would mean that there is none. One of these messages makes it so. */
Test(redirect_move, checksum_that_becomes_zero)
{
        struct redirect_bpf *redirect = load_moving(0);
        unsigned found = 0;

        for (uint32_t id = 0; id < 0x10000 && found == 0; id++) {
                PacketSpec spec = to_us(AF_INET6, wireguard_message(4, 32)), expected;
                Packet packet;

                put32(spec.message.bytes + 8, id);
                expected = spec;
                expected.source = after(AF_INET6);
                packet = packet_build(&expected);
                if (get16(packet.bytes + packet.transport + 6) != 0xffff)
                        continue;
                found++;
                moved(redirect, &spec);
        }
        cr_assert_eq(found, 1);
        redirect_done(redirect);
}

/* A wrong checksum is not made right: WireGuard's socket sees it. */
Test(redirect_move, broken_checksum)
{
        struct redirect_bpf *redirect = load_moving(0);
        PacketSpec spec = to_us(AF_INET, wireguard_message(4, 148)), expected = spec;
        Packet in = packet_build(&spec), out;

        expected.source = after(AF_INET);
        out = packet_build(&expected);
        in.bytes[in.size - 1] ^= 1;
        out.bytes[out.size - 1] ^= 1;
        run(redirect->progs.icewire_ingress, &in, &out, TCX_NEXT, 0, NULL, "broken");
        redirect_done(redirect);
}

Test(redirect_move, truncated)
{
        struct redirect_bpf *redirect = load_moving(0);
        PacketSpec spec = to_us(AF_INET, wireguard_message(4, 148));
        Packet packet = packet_build(&spec);

        /* What is not there cannot be looked at; from the first byte behind the ports on it can. */
        for (packet.size = ETH_HLEN + 20; packet.size < packet.payload; packet.size++)
                run(redirect->progs.icewire_ingress, &packet, &packet, TCX_NEXT, 0, NULL, "truncated");
        redirect_done(redirect);
}

/* A router passes on what others send each other, also if it has the ports of a move. */
static void forwarded(int family)
{
        struct redirect_bpf *redirect = load_moving(0);
        PacketSpec spec = to_us(family, wireguard_message(4, 148));

        sandbox_write("/proc/sys/net/ipv4/conf/all/forwarding", "1");
        sandbox_write("/proc/sys/net/ipv6/conf/all/forwarding", "1");
        sandbox_shell("ip route add 192.0.2.0/24 dev lo && ip route add 198.51.100.0/24 dev lo");
        sandbox_shell("ip route add 2001:db8::/32 dev lo");
        passes(redirect, &spec);
        spec.destination = of_family(family, "127.0.0.1:51820", "[::1]:51820");
        moved(redirect, &spec);
        redirect_done(redirect);
}

Test(redirect_move, forwarded_ipv4)
{
        forwarded(AF_INET);
}

Test(redirect_move, forwarded_ipv6)
{
        forwarded(AF_INET6);
}

/* For another host on the same wire. */
Test(redirect_move, not_for_us)
{
        struct redirect_bpf *redirect = load_moving(0);
        PacketSpec spec = to_us(AF_INET, wireguard_message(4, 148));

        memcpy(spec.to, mac, sizeof(mac));
        passes(redirect, &spec);
        redirect_done(redirect);
}

/* By another link: into that one, to this host's address there. */
static void goes_elsewhere(int family)
{
        struct redirect_bpf *redirect = load_moving(7);
        PacketSpec spec = to_us(family, wireguard_message(4, 1200)), expected = spec;

        expected.source = after(family);
        expected.destination = elsewhere(family);
        socket_address_set_port(&expected.destination, W);
        memcpy(expected.to, mac, sizeof(mac));
        expect(redirect, &spec, &expected, TCX_REDIRECT, /* context= */ NULL, "elsewhere");
        spec.no_checksum = expected.no_checksum = true;
        expect(redirect, &spec, &expected, TCX_REDIRECT, /* context= */ NULL, "elsewhere, no checksum");
        redirect_done(redirect);
}

Test(redirect_move, elsewhere_ipv4)
{
        goes_elsewhere(AF_INET);
}

Test(redirect_move, elsewhere_ipv6)
{
        goes_elsewhere(AF_INET6);
}

/* Where it cannot go there it is changed where it is: in a frame with a tag, or without a link-layer header.
 */
TEST_MOVE(tagged_stays, AF_INET, wireguard_message(4, 148), moved, redirect_done(redirect);
          redirect = load_moving(7); spec.vlan_tags = 1;);
/* The one that it comes by, in a test run. */
TEST_MOVE(same_link_stays, AF_INET, wireguard_message(4, 148), moved, redirect_done(redirect);
          redirect = load_moving(1););
