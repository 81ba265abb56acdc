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

/* By the other name asks who carries the path, whose ICE would keep the answer. */
static void answer_request(ProbeSocket *s, const ProbeName *name, uint8_t *data, size_t size,
                           const SocketAddress *from)
{
        Probe *probe = name->probe;
        uint8_t answer[STUN_CHECK_ANSWER_MAX];
        size_t n;

        if (!ratelimit_ok(&probe->answer_limit, now(CLOCK_BOOTTIME)) ||
            stun_check_answer(&name->credentials, data, size, from, answer, &n) <= 0)
                return;
        if (name == &probe->beside)
                stun_check_disguise(answer);
        (void) sendto(s->stun.fd, answer, n, MSG_NOSIGNAL | MSG_DONTWAIT, &from->sa,
                      socket_address_length(from));
}

static const ProbeName *find_name(const ProbeSocket *s, const char *ufrag)
{
        const Probe *probe;

        DL_FOREACH (s->probes, probe) {
                if (streq(probe->beside.credentials.local_ufrag, ufrag))
                        return &probe->beside;
                if (probe->session_is_over && streq(probe->own.credentials.local_ufrag, ufrag))
                        return &probe->own;
        }
        return NULL;
}

static void receive_request(ProbeSocket *s, const char *ufrag, uint8_t *data, size_t size,
                            const SocketAddress *from)
{
        const ProbeName *name;

        if (!ratelimit_ok(&s->limit, now(CLOCK_BOOTTIME)))
                return;
        name = find_name(s, ufrag);
        if (name)
                answer_request(s, name, data, size, from);
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
                if (probe_take_answer(probe, data, size))
                        return true;
        return false;
}

/* ---- Sharing the link's port ---- */

static void on_name_shared(Broker *b, int error, void *userdata)
{
        ProbeName *name = userdata;

        name->call = NULL;
        name->answers = error >= 0;
        if (error < 0)
                log_peer_full(name->probe->peer, LOG_DEBUG, error, "The peer's probes are not answered: %m");
}

static bool is_held(const ProbeName *name)
{
        return name->call || name->answers;
}

/* By whichever probe: the lost path's and the present one's may be of one session, and so have the same
 * names. The broker takes each once. */
static bool socket_has_name(const ProbeSocket *s, const char *ufrag)
{
        const Probe *probe;

        DL_FOREACH (s->probes, probe)
                if ((is_held(&probe->own) && streq(probe->own.credentials.local_ufrag, ufrag)) ||
                    (is_held(&probe->beside) && streq(probe->beside.credentials.local_ufrag, ufrag)))
                        return true;
        return false;
}

static void share_name(ProbeName *name)
{
        const ProbeSocket *s = name->probe->socket;
        Broker *b = broker_of(s->link);
        int r;

        if (!b || !s->shared || socket_has_name(s, name->credentials.local_ufrag))
                return;
        r = b->ops->add_sockets(b, s->link->name, name->credentials.local_ufrag, /* keeps_relays= */ false,
                                &s->stun.fd, 1, on_name_shared, name, &name->call);
        if (r < 0)
                log_peer_full(name->probe->peer, LOG_DEBUG, r, "The peer's probes are not answered: %m");
}

void link_probes_share_names(Probe *probe)
{
        share_name(&probe->beside);
        if (probe->session_is_over)
                share_name(&probe->own);
}

static void withdraw_name(ProbeName *name)
{
        Broker *b = broker_of(name->probe->socket->link);

        if (b && is_held(name))
                (void) b->ops->remove_sockets(b, name->credentials.local_ufrag);
        name->call = broker_call_free(name->call);
        name->answers = false;
}

static void withdraw_names(Probe *probe)
{
        withdraw_name(&probe->beside);
        withdraw_name(&probe->own);
}

static void set_shared(ProbeSocket *s, bool shared)
{
        Probe *probe, *next;

        s->shared = shared;
        DL_FOREACH_SAFE (s->probes, probe, next) {
                if (shared)
                        link_probes_share_names(probe);
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
                withdraw_names(probe);
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

/* ---- Probes ---- */

static void send_request(Probe *probe, const void *request, size_t size)
{
        (void) sendto(probe->socket->stun.fd, request, size, MSG_NOSIGNAL | MSG_DONTWAIT, &probe->remote.sa,
                      socket_address_length(&probe->remote));
}

static bool is_ready(const Probe *probe)
{
        return probe->socket->shared;
}

/* The broker forgets a name for all sockets at once: others who go by it need it anew. */
static void hand_on_names(Link *link, const char *ufrag)
{
        ProbeSocket *s;
        Probe *probe;

        DL_FOREACH (link->probe_sockets, s)
                DL_FOREACH (s->probes, probe)
                        if (streq(probe->own.credentials.local_ufrag, ufrag))
                                withdraw_names(probe);
        DL_FOREACH (link->probe_sockets, s)
                DL_FOREACH (s->probes, probe)
                        if (streq(probe->own.credentials.local_ufrag, ufrag))
                                link_probes_share_names(probe);
}

static void leave(Probe *probe)
{
        bool held = is_held(&probe->own) || is_held(&probe->beside);
        ProbeSocket *s = probe->socket;
        Link *link = s->link;

        withdraw_names(probe);
        DL_DELETE(s->probes, probe);
        probe->socket = NULL;
        if (!s->probes) {
                DL_DELETE(link->probe_sockets, s);
                socket_free(s);
        }
        if (held)
                hand_on_names(link, probe->own.credentials.local_ufrag);
}

static const ProbeWay plain = { .is_ready = is_ready, .send = send_request, .leave = leave };

static void enter(Probe *probe, ProbeSocket *s)
{
        probe->way = &plain;
        probe->socket = s;
        probe->answer_limit = (RateLimit) { .interval = PROBE_REQUEST_INTERVAL,
                                            .burst = PROBE_REQUEST_BURST };
        probe->own = (ProbeName) { .probe = probe, .credentials = probe->credentials };
        probe->beside.probe = probe;
        stun_check_credentials_beside(&probe->credentials, &probe->beside.credentials);
        DL_APPEND(s->probes, probe);
        link_probes_share_names(probe);
}

int link_probes_add(Link *link, const SocketAddress *local, Probe *probe)
{
        ProbeSocket *s = find_socket(link, local);
        int r;

        if (!sharing_is_on(link->manager) || link->listen_port == 0)
                return -ENOTSUP;
        if (!s) {
                r = socket_new(link, local, &s);
                if (r < 0)
                        return r;
                DL_APPEND(link->probe_sockets, s);
        }
        enter(probe, s);
        return 0;
}
