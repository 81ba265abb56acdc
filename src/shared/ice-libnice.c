/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ice-libnice.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <nice/interfaces.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "log.h"
#include "own-sockets.h"
#include "string-util.h"

/* RFC 8445 section 14.3: a check gives up after Rc = 7 requests. libnice's default is 3, which is 2 s. */
#define CHECK_RETRANSMISSIONS 7
/* With TCP candidates the controlling side nominates only once (RFC 6544 section 8), which libnice does when
 * no check is under way any more: it should not wait 39.5 s for those that nobody answers. With so many it
 * is 4.5 s. */
#define CHECK_RETRANSMISSIONS_TCP 4
/* libnice accepts 50 to 60000 ms. */
#define PATIENCE_MIN (50 * USEC_PER_MSEC)
#define PATIENCE_MAX (60 * USEC_PER_SEC)
/* File descriptors to leave for the rest of the process. */
#define FD_RESERVE 16
#define FD_NEED_MAX 512
/* libnice's type preference of a relay that it reaches over UDP; over TCP it is 20. */
#define TYPE_PREFERENCE_RELAY_UDP 30
/* How long libnice goes on telling a server that it does not want an allocation, as long as a check takes,
 * with what our slack adds; see engine_surplus_until(). */
#define SURPLUS_TIME (45 * USEC_PER_SEC)
#define SURPLUS_TIME_TCP (8 * USEC_PER_SEC)
/* How many wait for that at once, with all their sockets; the next ones lose their 80 kB. */
#define RESTING_MAX 32
/* How often a TURN server is told that we leave (libnice does not hear its answer any more), and when we
 * stop waiting for libnice to finish with that. */
#define CLOSE_RETRANSMISSIONS 2
#define CLOSE_TIMEOUT_MS 10000
/* When the event loop ends, all engines together may still take this long to give TURN allocations back. */
#define ORPHANS_WAIT USEC_PER_SEC

/* ---- types ---- */

static int socket_address_from_nice(const NiceAddress *a, SocketAddress *ret)
{
        if (!nice_address_is_valid(a))
                return -EINVAL;
        return socket_address_from_sockaddr(&a->s, sizeof(a->s), ret);
}

static int ice_candidate_from_nice(const NiceCandidate *c, IceCandidate *ret)
{
        IceCandidate candidate = {
                .type = (IceCandidateType) c->type,
                .transport = (IceTransport) c->transport,
                .priority = c->priority,
        };
        int r;

        if ((unsigned) c->type >= _ICE_CANDIDATE_TYPE_MAX || (unsigned) c->transport >= _ICE_TRANSPORT_MAX)
                return -EINVAL;
        r = socket_address_from_nice(&c->addr, &candidate.address);
        if (r < 0)
                return r;
        /* RFC 8445 section 5.3: the related address of anything but a host candidate. */
        if (c->type != NICE_CANDIDATE_TYPE_HOST)
                (void) socket_address_from_nice(&c->base_addr, &candidate.related);
        snprintf(candidate.foundation, sizeof(candidate.foundation), "%s", c->foundation);
        *ret = candidate;
        return 0;
}

static NiceCandidate *nice_candidate_from_ice(const IceCandidate *c, unsigned stream)
{
        NiceCandidate *n = nice_candidate_new((NiceCandidateType) c->type);

        n->transport = (NiceCandidateTransport) c->transport;
        n->stream_id = stream;
        n->component_id = ICE_COMPONENT;
        n->priority = c->priority;
        nice_address_set_from_sockaddr(&n->addr, &c->address.sa);
        if (socket_address_is_set(&c->related))
                nice_address_set_from_sockaddr(&n->base_addr, &c->related.sa);
        g_strlcpy(n->foundation, c->foundation, sizeof(n->foundation));
        return n;
}

static IceState ice_state_from_nice(unsigned state)
{
        switch (state) {
        case NICE_COMPONENT_STATE_CONNECTING:
                return ICE_STATE_CHECKING;
        case NICE_COMPONENT_STATE_CONNECTED:
                return ICE_STATE_CONNECTED;
        case NICE_COMPONENT_STATE_READY:
                return ICE_STATE_READY;
        case NICE_COMPONENT_STATE_FAILED:
                return ICE_STATE_FAILED;
        default:
                return ICE_STATE_GATHERING;
        }
}

/* ---- what libnice reports ---- */

static void on_nice_candidate(NiceAgent *nice, NiceCandidate *candidate, void *userdata)
{
        IceEngine *engine = userdata;
        IceCandidate c;

        engine->has_relay = engine->has_relay || candidate->type == NICE_CANDIDATE_TYPE_RELAYED;
        if (engine->owner && ice_candidate_from_nice(candidate, &c) >= 0)
                ice_agent_on_local_candidate(engine->owner, &c);
}

static void on_nice_gathering_done(NiceAgent *nice, unsigned stream, void *userdata)
{
        IceEngine *engine = userdata;

        engine->gathered = now(CLOCK_MONOTONIC);
        if (engine->owner)
                ice_agent_on_gathering_done(engine->owner);
}

static void on_nice_state(NiceAgent *nice, unsigned stream, unsigned component, unsigned state,
                          void *userdata)
{
        IceEngine *engine = userdata;

        if (engine->owner)
                ice_agent_on_state(engine->owner, ice_state_from_nice(state));
}

static void on_nice_selected(NiceAgent *nice, unsigned stream, unsigned component, NiceCandidate *local,
                             NiceCandidate *remote, void *userdata)
{
        IceEngine *engine = userdata;
        IceCandidate l, r;

        if (engine->owner && ice_candidate_from_nice(local, &l) >= 0 &&
            ice_candidate_from_nice(remote, &r) >= 0)
                ice_agent_on_selected(engine->owner, &l, &r);
}

static void on_nice_data(NiceAgent *nice, unsigned stream, unsigned component, unsigned size, char *data,
                         void *userdata)
{
        IceEngine *engine = userdata;

        if (engine->owner)
                ice_agent_on_data(engine->owner, data, size);
}

/* ---- guards ---- */

/* libnice gives each candidate a preference by its place in this very list, and asserts that it is small; an
 * address that is not in it counts as behind the last. */
static unsigned address_index(GList *ips, const SocketAddress *a)
{
        unsigned i = 0;

        for (GList *p = ips; p; p = p->next, i++) {
                SocketAddress ip;

                if (socket_address_from_ip(p->data, 0, &ip) >= 0 && socket_address_ip_equal(&ip, a))
                        return i;
        }
        return i;
}

size_t ice_engine_filter_addresses(const SocketAddress *addresses, size_t n, SocketAddress *ret)
{
        GList *ips = nice_interfaces_get_local_ips(/* include_loopback= */ true);
        size_t k = 0;

        for (size_t i = 0; i < n && k < ICE_LOCAL_ADDRESSES_MAX; i++) {
                const SocketAddress *a = addresses + i;

                if (socket_address_is_unspecified(a) || socket_address_is_multicast(a) ||
                    socket_addresses_contain_ip(ret, k, a))
                        continue;
                if (address_index(ips, a) > ICE_LOCAL_ADDRESS_INDEX_MAX) {
                        log_debug("Local address %s is too far down the host's list for libnice, ignoring.",
                                  SOCKET_ADDRESS_IP_STR(a));
                        continue;
                }
                ret[k] = *a;
                socket_address_set_port(ret + k, 0);
                k++;
        }
        g_list_free_full(ips, g_free);
        return k;
}

/* GLib aborts when it gets no file descriptor for a context: so take as many as we may need, and give them
 * back. */
static int check_free_fds(size_t need)
{
        int fds[FD_NEED_MAX], r = 0;
        size_t n = 0;

        need = MIN(need + FD_RESERVE, ELEMENTSOF(fds));
        while (r >= 0 && n < need) {
                fds[n] = n == 0 ? epoll_create1(EPOLL_CLOEXEC) : fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
                if (fds[n] < 0)
                        r = errno == ENOMEM ? -ENOMEM : -EMFILE;
                else
                        n++;
        }
        while (n > 0)
                safe_close(fds[--n]);
        return r;
}

/* libnice's own sockets (most of them only for a moment), and for a TLS leg both sides of that. */
static size_t count_relay_fds(const IceServer *server, bool tcp)
{
        switch (server->kind) {
        case ICE_SERVER_TURN_TCP:
                return tcp ? 2 : 1;
        case ICE_SERVER_TURN_TLS:
                return tcp ? 6 : 3;
        default:
                return 0;
        }
}

static size_t count_fds(const IceAgentParameters *p, size_t n_addresses, size_t n_queries)
{
        size_t per_address = (p->tcp ? 2 : 1) + n_queries;

        for (size_t i = 0; i < p->n_servers; i++)
                per_address += count_relay_fds(p->servers + i, p->tcp);
        /* An eventfd each for our context and the component's, the loop's epoll, a data socket and its
         * copy. */
        return 5 + n_addresses * per_address;
}

/* ---- life ---- */

/* Of several allocations that have the same IP address, as those have that one server gives to two addresses
 * of ours, libnice keeps the first, and gives the others back: as often as a check is repeated, since it
 * overlooks the answer (0.1.22; 0.1.23 too). Until that is over the stream has to stay, whose sockets it
 * uses, and the agent, which would lose 80 kB with each. Until when that may be, as seen from now. */
static usec_t engine_surplus_until(const IceEngine *engine)
{
        usec_t since = engine->gathered > 0 ? engine->gathered : now(CLOCK_MONOTONIC);

        if (!engine->has_relay || engine->n_allocations < 2)
                return 0;
        return usec_add(since, engine->tcp ? SURPLUS_TIME_TCP : SURPLUS_TIME);
}

/* Agents that the end of the event loop has found with surplus allocations: see engine_surplus_until(). */
static GSList *kept;

static size_t n_resting;

static void engine_free(IceEngine *engine)
{
        if (engine->orphaned && engine->rests_until > now(CLOCK_MONOTONIC))
                kept = g_slist_prepend(kept, g_steal_pointer(&engine->nice));
        g_clear_object(&engine->nice);
        engine->context = glib_context_free(engine->context);
        free(engine);
}

/* In a callback of its own: libnice is inside one of its own here. */
static gboolean on_engine_free(void *userdata)
{
        engine_free(userdata);
        return G_SOURCE_REMOVE;
}

static void engine_schedule(IceEngine *engine, GSource *source, GSourceFunc callback)
{
        g_source_set_priority(source, G_PRIORITY_DEFAULT);
        g_source_set_callback(source, callback, engine, NULL);
        g_source_attach(source, glib_context_get(engine->context));
        g_source_unref(source);
}

/* libnice has closed the stream and let go of its sockets. */
static void on_engine_socket_gone(void *userdata, GObject *gone)
{
        IceEngine *engine = userdata;

        engine->last_socket = NULL;
        engine_schedule(engine, g_idle_source_new(), on_engine_free);
}

static gboolean on_engine_close_timeout(void *userdata)
{
        IceEngine *engine = userdata;

        if (engine->last_socket)
                g_object_weak_unref(engine->last_socket, on_engine_socket_gone, engine);
        engine_free(engine);
        return G_SOURCE_REMOVE;
}

/* A removed stream makes no more checks, gives its TURN allocations back, and then closes its sockets. That
 * is not reported; but we see a socket go. nice_agent_close_async() would report, and hear the servers'
 * answers, but with a GTask, which starts two threads that stay. */
static void engine_remove_stream(IceEngine *engine)
{
        GPtrArray *sockets;

        sockets = nice_agent_get_sockets(engine->nice, engine->stream, ICE_COMPONENT);
        if (!sockets || sockets->len == 0) {
                g_clear_pointer(&sockets, g_ptr_array_unref);
                engine_free(engine);
                return;
        }
        engine->last_socket = g_ptr_array_index(sockets, 0);
        g_object_weak_ref(engine->last_socket, on_engine_socket_gone, engine);
        g_ptr_array_unref(sockets);
        engine_schedule(engine, g_timeout_source_new(CLOSE_TIMEOUT_MS), on_engine_close_timeout);
        g_object_set(G_OBJECT(engine->nice), "stun-max-retransmissions", CLOSE_RETRANSMISSIONS, NULL);
        nice_agent_remove_stream(engine->nice, engine->stream);
}

static gboolean on_engine_rested(void *userdata)
{
        IceEngine *engine = userdata;

        engine->rest = NULL;
        n_resting--;
        engine_remove_stream(engine);
        return G_SOURCE_REMOVE;
}

/* Whoever rests is silent: a stream that starts anew knows nobody to check, and answers no old credentials.
 */
static void engine_rest(IceEngine *engine, usec_t time)
{
        n_resting++;
        (void) nice_agent_restart_stream(engine->nice, engine->stream);
        engine->rest = g_timeout_source_new((unsigned) (time / USEC_PER_MSEC) + 1);
        engine_schedule(engine, engine->rest, on_engine_rested);
}

static gboolean on_engine_close(void *userdata)
{
        IceEngine *engine = userdata;
        usec_t t = now(CLOCK_MONOTONIC), until = engine_surplus_until(engine);

        /* Once: it does not move when libnice is still gathering. */
        engine->rests_until = n_resting < RESTING_MAX || engine->orphaned ? until : 0;
        if (engine->rests_until > t && !engine->orphaned)
                engine_rest(engine, engine->rests_until - t);
        else
                engine_remove_stream(engine);
        return G_SOURCE_REMOVE;
}

IceEngine *ice_engine_close(IceEngine *engine)
{
        if (!engine)
                return NULL;
        engine->owner = NULL;
        if (!engine->nice)
                engine_free(engine);
        else
                engine_schedule(engine, g_idle_source_new(), on_engine_close);
        return NULL;
}

/* The event loop ends: what is closing has a moment left to tell the TURN servers. */
static void on_engine_orphaned(GlibContext *context, void *userdata)
{
        static usec_t deadline;
        IceEngine *engine = userdata;
        usec_t t = now(CLOCK_MONOTONIC);

        assert(!engine->owner); /* an IceAgent holds a reference to the event */
        engine->orphaned = true;
        if (engine->rest) {
                /* In a callback of its own: it may free the context. */
                g_source_destroy(engine->rest);
                engine_schedule(engine, g_idle_source_new(), on_engine_rested);
        }
        /* They come one right after the other, and share the time; another loop may end later. */
        if (t > usec_add(deadline, ORPHANS_WAIT))
                deadline = usec_add(t, ORPHANS_WAIT);
        glib_context_finish(context, deadline);
}

static bool is_new_connection(GSocket *s, GPtrArray *before)
{
        return g_socket_get_socket_type(s) == G_SOCKET_TYPE_STREAM &&
               !(before && g_ptr_array_find(before, s, NULL));
}

/* libnice connects to a server over TCP for each of its candidates (with ICE-TCP, two for each address),
 * each time by the same route, for one and the same relay. The first connection is enough; of the others
 * libnice sees that they have ended. */
static size_t engine_keep_one_connection(IceEngine *engine, GPtrArray *before)
{
        GPtrArray *after = nice_agent_get_sockets(engine->nice, engine->stream, ICE_COMPONENT);
        size_t n = 0;

        for (unsigned i = 0; after && i < after->len; i++) {
                GSocket *s = g_ptr_array_index(after, i);

                if (is_new_connection(s, before) && n++ > 0)
                        (void) shutdown(g_socket_get_fd(s), SHUT_RDWR);
        }
        g_clear_pointer(&after, g_ptr_array_unref);
        return MIN(n, 1U);
}

int ice_engine_add_relay(IceEngine *engine, const IceServer *s)
{
        const SocketAddress *a = s->kind == ICE_SERVER_TURN_TLS ? &s->leg : &s->address;
        bool udp = s->kind == ICE_SERVER_TURN_UDP;
        GPtrArray *sockets = nice_agent_get_sockets(engine->nice, engine->stream, ICE_COMPONENT);
        usec_t gathered = engine->gathered;
        size_t n = 0;
        bool added;

        if (engine->n_addresses[a->sa.sa_family == AF_INET6] == 0) {
                g_clear_pointer(&sockets, g_ptr_array_unref);
                return -EAFNOSUPPORT;
        }
        /* A literal, always: a name that does not resolve would keep gathering from ever ending. And never
         * libnice's own "TLS", which is none. */
        engine->gathered = 0;
        added = nice_agent_set_relay_info(engine->nice, engine->stream, ICE_COMPONENT,
                                          SOCKET_ADDRESS_IP_STR(a), socket_address_port(a), s->username,
                                          s->password,
                                          udp ? NICE_RELAY_TYPE_TURN_UDP : NICE_RELAY_TYPE_TURN_TCP);
        if (added)
                n = udp ? engine->n_addresses[a->sa.sa_family == AF_INET6]
                        : engine_keep_one_connection(engine, sockets);
        g_clear_pointer(&sockets, g_ptr_array_unref);
        engine->n_allocations += n;
        if (n == 0)
                engine->gathered = gathered; /* it asks nobody, and so reports no end of that */
        if (!added)
                return -ENOSPC;
        return n > 0 ? 0 : -EHOSTUNREACH;
}

static void engine_configure(IceEngine *engine, const IceAgentParameters *p)
{
        GObject *nice = G_OBJECT(engine->nice);

        /* Keepalives stay indications, each 25 s: "keepalive-conncheck" would send a check each 5 s, and
         * lose one of 200 slots for good with each that is not answered. */
        /* clang-format off */
        g_object_set(nice,
                     "controlling-mode", (gboolean) p->controlling,
                     "ice-udp", TRUE,
                     "ice-tcp", (gboolean) p->tcp,
                     "force-relay", (gboolean) p->relay_only,
                     "stun-max-retransmissions",
                     p->tcp ? CHECK_RETRANSMISSIONS_TCP : CHECK_RETRANSMISSIONS,
                     NULL);
        /* clang-format on */
        if (g_object_class_find_property(G_OBJECT_GET_CLASS(nice), "upnp"))
                g_object_set(nice, "upnp", FALSE, NULL);
        g_signal_connect(nice, "new-candidate-full", G_CALLBACK(on_nice_candidate), engine);
        g_signal_connect(nice, "candidate-gathering-done", G_CALLBACK(on_nice_gathering_done), engine);
        g_signal_connect(nice, "component-state-changed", G_CALLBACK(on_nice_state), engine);
        g_signal_connect(nice, "new-selected-pair-full", G_CALLBACK(on_nice_selected), engine);
}

static int engine_set_up(IceEngine *engine, const IceAgentParameters *p, const SocketAddress *addresses,
                         size_t n_addresses, const char *ufrag, const char *pwd)
{
        GMainContext *context = glib_context_get(engine->context);

        /* No consent freshness (a 403 before selection crashes it, a 401 counts as consent), no regular
         * nomination (it never leaves a relay for a better pair). */
        engine->nice = nice_agent_new_full(context, NICE_COMPATIBILITY_RFC5245,
                                           NICE_AGENT_OPTION_ICE_TRICKLE);
        engine->tcp = p->tcp;
        engine_configure(engine, p);
        for (size_t i = 0; i < n_addresses; i++) {
                NiceAddress a;

                nice_address_init(&a);
                nice_address_set_from_sockaddr(&a, &addresses[i].sa);
                (void) nice_agent_add_local_address(engine->nice, &a);
                engine->n_addresses[addresses[i].sa.sa_family == AF_INET6]++;
        }
        engine->stream = nice_agent_add_stream(engine->nice, 1);
        if (engine->stream == 0)
                return -ENOMEM;
        if (!nice_agent_set_local_credentials(engine->nice, engine->stream, ufrag, pwd))
                return -EINVAL;
        /* Without this the sockets are on a context that nobody runs, and not even STUN is read. */
        if (!nice_agent_attach_recv(engine->nice, engine->stream, ICE_COMPONENT, context, on_nice_data,
                                    engine))
                return -ENOMEM;
        return 0;
}

int ice_engine_new(sd_event *event, const IceAgentParameters *parameters, const SocketAddress *addresses,
                   size_t n_addresses, size_t n_queries, const char *ufrag, const char *pwd, IceAgent *owner,
                   IceEngine **ret)
{
        IceEngine *engine;
        int r;

        glib_log_redirect();
        r = check_free_fds(count_fds(parameters, n_addresses, n_queries));
        if (r < 0)
                return r;
        engine = new0(IceEngine, 1);
        if (!engine)
                return -ENOMEM;
        r = glib_context_new(event, on_engine_orphaned, engine, &engine->context);
        if (r >= 0)
                r = engine_set_up(engine, parameters, addresses, n_addresses, ufrag, pwd);
        if (r < 0) {
                ice_engine_close(engine);
                return r;
        }
        engine->owner = owner;
        *ret = engine;
        return 0;
}

/* ---- verbs ---- */

void ice_engine_set_patience(IceEngine *engine, usec_t patience)
{
        unsigned ms = (unsigned) (CLAMP(patience, PATIENCE_MIN, PATIENCE_MAX) / USEC_PER_MSEC);

        g_object_set(G_OBJECT(engine->nice), "idle-timeout", ms, NULL);
}

void ice_engine_set_slack(IceEngine *engine, usec_t slack)
{
        glib_context_set_slack(engine->context, slack);
}

int ice_engine_gather(IceEngine *engine)
{
        return nice_agent_gather_candidates(engine->nice, engine->stream) ? 0 : -EADDRNOTAVAIL;
}

int ice_engine_set_remote_credentials(IceEngine *engine, const char *ufrag, const char *pwd)
{
        return nice_agent_set_remote_credentials(engine->nice, engine->stream, ufrag, pwd) ? 0 : -EINVAL;
}

int ice_engine_add_remote_candidate(IceEngine *engine, const IceCandidate *candidate)
{
        NiceCandidate *c = nice_candidate_from_ice(candidate, engine->stream);
        GSList list = { .data = c };
        int n;

        n = nice_agent_set_remote_candidates(engine->nice, engine->stream, ICE_COMPONENT, &list);
        nice_candidate_free(c);
        return n > 0 ? 1 : 0;
}

int ice_engine_selected_fd(IceEngine *engine)
{
        NiceCandidate *local, *remote;
        GSocket *s;
        int fd;

        /* Borrowed pointers: for now only. */
        if (!nice_agent_get_selected_pair(engine->nice, engine->stream, ICE_COMPONENT, &local, &remote))
                return -ENOTCONN;
        if (local->transport != NICE_CANDIDATE_TRANSPORT_UDP || local->type == NICE_CANDIDATE_TYPE_RELAYED)
                return -EOPNOTSUPP;
        s = nice_agent_get_selected_socket(engine->nice, engine->stream, ICE_COMPONENT);
        if (!s)
                return -EOPNOTSUPP;
        fd = g_socket_get_fd(s);
        g_object_unref(s);
        return fd >= 0 ? fd : -ENOTCONN;
}

int ice_engine_selected_relay(IceEngine *engine, bool *ret_udp, SocketAddress *ret_address)
{
        NiceCandidate *local, *remote;
        NiceAddress a;

        if (!nice_agent_get_selected_pair(engine->nice, engine->stream, ICE_COMPONENT, &local, &remote))
                return -ENOTCONN;
        if (local->type != NICE_CANDIDATE_TYPE_RELAYED)
                return -ENOENT;
        /* Only the borrowed candidate itself knows: of a copy (0.1.22) this would crash. */
        nice_candidate_relay_address(local, &a);
        *ret_udp = local->priority >> 24 == TYPE_PREFERENCE_RELAY_UDP;
        return socket_address_from_nice(&a, ret_address);
}

static bool connection_is_between(GSocket *s, const SocketAddress *local, const SocketAddress *remote)
{
        SocketAddress a;
        int fd = g_socket_get_fd(s);

        if (g_socket_get_socket_type(s) != G_SOCKET_TYPE_STREAM || socket_get_remote(fd, &a) < 0 ||
            !socket_address_equal(&a, remote))
                return false;
        return !local || (socket_get_local(fd, &a) >= 0 && socket_address_ip_equal(&a, local));
}

static int engine_find_connection(IceEngine *engine, const SocketAddress *local, const SocketAddress *remote)
{
        GPtrArray *sockets = nice_agent_get_sockets(engine->nice, engine->stream, ICE_COMPONENT);
        int r = -ENOENT;

        for (unsigned i = 0; sockets && i < sockets->len && r < 0; i++) {
                GSocket *s = g_ptr_array_index(sockets, i);

                if (connection_is_between(s, local, remote))
                        r = g_socket_get_fd(s);
        }
        g_clear_pointer(&sockets, g_ptr_array_unref);
        return r;
}

int ice_engine_relay_connection(IceEngine *engine, const SocketAddress *relay)
{
        /* libnice does not bind it, and there is but one: engine_keep_one_connection(). */
        return engine_find_connection(engine, /* local= */ NULL, relay);
}

int ice_engine_connection(IceEngine *engine, const SocketAddress *remote)
{
        NiceCandidate *l, *r;
        SocketAddress local, selected;

        if (!nice_agent_get_selected_pair(engine->nice, engine->stream, ICE_COMPONENT, &l, &r))
                return -ENOTCONN;
        if (socket_address_from_nice(&l->base_addr, &local) < 0 ||
            socket_address_from_nice(&r->addr, &selected) < 0 || !socket_address_equal(&selected, remote))
                return -ENOENT;
        /* Each address of ours has a connection of its own to the same candidate of the peer's. The port is
         * the candidate's, and perhaps not the connection's. */
        return engine_find_connection(engine, &local, remote);
}

int ice_engine_sockets(IceEngine *engine, int **ret, size_t *ret_n)
{
        GPtrArray *sockets = nice_agent_get_sockets(engine->nice, engine->stream, ICE_COMPONENT);
        size_t n = 0;
        int *fds;

        fds = new (int, MAX(sockets ? sockets->len : 0U, 1U));
        for (unsigned i = 0; fds && sockets && i < sockets->len; i++) {
                GSocket *s = g_ptr_array_index(sockets, i);

                if (g_socket_get_socket_type(s) == G_SOCKET_TYPE_DATAGRAM && g_socket_get_fd(s) >= 0)
                        fds[n++] = g_socket_get_fd(s);
        }
        if (sockets)
                g_ptr_array_unref(sockets);
        if (!fds)
                return -ENOMEM;
        *ret = fds;
        *ret_n = n;
        return 0;
}

int ice_engine_send(IceEngine *engine, const void *data, size_t size)
{
        GOutputVector vector = { .buffer = data, .size = size };
        NiceOutputMessage message = { .buffers = &vector, .n_buffers = 1 };
        _cleanup_(g_clear_error) GError *error = NULL;
        int n;

        n = nice_agent_send_messages_nonblocking(engine->nice, engine->stream, ICE_COMPONENT, &message, 1,
                                                 /* cancellable= */ NULL, &error);
        if (n == 1)
                return 0;
        return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK) ? -EAGAIN : -ENOTCONN;
}
