/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tls-leg.h"

#include <utlist.h>

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "log.h"
#include "own-sockets.h"
#include "tls-pump.h"

/* What the kernel keeps for us of what somebody here sends: more would only be late. */
#define RECEIVE_BUFFER (256 * 1024)
#define BACKLOG 64
/* When no connection can be accepted (most of all, for want of a file descriptor), those who wait do so for
 * so long. */
#define REST (500 * USEC_PER_MSEC)

typedef struct Connection {
        TlsLeg *leg;
        TlsPump *pump;
        struct Connection *prev, *next; /* in leg->connections */
} Connection;

typedef struct Listener {
        int fd;
        SocketAddress address;
        sd_event_source *io;
} Listener;

struct TlsLeg {
        sd_event *event;
        const TlsLegCallbacks *callbacks;
        void *userdata;
        SocketAddress server;
        TlsContext *context;
        Listener listeners[2]; /* IPv4, IPv6 */
        Connection *connections;
        size_t n_connections;
        bool retired;
        sd_event_source *idle;
        sd_event_source *rest; /* armed: nobody is let in until then */
};

/* ---- life ---- */

static void listener_close(Listener *listener)
{
        listener->io = event_source_disable_unref(listener->io);
        listener->fd = safe_close(listener->fd);
        listener->address = (SocketAddress) {};
}

static void connection_free(Connection *c)
{
        DL_DELETE(c->leg->connections, c);
        c->leg->n_connections--;
        tls_pump_free(c->pump);
        free(c);
}

TlsLeg *tls_leg_free(TlsLeg *leg)
{
        if (!leg)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(leg->listeners); i++)
                listener_close(&leg->listeners[i]);
        while (leg->connections)
                connection_free(leg->connections);
        event_source_disable_unref(leg->idle);
        event_source_disable_unref(leg->rest);
        tls_context_free(leg->context);
        sd_event_unref(leg->event);
        return mfree(leg);
}

static int on_idle(sd_event_source *s, void *userdata)
{
        TlsLeg *leg = userdata;

        leg->callbacks->idle(leg, leg->userdata);
        return 0;
}

static void consider_idle(TlsLeg *leg)
{
        if (leg->retired && !leg->connections)
                (void) event_defer_once(leg->event, &leg->idle, on_idle, leg, "tls-leg-idle");
}

void tls_leg_retire(TlsLeg *leg)
{
        leg->retired = true;
        for (size_t i = 0; i < ELEMENTSOF(leg->listeners); i++)
                listener_close(&leg->listeners[i]);
        consider_idle(leg);
}

size_t tls_leg_n_connections(const TlsLeg *leg)
{
        return leg->n_connections;
}

const SocketAddress *tls_leg_address(const TlsLeg *leg, int family)
{
        for (size_t i = 0; i < ELEMENTSOF(leg->listeners); i++)
                if (leg->listeners[i].address.sa.sa_family == family)
                        return &leg->listeners[i].address;
        return NULL;
}

/* ---- connections ---- */

static void on_established(TlsPump *pump, void *userdata)
{
        Connection *c = userdata;

        c->leg->callbacks->established(c->leg, c->leg->userdata);
}

static void on_ended(TlsPump *pump, int error, const char *reason, void *userdata)
{
        Connection *c = userdata;
        TlsLeg *leg = c->leg;
        bool failed = error < 0 && !tls_pump_is_established(pump);

        connection_free(c);
        consider_idle(leg);
        if (failed)
                leg->callbacks->failed(leg, error, reason, leg->userdata);
        else if (error < 0)
                log_debug_errno(error, "TLS to %s was broken off: %m", SOCKET_ADDRESS_STR(&leg->server));
}

static const TlsPumpCallbacks pump_callbacks = {
        .established = on_established,
        .ended = on_ended,
};

static int connection_new(TlsLeg *leg, int fd)
{
        Connection *c = new0(Connection, 1);
        int r;

        if (!c) {
                safe_close(fd);
                return -ENOMEM;
        }
        c->leg = leg;
        DL_APPEND(leg->connections, c);
        leg->n_connections++;
        r = tls_pump_new(leg->event, leg->context, &leg->server, fd, &pump_callbacks, c, &c->pump);
        if (r < 0)
                connection_free(c);
        return r;
}

/* ---- who may come in ---- */

/* Is the other end of a connection that we have accepted a socket of ours as well? Who else on this host
 * connects has no business with the server in our name. */
static bool comes_from_us(int fd)
{
        SocketAddress local, remote;
        int other;

        return socket_get_local(fd, &local) >= 0 && socket_get_remote(fd, &remote) >= 0 &&
               own_connections_find(&local, &remote, &other, 1) == 1;
}

static void set_listening(TlsLeg *leg, bool on)
{
        for (size_t i = 0; i < ELEMENTSOF(leg->listeners); i++)
                if (leg->listeners[i].io)
                        (void) sd_event_source_set_enabled(leg->listeners[i].io,
                                                           on ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_rested(sd_event_source *s, uint64_t usec, void *userdata)
{
        set_listening(userdata, true);
        return 0;
}

/* Its timer needs a descriptor itself. */
static int prepare_rest(TlsLeg *leg)
{
        int r;

        r = event_arm_timer(leg->event, &leg->rest, REST, on_rested, leg, "tls-leg-rest");
        event_disarm_timer(leg->rest);
        return r;
}

/* Who waits in the backlog would wake us without end. */
static void rest(TlsLeg *leg, int error)
{
        log_debug_errno(error, "Failed to accept a connection to our TLS leg, resting: %m");
        if (event_arm_timer(leg->event, &leg->rest, REST, on_rested, leg, "tls-leg-rest") >= 0)
                set_listening(leg, false);
}

static int on_listener_io(sd_event_source *s, int listener, uint32_t revents, void *userdata)
{
        TlsLeg *leg = userdata;
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
                if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                        rest(leg, -errno);
                return 0;
        }
        if (!comes_from_us(fd)) {
                log_debug("Somebody else connects to our TLS leg, ignoring.");
                return 0;
        }
        if (leg->n_connections >= TLS_LEG_CONNECTIONS_MAX) {
                log_debug("Too many connections by TLS at once, refusing another.");
                return 0;
        }
        r = connection_new(leg, TAKE_FD(fd));
        if (r < 0)
                leg->callbacks->failed(leg, r, strerror(-r), leg->userdata);
        return 0;
}

static int listen_on(TlsLeg *leg, const char *ip, Listener *listener)
{
        SocketAddress a;
        int size = RECEIVE_BUFFER, r;

        (void) socket_address_from_ip(ip, 0, &a);
        listener->fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (listener->fd < 0)
                return -errno;
        (void) setsockopt(listener->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        if (bind(listener->fd, &a.sa, socket_address_length(&a)) < 0 || listen(listener->fd, BACKLOG) < 0)
                return -errno;
        r = socket_get_local(listener->fd, &listener->address);
        return r < 0 ? r
                     : event_add_io(leg->event, &listener->io, listener->fd, EPOLLIN, on_listener_io, leg,
                                    "tls-leg");
}

/* A host may be without IPv6, or (some day) without IPv4. */
static int listen_on_both(TlsLeg *leg)
{
        int r4, r6;

        r4 = listen_on(leg, "127.0.0.1", &leg->listeners[0]);
        if (r4 < 0)
                listener_close(&leg->listeners[0]);
        r6 = listen_on(leg, "::1", &leg->listeners[1]);
        if (r6 < 0)
                listener_close(&leg->listeners[1]);
        return r4 < 0 && r6 < 0 ? r4 : 0;
}

int tls_leg_new(sd_event *event, const SocketAddress *server, const char *name, const char *ca_file,
                const TlsLegCallbacks *callbacks, void *userdata, TlsLeg **ret)
{
        _cleanup_(tls_leg_freep) TlsLeg *leg = new0(TlsLeg, 1);
        int r;

        if (!leg)
                return -ENOMEM;
        leg->event = sd_event_ref(event);
        leg->callbacks = callbacks;
        leg->userdata = userdata;
        leg->server = *server;
        for (size_t i = 0; i < ELEMENTSOF(leg->listeners); i++)
                leg->listeners[i].fd = -EBADF;
        r = tls_context_new(name, ca_file, &leg->context);
        if (r < 0)
                return r;
        r = prepare_rest(leg);
        if (r < 0)
                return r;
        r = listen_on_both(leg);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(leg);
        return 0;
}
