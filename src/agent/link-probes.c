/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "link-probes.h"

#include <utlist.h>

#include "log.h"
#include "manager.h"
#include "sharing.h"
#include "string-util.h"
#include "stun-socket.h"

/* Which of many peers are answered, when all of them ask at once. */
#define SOCKET_REQUEST_INTERVAL (2 * USEC_PER_MSEC)
#define SOCKET_REQUEST_BURST 200

struct ProbeSocket {
        Link *link;
        ProbeSocket *prev, *next; /* of the link */
        StunSocket stun;
        char ufrag[ICE_LOCAL_UFRAG_SIZE + 1]; /* nobody's: the socket itself needs one */
        uint16_t port;                        /* the link's, when it was shared */
        BrokerCall *call;
        bool shared;
        RateLimit limit;
        Probe *probes;
};

static Broker *broker_of(const Link *link)
{
        Broker *b = link->manager->broker;

        return b && b->connected ? b : NULL;
}

/* ---- What comes ---- */

static void take_answer(Probe *probe)
{
        usec_t took = usec_sub(now(CLOCK_BOOTTIME), probe->sent);
        bool unambiguous = probe->n_sent == 1;

        probe->check = stun_check_free(probe->check);
        probe->callbacks->answered(probe, unambiguous ? took : USEC_INFINITY, probe->userdata);
}

static void answer_request(ProbeSocket *s, Probe *probe, const void *data, size_t size,
                           const SocketAddress *from)
{
        uint8_t answer[STUN_CHECK_ANSWER_MAX];
        size_t n;

        if (!ratelimit_ok(&probe->answer_limit, now(CLOCK_BOOTTIME)) ||
            stun_check_answer(&probe->credentials, data, size, from, answer, &n) <= 0)
                return;
        (void) sendto(s->stun.fd, answer, n, MSG_NOSIGNAL | MSG_DONTWAIT, &from->sa,
                      socket_address_length(from));
}

static void receive_request(ProbeSocket *s, const char *ufrag, const void *data, size_t size,
                            const SocketAddress *from)
{
        Probe *probe;

        if (!ratelimit_ok(&s->limit, now(CLOCK_BOOTTIME)))
                return;
        DL_FOREACH (s->probes, probe)
                if (probe->session_is_over && streq(probe->credentials.local_ufrag, ufrag)) {
                        answer_request(s, probe, data, size, from);
                        return;
                }
}

static bool on_received(uint8_t *data, size_t size, const SocketAddress *from, void *userdata)
{
        ProbeSocket *s = userdata;
        char ufrag[ICE_LOCAL_UFRAG_SIZE + 1];
        Probe *probe;

        if (stun_check_find_ufrag(data, size, ufrag)) {
                receive_request(s, ufrag, data, size, from);
                return false;
        }
        /* Where it comes from is no matter: its signature tells. */
        DL_FOREACH (s->probes, probe)
                if (probe->check && stun_check_is_answer(probe->check, data, size)) {
                        take_answer(probe);
                        return true;
                }
        return false;
}

/* ---- Sharing the link's port ---- */

static void on_ufrag_shared(Broker *b, int error, void *userdata)
{
        Probe *probe = userdata;

        probe->call = NULL;
        probe->answers = error >= 0;
        if (error < 0)
                log_peer_full(probe->peer, LOG_DEBUG, error, "The peer's probes are not answered: %m");
}

void link_probes_share_ufrag(Probe *probe)
{
        const ProbeSocket *s = probe->socket;
        Broker *b = broker_of(s->link);
        int r;

        if (!b || !s->shared || probe->call || probe->answers || !probe->session_is_over)
                return;
        r = b->ops->add_sockets(b, s->link->name, probe->credentials.local_ufrag, /* keeps_relays= */ false,
                                &s->stun.fd, 1, on_ufrag_shared, probe, &probe->call);
        if (r < 0)
                log_peer_full(probe->peer, LOG_DEBUG, r, "The peer's probes are not answered: %m");
}

static void withdraw_ufrag(Probe *probe)
{
        Broker *b = broker_of(probe->socket->link);

        if (b && (probe->call || probe->answers))
                (void) b->ops->remove_sockets(b, probe->credentials.local_ufrag);
        probe->call = broker_call_free(probe->call);
        probe->answers = false;
}

static void set_shared(ProbeSocket *s, bool shared)
{
        Probe *probe, *next;

        s->shared = shared;
        DL_FOREACH_SAFE (s->probes, probe, next) {
                if (shared)
                        link_probes_share_ufrag(probe);
                probe->callbacks->ready(probe, probe->userdata);
        }
}

static void on_shared(Broker *b, int error, void *userdata)
{
        ProbeSocket *s = userdata;

        s->call = NULL;
        if (error >= 0)
                set_shared(s, true);
        else
                log_debug_errno(error, "%s: Paths are not probed from %s: %m", s->link->name,
                                SOCKET_ADDRESS_IP_STR(&s->stun.local));
}

static int share(ProbeSocket *s)
{
        Broker *b = broker_of(s->link);

        if (!b)
                return -ENOTCONN; /* done when it is back */
        s->port = s->link->listen_port;
        return b->ops->add_sockets(b, s->link->name, s->ufrag, /* keeps_relays= */ false, &s->stun.fd, 1,
                                   on_shared, s, &s->call);
}

/* The broker may be gone; what it has of us is taken back otherwise. */
static void stop_sharing(ProbeSocket *s)
{
        Broker *b = broker_of(s->link);
        Probe *probe;

        DL_FOREACH (s->probes, probe)
                withdraw_ufrag(probe);
        if (b && (s->shared || s->call))
                (void) b->ops->remove_sockets(b, s->ufrag);
        s->call = broker_call_free(s->call);
        if (s->shared)
                set_shared(s, false);
}

void link_probes_lost(Link *link)
{
        ProbeSocket *s;

        DL_FOREACH (link->probe_sockets, s)
                stop_sharing(s);
}

void link_probes_update(Link *link, bool forgotten)
{
        bool on = sharing_is_on(link->manager) && link->listen_port != 0;
        ProbeSocket *s;

        DL_FOREACH (link->probe_sockets, s) {
                if (forgotten || !on || s->port != link->listen_port)
                        stop_sharing(s);
                if (on && !s->shared && !s->call)
                        (void) share(s);
        }
}

/* ---- Life ---- */

static ProbeSocket *socket_free(ProbeSocket *s)
{
        if (!s)
                return NULL;
        stop_sharing(s);
        stun_socket_close(&s->stun);
        return mfree(s);
}
DEFINE_TRIVIAL_CLEANUP_FUNC(ProbeSocket *, socket_free);

static int socket_new(Link *link, const SocketAddress *local, ProbeSocket **ret)
{
        _cleanup_(socket_freep) ProbeSocket *s = new0(ProbeSocket, 1);
        int r;

        if (!s)
                return -ENOMEM;
        *s = (ProbeSocket) {
                .link = link,
                .stun = STUN_SOCKET_CLOSED,
                .limit = { .interval = SOCKET_REQUEST_INTERVAL, .burst = SOCKET_REQUEST_BURST },
        };
        ice_credential_make(s->ufrag, ICE_LOCAL_UFRAG_SIZE);
        r = stun_socket_open(&s->stun, link->manager->event, local, "link-probes", on_received, s);
        if (r < 0)
                return r;
        (void) share(s);
        *ret = TAKE_PTR(s);
        return 0;
}

static ProbeSocket *find_socket(const Link *link, const SocketAddress *local)
{
        ProbeSocket *s;

        DL_FOREACH (link->probe_sockets, s)
                if (socket_address_ip_equal(&s->stun.local, local))
                        return s;
        return NULL;
}

int link_probes_add(Link *link, Probe *probe)
{
        ProbeSocket *s = find_socket(link, &probe->local);
        int r;

        if (!sharing_is_on(link->manager) || link->listen_port == 0)
                return -ENOTSUP;
        if (!s) {
                r = socket_new(link, &probe->local, &s);
                if (r < 0)
                        return r;
                DL_APPEND(link->probe_sockets, s);
        }
        probe->socket = s;
        DL_APPEND(s->probes, probe);
        return 0;
}

void link_probes_remove(Probe *probe)
{
        ProbeSocket *s = probe->socket;

        if (!s)
                return;
        withdraw_ufrag(probe);
        DL_DELETE(s->probes, probe);
        probe->socket = NULL;
        if (s->probes)
                return;
        DL_DELETE(s->link->probe_sockets, s);
        socket_free(s);
}

int probe_socket_fd(const Probe *probe)
{
        return probe->socket->shared ? probe->socket->stun.fd : -EBADF;
}
