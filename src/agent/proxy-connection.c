/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "proxy-internal.h"

/* Bytes of packets for one write. */
#define TAKES_MAX (128 * 1024)
/* The kernel wakes us when half as much has not left yet: then there is room for a write, and for what the
 * agent has to say beside. */
#define NOT_SENT_MAX (3 * TAKES_MAX)
/* A packet and what the kernel has around it; see free_space(). */
#define OVERHEAD_FACTOR 2
/* What may wait in WireGuard's socket (the kernel counts twice as much): enough for ups and downs, and not
 * so much that everything comes late. */
#define QUEUE_SIZE (512 * 1024)
/* What has waited for so long is better lost. */
#define STUCK (250 * USEC_PER_MSEC)
/* Packets per system call, each in two pieces, of which the kernel takes 1024. */
#define FRAMES_MAX 256

struct ProxyConnection {
        Proxy *proxy;
        int fd; /* a duplicate */
        bool framed;
        sd_event_source *writable; /* enabled: WireGuard is not read from until it is */
        sd_event_source *stuck;    /* armed then */
};

/* ---- life ---- */

static int on_writable(sd_event_source *s, int fd, uint32_t revents, void *userdata);

ProxyConnection *proxy_connection_free(ProxyConnection *c)
{
        if (!c)
                return NULL;
        (void) sd_event_source_set_enabled(c->proxy->io, SD_EVENT_ON);
        event_source_disable_unref(c->writable);
        event_source_disable_unref(c->stuck);
        safe_close(c->fd);
        return mfree(c);
}

static void set_option(int fd, int level, int option, int value)
{
        (void) setsockopt(fd, level, option, &value, sizeof(value));
}

static void get_memory(const ProxyConnection *c, size_t *ret_size, size_t *ret_queued)
{
        uint32_t info[SK_MEMINFO_VARS] = {};
        socklen_t size = sizeof(info);

        if (getsockopt(c->fd, SOL_SOCKET, SO_MEMINFO, info, &size) < 0)
                memset(info, 0, sizeof(info));
        *ret_size = info[SK_MEMINFO_SNDBUF];
        *ret_queued = info[SK_MEMINFO_WMEM_QUEUED];
}

static size_t free_space(const ProxyConnection *c)
{
        size_t size, queued;

        get_memory(c, &size, &queued);
        return size > queued ? size - queued : 0;
}

/* It has to have room for the longest datagram when a third of it is free, which is when the kernel calls it
 * writable. What is queued now is no matter: before that is so nothing is written. */
static bool is_large(const ProxyConnection *c)
{
        size_t size, queued;

        get_memory(c, &size, &queued);
        return size / 3 / OVERHEAD_FACTOR >= PROXY_DATAGRAM_MAX;
}

int proxy_connection_new(Proxy *proxy, int fd, bool framed, ProxyConnection **ret)
{
        _cleanup_(proxy_connection_freep) ProxyConnection *c = new0(ProxyConnection, 1);
        int r;

        if (!c)
                return -ENOMEM;
        c->proxy = proxy;
        c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (c->fd < 0)
                return -errno;
        set_option(c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOT_SENT_MAX);
        set_option(c->fd, SOL_SOCKET, SO_SNDBUF, PROXY_BUFFER_SIZE);
        if (proxy->pool->grow)
                proxy->pool->grow(c->fd, proxy->pool->userdata);
        c->framed = framed && is_large(c);
        r = event_add_io(proxy->pool->event, &c->writable, c->fd, EPOLLOUT, on_writable, c,
                         "proxy-writable");
        if (r >= 0)
                r = sd_event_source_set_enabled(c->writable, SD_EVENT_OFF);
        if (r < 0)
                return r;
        set_option(proxy->fd, SOL_SOCKET, SO_RCVBUF, QUEUE_SIZE);
        *ret = TAKE_PTR(c);
        return 0;
}

/* ---- waiting ---- */

static int on_stuck(sd_event_source *s, uint64_t usec, void *userdata)
{
        ProxyConnection *c = userdata;

        proxy_connection_wait(c);
        proxy_read_wireguard(c->proxy, /* lose= */ true);
        return 0;
}

void proxy_connection_wait(ProxyConnection *c)
{
        (void) sd_event_source_set_enabled(c->proxy->io, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(c->writable, SD_EVENT_ON);
        (void) event_arm_timer(c->proxy->pool->event, &c->stuck, STUCK, on_stuck, c, "proxy-stuck");
}

static int on_writable(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        ProxyConnection *c = userdata;

        (void) sd_event_source_set_enabled(c->writable, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(c->proxy->io, SD_EVENT_ON);
        event_disarm_timer(c->stuck);
        return 0;
}

bool proxy_connection_is_full(const ProxyConnection *c)
{
        struct pollfd p = { .fd = c->fd, .events = POLLOUT };

        return poll(&p, 1, 0) == 0;
}

/* ---- packets ---- */

/* One by one, until the next one may be too long for what there is room for. */
int proxy_connection_receive(const ProxyConnection *c, Datagrams *ret)
{
        size_t bytes = 0, takes = TAKES_MAX;
        uint8_t *buffer = c->proxy->pool->buffers;
        int n = 0, r;

        if (c->framed)
                takes = MIN(takes, free_space(c) / OVERHEAD_FACTOR);
        do {
                r = datagrams_receive(c->proxy->fd, buffer, PROXY_DATAGRAM_MAX, ret + n, 1);
                if (r <= 0)
                        break;
                bytes += ret[n++].size;
                buffer += PROXY_DATAGRAM_MAX;
        } while (n < PROXY_BATCH && bytes + PROXY_DATAGRAM_MAX <= takes);
        return n;
}

bool proxy_connection_is_framed(const ProxyConnection *c)
{
        return c->framed;
}

/* The agent writes to the connection as well, and whole messages too. Half of one of ours, for which there
 * is always room, would make nonsense of everything after it: better no connection than that. */
static size_t write_frames(const ProxyConnection *c, struct iovec *iov, size_t n, size_t size)
{
        struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 * n };
        ssize_t sent;

        if (n == 0)
                return 0;
        sent = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0 && (size_t) sent < size)
                (void) shutdown(c->fd, SHUT_RDWR);
        return sent < 0 ? n : 0;
}

size_t proxy_connection_send(const ProxyConnection *c, const Datagrams *d, size_t n)
{
        uint16_t lengths[FRAMES_MAX];
        struct iovec iov[2 * FRAMES_MAX];
        size_t k = 0, size = 0, lost = 0;

        for (size_t i = 0; i < n; i++)
                for (size_t at = 0; at < d[i].size; at += d[i].segment) {
                        size_t length = MIN(d[i].segment, d[i].size - at);

                        lengths[k] = htons((uint16_t) length);
                        iov[2 * k] = (struct iovec) { lengths + k, sizeof(lengths[k]) };
                        iov[2 * k + 1] = (struct iovec) { d[i].data + at, length };
                        size += sizeof(lengths[k]) + length;
                        if (++k == FRAMES_MAX) {
                                lost += write_frames(c, iov, k, size);
                                k = size = 0;
                        }
                }
        return lost + write_frames(c, iov, k, size);
}
