/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The redirect's programs, loaded, and what the broker would tell them. Ports are in host order here. */

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <criterion/criterion.h>
#include <time.h>

#include "redirect.h"
#include "redirect.skel.h"
#include "sandbox.h"
#include "socket-address.h"
#include "udp-packet.h"

static inline struct redirect_bpf *redirect_load(void)
{
        struct redirect_bpf *redirect;

        sandbox_need_root();
        sandbox_enter();
        /* A new namespace takes the host's settings. */
        sandbox_write("/proc/sys/net/ipv4/conf/all/forwarding", "0");
        sandbox_write("/proc/sys/net/ipv6/conf/all/forwarding", "0");
        redirect = redirect_bpf__open_and_load();
        cr_assert_not_null(redirect, "cannot load: %m");
        return redirect;
}

static inline void redirect_done(struct redirect_bpf *redirect)
{
        redirect_bpf__destroy(redirect);
}

static inline void redirect_put(struct bpf_map *map, const void *key, size_t key_size, const void *value,
                                size_t value_size)
{
        cr_assert_eq(bpf_map__update_elem(map, key, key_size, value, value_size, BPF_ANY), 0, "%s: %m",
                     bpf_map__name(map));
}

static inline struct redirect_endpoint redirect_endpoint(const SocketAddress *a)
{
        struct redirect_endpoint e = { .port = htobe16(socket_address_port(a)) };

        if (a->sa.sa_family == AF_INET) {
                e.address.word[2] = htobe32(0xffff);
                e.address.word[3] = a->in.sin_addr.s_addr;
        } else
                memcpy(&e.address, &a->in6.sin6_addr, sizeof(e.address));
        return e;
}

static inline void redirect_add_wireguard(struct redirect_bpf *redirect, uint16_t w)
{
        redirect->bss->redirect_ports[htobe16(w)] |= REDIRECT_PORT_WIREGUARD;
}

static inline uint64_t socket_cookie(int fd)
{
        uint64_t cookie = 0;
        socklen_t size = sizeof(cookie);

        cr_assert_eq(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0, "%m");
        return cookie;
}

static inline void redirect_add_socket(struct redirect_bpf *redirect, uint64_t cookie, uint16_t p,
                                       uint16_t w, unsigned flags)
{
        struct redirect_socket socket = { htobe16(p), htobe16(w), flags };

        redirect_add_wireguard(redirect, w);
        redirect->bss->redirect_ports[htobe16(p)] |= REDIRECT_PORT_SOCKET;
        redirect_put(redirect->maps.redirect_sockets, &cookie, sizeof(cookie), &socket, sizeof(socket));
}

static inline void redirect_add_ufrag(struct redirect_bpf *redirect, const char *ufrag,
                                      const SocketAddress *local, uint16_t w, uint16_t p)
{
        struct redirect_ufrag key = { .local = redirect_endpoint(local).address,
                                      .wireguard_port = htobe16(w) };
        uint16_t port = htobe16(p);

        cr_assert_eq(strlen(ufrag), sizeof(key.ufrag));
        memcpy(key.ufrag, ufrag, sizeof(key.ufrag));
        redirect_put(redirect->maps.redirect_ufrags, &key, sizeof(key), &port, sizeof(port));
}

static inline void redirect_add_relay(struct redirect_bpf *redirect, const SocketAddress *relay)
{
        struct redirect_endpoint key = redirect_endpoint(relay);

        redirect_put(redirect->maps.redirect_relays, &key, sizeof(key), &(uint8_t) { 1 }, 1);
}

/* Of what comes from there to W. */
static inline void redirect_add_move(struct redirect_bpf *redirect, const SocketAddress *from, uint16_t w,
                                     const struct redirect_move *move)
{
        struct redirect_flow flow = { .remote = redirect_endpoint(from), .wireguard_port = htobe16(w) };

        redirect->bss->redirect_ports[htobe16(w)] |= REDIRECT_PORT_WIREGUARD | REDIRECT_PORT_MOVES;
        redirect_put(redirect->maps.redirect_moves, &flow, sizeof(flow), move, sizeof(*move));
}

static inline uint64_t redirect_count_moved(struct redirect_bpf *redirect, const SocketAddress *from,
                                            uint16_t w)
{
        struct redirect_flow flow = { .remote = redirect_endpoint(from), .wireguard_port = htobe16(w) };
        struct redirect_move move;

        cr_assert_eq(bpf_map__lookup_elem(redirect->maps.redirect_moves, &flow, sizeof(flow), &move,
                                          sizeof(move), 0),
                     0);
        return move.packets;
}

static inline struct redirect_transaction redirect_transaction(uint32_t id)
{
        Message m = stun_message(STUN_BINDING_REQUEST, id);
        struct redirect_transaction t;

        memcpy(t.id, m.bytes + 8, sizeof(t.id));
        return t;
}

/* As if P had asked. */
static inline void redirect_add_transaction(struct redirect_bpf *redirect, uint32_t id, uint16_t p,
                                            uint16_t w)
{
        struct redirect_transaction key = redirect_transaction(id);
        struct redirect_waiting waiting = { htobe16(p), htobe16(w) };

        redirect_put(redirect->maps.redirect_transactions, &key, sizeof(key), &waiting, sizeof(waiting));
}

static inline bool redirect_find_transaction(struct redirect_bpf *redirect, uint32_t id,
                                             struct redirect_waiting *ret)
{
        struct redirect_transaction key = redirect_transaction(id);

        return bpf_map__lookup_elem(redirect->maps.redirect_transactions, &key, sizeof(key), ret,
                                    sizeof(*ret), 0) == 0;
}

static inline uint64_t redirect_now(void)
{
        struct timespec t;

        cr_assert_eq(clock_gettime(CLOCK_MONOTONIC_COARSE, &t), 0);
        return (uint64_t) t.tv_sec * 1000000000 + (uint64_t) t.tv_nsec;
}

static inline struct redirect_contact redirect_contact(const SocketAddress *remote,
                                                       const SocketAddress *local, uint16_t p)
{
        return (struct redirect_contact) {
                .remote = redirect_endpoint(remote),
                .local = redirect_endpoint(local).address,
                .port = htobe16(p),
        };
}

/* As if P had sent something there, `age` ns ago. */
static inline void redirect_add_contact(struct redirect_bpf *redirect, const SocketAddress *remote,
                                        const SocketAddress *local, uint16_t p, uint64_t age)
{
        struct redirect_contact key = redirect_contact(remote, local, p);
        uint64_t last = redirect_now() - age;

        redirect_put(redirect->maps.redirect_contacted, &key, sizeof(key), &last, sizeof(last));
}

static inline bool redirect_find_contact(struct redirect_bpf *redirect, const SocketAddress *remote,
                                         const SocketAddress *local, uint16_t p, uint64_t *ret)
{
        struct redirect_contact key = redirect_contact(remote, local, p);

        return bpf_map__lookup_elem(redirect->maps.redirect_contacted, &key, sizeof(key), ret, sizeof(*ret),
                                    0) == 0;
}

static inline uint64_t redirect_statistic(struct redirect_bpf *redirect, enum redirect_statistic which)
{
        int n = libbpf_num_possible_cpus();
        uint64_t values[256], sum = 0;
        uint32_t key = which;

        cr_assert(n > 0 && n <= (int) ELEMENTSOF(values));
        cr_assert_eq(bpf_map__lookup_elem(redirect->maps.redirect_statistics, &key, sizeof(key), values,
                                          (size_t) n * sizeof(values[0]), 0),
                     0);
        for (int i = 0; i < n; i++)
                sum += values[i];
        return sum;
}

/* That these were counted, by enum redirect_statistic. */
static inline void assert_statistics(struct redirect_bpf *redirect,
                                     const uint64_t expected[_REDIRECT_STATISTIC_MAX])
{
        for (unsigned i = 0; i < _REDIRECT_STATISTIC_MAX; i++)
                cr_assert_eq(redirect_statistic(redirect, i), expected[i], "statistic %u is %" PRIu64, i,
                             redirect_statistic(redirect, i));
}

/* That this many were counted as `which`, and none as anything else; _REDIRECT_STATISTIC_MAX: none at all.
 */
static inline void assert_counted(struct redirect_bpf *redirect, enum redirect_statistic which,
                                  uint64_t count)
{
        uint64_t expected[_REDIRECT_STATISTIC_MAX + 1] = {};

        expected[which] = count;
        assert_statistics(redirect, expected);
}
