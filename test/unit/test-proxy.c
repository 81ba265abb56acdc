/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sandbox.h"

#include <arpa/inet.h>
#include <netinet/udp.h>

#include "datagrams.h"
#include "event-util.h"
#include "macro.h"
#include "proxy.h"
#include "udp.h"

/* A WireGuard device is a UDP socket, a peer another one, and what the proxy owns on the peer's side a
 * third. */
typedef struct World {
        sd_event *event;
        ProxyPool *pool;
        Proxy *proxy;
        int wireguard, peer, stranger;
        uint16_t wireguard_port;
        SocketAddress peer_address, carrier_address;
        unsigned n_grown;
} World;

static void grow(int fd)
{
        int size = PROXY_BUFFER_SIZE;

        cr_assert(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) >= 0);
}

static void on_grow(int fd, void *userdata)
{
        World *w = userdata;

        grow(fd);
        w->n_grown++;
}

static int world_carrier(World *w, const char *ip)
{
        int fd = udp_socket(ip);

        w->carrier_address = local_address(fd);
        return fd;
}

static void world_start(World *w, const char *ip)
{
        SocketAddress a;

        sandbox_enter();
        cr_assert(sd_event_new(&w->event) >= 0);
        cr_assert(proxy_pool_new(w->event, on_grow, w, &w->pool) >= 0);
        w->wireguard = udp_socket("0.0.0.0:0");
        w->peer = udp_socket(ip);
        w->stranger = udp_socket(ip);
        grow(w->wireguard);
        grow(w->peer);
        a = local_address(w->wireguard);
        w->wireguard_port = socket_address_port(&a);
        w->peer_address = local_address(w->peer);
        cr_assert(proxy_new(w->pool, w->wireguard_port, &w->proxy) >= 0);
        cr_assert(w->n_grown == 1);
        cr_assert(proxy_set_socket(w->proxy, world_carrier(w, ip), &w->peer_address) >= 0);
        cr_assert(w->n_grown == 2);
}

static void world_stop(World *w)
{
        w->proxy = proxy_free(w->proxy);
        w->pool = proxy_pool_free(w->pool);
        w->event = sd_event_unref(w->event);
        close(w->wireguard);
        close(w->peer);
        close(w->stranger);
}

static void world_send(int fd, const SocketAddress *to, const void *data, size_t size)
{
        cr_assert(sendto(fd, data, size, 0, &to->sa, socket_address_length(to)) == (ssize_t) size);
}

/* Waits for one datagram: its size, and where it came from. */
static size_t world_receive(World *w, int fd, void *buf, size_t size, SocketAddress *ret)
{
        struct sockaddr_storage storage;
        socklen_t n_storage;
        ssize_t n;

        RUN_UNTIL(w->event, ({
                          n_storage = sizeof(storage);
                          n = recvfrom(fd, buf, size, 0, (struct sockaddr *) &storage, &n_storage);
                          n >= 0;
                  }));
        cr_assert(socket_address_from_sockaddr(&storage, n_storage, ret) >= 0);
        return (size_t) n;
}

static void world_idle(World *w)
{
        while (sd_event_run(w->event, 0) > 0)
                ;
}

static void carry_both_ways(const char *ip)
{
        World w = {};
        SocketAddress from;
        char buf[64];

        world_start(&w, ip);
        cr_assert(proxy_address_is_ours(proxy_endpoint(w.proxy)));
        cr_assert(socket_address_port(proxy_endpoint(w.proxy)) > 0);

        world_send(w.wireguard, proxy_endpoint(w.proxy), "out", 3);
        cr_assert(world_receive(&w, w.peer, buf, sizeof(buf), &from) == 3 && memcmp(buf, "out", 3) == 0);
        cr_assert(socket_address_equal(&from, &w.carrier_address));

        world_send(w.peer, &w.carrier_address, "back", 4);
        cr_assert(world_receive(&w, w.wireguard, buf, sizeof(buf), &from) == 4 &&
                  memcmp(buf, "back", 4) == 0);
        cr_assert(socket_address_equal(&from, proxy_endpoint(w.proxy)), "WireGuard would roam");

        proxy_deliver(w.proxy, "relayed", 7, /* late= */ false);
        cr_assert(world_receive(&w, w.wireguard, buf, sizeof(buf), &from) == 7);
        cr_assert(socket_address_equal(&from, proxy_endpoint(w.proxy)));

        cr_assert(proxy_counters(w.proxy)->out_packets == 1 && proxy_counters(w.proxy)->out_bytes == 3);
        cr_assert(proxy_counters(w.proxy)->in_packets == 2 && proxy_counters(w.proxy)->in_bytes == 11);
        cr_assert(proxy_counters(w.proxy)->dropped == 0 && proxy_counters(w.proxy)->strangers == 0);
        world_stop(&w);
}

Test(proxy, carries_over_ipv4)
{
        carry_both_ways("127.0.0.1:0");
}

Test(proxy, carries_over_ipv6)
{
        carry_both_ways("[::1]:0");
}

/* Many sizes, in order, nothing merged, split or lost: alone, in a run of equals, and at the ends of runs.
 */
Test(proxy, keeps_the_boundaries_of_datagrams)
{
        static const size_t sizes[] = { 1420, 1420, 1420, 1420,  148,   92,   32,    32, 32,
                                        1,    1,    9000, 60000, 60000, 60,   61,    62, 62,
                                        62,   61,   1420, 1420,  1000,  1420, 65507, 1 };
        World w = {};
        SocketAddress from;
        static uint8_t out[65536], in[65536];
        uint64_t sum = 0;

        world_start(&w, "127.0.0.1:0");
        for (unsigned round = 0; round < 8; round++) {
                for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                        memset(out, (int) (round * 31 + i), sizes[i]);
                        world_send(w.wireguard, proxy_endpoint(w.proxy), out, sizes[i]);
                        world_send(w.peer, &w.carrier_address, out, sizes[i]);
                        sum += sizes[i];
                        /* Some of them come singly, some in batches. */
                        if (i % 11 == round)
                                world_idle(&w);
                }
                for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                        for (unsigned direction = 0; direction < 2; direction++) {
                                size_t n = world_receive(&w, direction ? w.peer : w.wireguard, in,
                                                         sizeof(in), &from);

                                cr_assert(n == sizes[i], "%zu: %zu, not %zu", i, n, sizes[i]);
                                for (size_t j = 0; j < n; j++)
                                        cr_assert(in[j] == (uint8_t) (round * 31 + i));
                        }
        }
        cr_assert(proxy_counters(w.proxy)->out_packets == 8 * ELEMENTSOF(sizes));
        cr_assert(proxy_counters(w.proxy)->in_packets == 8 * ELEMENTSOF(sizes));
        cr_assert(proxy_counters(w.proxy)->out_bytes == sum && proxy_counters(w.proxy)->in_bytes == sum);
        cr_assert(proxy_counters(w.proxy)->dropped == 0);
        world_stop(&w);
}

/* A userspace WireGuard and a peer that themselves send many segments at once. */
Test(proxy, carries_segmented_sends)
{
        World w = {};
        SocketAddress from;
        static uint8_t out[20 * 1400 + 77], in[2000];
        int segment = 1400;

        world_start(&w, "127.0.0.1:0");
        if (setsockopt(w.wireguard, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) < 0 ||
            setsockopt(w.peer, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) < 0)
                cr_skip("no UDP_SEGMENT here");
        for (size_t i = 0; i < sizeof(out); i++)
                out[i] = (uint8_t) (i / 1400);
        world_send(w.wireguard, proxy_endpoint(w.proxy), out, sizeof(out));
        world_send(w.peer, &w.carrier_address, out, sizeof(out));
        for (unsigned i = 0; i < 21; i++) {
                cr_assert(world_receive(&w, w.peer, in, sizeof(in), &from) == (i < 20 ? 1400 : 77));
                cr_assert(in[0] == i && in[76] == i);
                cr_assert(world_receive(&w, w.wireguard, in, sizeof(in), &from) == (i < 20 ? 1400 : 77));
                cr_assert(in[0] == i && in[76] == i);
        }
        cr_assert(proxy_counters(w.proxy)->out_packets == 21 && proxy_counters(w.proxy)->in_packets == 21);
        world_stop(&w);
}

Test(proxy, late_packets_that_are_lost_leave_no_fresh_ones)
{
        cr_assert(proxy_fresh_packets(&(ProxyCounters) { .in_packets = 5, .late_packets = 2 }) == 3);
        cr_assert(proxy_fresh_packets(&(ProxyCounters) { .in_packets = 2, .late_packets = 2 }) == 0);
        cr_assert(proxy_fresh_packets(&(ProxyCounters) { .in_packets = 1, .late_packets = 2 }) == 0);
}

Test(proxy, ignores_strangers)
{
        World w = {};
        SocketAddress from;
        char buf[64];

        world_start(&w, "127.0.0.1:0");
        world_send(w.stranger, proxy_endpoint(w.proxy), "junk", 4);
        world_send(w.stranger, &w.carrier_address, "junk", 4);
        world_send(w.peer, proxy_endpoint(w.proxy), "junk", 4);
        world_send(w.stranger, &w.carrier_address, "", 0);
        RUN_UNTIL(w.event, proxy_counters(w.proxy)->strangers == 3);

        world_send(w.wireguard, proxy_endpoint(w.proxy), "out", 3);
        world_send(w.peer, &w.carrier_address, "in", 2);
        cr_assert(world_receive(&w, w.peer, buf, sizeof(buf), &from) == 3);
        cr_assert(world_receive(&w, w.wireguard, buf, sizeof(buf), &from) == 2);
        cr_assert(recv(w.peer, buf, sizeof(buf), 0) < 0 && recv(w.wireguard, buf, sizeof(buf), 0) < 0);
        world_stop(&w);
}

/* The old socket is still heard for a while, no longer spoken through; then it is closed. */
/* Late, as it is not by the path in use. */
Test(proxy, hears_the_peer_by_another_pair_that_is_verified)
{
        World w = {};
        SocketAddress from, other;
        char buf[64];

        world_start(&w, "127.0.0.1:0");
        other = local_address(w.stranger);
        proxy_admit(w.proxy, &other);
        world_send(w.stranger, &w.carrier_address, "early", 5);
        cr_assert(world_receive(&w, w.wireguard, buf, sizeof(buf), &from) == 5);
        cr_assert(proxy_counters(w.proxy)->late_packets == 1 && proxy_counters(w.proxy)->strangers == 0);
        cr_assert(proxy_set_socket(w.proxy, world_carrier(&w, "127.0.0.1:0"), &w.peer_address) >= 0);
        world_send(w.stranger, &w.carrier_address, "junk", 4);
        RUN_UNTIL(w.event, proxy_counters(w.proxy)->strangers == 1);
        world_stop(&w);
}

Test(proxy, a_replaced_socket_lingers)
{
        World w = {};
        SocketAddress from, old_address, new_peer_address;
        char buf[64];
        int new_peer;

        world_start(&w, "127.0.0.1:0");
        old_address = w.carrier_address;
        new_peer = udp_socket("127.0.0.1:0");
        new_peer_address = local_address(new_peer);
        cr_assert(proxy_set_socket(w.proxy, world_carrier(&w, "127.0.0.1:0"), &new_peer_address) >= 0);

        world_send(w.peer, &old_address, "late", 4);
        cr_assert(world_receive(&w, w.wireguard, buf, sizeof(buf), &from) == 4);
        cr_assert(socket_address_equal(&from, proxy_endpoint(w.proxy)));
        world_send(w.wireguard, proxy_endpoint(w.proxy), "out", 3);
        cr_assert(world_receive(&w, new_peer, buf, sizeof(buf), &from) == 3);
        cr_assert(socket_address_equal(&from, &w.carrier_address));
        world_send(new_peer, &w.carrier_address, "new", 3);
        cr_assert(world_receive(&w, w.wireguard, buf, sizeof(buf), &from) == 3);
        cr_assert(recv(w.peer, buf, sizeof(buf), 0) < 0);

        /* Closed: the port is free again. */
        RUN_UNTIL(w.event, ({
                          int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
                          bool gone = bind(fd, &old_address.sa, sizeof(old_address.in)) >= 0;

                          close(fd);
                          gone;
                  }));
        close(new_peer);
        world_stop(&w);
}

/* Freed with sockets that linger, and with nothing to carry. */
Test(proxy, may_be_freed_at_any_time)
{
        World w = {};
        char buf[8];

        world_start(&w, "127.0.0.1:0");
        for (unsigned i = 0; i < 5; i++)
                cr_assert(proxy_set_socket(w.proxy, world_carrier(&w, "127.0.0.1:0"), &w.peer_address) >= 0);
        proxy_set_agent(w.proxy, /* agent= */ NULL, /* connection= */ -EBADF,
                        /* framed= */ false);
        world_send(w.wireguard, proxy_endpoint(w.proxy), "out", 3);
        RUN_UNTIL(w.event, proxy_counters(w.proxy)->dropped == 1);
        cr_assert(recv(w.peer, buf, sizeof(buf), 0) < 0);
        world_stop(&w);
}

Test(proxy, follows_wireguards_port)
{
        World w = {};
        SocketAddress a, from;
        char buf[8];
        int other;

        world_start(&w, "127.0.0.1:0");
        other = udp_socket("127.0.0.1:0");
        a = local_address(other);
        proxy_set_wireguard_port(w.proxy, socket_address_port(&a));
        world_send(w.peer, &w.carrier_address, "in", 2);
        cr_assert(world_receive(&w, other, buf, sizeof(buf), &from) == 2);
        world_send(other, proxy_endpoint(w.proxy), "out", 3);
        cr_assert(world_receive(&w, w.peer, buf, sizeof(buf), &from) == 3);
        close(other);
        world_stop(&w);
}

/* A WireGuard that is not there, and a network that refuses: counted or not, never fatal. */
Test(proxy, survives_closed_ports)
{
        World w = {};
        SocketAddress from, nowhere = address("127.0.0.1:9");
        char buf[8];

        world_start(&w, "127.0.0.1:0");
        proxy_set_wireguard_port(w.proxy, 9);
        for (unsigned i = 0; i < 5; i++) {
                world_send(w.peer, &w.carrier_address, "in", 2);
                world_idle(&w);
        }
        proxy_set_wireguard_port(w.proxy, w.wireguard_port);
        cr_assert(proxy_set_socket(w.proxy, world_carrier(&w, "127.0.0.1:0"), &nowhere) >= 0);
        for (unsigned i = 0; i < 5; i++) {
                world_send(w.wireguard, proxy_endpoint(w.proxy), "out", 3);
                world_idle(&w);
        }
        cr_assert(proxy_set_socket(w.proxy, world_carrier(&w, "127.0.0.1:0"), &w.peer_address) >= 0);
        world_send(w.wireguard, proxy_endpoint(w.proxy), "out", 3);
        cr_assert(world_receive(&w, w.peer, buf, sizeof(buf), &from) == 3);
        world_stop(&w);
}

/* The n-th datagram: its number, and as long as that asks for. */
static size_t numbered(unsigned i, uint8_t *buf)
{
        size_t size = i % 7 == 0 ? 100 : 1400;

        memset(buf, (int) i, size);
        return size;
}

static void expect_numbered(World *w, const Proxy *from, unsigned i)
{
        uint8_t expected[2048], buf[2048];
        size_t size = numbered(i, expected);
        SocketAddress source;

        cr_assert_eq(world_receive(w, w->wireguard, buf, sizeof(buf), &source), size);
        cr_assert_eq(memcmp(buf, expected, size), 0);
        cr_assert(socket_address_equal(&source, proxy_endpoint(from)));
}

/* More than is gathered at once, of several sizes and for two peers in turn: nothing is lost, joined or
 * overtaken. */
Test(proxy, delivers_many_in_a_turn)
{
        Proxy *other = NULL;
        uint8_t buf[2048];
        World w = {};

        world_start(&w, "127.0.0.1:0");
        cr_assert_geq(proxy_new(w.pool, w.wireguard_port, &other), 0);
        for (unsigned i = 0; i < 200; i++)
                proxy_deliver(i < 100 ? w.proxy : other, buf, numbered(i, buf), /* late= */ i % 2);
        /* What counts counts at once. */
        cr_assert_eq(proxy_counters(w.proxy)->in_packets, 100);
        cr_assert_eq(proxy_counters(other)->late_packets, 50);
        for (unsigned i = 0; i < 200; i++)
                expect_numbered(&w, i < 100 ? w.proxy : other, i);

        /* A proxy that goes leaves nothing behind. */
        proxy_deliver(other, buf, numbered(1, buf), /* late= */ false);
        proxy_deliver(w.proxy, buf, numbered(2, buf), /* late= */ false);
        proxy_deliver(other, buf, numbered(3, buf), /* late= */ false);
        proxy_free(other);
        for (unsigned i = 1; i <= 3; i++)
                cr_assert_eq(world_receive(&w, w.wireguard, buf, sizeof(buf), &(SocketAddress) {}), 1400);
        world_stop(&w);
}

Test(proxy, gives_each_peer_an_address)
{
        sd_event *event;
        ProxyPool *pool;
        Proxy *proxies[600];
        SocketAddress a;

        sandbox_enter();
        cr_assert(sd_event_new(&event) >= 0);
        cr_assert(proxy_pool_new(event, NULL, NULL, &pool) >= 0);
        for (size_t i = 0; i < ELEMENTSOF(proxies); i++) {
                uint32_t ip;

                cr_assert(proxy_new(pool, 51820, proxies + i) >= 0);
                ip = ntohl(proxy_endpoint(proxies[i])->in.sin_addr.s_addr);
                cr_assert(ip >> 23 == 0x7f800000 >> 23);
                cr_assert((ip & 0xff) != 0 && (ip & 0xff) != 255);
                for (size_t j = 0; j < i; j++)
                        cr_assert(!socket_address_ip_equal(proxy_endpoint(proxies[i]),
                                                           proxy_endpoint(proxies[j])));
        }
        for (size_t i = 0; i < ELEMENTSOF(proxies); i++)
                proxy_free(proxies[i]);
        proxy_pool_free(pool);
        sd_event_unref(event);

        a = address("127.128.0.0:1");
        cr_assert(proxy_address_is_ours(&a));
        a = address("127.255.255.255:1");
        cr_assert(proxy_address_is_ours(&a));
        a = address("127.127.255.255:1");
        cr_assert(!proxy_address_is_ours(&a));
        a = address("128.0.0.1:1");
        cr_assert(!proxy_address_is_ours(&a));
        a = address("[::1]:1");
        cr_assert(!proxy_address_is_ours(&a));
}

/* ---- over ICE ---- */

typedef struct End {
        struct End *other;
        IceAgent *agent;
        Proxy *proxy;
        int wireguard;
        SocketAddress remote;
        IceCandidate local_candidate, remote_candidate;
        bool selected;
        IceCandidate candidates[8];
        size_t n_candidates;
} End;

static void on_candidate(IceAgent *agent, const IceCandidate *candidate, void *userdata)
{
        End *e = userdata;

        cr_assert(e->n_candidates < ELEMENTSOF(e->candidates));
        e->candidates[e->n_candidates++] = *candidate;
}

static void on_selected(IceAgent *agent, const IceCandidate *local, const IceCandidate *remote,
                        void *userdata)
{
        End *e = userdata;

        e->selected = true;
        e->local_candidate = *local;
        e->remote = remote->address;
        e->remote_candidate = *remote;
}

static void on_data(IceAgent *agent, const void *data, size_t size, void *userdata)
{
        End *e = userdata;

        proxy_deliver(e->proxy, data, size, /* late= */ false);
}

static const IceAgentCallbacks callbacks = {
        .candidate = on_candidate,
        .selected = on_selected,
        .data = on_data,
};

static void end_start_at(End *e, sd_event *event, ProxyPool *pool, bool controlling, bool tcp,
                         size_t n_addresses)
{
        SocketAddress local[] = { address("127.0.0.1:0"), address("127.0.0.2:0") }, a;
        IceAgentParameters p = {
                .controlling = controlling,
                .tcp = tcp,
                .local_addresses = local,
                .n_local_addresses = n_addresses,
        };

        e->wireguard = udp_socket("127.0.0.1:0");
        a = local_address(e->wireguard);
        cr_assert(proxy_new(pool, socket_address_port(&a), &e->proxy) >= 0);
        cr_assert(ice_agent_new(event, &p, &callbacks, e, &e->agent) >= 0);
        cr_assert(ice_agent_gather(e->agent) >= 0);
}

static void end_start(End *e, sd_event *event, ProxyPool *pool, bool controlling, bool tcp)
{
        end_start_at(e, event, pool, controlling, tcp, /* n_addresses= */ 1);
}

/* Over TCP alone, where there is that. */
static void end_meet(End *e, bool tcp)
{
        cr_assert(ice_agent_set_remote_credentials(e->agent, ice_agent_ufrag(e->other->agent),
                                                   ice_agent_pwd(e->other->agent)) >= 0);
        for (size_t i = 0; i < e->other->n_candidates; i++)
                if ((e->other->candidates[i].transport != ICE_TRANSPORT_UDP) == tcp)
                        cr_assert(ice_agent_add_remote_candidate(e->agent, e->other->candidates + i) >=
                                  !tcp);
}

static void end_talk(World *w, End *from)
{
        uint8_t data[128] = { 4 }, in[128];
        SocketAddress source;

        world_send(from->wireguard, proxy_endpoint(from->proxy), data, sizeof(data));
        cr_assert(world_receive(w, from->other->wireguard, in, sizeof(in), &source) == sizeof(data));
        cr_assert(memcmp(data, in, sizeof(in)) == 0);
        cr_assert(socket_address_equal(&source, proxy_endpoint(from->other->proxy)));
}

static void end_stop(End *e)
{
        proxy_forget_agent(e->proxy, e->agent);
        e->agent = ice_agent_free(e->agent);
        e->proxy = proxy_free(e->proxy);
        close(e->wireguard);
}

/* The two have found each other by ICE. */
static void ends_connect(World *w, End ends[static 2], bool tcp, ProxyPool **ret_pool)
{
        sandbox_enter();
        cr_assert(sd_event_new(&w->event) >= 0);
        cr_assert(proxy_pool_new(w->event, NULL, NULL, ret_pool) >= 0);
        for (size_t i = 0; i < 2; i++)
                end_start(ends + i, w->event, *ret_pool, i == 0, tcp);
        for (size_t i = 0; i < 2; i++)
                end_meet(ends + i, tcp);
        RUN_UNTIL(w->event, ends[0].selected && ends[1].selected);
}

/* WireGuard, proxy, ICE, proxy, WireGuard: first through libnice, then through sockets of our own. */
Test(proxy, carries_over_ice)
{
        World w = {};
        ProxyPool *pool;
        End ends[2] = { { .other = ends + 1 }, { .other = ends } };

        ends_connect(&w, ends, /* tcp= */ false, &pool);
        for (size_t i = 0; i < 2; i++)
                proxy_set_agent(ends[i].proxy, ends[i].agent, /* connection= */ -EBADF,
                                /* framed= */ false);
        for (size_t i = 0; i < 2; i++)
                end_talk(&w, ends + i);
        for (size_t i = 0; i < 2; i++) {
                int fd;

                cr_assert(ice_agent_open_data_socket(ends[i].agent, &fd) >= 0);
                cr_assert(proxy_set_socket(ends[i].proxy, fd, &ends[i].remote) >= 0);
                end_talk(&w, ends + 0);
                end_talk(&w, ends + 1);
        }
        for (size_t i = 0; i < 2; i++)
                end_stop(ends + i);
        proxy_pool_free(pool);
        sd_event_unref(w.event);
}

#define PACKET_SIZE 1400

static void send_packets(int wireguard, const Proxy *proxy, uint32_t first, uint32_t n)
{
        uint8_t data[PACKET_SIZE] = { 4 };

        for (uint32_t i = first; i < first + n; i++) {
                memcpy(data + 4, &i, sizeof(i));
                world_send(wireguard, proxy_endpoint(proxy), data, sizeof(data));
        }
}

/* In their order, and nothing is lost as long as there is no more than what may wait. */
static void end_stream(World *w, End *from)
{
        uint8_t in[PACKET_SIZE + 1];
        SocketAddress source;
        uint32_t number;

        for (uint32_t i = 0; i < 2000; i++) {
                if (i % 100 == 0)
                        send_packets(from->wireguard, from->proxy, i, 100);
                cr_assert(world_receive(w, from->other->wireguard, in, sizeof(in), &source) == PACKET_SIZE);
                memcpy(&number, in + 4, sizeof(number));
                cr_assert(number == i);
        }
}

/* Through libnice first, then past it: it has nothing left of the first then. */
Test(proxy, carries_over_ice_tcp)
{
        World w = {};
        ProxyPool *pool;
        End ends[2] = { { .other = ends + 1 }, { .other = ends } };

        ends_connect(&w, ends, /* tcp= */ true, &pool);
        for (unsigned framed = 0; framed < 2; framed++) {
                for (size_t i = 0; i < 2; i++) {
                        int fd = ice_agent_connection(ends[i].agent, &ends[i].remote_candidate);

                        cr_assert(fd >= 0);
                        proxy_set_agent(ends[i].proxy, ends[i].agent, fd, framed);
                }
                for (size_t i = 0; i < 2; i++) {
                        end_talk(&w, ends + i);
                        end_stream(&w, ends + i);
                        cr_assert(proxy_counters(ends[i].proxy)->dropped == 0);
                }
        }
        for (size_t i = 0; i < 2; i++)
                end_stop(ends + i);
        proxy_pool_free(pool);
        sd_event_unref(w.event);
}

/* Of the connections that lead to the peer's candidate, one from each of our addresses, the proxy and
 * libnice use the same. */
static void use_selected_connection(bool active_controls)
{
        World w = {};
        ProxyPool *pool;
        End ends[2] = { { .other = ends + 1 }, { .other = ends } };

        sandbox_enter();
        cr_assert(sd_event_new(&w.event) >= 0);
        cr_assert(proxy_pool_new(w.event, NULL, NULL, &pool) >= 0);
        end_start_at(ends + 0, w.event, pool, active_controls, /* tcp= */ true, /* n_addresses= */ 2);
        end_start(ends + 1, w.event, pool, !active_controls, /* tcp= */ true);
        cr_assert(ice_agent_set_remote_credentials(ends[1].agent, ice_agent_ufrag(ends[0].agent),
                                                   ice_agent_pwd(ends[0].agent)) >= 0);
        cr_assert(ice_agent_set_remote_credentials(ends[0].agent, ice_agent_ufrag(ends[1].agent),
                                                   ice_agent_pwd(ends[1].agent)) >= 0);
        for (size_t i = 0; i < ends[1].n_candidates; i++)
                if (ends[1].candidates[i].transport == ICE_TRANSPORT_TCP_PASSIVE)
                        cr_assert(ice_agent_add_remote_candidate(ends[0].agent, ends[1].candidates + i) ==
                                  1);
        RUN_UNTIL(w.event, ends[0].selected && ends[1].selected);
        for (size_t i = 0; i < 2; i++) {
                int fd = ice_agent_connection(ends[i].agent, &ends[i].remote_candidate);
                SocketAddress a = local_address(fd);

                cr_assert(fd >= 0);
                cr_assert(socket_address_ip_equal(&a, &ends[i].local_candidate.address));
                proxy_set_agent(ends[i].proxy, ends[i].agent, fd, /* framed= */ true);
        }
        cr_assert(socket_address_ip_equal(&ends[0].local_candidate.address, &ends[1].remote));
        for (size_t i = 0; i < 2; i++)
                end_stream(&w, ends + i);
        for (size_t i = 0; i < 2; i++)
                end_stop(ends + i);
        proxy_pool_free(pool);
        sd_event_unref(w.event);
}

Test(proxy, shares_the_connection_with_ice_when_that_controls)
{
        use_selected_connection(/* active_controls= */ true);
}

Test(proxy, shares_the_connection_with_ice_when_that_is_controlled)
{
        use_selected_connection(/* active_controls= */ false);
}

/* A connection whose other end is the test's. */
static int connect_to_us(int *ret_theirs)
{
        SocketAddress a = address("127.0.0.1:0");
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, size = 65536;

        cr_assert(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) >= 0);
        cr_assert(bind(listener, &a.sa, socket_address_length(&a)) >= 0 && listen(listener, 1) >= 0);
        a = local_address(listener);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert(connect(fd, &a.sa, socket_address_length(&a)) >= 0);
        *ret_theirs = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        cr_assert(*ret_theirs >= 0);
        close(listener);
        return fd;
}

/* Reads whole frames until the packet `last` has come; packets may be missing, but none comes twice. */
static void read_frames(World *w, int fd, uint32_t last)
{
        uint8_t frame[2 + PACKET_SIZE];
        uint32_t number = 0, before = 0;
        size_t have = 0;
        ssize_t n;

        while (number != last) {
                RUN_UNTIL(w->event, (n = recv(fd, frame + have, sizeof(frame) - have, 0)) >= 0);
                cr_assert(n > 0, "the connection has ended");
                have += (size_t) n;
                if (have < sizeof(frame))
                        continue;
                cr_assert(frame[0] << 8 == (PACKET_SIZE & 0xff00) && frame[1] == (PACKET_SIZE & 0xff));
                memcpy(&number, frame + 6, sizeof(number));
                cr_assert(number > before);
                before = number;
                have = 0;
        }
}

/* What it does not take waits, and what has waited too long is lost; it gets no half of a packet. */
Test(proxy, does_not_overfill_a_connection)
{
        World w = {};
        End e = {};
        uint32_t sent = 1;
        int fd, theirs;
        uint64_t passed;

        world_start(&w, "127.0.0.1:0");
        end_start(&e, w.event, w.pool, /* controlling= */ true, /* tcp= */ false);
        fd = connect_to_us(&theirs);
        proxy_set_agent(e.proxy, e.agent, fd, /* framed= */ true);
        close(fd); /* there is a duplicate */
        while (proxy_counters(e.proxy)->dropped == 0) {
                send_packets(e.wireguard, e.proxy, sent, 50);
                sent += 50;
                world_idle(&w);
        }
        passed = proxy_counters(e.proxy)->out_packets;
        cr_assert(passed > 0 && passed < sent);
        RUN_UNTIL(w.event, ({
                          world_idle(&w);
                          read_frames(&w, theirs, (uint32_t) passed);
                          true;
                  }));
        send_packets(e.wireguard, e.proxy, 1000000, 1);
        read_frames(&w, theirs, 1000000);
        end_stop(&e);
        cr_assert(recv(theirs, &sent, sizeof(sent), 0) == 0, "the duplicate is still open");
        close(theirs);
        world_stop(&w);
}

/* How large it is counts, not how much there is in it just now. */
Test(proxy, has_frames_for_a_connection_in_use)
{
        static uint8_t data[64 * 1024];
        World w = {};
        End e = {};
        int fd, theirs, size = PROXY_BUFFER_SIZE;

        world_start(&w, "127.0.0.1:0");
        end_start(&e, w.event, w.pool, /* controlling= */ true, /* tcp= */ false);
        fd = connect_to_us(&theirs);
        cr_assert(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) >= 0);
        while (send(fd, data, sizeof(data), MSG_DONTWAIT) >= 0)
                ;
        proxy_set_agent(e.proxy, e.agent, fd, /* framed= */ true);
        cr_assert(!proxy_feeds_agent(e.proxy));
        proxy_forget_connection(e.proxy);
        cr_assert(proxy_feeds_agent(e.proxy));
        close(fd);
        close(theirs);
        end_stop(&e);
        world_stop(&w);
}

/* Where the connection is of no use libnice carries all. */
Test(proxy, carries_without_a_connection)
{
        World w = {};
        ProxyPool *pool;
        End ends[2] = { { .other = ends + 1 }, { .other = ends } };

        ends_connect(&w, ends, /* tcp= */ true, &pool);
        for (size_t i = 0; i < 2; i++) {
                int gone = dup(ends[i].wireguard);

                close(gone);
                proxy_set_agent(ends[i].proxy, ends[i].agent, gone, /* framed= */ true);
        }
        for (size_t i = 0; i < 2; i++)
                end_talk(&w, ends + i);
        for (size_t i = 0; i < 2; i++)
                end_stop(ends + i);
        proxy_pool_free(pool);
        sd_event_unref(w.event);
}

/* A device that cannot segment says so; then each datagram goes by itself. */
Test(datagrams, fall_back_to_single_sends)
{
        static uint8_t data[4][100];
        Datagrams d[4];
        SocketAddress to;
        bool segmentation = false;
        uint8_t in[200];
        int from, at, one = 1;

        sandbox_enter();
        from = udp_socket("127.0.0.1:0");
        at = udp_socket("127.0.0.1:0");
        to = local_address(at);
        for (unsigned i = 0; i < 4; i++) {
                memset(data[i], (int) i, sizeof(data[i]));
                d[i] = (Datagrams) { .data = data[i], .size = 100, .segment = i == 2 ? 40 : 100 };
        }
        cr_assert(datagrams_count(d) == 1 && datagrams_count(d + 2) == 3);
        cr_assert(datagrams_send(from, &to, d, 4, &segmentation) == 0);
        for (unsigned i = 0; i < 6; i++) {
                static const size_t sizes[] = { 100, 100, 40, 40, 20, 100 };

                cr_assert(recv(at, in, sizeof(in), 0) == (ssize_t) sizes[i]);
        }

        /* Without checksums the kernel refuses to segment: EIO or EINVAL, as from a poor device. */
        segmentation = true;
        cr_assert(setsockopt(from, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one)) >= 0);
        cr_assert(datagrams_send(from, &to, d, 4, &segmentation) == 0);
        cr_assert(!segmentation);
        for (unsigned i = 0; i < 6; i++)
                cr_assert(recv(at, in, sizeof(in), 0) > 0);
        cr_assert(recv(at, in, sizeof(in), 0) < 0);
        close(from);
        close(at);
}

/* A receiver whose buffer is full does not hold up anything. */
Test(datagrams, lose_what_the_socket_cannot_take)
{
        static uint8_t data[60000];
        Datagrams d[32];
        SocketAddress to;
        bool segmentation = true;
        int fd, size = 1;

        sandbox_enter();
        fd = udp_socket("127.0.0.1:0");
        to = address("127.0.0.1:0");
        cr_assert(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) >= 0);
        for (unsigned i = 0; i < 32; i++)
                d[i] = (Datagrams) { .data = data, .size = sizeof(data), .segment = sizeof(data) };
        /* Nothing that big fits at all; port 0 is refused as well. */
        cr_assert(datagrams_send(fd, &to, d, 32, &segmentation) == 32);
        close(fd);
}
