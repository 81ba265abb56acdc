/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "proxy-internal.h"

#include <arpa/inet.h>
#include <sys/mman.h>

#include "alloc-util.h"
#include "event-util.h"
#include "random-util.h"

/* 127.128.0.0/9 */
#define BLOCK_BASE 0x7f800000U
#define BLOCK_SIZE 0x00800000U

static void pool_free_buffers(ProxyPool *pool)
{
        if (pool->buffers)
                (void) munmap(pool->buffers, PROXY_BATCH * PROXY_DATAGRAM_MAX);
        pool->buffers = NULL;
}

int proxy_pool_new(sd_event *event, proxy_grow_t grow, void *userdata, ProxyPool **ret)
{
        _cleanup_(proxy_pool_freep) ProxyPool *pool = NULL;
        void *p;

        pool = new0(ProxyPool, 1);
        if (!pool)
                return -ENOMEM;
        pool->event = sd_event_ref(event);
        pool->grow = grow;
        pool->userdata = userdata;
        pool->next = (uint32_t) random_below(BLOCK_SIZE);
        /* Address space; only what datagrams have filled becomes memory. */
        p = mmap(NULL, PROXY_BATCH * PROXY_DATAGRAM_MAX, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
                return -ENOMEM;
        pool->buffers = p;
        *ret = TAKE_PTR(pool);
        return 0;
}

ProxyPool *proxy_pool_free(ProxyPool *pool)
{
        if (!pool)
                return NULL;
        assert(!pool->proxies);
        pool_free_buffers(pool);
        event_source_disable_unref(pool->gathered.flush);
        free(pool->gathered.bytes);
        pool->event = sd_event_unref(pool->event);
        return mfree(pool);
}

bool proxy_address_is_ours(const SocketAddress *a)
{
        return a->sa.sa_family == AF_INET &&
               (ntohl(a->in.sin_addr.s_addr) & ~(BLOCK_SIZE - 1)) == BLOCK_BASE;
}

/* The last octets 0 and 255 look like networks and broadcasts to people and to firewalls. */
static bool host_is_usable(uint32_t host)
{
        return (host & 0xff) != 0 && (host & 0xff) != 0xff;
}

int proxy_pool_allocate(ProxyPool *pool, Proxy *proxy)
{
        for (uint32_t i = 0; i < BLOCK_SIZE; i++) {
                uint32_t host = (pool->next + i) % BLOCK_SIZE;
                Proxy *other;

                if (!host_is_usable(host))
                        continue;
                HASH_FIND(hh, pool->proxies, &host, sizeof(host), other);
                if (other)
                        continue;
                pool->next = host + 1;
                proxy->host = host;
                proxy->endpoint = (SocketAddress) {
                        .in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(BLOCK_BASE + host) },
                };
                HASH_ADD(hh, pool->proxies, host, sizeof(proxy->host), proxy);
                proxy->pool = pool;
                return 0;
        }
        return -EADDRINUSE;
}

void proxy_pool_release(Proxy *proxy)
{
        if (proxy->pool)
                HASH_DEL(proxy->pool->proxies, proxy);
        proxy->pool = NULL;
}
