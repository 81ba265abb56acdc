/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <uthash.h>

#include "datagrams.h"
#include "proxy.h"
#include "silence.h"

/* Shared by proxy.c (one peer's proxy), proxy-connection.c (towards a TCP connection), proxy-pool.c
 * (addresses, buffers) and datagrams.c (batches). */

/* Datagrams per system call, and work per wake-up: then other peers have their turn. */
#define PROXY_BATCH 32
/* What the kernel may hand over at once: as many segments as fit. */
#define PROXY_DATAGRAM_MAX 65536

typedef struct Carrier Carrier;
typedef struct ProxyConnection ProxyConnection;

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
        bool segmentation;           /* towards WireGuard */
        IceAgent *agent;             /* lent; the carrier, unless there is a socket */
        ProxyConnection *connection; /* owned; NULL: the agent's packets do not leave over TCP */
        Carrier *carrier;            /* owned */
        Carrier *old;                /* owned; replaced ones that are still read */
        SocketAddress admitted;      /* the peer, too; unset: nobody is */
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

/* What WireGuard has sent is carried. lose: it is not, there is no way out. The proxy may be freed. */
void proxy_read_wireguard(Proxy *proxy, bool lose);

/* A TCP connection that an agent's packets leave by, as proxy_set_agent() has it; fd is duplicated. It is
 * not framed, whatever is asked for, where the kernel gives it too little room. */
int proxy_connection_new(Proxy *proxy, int fd, bool framed, ProxyConnection **ret);
/* WireGuard is read from again. */
ProxyConnection *proxy_connection_free(ProxyConnection *c);
DEFINE_TRIVIAL_CLEANUP_FUNC(ProxyConnection *, proxy_connection_free);

bool proxy_connection_is_framed(const ProxyConnection *c);
bool proxy_connection_is_full(const ProxyConnection *c);
/* WireGuard is not read from until it is not full any more. */
void proxy_connection_wait(ProxyConnection *c);

/* From WireGuard, into the pool's buffers: as many as are sure to be taken, at most PROXY_BATCH. */
int proxy_connection_receive(const ProxyConnection *c, Datagrams *ret);
/* Framed. Returns how many were lost. */
size_t proxy_connection_send(const ProxyConnection *c, const Datagrams *d, size_t n);
