/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the programs share; defined in redirect-maps.bpf.c, described in redirect.h. */

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "redirect.h"

/* Few hosts have so many sockets: memory is taken as they come. The broker alone fills these two. */
struct redirect_sockets_map {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, REDIRECT_SOCKETS_MAX);
        __uint(map_flags, BPF_F_NO_PREALLOC);
        __type(key, __u64);
        __type(value, struct redirect_socket);
};

struct redirect_relays_map {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, REDIRECT_RELAYS_MAX);
        __type(key, struct redirect_endpoint);
        __type(value, __u8);
};

struct redirect_ufrags_map {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, REDIRECT_UFRAGS_MAX);
        __uint(map_flags, BPF_F_NO_PREALLOC);
        __type(key, struct redirect_ufrag);
        __type(value, __u16);
};

struct redirect_transactions_map {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, REDIRECT_TRANSACTIONS_MAX);
        __type(key, struct redirect_transaction);
        __type(value, struct redirect_waiting);
};

struct redirect_contacted_map {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, REDIRECT_CONTACTED_MAX);
        __type(key, struct redirect_contact);
        __type(value, __u64);
};

/* The broker fills this one. */
struct redirect_moves_map {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, REDIRECT_MOVES_MAX);
        __uint(map_flags, BPF_F_NO_PREALLOC);
        __type(key, struct redirect_flow);
        __type(value, struct redirect_move);
};

struct redirect_initiations_map {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, REDIRECT_INITIATIONS_SIZE);
};

struct redirect_initiated_map {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, REDIRECT_INITIATED_MAX);
        __type(key, struct redirect_flow);
        __type(value, __u64);
};

struct redirect_statistics_map {
        __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
        __uint(max_entries, _REDIRECT_STATISTIC_MAX);
        __type(key, __u32);
        __type(value, __u64);
};

extern struct redirect_sockets_map redirect_sockets SEC(".maps");
extern struct redirect_relays_map redirect_relays SEC(".maps");
extern struct redirect_ufrags_map redirect_ufrags SEC(".maps");
extern struct redirect_transactions_map redirect_transactions SEC(".maps");
extern struct redirect_contacted_map redirect_contacted SEC(".maps");
extern struct redirect_moves_map redirect_moves SEC(".maps");
extern struct redirect_initiations_map redirect_initiations SEC(".maps");
extern struct redirect_initiated_map redirect_initiated SEC(".maps");
extern struct redirect_statistics_map redirect_statistics SEC(".maps");
extern __u8 redirect_ports[REDIRECT_PORTS];
extern __u8 redirect_rewrites;

static __always_inline void redirect_count(enum redirect_statistic what)
{
        __u32 index = what;
        __u64 *counter = bpf_map_lookup_elem(&redirect_statistics, &index);

        if (counter)
                (*counter)++;
}
