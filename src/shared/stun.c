/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stun.h"

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "stun-transaction.h"

/* Datagrams looked at per wake-up. */
#define STUN_RECEIVE_MAX 16

struct StunQuery {
        stun_query_callback_t callback;
        void *userdata;
        SocketAddress server;
        int fd;
        sd_event_source *io;
        sd_event_source *timer;
        StunAgent agent;
        StunTransaction transaction;
};

StunQuery *stun_query_free(StunQuery *query)
{
        if (!query)
                return NULL;
        query->io = event_source_disable_unref(query->io);
        query->timer = event_source_disable_unref(query->timer);
        query->fd = safe_close(query->fd);
        return mfree(query);
}

/* The callback may free the query: nothing of it may be touched afterwards. */
static void query_finish(StunQuery *query, int error, const SocketAddress *mapped, usec_t rtt)
{
        query->io = event_source_disable_unref(query->io);
        event_disarm_timer(query->timer);
        query->callback(query, error, mapped, rtt, query->userdata);
}

static int query_send(sd_event *event, StunQuery *query);

static int on_query_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        StunQuery *query = userdata;
        int r;

        r = query_send(sd_event_source_get_event(s), query);
        if (r < 0)
                query_finish(query, r, /* mapped= */ NULL, USEC_INFINITY);
        return 0;
}

/* Sends the request (again) and waits for as long as its number says. */
static int query_send(sd_event *event, StunQuery *query)
{
        usec_t wait;
        int r;

        r = stun_transaction_send(&query->transaction, query->fd, /* to= */ NULL, &wait);
        return r < 0 ? r : event_arm_timer(event, &query->timer, wait, on_query_timer, query, "stun-query");
}

/* What came between bind() and connect() may be from anybody. */
static bool source_is_server(const StunQuery *query, const void *source, size_t size)
{
        SocketAddress a;

        return socket_address_from_sockaddr(source, size, &a) >= 0 &&
               socket_address_equal(&a, &query->server);
}

static int on_query_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        StunQuery *query = userdata;

        for (unsigned i = 0; i < STUN_RECEIVE_MAX; i++) {
                struct sockaddr_storage source;
                socklen_t source_size = sizeof(source);
                uint8_t data[STUN_RESPONSE_MAX];
                SocketAddress mapped;
                ssize_t n;
                int r;

                n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *) &source, &source_size);
                if (n < 0 && stun_errno_is_transient(errno))
                        return 0;
                if (n < 0) {
                        query_finish(query, -errno, /* mapped= */ NULL, USEC_INFINITY);
                        return 0;
                }
                if (!source_is_server(query, &source, source_size))
                        continue;
                r = stun_transaction_parse(&query->transaction, &query->agent, data, (size_t) n, &mapped);
                if (r == 0)
                        continue;
                query_finish(query, r < 0 ? r : 0, r < 0 ? NULL : &mapped,
                             r < 0 ? USEC_INFINITY : usec_sub(now(CLOCK_BOOTTIME), query->transaction.sent));
                return 0;
        }
        return 0;
}

static void copy_socket_option(int from, int to, int level, int option)
{
        int value;
        socklen_t size = sizeof(value);

        if (getsockopt(from, level, option, &value, &size) >= 0)
                (void) setsockopt(to, level, option, &value, size);
}

/* Binds fd to where base_fd is bound. Both need SO_REUSEADDR for that; base_fd has it only meanwhile, so
 * that no other process can join us on the port. */
static int bind_beside(int fd, int base_fd)
{
        union {
                struct sockaddr_storage storage;
                struct sockaddr sa;
        } a;
        socklen_t size = sizeof(a);
        int one = 1, zero = 0, r = 0;

        if (getsockname(base_fd, &a.sa, &size) < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            setsockopt(base_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
                return -errno;
        if (bind(fd, &a.sa, size) < 0)
                r = -errno;
        (void) setsockopt(base_fd, SOL_SOCKET, SO_REUSEADDR, &zero, sizeof(zero));
        return r;
}

static int query_open_socket(StunQuery *query, int base_fd)
{
        int r;

        query->fd = socket(query->server.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (query->fd < 0)
                return -errno;
        if (base_fd >= 0) {
                copy_socket_option(base_fd, query->fd, IPPROTO_IP, IP_UNICAST_IF);
                if (query->server.sa.sa_family == AF_INET6)
                        copy_socket_option(base_fd, query->fd, IPPROTO_IPV6, IPV6_UNICAST_IF);
                r = bind_beside(query->fd, base_fd);
                if (r < 0)
                        return r;
        }
        if (connect(query->fd, &query->server.sa, socket_address_length(&query->server)) < 0)
                return -errno;
        return 0;
}

int stun_query_new(sd_event *event, int base_fd, const SocketAddress *server, stun_query_callback_t callback,
                   void *userdata, StunQuery **ret)
{
        _cleanup_(stun_query_freep) StunQuery *query = NULL;
        int r;

        query = new0(StunQuery, 1);
        if (!query)
                return -ENOMEM;
        query->fd = -EBADF;
        query->server = *server;
        query->callback = callback;
        query->userdata = userdata;

        stun_transaction_agent_init(&query->agent);
        r = stun_transaction_start(&query->transaction, &query->agent, /* username= */ NULL);
        if (r < 0)
                return r;
        r = query_open_socket(query, base_fd);
        if (r < 0)
                return r;
        r = event_add_io(event, &query->io, query->fd, EPOLLIN, on_query_io, query, "stun-query-io");
        if (r < 0)
                return r;
        r = query_send(event, query);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(query);
        return 0;
}
