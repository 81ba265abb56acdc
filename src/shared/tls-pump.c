/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tls-pump.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "tls-stream.h"

/* Buffers moved per wake-up. */
#define ROUNDS_MAX 32

/* What TCP may hold for the server that has not left yet: a datagram that waits for longer is better lost,
 * as the network below WireGuard would. */
#define NOT_SENT_MAX (128 * 1024)
/* When the server acknowledges nothing for so long, the kernel gives up. */
#define USER_TIMEOUT_MSEC 20000

typedef struct Buffer {
        uint8_t bytes[TLS_PUMP_BUFFER_SIZE];
        size_t start, end;
} Buffer;

struct TlsPump {
        sd_event *event;
        TlsContext *context;
        const TlsPumpCallbacks *callbacks;
        void *userdata;
        int plain, fd;
        TlsStream *stream; /* NULL: TCP is being connected */
        sd_event_source *plain_io, *server_io;
        sd_event_source *timer;
        sd_event_source *again; /* there is more to do than one wake-up may */
        bool established;
        bool plain_ended, server_ended;
        uint32_t read_events, write_events; /* what TLS waits for */
        Buffer up, down;                    /* to the server, from it */
};

TlsPump *tls_pump_free(TlsPump *p)
{
        if (!p)
                return NULL;
        event_source_disable_unref(p->plain_io);
        event_source_disable_unref(p->server_io);
        event_source_disable_unref(p->timer);
        event_source_disable_unref(p->again);
        tls_stream_free(p->stream);
        safe_close(p->fd);
        safe_close(p->plain);
        sd_event_unref(p->event);
        return mfree(p);
}

bool tls_pump_is_established(const TlsPump *p)
{
        return p->established;
}

static bool is_empty(const Buffer *b)
{
        return b->start == b->end;
}

/* Has taken what it could: an error or an end ends the pump, in a moment, for both sides. */
static void finish(TlsPump *p, int error, const char *reason)
{
        p->plain_io = event_source_disable_unref(p->plain_io);
        p->server_io = event_source_disable_unref(p->server_io);
        p->timer = event_source_disable_unref(p->timer);
        p->again = event_source_disable_unref(p->again);
        p->stream = tls_stream_free(p->stream);
        p->fd = safe_close(p->fd);
        p->plain = safe_close(p->plain);
        p->callbacks->ended(p, error, error < 0 ? reason : NULL, p->userdata);
}

/* Each returns 1 if something was moved, 0 if it has to wait, or an error. */

static int read_plain(TlsPump *p)
{
        ssize_t n;

        if (p->plain_ended || !is_empty(&p->up))
                return 0;
        n = recv(p->plain, p->up.bytes, sizeof(p->up.bytes), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        /* A reset is an end as well: it is our own process that has closed. */
        p->plain_ended = n <= 0;
        p->up.start = 0;
        p->up.end = n > 0 ? (size_t) n : 0;
        return 1;
}

static int write_server(TlsPump *p)
{
        ssize_t n;

        p->write_events = 0;
        if (is_empty(&p->up))
                return 0;
        n = tls_stream_write(p->stream, p->up.bytes + p->up.start, p->up.end - p->up.start,
                             &p->write_events);
        if (n == -EAGAIN)
                return 0;
        if (n < 0)
                return (int) n;
        p->up.start += (size_t) n;
        return 1;
}

static int read_server(TlsPump *p)
{
        ssize_t n;

        p->read_events = 0;
        if (p->server_ended || !is_empty(&p->down))
                return 0;
        n = tls_stream_read(p->stream, p->down.bytes, sizeof(p->down.bytes), &p->read_events);
        if (n == -EAGAIN)
                return 0;
        if (n < 0)
                return (int) n;
        p->server_ended = n == 0;
        p->down.start = 0;
        p->down.end = (size_t) n;
        return 1;
}

static int write_plain(TlsPump *p)
{
        ssize_t n;

        if (is_empty(&p->down))
                return 0;
        n = send(p->plain, p->down.bytes + p->down.start, p->down.end - p->down.start,
                 MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
                return 0;
        if (n < 0) {
                p->plain_ended = true;
                p->down.start = p->down.end;
                return 1;
        }
        p->down.start += (size_t) n;
        return 1;
}

static bool is_over(const TlsPump *p)
{
        return (p->plain_ended && is_empty(&p->up)) || (p->server_ended && is_empty(&p->down));
}

/* A source without events would still tell of a hang-up, again and again. */
static int watch(sd_event_source *s, uint32_t events)
{
        int r;

        if (events == 0)
                return sd_event_source_set_enabled(s, SD_EVENT_OFF);
        r = sd_event_source_set_io_events(s, events);
        return r < 0 ? r : sd_event_source_set_enabled(s, SD_EVENT_ON);
}

static int watch_both(TlsPump *p)
{
        uint32_t plain = 0;
        int r;

        if (p->established && !p->plain_ended && is_empty(&p->up))
                plain |= EPOLLIN;
        if (!is_empty(&p->down))
                plain |= EPOLLOUT;
        r = watch(p->plain_io, plain);
        return r < 0 ? r : watch(p->server_io, p->read_events | p->write_events);
}

static int establish(TlsPump *p)
{
        uint32_t events = 0;
        int r;

        if (p->established)
                return 0;
        r = tls_stream_handshake(p->stream, &events);
        if (r == -EAGAIN) {
                p->read_events = events;
                return 0;
        }
        if (r < 0)
                return r;
        p->established = true;
        p->timer = event_source_disable_unref(p->timer);
        p->callbacks->established(p, p->userdata);
        return 0;
}

static int move(TlsPump *p)
{
        int (*const steps[])(TlsPump *p) = { read_plain, write_server, read_server, write_plain };
        bool moved = false;

        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                int r = steps[i](p);

                if (r < 0)
                        return r;
                moved = moved || r > 0;
        }
        return moved;
}

static int on_again(sd_event_source *s, void *userdata);

static void turn(TlsPump *p)
{
        int r;

        r = establish(p);
        for (unsigned i = 0; r >= 0 && p->established && !is_over(p); i++) {
                r = move(p);
                if (r == 0)
                        break;
                if (r > 0 && i >= ROUNDS_MAX) {
                        r = event_defer_once(p->event, &p->again, on_again, p, "tls-pump-again");
                        break;
                }
        }
        if (r >= 0 && !is_over(p))
                r = watch_both(p);
        if (r < 0)
                finish(p, r, tls_stream_error(p->stream));
        else if (is_over(p))
                finish(p, 0, /* reason= */ NULL);
}

static int on_again(sd_event_source *s, void *userdata)
{
        turn(userdata);
        return 0;
}

static int on_plain_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        turn(userdata);
        return 0;
}

static int start_tls(TlsPump *p)
{
        socklen_t size = sizeof(int);
        int error = 0;

        if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
                error = errno;
        return error ? -error : tls_stream_new(p->context, p->fd, &p->stream);
}

static int on_server_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
        TlsPump *p = userdata;
        int r;

        if (!p->stream) {
                r = start_tls(p);
                if (r < 0) {
                        finish(p, r, strerror(-r));
                        return 0;
                }
        }
        turn(p);
        return 0;
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata)
{
        finish(userdata, -ETIMEDOUT, "no answer");
        return 0;
}

static void set_option(int fd, int option, int value)
{
        (void) setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value));
}

static int connect_server(TlsPump *p, const SocketAddress *server)
{
        p->fd = socket(server->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (p->fd < 0)
                return -errno;
        set_option(p->fd, TCP_NODELAY, 1);
        set_option(p->fd, TCP_NOTSENT_LOWAT, NOT_SENT_MAX);
        set_option(p->fd, TCP_USER_TIMEOUT, USER_TIMEOUT_MSEC);
        if (connect(p->fd, &server->sa, socket_address_length(server)) < 0 && errno != EINPROGRESS)
                return -errno;
        return 0;
}

static int add_sources(TlsPump *p)
{
        int r;

        r = event_add_io(p->event, &p->server_io, p->fd, EPOLLOUT, on_server_io, p, "tls-pump-server");
        if (r >= 0)
                r = event_add_io(p->event, &p->plain_io, p->plain, EPOLLIN, on_plain_io, p,
                                 "tls-pump-plain");
        if (r >= 0)
                r = sd_event_source_set_enabled(p->plain_io, SD_EVENT_OFF);
        return r < 0 ? r
                     : event_arm_timer(p->event, &p->timer, TLS_PUMP_TIMEOUT, on_timeout, p,
                                       "tls-pump-timeout");
}

int tls_pump_new(sd_event *event, TlsContext *context, const SocketAddress *server, int plain,
                 const TlsPumpCallbacks *callbacks, void *userdata, TlsPump **ret)
{
        _cleanup_(tls_pump_freep) TlsPump *p = new0(TlsPump, 1);
        int r;

        if (!p) {
                safe_close(plain);
                return -ENOMEM;
        }
        p->event = sd_event_ref(event);
        p->context = context;
        p->callbacks = callbacks;
        p->userdata = userdata;
        p->plain = plain;
        p->fd = -EBADF;
        r = connect_server(p, server);
        if (r >= 0)
                r = add_sources(p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}
