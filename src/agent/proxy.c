/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "proxy.h"

#include <arpa/inet.h>

#include "alloc-util.h"
#include "datagrams.h"
#include "event-util.h"
#include "fd-util.h"
#include "log.h"
#include "proxy-internal.h"

/* What a turn of the loop gathers at most, in bytes. */
#define GATHERED_SIZE PROXY_DATAGRAM_MAX

/* A socket that reaches the peer. */
struct Carrier {
        Proxy *proxy;
        Carrier *next; /* in proxy->old */
        int fd;
        sd_event_source *io;
        sd_event_source *linger;
        SocketAddress remote;
        bool segmentation;
};

static void proxy_prepare_socket(Proxy *proxy, int fd)
{
        int size = PROXY_BUFFER_SIZE;

        (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        (void) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        datagrams_enable_receive_offload(fd);
        if (proxy->pool->grow)
                proxy->pool->grow(fd, proxy->pool->userdata);
}

static size_t count_all(const Datagrams *d, size_t n)
{
        size_t count = 0;

        for (size_t i = 0; i < n; i++)
                count += datagrams_count(d + i);
        return count;
}

static size_t count_bytes(const Datagrams *d, size_t n)
{
        size_t bytes = 0;

        for (size_t i = 0; i < n; i++)
                bytes += d[i].size;
        return bytes;
}

/* ---- WireGuard to network ---- */

static size_t send_over_agent(IceAgent *agent, const Datagrams *d, size_t n)
{
        size_t lost = 0;

        for (size_t i = 0; i < n; i++)
                for (size_t at = 0; at < d[i].size; at += d[i].segment)
                        if (ice_agent_send(agent, d[i].data + at, MIN(d[i].segment, d[i].size - at)) < 0)
                                lost++;
        return lost;
}

bool proxy_feeds_agent(const Proxy *proxy)
{
        return proxy->agent && !(proxy->connection && proxy_connection_is_framed(proxy->connection));
}

static void proxy_send(Proxy *proxy, const Datagrams *d, size_t n)
{
        Carrier *c = proxy->carrier;
        size_t lost;

        if (c)
                lost = datagrams_send(c->fd, &c->remote, d, n, &c->segmentation);
        else if (proxy_feeds_agent(proxy))
                lost = send_over_agent(proxy->agent, d, n);
        else if (proxy->agent)
                lost = proxy_connection_send(proxy->connection, d, n);
        else
                lost = count_all(d, n);
        proxy->counters.out_packets += count_all(d, n) - lost;
        proxy->counters.out_bytes += count_bytes(d, n);
        proxy->counters.dropped += lost;
}

/* Keeps the entries that `accept` wants. */
static size_t filter(Proxy *proxy, Datagrams *d, size_t n, bool (*accept)(const Proxy *, const Datagrams *))
{
        size_t k = 0;

        for (size_t i = 0; i < n; i++)
                if (accept(proxy, d + i))
                        d[k++] = d[i];
                else
                        proxy->counters.strangers += datagrams_count(d + i);
        return k;
}

/* Anybody on this host can send to a loopback address, but nobody else can have WireGuard's port. */
static bool is_from_wireguard(const Proxy *proxy, const Datagrams *d)
{
        return socket_address_is_loopback(&d->source) &&
               socket_address_port(&d->source) == proxy->wireguard_port;
}

/* The WireGuard paper, section 5.4.6: a data message of 32 bytes has nothing in it. */
static bool has_traffic(const Datagrams *d, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (d[i].segment > 32 && d[i].data[0] == 4)
                        return true;
        return false;
}

void proxy_read_wireguard(Proxy *proxy, bool lose)
{
        Datagrams d[PROXY_BATCH];
        int n;

        if (proxy->connection)
                n = proxy_connection_receive(proxy->connection, d);
        else
                n = datagrams_receive(proxy->fd, proxy->pool->buffers, PROXY_DATAGRAM_MAX, d, PROXY_BATCH);
        if (n <= 0)
                return; /* an error that was waiting on the socket: reported once, and no news */
        n = (int) filter(proxy, d, (size_t) n, is_from_wireguard);
        if (n <= 0)
                return;
        if (lose)
                proxy->counters.dropped += count_all(d, (size_t) n);
        else
                proxy_send(proxy, d, (size_t) n);
        if (proxy->on_traffic && has_traffic(d, (size_t) n))
                proxy->on_traffic(proxy, proxy->traffic_userdata);
        if (proxy->on_silence && silence_is_alarming(&proxy->silence, now(CLOCK_BOOTTIME)))
                proxy->on_silence(proxy, proxy->userdata);
}

static int on_wireguard_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Proxy *proxy = userdata;

        if (proxy->connection && proxy_connection_is_full(proxy->connection))
                proxy_connection_wait(proxy->connection);
        else
                proxy_read_wireguard(proxy, /* lose= */ false);
        return 0;
}

/* ---- network to WireGuard ---- */

static void account(Proxy *proxy, const Datagrams *d, size_t n, size_t late)
{
        silence_hear(&proxy->silence, now(CLOCK_BOOTTIME));
        proxy->counters.in_packets += count_all(d, n);
        proxy->counters.in_bytes += count_bytes(d, n);
        proxy->counters.late_packets += late;
}

/* What was accounted for. */
static void deliver(Proxy *proxy, const Datagrams *d, size_t n)
{
        SocketAddress to;
        size_t lost;

        socket_address_from_bytes(AF_INET, &(struct in_addr) { htonl(INADDR_LOOPBACK) },
                                  proxy->wireguard_port, &to);
        lost = datagrams_send(proxy->fd, &to, d, n, &proxy->segmentation);
        proxy->counters.in_packets -= lost;
        proxy->counters.dropped += lost;
}

static void flush_gathered(Gathered *g);

static void proxy_receive(Proxy *proxy, const Datagrams *d, size_t n, size_t late)
{
        flush_gathered(&proxy->pool->gathered); /* what came before goes before */
        account(proxy, d, n, late);
        deliver(proxy, d, n);
}

/* Only the addresses that ICE has verified, of the path in use and of those just left: two of them may share
 * a port, and then either's packets may come out of either's socket. A peer whose NAT gives it a new address
 * in the middle of a path needs a new check by ICE before we hear it here. */
static bool is_from_peer(const Proxy *proxy, const Datagrams *d)
{
        if (proxy->carrier && socket_address_equal(&d->source, &proxy->carrier->remote))
                return true;
        for (const Carrier *c = proxy->old; c; c = c->next)
                if (socket_address_equal(&d->source, &c->remote))
                        return true;
        return socket_address_is_set(&proxy->admitted) && socket_address_equal(&d->source, &proxy->admitted);
}

/* By the source, not by the socket: see above. */
static size_t count_late(const Proxy *proxy, const Datagrams *d, size_t n)
{
        size_t count = 0;

        for (size_t i = 0; i < n; i++)
                if (!proxy->carrier || !socket_address_equal(&d[i].source, &proxy->carrier->remote))
                        count += datagrams_count(d + i);
        return count;
}

static int on_carrier_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        Carrier *carrier = userdata;
        Proxy *proxy = carrier->proxy;
        Datagrams d[PROXY_BATCH];
        int n;

        n = datagrams_receive(fd, proxy->pool->buffers, PROXY_DATAGRAM_MAX, d, PROXY_BATCH);
        if (n <= 0)
                return 0;
        n = (int) filter(proxy, d, (size_t) n, is_from_peer);
        if (n > 0)
                proxy_receive(proxy, d, (size_t) n, count_late(proxy, d, (size_t) n));
        return 0;
}

void proxy_on_silence(Proxy *proxy, proxy_silent_t callback, void *userdata)
{
        proxy->on_silence = callback;
        proxy->userdata = userdata;
}

void proxy_on_traffic(Proxy *proxy, proxy_traffic_t callback, void *userdata)
{
        proxy->on_traffic = callback;
        proxy->traffic_userdata = userdata;
}

/* ---- an ICE agent to WireGuard ---- */

static void flush_gathered(Gathered *g)
{
        Proxy *proxy = TAKE_PTR(g->proxy);

        if (proxy)
                deliver(proxy, g->datagrams, g->n);
        g->n = g->size = 0;
}

static int on_flush(sd_event_source *s, void *userdata)
{
        flush_gathered(userdata);
        return 0;
}

static int gather(Proxy *proxy, const void *data, size_t size)
{
        Gathered *g = &proxy->pool->gathered;

        if (!g->bytes)
                g->bytes = malloc(GATHERED_SIZE);
        if (!g->bytes || size > GATHERED_SIZE)
                return -ENOBUFS;
        if (g->proxy != proxy || g->n >= ELEMENTSOF(g->datagrams) || g->size + size > GATHERED_SIZE)
                flush_gathered(g);
        memcpy(g->bytes + g->size, data, size);
        g->datagrams[g->n++] = (Datagrams) { .data = g->bytes + g->size, .size = size, .segment = size };
        g->size += size;
        g->proxy = proxy;
        return event_defer_once(proxy->pool->event, &g->flush, on_flush, g, "proxy-flush");
}

void proxy_deliver(Proxy *proxy, const void *data, size_t size, bool late)
{
        Datagrams d = { .data = (void *) data, .size = size, .segment = size };

        if (size == 0)
                return;
        account(proxy, &d, 1, late);
        if (gather(proxy, data, size) < 0) {
                flush_gathered(&proxy->pool->gathered);
                deliver(proxy, &d, 1);
        }
}

/* ---- carriers ---- */

static Carrier *carrier_free(Carrier *carrier)
{
        if (!carrier)
                return NULL;
        carrier->io = event_source_disable_unref(carrier->io);
        carrier->linger = event_source_disable_unref(carrier->linger);
        safe_close(carrier->fd);
        return mfree(carrier);
}
DEFINE_TRIVIAL_CLEANUP_FUNC(Carrier *, carrier_free);

static int on_carrier_linger(sd_event_source *s, uint64_t usec, void *userdata)
{
        Carrier *carrier = userdata;

        for (Carrier **p = &carrier->proxy->old; *p; p = &(*p)->next)
                if (*p == carrier) {
                        *p = carrier->next;
                        break;
                }
        carrier_free(carrier);
        return 0;
}

/* The socket in use is no longer sent to, and read a while longer. */
static void proxy_retire_carrier(Proxy *proxy)
{
        Carrier *carrier = TAKE_PTR(proxy->carrier);

        if (!carrier)
                return;
        if (event_arm_timer(proxy->pool->event, &carrier->linger, PROXY_LINGER, on_carrier_linger, carrier,
                            "proxy-linger") < 0) {
                carrier_free(carrier);
                return;
        }
        carrier->next = proxy->old;
        proxy->old = carrier;
}

void proxy_forget_connection(Proxy *proxy)
{
        if (!proxy->connection)
                return;
        proxy->connection = proxy_connection_free(proxy->connection);
        proxy_prepare_socket(proxy, proxy->fd);
}

static void proxy_leave_agent(Proxy *proxy)
{
        proxy->agent = NULL;
        proxy_forget_connection(proxy);
}

int proxy_set_socket(Proxy *proxy, int fd, const SocketAddress *remote)
{
        _cleanup_(carrier_freep) Carrier *carrier = NULL;
        int r;

        carrier = new0(Carrier, 1);
        if (!carrier) {
                safe_close(fd);
                return -ENOMEM;
        }
        carrier->proxy = proxy;
        carrier->fd = fd;
        carrier->remote = *remote;
        carrier->segmentation = true;
        proxy_prepare_socket(proxy, fd);
        r = event_add_io(proxy->pool->event, &carrier->io, fd, EPOLLIN, on_carrier_io, carrier,
                         "proxy-carrier");
        if (r < 0)
                return r;
        proxy_retire_carrier(proxy);
        proxy_leave_agent(proxy);
        proxy->admitted = (SocketAddress) {};
        proxy->carrier = TAKE_PTR(carrier);
        silence_start(&proxy->silence, now(CLOCK_BOOTTIME));
        return 0;
}

void proxy_admit(Proxy *proxy, const SocketAddress *remote)
{
        proxy->admitted = *remote;
}

void proxy_set_agent(Proxy *proxy, IceAgent *agent, int connection, bool framed)
{
        int r;

        proxy_leave_agent(proxy);
        proxy_retire_carrier(proxy);
        proxy->admitted = (SocketAddress) {};
        proxy->agent = agent;
        silence_start(&proxy->silence, now(CLOCK_BOOTTIME));
        if (connection < 0)
                return;
        r = proxy_connection_new(proxy, connection, framed, &proxy->connection);
        if (r < 0)
                log_debug_errno(r, "Cannot watch an ICE agent's connection, ignoring: %m");
}

void proxy_forget_agent(Proxy *proxy, IceAgent *agent)
{
        if (proxy->agent == agent)
                proxy_leave_agent(proxy);
}

/* ---- life ---- */

Proxy *proxy_free(Proxy *proxy)
{
        if (!proxy)
                return NULL;
        if (proxy->pool->gathered.proxy == proxy)
                flush_gathered(&proxy->pool->gathered);
        proxy->connection = proxy_connection_free(proxy->connection);
        proxy->io = event_source_disable_unref(proxy->io);
        proxy->fd = safe_close(proxy->fd);
        proxy->carrier = carrier_free(proxy->carrier);
        while (proxy->old) {
                Carrier *c = proxy->old;

                proxy->old = c->next;
                carrier_free(c);
        }
        proxy_pool_release(proxy);
        return mfree(proxy);
}

static int proxy_bind(Proxy *proxy)
{
        struct sockaddr_storage storage;
        socklen_t size = sizeof(storage);

        proxy->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (proxy->fd < 0)
                return -errno;
        if (bind(proxy->fd, &proxy->endpoint.sa, socket_address_length(&proxy->endpoint)) < 0 ||
            getsockname(proxy->fd, (struct sockaddr *) &storage, &size) < 0)
                return -errno;
        return socket_address_from_sockaddr(&storage, size, &proxy->endpoint);
}

int proxy_new(ProxyPool *pool, uint16_t wireguard_port, Proxy **ret)
{
        _cleanup_(proxy_freep) Proxy *proxy = NULL;
        int r;

        proxy = new0(Proxy, 1);
        if (!proxy)
                return -ENOMEM;
        proxy->fd = -EBADF;
        proxy->wireguard_port = wireguard_port;
        proxy->segmentation = true;
        r = proxy_pool_allocate(pool, proxy);
        if (r < 0)
                return r;
        r = proxy_bind(proxy);
        if (r < 0)
                return r;
        proxy_prepare_socket(proxy, proxy->fd);
        r = event_add_io(pool->event, &proxy->io, proxy->fd, EPOLLIN, on_wireguard_io, proxy,
                         "proxy-wireguard");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(proxy);
        return 0;
}

const SocketAddress *proxy_endpoint(const Proxy *proxy)
{
        return &proxy->endpoint;
}

const ProxyCounters *proxy_counters(const Proxy *proxy)
{
        return &proxy->counters;
}

uint64_t proxy_fresh_packets(const ProxyCounters *c)
{
        return c->in_packets > c->late_packets ? c->in_packets - c->late_packets : 0;
}

void proxy_set_wireguard_port(Proxy *proxy, uint16_t wireguard_port)
{
        proxy->wireguard_port = wireguard_port;
}
