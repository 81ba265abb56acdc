/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The redirect's way out, on crafted packets. They need a socket behind them, which those of
 * bpf_prog_test_run_opts() have not: an AF_PACKET socket sends them through a device, and there they are
 * compared, whole. */

#include "redirect-fixture.h"
#include "udp.h"
#include "wire.h"

#define W 51820
#define P 40001
#define P2 40002
#define ID 0xc0ffee
#define UFRAG "ufrag+01"

static SocketAddress here(int family)
{
        return address(family == AF_INET ? "192.0.2.1:40001" : "[2001:db8::1]:40001");
}

static SocketAddress there(int family)
{
        return address(family == AF_INET ? "198.51.100.7:3478" : "[2001:db8:5::7]:3478");
}

static PacketSpec from_us(int family, Message message)
{
        PacketSpec spec = {
                .source = here(family),
                .destination = there(family),
                .message = message,
                .protocol = IPPROTO_UDP,
        };

        memcpy(spec.from, wire_mac, ETH_ALEN);
        memcpy(spec.to, wire_other_mac, ETH_ALEN);
        return spec;
}

typedef struct Sender {
        struct redirect_bpf *redirect;
        struct bpf_link *attached;
        Wire wire;
} Sender;

/* Its socket is P of W. */
static Sender sender_open(bool link, unsigned flags)
{
        struct redirect_bpf *redirect = redirect_load();
        Sender s = { .redirect = redirect, .wire = wire_open(link) };

        redirect_add_socket(redirect, socket_cookie(s.wire.sender), P, W, flags);
        s.attached = bpf_program__attach_tcx(link ? redirect->progs.icewire_egress
                                                  : redirect->progs.icewire_l3_egress,
                                             s.wire.ifindex, NULL);
        cr_assert_not_null(s.attached, "%m");
        return s;
}

static void sender_close(Sender *s)
{
        bpf_link__destroy(s->attached);
        redirect_done(s->redirect);
}

static void expect_frame(Sender *s, const Packet *expected, const char *what)
{
        uint8_t out[sizeof(expected->bytes)];

        assert_packet_eq(expected, out, wire_receive(&s->wire, out, sizeof(out)), what);
}

static void expect(Sender *s, const Packet *packet, const Packet *expected, const char *what)
{
        wire_send(&s->wire, packet, /* header= */ NULL);
        expect_frame(s, expected, what);
}

static Packet build_sent(const PacketSpec *spec)
{
        PacketSpec sent = *spec;

        socket_address_set_port(&sent.source, W);
        return packet_build(&sent);
}

static void expect_sent(Sender *s, const PacketSpec *spec, const char *what)
{
        Packet packet = packet_build(spec), expected = build_sent(spec);

        expect(s, &packet, &expected, what);
}

static bool has_contact(Sender *s, const PacketSpec *spec, uint64_t *ret)
{
        return redirect_find_contact(s->redirect, &spec->destination, &spec->source, P, ret);
}

static void sent(Sender *s, const PacketSpec *spec)
{
        uint64_t start = redirect_now(), when;

        expect_sent(s, spec, "from W");
        assert_counted(s->redirect, REDIRECT_SENT, 1);
        cr_assert(has_contact(s, spec, &when));
        cr_assert_geq(when, start);
        cr_assert_leq(when, redirect_now());
}

static void kept(Sender *s, const PacketSpec *spec)
{
        Packet packet = packet_build(spec);
        uint64_t when;

        expect(s, &packet, &packet, "from P");
        assert_counted(s->redirect, REDIRECT_KEPT, 1);
        cr_assert_not(has_contact(s, spec, &when));
}

static void foreign(Sender *s, const PacketSpec *spec)
{
        Packet packet = packet_build(spec);
        uint64_t when;

        expect(s, &packet, &packet, "not ours");
        assert_counted(s->redirect, _REDIRECT_STATISTIC_MAX, 0);
        cr_assert_not(has_contact(s, spec, &when));
}

/* Name, what the packet is, what becomes of it; and how it differs. */
#define TEST_EGRESS(name, family, message_, flags, expectation, ...)                                        \
        Test(egress, name)                                                                                  \
        {                                                                                                   \
                Sender s = sender_open(/* link= */ true, flags);                                            \
                PacketSpec spec = from_us(family, message_);                                                \
                __VA_ARGS__                                                                                 \
                expectation(&s, &spec);                                                                     \
                sender_close(&s);                                                                           \
        }                                                                                                   \
        struct UNIQUE(_trailing_semicolon_)

TEST_EGRESS(data_ipv4, AF_INET, wireguard_message(4, 1000), 0, sent);
TEST_EGRESS(data_ipv6, AF_INET6, wireguard_message(4, 1000), 0, sent);
TEST_EGRESS(empty, AF_INET, ((Message) {}), 0, sent);
TEST_EGRESS(options, AF_INET, stun_response(ID), 0, sent, spec.options = 16;);
TEST_EGRESS(extension_headers, AF_INET6, stun_response(ID), 0, sent,
            memcpy(spec.extensions, (uint8_t[]) { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS }, 2);
            spec.n_extensions = 2;);
TEST_EGRESS(vlan, AF_INET, stun_response(ID), 0, sent, spec.vlan_tags = 1;);
TEST_EGRESS(vlan_in_vlan_ipv6, AF_INET6, stun_response(ID), 0, sent, spec.vlan_tags = 2;);
TEST_EGRESS(zero_checksum, AF_INET, stun_response(ID), 0, sent, spec.no_checksum = true;);
TEST_EGRESS(padded_frame, AF_INET, ((Message) {}), 0, sent, spec.padding = 18;);
TEST_EGRESS(keeps_relays_elsewhere, AF_INET, stun_response(ID), REDIRECT_SOCKET_KEEPS_RELAYS, sent);

TEST_EGRESS(other_port, AF_INET, stun_response(ID), 0, foreign, socket_address_set_port(&spec.source, P2););
TEST_EGRESS(wireguard, AF_INET, wireguard_message(4, 148), 0, foreign,
            socket_address_set_port(&spec.source, W););
/* A port of ours, but not of the socket that has sent it. */
TEST_EGRESS(port_of_another_socket, AF_INET, stun_response(ID), 0, foreign,
            redirect_add_socket(s.redirect, UINT64_MAX, P2, W, 0);
            socket_address_set_port(&spec.source, P2););
TEST_EGRESS(fragment_first, AF_INET, stun_response(ID), 0, foreign, spec.fragment = 0x2000;);
TEST_EGRESS(fragment_later, AF_INET, stun_response(ID), 0, foreign, spec.fragment = 0x0010;);
TEST_EGRESS(fragment_with_options, AF_INET, stun_response(ID), 0, foreign, spec.fragment = 0x2000;
            spec.options = 4;);
TEST_EGRESS(fragment_ipv6, AF_INET6, stun_response(ID), 0, foreign, spec.extensions[0] = IPPROTO_FRAGMENT;
            spec.n_extensions = 1; spec.fragment = 1;);
TEST_EGRESS(tcp, AF_INET, stun_response(ID), 0, foreign, spec.protocol = IPPROTO_TCP;);
TEST_EGRESS(tcp_ipv6, AF_INET6, stun_response(ID), 0, foreign, spec.protocol = IPPROTO_TCP;);

/* The same port, another cookie: as of a router's own socket, or of a packet that it forwards. */
Test(egress, wrong_cookie)
{
        Sender s = sender_open(/* link= */ true, 0);
        PacketSpec spec = from_us(AF_INET, stun_response(ID));
        int own = TAKE_FD(s.wire.sender);

        s.wire.sender = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
        cr_assert_eq(setsockopt(s.wire.sender, SOL_PACKET, PACKET_VNET_HDR, &(int) { 1 }, sizeof(int)), 0);
        foreign(&s, &spec);
        s.wire.sender = own;
        sent(&s, &spec);
        sender_close(&s);
}

static void expect_relay(int family, unsigned flags, void (*expectation)(Sender *, const PacketSpec *))
{
        Sender s = sender_open(/* link= */ true, flags);
        PacketSpec spec = from_us(family, stun_request(ID, NULL));
        struct redirect_waiting waiting;

        redirect_add_relay(s.redirect, &spec.destination);
        expectation(&s, &spec);
        cr_assert_eq(redirect_find_transaction(s.redirect, ID, &waiting), expectation == sent);
        sender_close(&s);
}

Test(egress, relay_ipv4)
{
        expect_relay(AF_INET, REDIRECT_SOCKET_KEEPS_RELAYS, kept);
}

Test(egress, relay_ipv6)
{
        expect_relay(AF_INET6, REDIRECT_SOCKET_KEEPS_RELAYS, kept);
}

/* The STUN client may ask a TURN server, too. */
Test(egress, relay_asked_by_the_stun_client)
{
        expect_relay(AF_INET, 0, sent);
}

TEST_EGRESS(other_port_of_a_relay, AF_INET, stun_response(ID), REDIRECT_SOCKET_KEEPS_RELAYS, sent,
            redirect_add_relay(s.redirect, &spec.destination);
            socket_address_set_port(&spec.destination, 3479););

Test(egress, truncated)
{
        Sender s = sender_open(/* link= */ true, 0);
        PacketSpec specs[] = {
                from_us(AF_INET, stun_response(ID)),
                from_us(AF_INET6, stun_response(ID)),
                from_us(AF_INET, stun_response(ID)),
                from_us(AF_INET6, stun_response(ID)),
        };

        specs[2].options = 8;
        specs[2].vlan_tags = 1;
        specs[3].extensions[0] = IPPROTO_HOPOPTS;
        specs[3].n_extensions = 1;
        for (unsigned i = 0; i < ELEMENTSOF(specs); i++) {
                Packet whole = packet_build(&specs[i]);

                /* Up to the end of the UDP header; of what is behind, nothing matters but the checksum. */
                for (size_t size = ETH_HLEN + 1; size < whole.payload; size++) {
                        Packet packet = whole;

                        packet.size = size;
                        expect(&s, &packet, &packet, "truncated");
                }
                expect_sent(&s, &specs[i], "not truncated");
        }
        assert_counted(s.redirect, REDIRECT_SENT, ELEMENTSOF(specs));
        sender_close(&s);
}

/* Whether the answer to it would be known. */
static void expect_remembered(Message message, bool remembered)
{
        Sender s = sender_open(/* link= */ true, 0);
        PacketSpec spec = from_us(AF_INET, message);
        struct redirect_waiting waiting;

        sent(&s, &spec);
        cr_assert_eq(redirect_find_transaction(s.redirect, ID, &waiting), remembered);
        if (remembered) {
                cr_assert_eq(waiting.port, htobe16(P));
                cr_assert_eq(waiting.wireguard_port, htobe16(W));
        }
        sender_close(&s);
}

Test(egress, remembers_a_request)
{
        expect_remembered(stun_request(ID, "theirs00:" UFRAG), true);
}

Test(egress, remembers_a_bare_request)
{
        expect_remembered(stun_message(STUN_BINDING_REQUEST, ID), true);
}

Test(egress, forgets_a_response)
{
        expect_remembered(stun_response(ID), false);
}

Test(egress, forgets_an_indication)
{
        expect_remembered(stun_message(STUN_BINDING_INDICATION, ID), false);
}

Test(egress, forgets_what_looks_like_stun)
{
        Message m = stun_request(ID, NULL);

        m.size += 4;
        expect_remembered(m, false);
}

TEST_EGRESS(renews_a_contact, AF_INET, stun_response(ID), 0, sent,
            redirect_add_contact(s.redirect, &spec.destination, &spec.source, P, 3600000000000););

Test(egress, checksum_that_becomes_zero)
{
        Sender s = sender_open(/* link= */ true, 0);
        unsigned found = 0;

        for (uint32_t id = 0; id < 0x10000 && found == 0; id++) {
                PacketSpec spec = from_us(AF_INET6, stun_response(id));
                Packet packet = build_sent(&spec);

                if (get16(packet.bytes + packet.transport + 6) != 0xffff)
                        continue;
                found++;
                sent(&s, &spec);
        }
        cr_assert_eq(found, 1);
        sender_close(&s);
}

/* The sum of the pseudo header alone: the device does the rest, here the kernel for it. */
static struct virtio_net_hdr leave_checksum(Packet *packet, const PacketSpec *spec)
{
        struct virtio_net_hdr header = {
                .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                .csum_start = (uint16_t) packet->transport,
                .csum_offset = 6,
        };

        put16(packet->bytes + packet->transport + 6,
              fold16(udp_pseudo_sum(&spec->source, &spec->destination, packet->size - packet->transport)));
        return header;
}

static void expect_partial_checksum(int family)
{
        Sender s = sender_open(/* link= */ true, 0);
        PacketSpec spec = from_us(family, stun_request(ID, NULL));
        Packet packet = packet_build(&spec), expected = build_sent(&spec);
        struct virtio_net_hdr header = leave_checksum(&packet, &spec);

        wire_send(&s.wire, &packet, &header);
        expect_frame(&s, &expected, "checksum left to the device");
        sender_close(&s);
}

Test(egress, partial_checksum_ipv4)
{
        expect_partial_checksum(AF_INET);
}

Test(egress, partial_checksum_ipv6)
{
        expect_partial_checksum(AF_INET6);
}

/* In pages, all but the first bytes. */
static void expect_scattered(int family, uint16_t linear)
{
        Sender s = sender_open(/* link= */ true, 0);
        PacketSpec spec = from_us(family, stun_request(ID, NULL));
        struct virtio_net_hdr header = { .hdr_len = linear };
        struct redirect_waiting waiting;
        uint8_t filler[7000] = {};
        Packet packet, expected;

        stun_add(&spec.message, STUN_SOFTWARE, filler, sizeof(filler));
        packet = packet_build(&spec);
        expected = build_sent(&spec);
        wire_send(&s.wire, &packet, &header);
        expect_frame(&s, &expected, "scattered");
        cr_assert(redirect_find_transaction(s.redirect, ID, &waiting));
        sender_close(&s);
}

Test(egress, scattered_ipv4)
{
        expect_scattered(AF_INET, ETH_HLEN);
}

Test(egress, scattered_ipv6)
{
        expect_scattered(AF_INET6, ETH_HLEN + 44);
}

/* One large packet, which the kernel takes apart behind the program. */
static void expect_segments(int family)
{
        enum { SEGMENT = 1200, SEGMENTS = 4 };
        Sender s = sender_open(/* link= */ true, 0);
        PacketSpec spec = from_us(family, wireguard_message(4, SEGMENTS * SEGMENT));
        Packet packet = packet_build(&spec);
        struct virtio_net_hdr header = leave_checksum(&packet, &spec);

        header.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
        header.gso_size = SEGMENT;
        header.hdr_len = (uint16_t) packet.payload;
        wire_send(&s.wire, &packet, &header);
        for (unsigned i = 0; i < SEGMENTS; i++) {
                PacketSpec segment = spec;
                Packet expected;

                memcpy(segment.message.bytes, spec.message.bytes + i * SEGMENT, SEGMENT);
                segment.message.size = SEGMENT;
                segment.id = i;
                expected = build_sent(&segment);
                expect_frame(&s, &expected, "segment");
        }
        assert_counted(s.redirect, REDIRECT_SENT, 1);
        sender_close(&s);
}

Test(egress, segments_ipv4)
{
        expect_segments(AF_INET);
}

Test(egress, segments_ipv6)
{
        expect_segments(AF_INET6);
}

static void expect_l3(int family)
{
        Sender s = sender_open(/* link= */ false, 0);
        PacketSpec spec = from_us(family, stun_request(ID, NULL)), not_ours = spec;
        struct redirect_waiting waiting;

        not_ours.no_link = spec.no_link = true;
        socket_address_set_port(&not_ours.source, P2);
        foreign(&s, &not_ours);
        sent(&s, &spec);
        cr_assert(redirect_find_transaction(s.redirect, ID, &waiting));
        sender_close(&s);
}

Test(egress, l3_ipv4)
{
        expect_l3(AF_INET);
}

Test(egress, l3_ipv6)
{
        expect_l3(AF_INET6);
}
