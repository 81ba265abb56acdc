/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <uthash.h>

#include "datagrams.h"
#include "proxy.h"
#include "silence.h"

/* Shared by proxy.c (one peer's proxy), proxy-pool.c (addresses, buffers) and datagrams.c (batches). */

/* Datagrams per system call, and work per wake-up: then other peers have their turn. */
#define PROXY_BATCH 32
/* What the kernel may hand over at once: as many segments as fit. */
#define PROXY_DATAGRAM_MAX 65536

typedef struct Carrier Carrier;

/* What an ICE agent has delivered for a peer in this turn of the loop, to go to WireGuard together: libnice
 * hands over one datagram at a time, but mostly many in a row. */
typedef struct Gathered {
        Proxy *proxy; /* whose they are; NULL: nobody's */
        uint8_t *bytes;
        size_t size;
        Datagrams datagrams[PROXY_BATCH];
        size_t n;
        sd_event_source *flush;
} Gathered;

struct ProxyPool {
        sd_event *event;
        Gathered gathered;
        proxy_grow_t grow;
        void *userdata;
        Proxy *proxies; /* hash by host */
        uint32_t next;  /* where the search for a free address begins */
        uint8_t *buffers;
};

struct Proxy {
        ProxyPool *pool;
        uint32_t host; /* within the block */
        UT_hash_handle hh;
        SocketAddress endpoint;
        uint16_t wireguard_port;
        int fd; /* bound to endpoint, towards WireGuard */
        sd_event_source *io;
        bool segmentation;      /* towards WireGuard */
        IceAgent *agent;        /* lent; the carrier, unless there is a socket */
        Carrier *carrier;       /* owned */
        Carrier *old;           /* owned; replaced ones that are still read */
        SocketAddress admitted; /* the peer, too; unset: nobody is */
        ProxyCounters counters;
        Silence silence;
        proxy_silent_t on_silence;
        void *userdata;
        proxy_traffic_t on_traffic;
        void *traffic_userdata;
};

/* Takes a free address of the block and enters the proxy under it; port 0. */
int proxy_pool_allocate(ProxyPool *pool, Proxy *proxy);
void proxy_pool_release(Proxy *proxy);
