/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "resolve.h"

#include <ares.h>
#include <sys/epoll.h>

#include "alloc-util.h"
#include "event-util.h"
#include "resolved.h"

/* Each query has a channel of its own: it can be given up without the others, and it reads /etc/hosts and
 * /etc/resolv.conf as they are now, which on a laptop is not as they were at start. */

typedef struct ResolverSocket {
        int fd;
        sd_event_source *source;
} ResolverSocket;

struct Resolver {
        sd_event *event;
        usec_t timeout;
        unsigned n_queries;
};

struct ResolverQuery {
        Resolver *resolver;
        char *host;
        ResolvedQuery *resolved; /* NULL: there is none, or it is no longer asked */
        ares_channel_t *channel; /* NULL: not asked */
        ResolverSocket *sockets;
        size_t n_sockets, sockets_allocated;
        sd_event_source *timer; /* c-ares' own */
        sd_event_source *limit; /* of it all */
        sd_event_source *done_source;
        uint16_t port;
        resolver_callback_t callback;
        void *userdata;
        int error; /* the answer; -EINPROGRESS: none yet */
        SocketAddress addresses[RESOLVER_ADDRESSES_MAX];
        size_t n_addresses;
};

int resolver_new(sd_event *event, Resolver **ret)
{
        _cleanup_free_ Resolver *resolver = new0(Resolver, 1);

        if (!resolver)
                return -ENOMEM;
        if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
                return -ENOMEM;
        resolver->event = sd_event_ref(event);
        resolver->timeout = RESOLVER_TIMEOUT;
        *ret = TAKE_PTR(resolver);
        return 0;
}

Resolver *resolver_free(Resolver *resolver)
{
        if (!resolver)
                return NULL;
        assert(resolver->n_queries == 0);
        sd_event_unref(resolver->event);
        ares_library_cleanup();
        return mfree(resolver);
}

void resolver_set_timeout(Resolver *resolver, usec_t timeout)
{
        resolver->timeout = timeout;
}

static void query_drop_socket(ResolverQuery *q, size_t i)
{
        event_source_disable_unref(q->sockets[i].source);
        q->sockets[i] = q->sockets[--q->n_sockets];
}

ResolverQuery *resolver_query_free(ResolverQuery *q)
{
        if (!q)
                return NULL;
        resolved_query_free(q->resolved);
        if (q->channel)
                ares_destroy(q->channel);
        while (q->n_sockets > 0)
                query_drop_socket(q, q->n_sockets - 1);
        free(q->sockets);
        free(q->host);
        event_source_disable_unref(q->timer);
        event_source_disable_unref(q->limit);
        event_source_disable_unref(q->done_source);
        q->resolver->n_queries--;
        return mfree(q);
}

/* ---- The answer ---- */

static int ares_to_errno(int status)
{
        switch (status) {
        case ARES_SUCCESS:
                return 0;
        case ARES_ENOMEM:
                return -ENOMEM;
        case ARES_ENOTFOUND:
        case ARES_ENODATA:
        case ARES_EBADNAME:
        case ARES_ENONAME:
                return -ESRCH;
        case ARES_ETIMEOUT:
                return -ETIMEDOUT;
        case ARES_ECONNREFUSED:
        case ARES_ENOSERVER:
                return -ECONNREFUSED;
        default:
                return -EIO;
        }
}

static int on_done(sd_event_source *s, void *userdata)
{
        ResolverQuery *q = userdata;
        resolver_callback_t callback = q->callback;
        SocketAddress addresses[RESOLVER_ADDRESSES_MAX];
        size_t n = q->n_addresses;
        int error = q->error;

        userdata = q->userdata;
        memcpy(addresses, q->addresses, sizeof(addresses));
        /* First, so that the callback may free the resolver. */
        resolver_query_free(q);
        callback(error, addresses, n, userdata);
        return 0;
}

static void query_finish(ResolverQuery *q, int error)
{
        q->error = error;
        event_disarm_timer(q->timer);
        event_disarm_timer(q->limit);
        (void) sd_event_source_set_enabled(q->done_source, SD_EVENT_ONESHOT);
}

static bool query_has_address(const ResolverQuery *q, const SocketAddress *a)
{
        for (size_t i = 0; i < q->n_addresses; i++)
                if (socket_address_equal(&q->addresses[i], a))
                        return true;
        return false;
}

static void on_addrinfo(void *userdata, int status, int timeouts, struct ares_addrinfo *info)
{
        ResolverQuery *q = userdata;

        if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED)
                return;
        for (struct ares_addrinfo_node *node = info ? info->nodes : NULL; node; node = node->ai_next) {
                SocketAddress a;

                if (q->n_addresses >= ELEMENTSOF(q->addresses))
                        break;
                if (socket_address_from_sockaddr(node->ai_addr, node->ai_addrlen, &a) < 0)
                        continue;
                socket_address_set_port(&a, q->port);
                if (!query_has_address(q, &a))
                        q->addresses[q->n_addresses++] = a;
        }
        if (info)
                ares_freeaddrinfo(info);
        query_finish(q, status == ARES_SUCCESS && q->n_addresses == 0 ? -ESRCH : ares_to_errno(status));
}

/* ---- c-ares on the loop ---- */

static int on_timer(sd_event_source *s, uint64_t t, void *userdata);

/* c-ares has no callback for its timers: ask after everything it did. */
static void query_update_timer(ResolverQuery *q)
{
        struct timeval tv;
        int r;

        if (q->error != -EINPROGRESS)
                return;
        if (!ares_timeout(q->channel, /* maxtv= */ NULL, &tv)) {
                event_disarm_timer(q->timer);
                return;
        }
        r = event_arm_timer(q->resolver->event, &q->timer,
                            (usec_t) tv.tv_sec * USEC_PER_SEC + (usec_t) tv.tv_usec, on_timer, q,
                            "resolver-timer");
        if (r < 0)
                query_finish(q, r);
}

static int on_timer(sd_event_source *s, uint64_t t, void *userdata)
{
        ResolverQuery *q = userdata;

        ares_process_fd(q->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        query_update_timer(q);
        return 0;
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        ResolverQuery *q = userdata;
        bool readable = revents & (EPOLLIN | EPOLLERR | EPOLLHUP);

        ares_process_fd(q->channel, readable ? fd : ARES_SOCKET_BAD,
                        revents & EPOLLOUT ? fd : ARES_SOCKET_BAD);
        query_update_timer(q);
        return 0;
}

static ResolverSocket *query_find_socket(ResolverQuery *q, int fd)
{
        for (size_t i = 0; i < q->n_sockets; i++)
                if (q->sockets[i].fd == fd)
                        return &q->sockets[i];
        return NULL;
}

static int query_watch_socket(ResolverQuery *q, int fd, uint32_t events)
{
        ResolverSocket *socket = query_find_socket(q, fd);
        int r;

        if (socket)
                return sd_event_source_set_io_events(socket->source, events);
        r = GROW_ARRAY(q->sockets, q->sockets_allocated, q->n_sockets + 1);
        if (r < 0)
                return r;
        socket = &q->sockets[q->n_sockets];
        *socket = (ResolverSocket) { .fd = fd };
        r = event_add_io(q->resolver->event, &socket->source, fd, events, on_io, q, "resolver-io");
        if (r < 0)
                return r;
        q->n_sockets++;
        return 0;
}

/* Called before c-ares closes a socket, with neither direction wanted. */
static void on_socket_state(void *userdata, ares_socket_t fd, int readable, int writable)
{
        ResolverQuery *q = userdata;
        ResolverSocket *socket;
        int r;

        if (readable || writable) {
                r = query_watch_socket(q, fd, (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0));
                if (r < 0)
                        query_finish(q, r);
                return;
        }
        socket = query_find_socket(q, fd);
        if (socket)
                query_drop_socket(q, (size_t) (socket - q->sockets));
}

static int query_ask_ares(ResolverQuery *q)
{
        struct ares_options options = { .sock_state_cb = on_socket_state, .sock_state_cb_data = q };
        struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
        int status;

        status = ares_init_options(&q->channel, &options, ARES_OPT_SOCK_STATE_CB);
        if (status != ARES_SUCCESS)
                return status == ARES_ENOMEM ? -ENOMEM : -EIO;
        ares_getaddrinfo(q->channel, q->host, /* service= */ NULL, &hints, on_addrinfo, q);
        query_update_timer(q);
        return 0;
}

/* ---- systemd-resolved ---- */

static void on_resolved(ResolvedQuery *resolved, int error, const SocketAddress *addresses, size_t n,
                        void *userdata)
{
        ResolverQuery *q = userdata;
        int r;

        q->resolved = resolved_query_free(q->resolved);
        if (error == -ENOTCONN) {
                r = query_ask_ares(q);
                if (r < 0)
                        query_finish(q, r);
                return;
        }
        q->n_addresses = MIN(n, ELEMENTSOF(q->addresses));
        memcpy(q->addresses, addresses, q->n_addresses * sizeof(*addresses));
        query_finish(q, error);
}

static int on_limit(sd_event_source *s, uint64_t t, void *userdata)
{
        query_finish(userdata, -ETIMEDOUT);
        return 0;
}

static int query_start(ResolverQuery *q)
{
        SocketAddress literal;

        if (socket_address_from_ip(q->host, q->port, &literal) >= 0) {
                q->addresses[q->n_addresses++] = literal;
                query_finish(q, 0);
                return 0;
        }
        if (resolved_query_new(q->resolver->event, q->host, q->port, on_resolved, q, &q->resolved) >= 0)
                return 0;
        return query_ask_ares(q);
}

int resolver_query(Resolver *resolver, const char *host, uint16_t port, resolver_callback_t callback,
                   void *userdata, ResolverQuery **ret)
{
        _cleanup_(resolver_query_freep) ResolverQuery *q = new0(ResolverQuery, 1);
        int r;

        if (!q)
                return -ENOMEM;
        resolver->n_queries++;
        q->resolver = resolver;
        q->port = port;
        q->callback = callback;
        q->userdata = userdata;
        q->error = -EINPROGRESS;
        r = event_defer_once(resolver->event, &q->done_source, on_done, q, "resolver-done");
        if (r < 0)
                return r;
        event_disarm_timer(q->done_source);
        q->host = strdup(host);
        if (!q->host)
                return -ENOMEM;
        r = event_arm_timer(resolver->event, &q->limit, resolver->timeout, on_limit, q, "resolver-limit");
        if (r < 0)
                return r;
        r = query_start(q);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(q);
        return 0;
}
