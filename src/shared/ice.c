/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ice.h"

#include "alloc-util.h"
#include "event-util.h"
#include "fd-util.h"
#include "ice-data-socket.h"
#include "ice-libnice.h"
#include "log.h"
#include "string-util.h"
#include "stun.h"

/* RFC 8863 section 4: an agent does not give up before this has passed since it may have candidates to
 * check. */
#define PATIENCE_TRICKLE (39500 * USEC_PER_MSEC)
/* After the peer's last candidate: checks of its own may still show us an address of it. */
#define PATIENCE_END (5 * USEC_PER_SEC)
/* Nothing better will come: let libnice's 20 ms tick end at once (libnice's minimum). */
#define PATIENCE_READY (50 * USEC_PER_MSEC)
/* libnice ticks each 20 ms as long as any check is under way, and one that nobody answers is for 39.5 s.
 * When there is a pair, and no better one has come for a while, it may take its time. */
#define RELAX_AFTER (2 * USEC_PER_SEC)
#define RELAXED_SLACK (500 * USEC_PER_MSEC)
/* A STUN server that has not answered by then does not hold up the end of candidates. */
#define STUN_PATIENCE (3 * USEC_PER_SEC)
/* How long servers that are asked over UDP may take before those over TCP are asked as well, and those by
 * TLS after them: two round trips, for most. */
#define RELAY_PATIENCE (300 * USEC_PER_MSEC)
/* One UDP datagram over IPv4. */
#define DATAGRAM_MAX 65507
#define LOCAL_CANDIDATES_MAX 64

static const char *const ice_state_table[_ICE_STATE_MAX] = {
        [ICE_STATE_GATHERING] = "gathering", [ICE_STATE_CHECKING] = "checking",
        [ICE_STATE_CONNECTED] = "connected", [ICE_STATE_READY] = "ready",
        [ICE_STATE_FAILED] = "failed",
};
DEFINE_STRING_TABLE(ice_state, IceState);

static const char *const ice_server_kind_table[_ICE_SERVER_KIND_MAX] = {
        [ICE_SERVER_STUN] = "stun",
        [ICE_SERVER_TURN_UDP] = "turn-udp",
        [ICE_SERVER_TURN_TCP] = "turn-tcp",
        [ICE_SERVER_TURN_TLS] = "turn-tls",
};
DEFINE_STRING_TABLE(ice_server_kind, IceServerKind);

/* One STUN server asked from one host candidate's port. */
typedef struct Srflx {
        IceAgent *agent;
        struct Srflx *next;
        StunQuery *query;
        IceCandidate base;
        size_t server; /* number of its IP address among the servers */
} Srflx;

/* A TURN server, and our own copies of its credentials. */
typedef struct Relay {
        IceServer server;
        char *username;
        char *password; /* secret */
} Relay;

struct IceAgent {
        sd_event *event;
        const IceAgentCallbacks *callbacks;
        void *userdata;
        IceEngine *engine;
        char ufrag[ICE_LOCAL_UFRAG_SIZE + 1];
        char pwd[ICE_LOCAL_PWD_SIZE + 1]; /* secret */
        bool tcp;
        bool relay_only;
        SocketAddress *stun_servers; /* those to ask ourselves */
        size_t n_stun_servers;
        Relay *relays;
        size_t n_relays;
        size_t relay_stage; /* those of so many kinds have been asked for allocations */
        sd_event_source *relay_timer;
        IceState state;
        bool gathering; /* has begun */
        bool engine_gathered;
        bool stun_asked;
        bool stun_waited; /* STUN_PATIENCE is over */
        bool gathered;    /* gathering_done was reported */
        bool remote_credentials;
        bool remote_end;
        IceCandidate *local;
        size_t n_local, n_local_allocated;
        IceCandidate *remote;
        size_t n_remote, n_remote_allocated;
        Srflx *srflx; /* queries under way; owned */
        sd_event_source *stun_timer;
        sd_event_source *relax_timer;
};

/* ---- life ---- */

static Srflx *srflx_free(Srflx *srflx)
{
        if (!srflx)
                return NULL;
        stun_query_free(srflx->query);
        return mfree(srflx);
}
DEFINE_TRIVIAL_CLEANUP_FUNC(Srflx *, srflx_free);

static void relays_free(IceAgent *agent)
{
        for (size_t i = 0; i < agent->n_relays; i++) {
                free(agent->relays[i].username);
                (void) erase_and_free_string(agent->relays[i].password);
        }
        agent->relays = mfree(agent->relays);
        agent->relay_timer = event_source_disable_unref(agent->relay_timer);
}

IceAgent *ice_agent_free(IceAgent *agent)
{
        if (!agent)
                return NULL;
        agent->engine = ice_engine_close(agent->engine);
        while (agent->srflx) {
                Srflx *s = agent->srflx;

                agent->srflx = s->next;
                srflx_free(s);
        }
        agent->stun_timer = event_source_disable_unref(agent->stun_timer);
        agent->relax_timer = event_source_disable_unref(agent->relax_timer);
        agent->event = sd_event_unref(agent->event);
        erase(agent->pwd, sizeof(agent->pwd));
        free(agent->stun_servers);
        relays_free(agent);
        free(agent->local);
        free(agent->remote);
        return mfree(agent);
}

/* A TURN server's Allocate answer tells the mapping as well, and the kernel could not tell the two apart. */
static bool is_turn_server(const IceAgentParameters *p, const SocketAddress *a)
{
        for (size_t i = 0; i < p->n_servers; i++)
                if (p->servers[i].kind == ICE_SERVER_TURN_UDP &&
                    socket_address_equal(&p->servers[i].address, a))
                        return true;
        return false;
}

static int copy_stun_servers(IceAgent *agent, const IceAgentParameters *p)
{
        agent->stun_servers = new (SocketAddress, p->n_servers + 1);
        if (!agent->stun_servers)
                return -ENOMEM;
        for (size_t i = 0; i < p->n_servers; i++) {
                const IceServer *s = p->servers + i;
                bool known = false;

                for (size_t j = 0; j < agent->n_stun_servers; j++)
                        known = known || socket_address_equal(agent->stun_servers + j, &s->address);
                if (s->kind == ICE_SERVER_STUN && !known && !is_turn_server(p, &s->address))
                        agent->stun_servers[agent->n_stun_servers++] = s->address;
        }
        return 0;
}

static int copy_relays(IceAgent *agent, const IceAgentParameters *p)
{
        agent->relays = new0(Relay, p->n_servers + 1);
        if (!agent->relays)
                return -ENOMEM;
        for (size_t i = 0; i < p->n_servers; i++) {
                const IceServer *server = p->servers + i;
                Relay *relay = agent->relays + agent->n_relays;

                if (server->kind == ICE_SERVER_STUN)
                        continue;
                if (!server->username || !server->password || !socket_address_is_set(&server->address) ||
                    (server->kind == ICE_SERVER_TURN_TLS && !socket_address_is_set(&server->leg)))
                        return -EINVAL;
                agent->n_relays++;
                relay->server = *server;
                relay->username = strdup(server->username);
                relay->password = strdup(server->password);
                if (!relay->username || !relay->password)
                        return -ENOMEM;
                relay->server.username = relay->username;
                relay->server.password = relay->password;
        }
        return 0;
}

int ice_agent_new(sd_event *event, const IceAgentParameters *parameters, const IceAgentCallbacks *callbacks,
                  void *userdata, IceAgent **ret)
{
        _cleanup_(ice_agent_freep) IceAgent *agent = NULL;
        SocketAddress addresses[ICE_LOCAL_ADDRESSES_MAX];
        size_t n_addresses;
        int r;

        n_addresses = ice_engine_filter_addresses(parameters->local_addresses, parameters->n_local_addresses,
                                                  addresses);
        if (n_addresses == 0)
                return -EINVAL;
        agent = new0(IceAgent, 1);
        if (!agent)
                return -ENOMEM;
        agent->event = sd_event_ref(event);
        agent->callbacks = callbacks;
        agent->userdata = userdata;
        agent->tcp = parameters->tcp;
        agent->relay_only = parameters->relay_only;
        ice_credential_make(agent->ufrag, ICE_LOCAL_UFRAG_SIZE);
        ice_credential_make(agent->pwd, ICE_LOCAL_PWD_SIZE);
        r = copy_stun_servers(agent, parameters);
        if (r >= 0)
                r = copy_relays(agent, parameters);
        if (r < 0)
                return r;
        r = ice_engine_new(event, parameters, addresses, n_addresses, agent->n_stun_servers, agent->ufrag,
                           agent->pwd, agent, &agent->engine);
        if (r < 0)
                return r;
        ice_engine_set_patience(agent->engine, PATIENCE_TRICKLE);
        *ret = TAKE_PTR(agent);
        return 0;
}

const char *ice_agent_ufrag(const IceAgent *agent)
{
        return agent->ufrag;
}

const char *ice_agent_pwd(const IceAgent *agent)
{
        return agent->pwd;
}

IceState ice_agent_state(const IceAgent *agent)
{
        return agent->state;
}

/* ---- relays ---- */

/* Of several allocations that have the same IP address libnice keeps the first. So servers are asked over
 * UDP first, and over TCP and TLS only when that has led to nothing for a while: which most hosts never
 * need. */
static const IceServerKind relay_stages[] = { ICE_SERVER_TURN_UDP, ICE_SERVER_TURN_TCP,
                                              ICE_SERVER_TURN_TLS };

static bool agent_has_relay(const IceAgent *agent)
{
        for (size_t i = 0; i < agent->n_local; i++)
                if (agent->local[i].type == ICE_CANDIDATE_RELAY)
                        return true;
        return false;
}

/* Is there a server of a kind that was not asked yet, and may have to be? */
static bool agent_has_more_relays(const IceAgent *agent)
{
        if (agent_has_relay(agent))
                return false;
        for (size_t k = agent->relay_stage; k < ELEMENTSOF(relay_stages); k++)
                for (size_t i = 0; i < agent->n_relays; i++)
                        if (agent->relays[i].server.kind == relay_stages[k])
                                return true;
        return false;
}

/* Of the next kind that there is. How many; the agent may be gone. */
static unsigned agent_ask_relays(IceAgent *agent)
{
        IceEngine *engine = agent->engine;
        unsigned n = 0;

        while (engine->owner == agent && n == 0 && agent->relay_stage < ELEMENTSOF(relay_stages)) {
                IceServerKind kind = relay_stages[agent->relay_stage++];

                for (size_t i = 0; engine->owner == agent && i < agent->n_relays; i++)
                        if (agent->relays[i].server.kind == kind)
                                n += ice_engine_add_relay(engine, &agent->relays[i].server) >= 0;
        }
        return n;
}

static void agent_wait_for_relays(IceAgent *agent);
static void agent_check_gathered(IceAgent *agent);

/* The earlier ones have had their time, or have said no. The agent may be gone afterwards. */
static void agent_ask_more_relays(IceAgent *agent)
{
        IceEngine *engine = agent->engine;
        bool gathered = agent->engine_gathered;
        unsigned n;

        if (!agent_has_more_relays(agent))
                return;
        agent->engine_gathered = false;
        n = agent_ask_relays(agent);
        if (engine->owner != agent)
                return;
        if (n == 0)
                agent->engine_gathered = gathered; /* libnice has nothing to do */
        agent_wait_for_relays(agent);
}

static int on_relay_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        IceAgent *agent = userdata;
        IceEngine *engine = agent->engine;

        agent_ask_more_relays(agent);
        if (engine->owner == agent)
                agent_check_gathered(agent);
        return 0;
}

static void agent_wait_for_relays(IceAgent *agent)
{
        if (agent_has_more_relays(agent))
                (void) event_arm_timer(agent->event, &agent->relay_timer, RELAY_PATIENCE, on_relay_timer,
                                       agent, "ice-relays");
        else
                event_disarm_timer(agent->relay_timer);
}

/* ---- local candidates ---- */

static bool candidates_contain(const IceCandidate *candidates, size_t n, const IceCandidate *c)
{
        for (size_t i = 0; i < n; i++)
                if (ice_candidate_equal(candidates + i, c))
                        return true;
        return false;
}

/* Reports a candidate once; the callback may free the agent. */
static void agent_add_local(IceAgent *agent, const IceCandidate *c)
{
        /* Nobody can connect to what libnice takes for a mapping of a TCP port: that of a UDP port, with the
         * number of the TCP one. */
        if (c->transport != ICE_TRANSPORT_UDP && c->type != ICE_CANDIDATE_HOST)
                return;
        if (agent->n_local >= LOCAL_CANDIDATES_MAX || candidates_contain(agent->local, agent->n_local, c) ||
            GROW_ARRAY(agent->local, agent->n_local_allocated, agent->n_local + 1) < 0)
                return;
        agent->local[agent->n_local++] = *c;
        if (agent->callbacks->candidate)
                agent->callbacks->candidate(agent, c, agent->userdata);
}

static void agent_check_gathered(IceAgent *agent)
{
        if (agent->gathered || !agent->engine_gathered || !agent->stun_asked ||
            agent_has_more_relays(agent) || (agent->srflx && !agent->stun_waited))
                return;
        agent->gathered = true;
        event_disarm_timer(agent->stun_timer);
        if (agent->callbacks->gathering_done)
                agent->callbacks->gathering_done(agent, agent->userdata);
}

static size_t agent_base_number(const IceAgent *agent, const IceCandidate *base)
{
        size_t i = 0;

        while (i < agent->n_local && !socket_address_ip_equal(&agent->local[i].address, &base->address))
                i++;
        return i;
}

static void on_stun_answer(StunQuery *query, int error, const SocketAddress *mapped, usec_t rtt,
                           void *userdata)
{
        _cleanup_(srflx_freep) Srflx *srflx = userdata;
        IceAgent *agent = srflx->agent;
        IceEngine *engine = agent->engine;
        IceCandidate c;

        for (Srflx **p = &agent->srflx; *p; p = &(*p)->next)
                if (*p == srflx) {
                        *p = srflx->next;
                        break;
                }
        if (error < 0)
                log_debug_errno(error, "STUN from %s: %m", SOCKET_ADDRESS_STR(&srflx->base.address));
        else if (mapped->sa.sa_family == srflx->base.address.sa.sa_family) {
                ice_candidate_make_srflx(&srflx->base, mapped, &c);
                /* RFC 8445 section 5.1.1.3: the base and the server's address make the foundation; libnice's
                 * own are plain numbers. */
                snprintf(c.foundation, sizeof(c.foundation), "s%zui%zu", srflx->server,
                         agent_base_number(agent, &srflx->base));
                agent_add_local(agent, &c);
        }
        /* An engine outlives its agent until its context runs again: not in here. */
        if (engine->owner == agent)
                agent_check_gathered(agent);
}

static int agent_query_stun(IceAgent *agent, int fd, const IceCandidate *base, size_t server)
{
        Srflx *srflx;
        int r;

        srflx = new0(Srflx, 1);
        if (!srflx)
                return -ENOMEM;
        srflx->agent = agent;
        srflx->base = *base;
        while (srflx->server < server &&
               !socket_address_ip_equal(agent->stun_servers + srflx->server, agent->stun_servers + server))
                srflx->server++;
        r = stun_query_new(agent->event, fd, agent->stun_servers + server, on_stun_answer, srflx,
                           &srflx->query);
        if (r < 0) {
                srflx_free(srflx);
                return r;
        }
        srflx->next = agent->srflx;
        agent->srflx = srflx;
        return 0;
}

/* Asks every server of its family from a host candidate's port. */
static void agent_query_from(IceAgent *agent, int fd, const IceCandidate *base)
{
        for (size_t i = 0; i < agent->n_stun_servers; i++) {
                const SocketAddress *server = agent->stun_servers + i;
                int r;

                if (server->sa.sa_family != base->address.sa.sa_family)
                        continue;
                r = agent_query_stun(agent, fd, base, i);
                if (r < 0)
                        log_debug_errno(r, "Cannot ask STUN server %s from %s: %m",
                                        SOCKET_ADDRESS_STR(server), SOCKET_ADDRESS_STR(&base->address));
        }
}

static const IceCandidate *agent_find_host(const IceAgent *agent, int fd)
{
        struct sockaddr_storage storage;
        socklen_t size = sizeof(storage);
        SocketAddress a;

        if (getsockname(fd, (struct sockaddr *) &storage, &size) < 0 ||
            socket_address_from_sockaddr(&storage, size, &a) < 0)
                return NULL;
        for (size_t i = 0; i < agent->n_local; i++)
                if (agent->local[i].type == ICE_CANDIDATE_HOST &&
                    agent->local[i].transport == ICE_TRANSPORT_UDP &&
                    socket_address_equal(&agent->local[i].address, &a))
                        return agent->local + i;
        return NULL;
}

static int on_stun_patience(sd_event_source *s, uint64_t usec, void *userdata)
{
        IceAgent *agent = userdata;

        agent->stun_waited = true;
        agent_check_gathered(agent);
        return 0;
}

static int agent_start_stun(IceAgent *agent)
{
        _cleanup_free_ int *fds = NULL;
        size_t n_fds;
        int r;

        if (agent->n_stun_servers == 0)
                return 0;
        r = ice_engine_sockets(agent->engine, &fds, &n_fds);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_fds; i++) {
                const IceCandidate *base = agent_find_host(agent, fds[i]);

                if (base)
                        agent_query_from(agent, fds[i], base);
        }
        if (!agent->srflx)
                return 0;
        return event_arm_timer(agent->event, &agent->stun_timer, STUN_PATIENCE, on_stun_patience, agent,
                               "ice-stun-patience");
}

int ice_agent_gather(IceAgent *agent)
{
        IceEngine *engine = agent->engine;
        int r;

        if (agent->gathering)
                return -EALREADY;
        agent->gathering = true;
        r = ice_engine_gather(engine);
        if (engine->owner != agent)
                return 0; /* freed by a callback */
        if (r < 0)
                return r;
        r = agent_start_stun(agent);
        if (r < 0)
                log_debug_errno(r, "Cannot ask the STUN servers, ignoring: %m");
        agent->stun_asked = true;
        agent_ask_more_relays(agent);
        if (engine->owner == agent)
                agent_check_gathered(agent);
        return 0;
}

/* ---- pace ---- */

static int on_relax_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        IceAgent *agent = userdata;

        ice_engine_set_slack(agent->engine, RELAXED_SLACK);
        return 0;
}

/* At full pace, and if there is a pair then only for a while. */
static void agent_set_pace(IceAgent *agent)
{
        ice_engine_set_slack(agent->engine, 0);
        if (agent->state != ICE_STATE_CONNECTED && agent->state != ICE_STATE_READY) {
                event_disarm_timer(agent->relax_timer);
                return;
        }
        (void) event_arm_timer(agent->event, &agent->relax_timer, RELAX_AFTER, on_relax_timer, agent,
                               "ice-relax");
}

/* ---- remote candidates ---- */

static bool credential_is_valid(const char *s, size_t min)
{
        size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

        return n >= min && n <= ICE_CREDENTIAL_MAX && s[n] == '\0';
}

int ice_agent_set_remote_credentials(IceAgent *agent, const char *ufrag, const char *pwd)
{
        if (agent->remote_credentials)
                return -EALREADY;
        if (!credential_is_valid(ufrag, ICE_UFRAG_MIN) || !credential_is_valid(pwd, ICE_PWD_MIN))
                return -EINVAL;
        agent->remote_credentials = true;
        return ice_engine_set_remote_credentials(agent->engine, ufrag, pwd);
}

/* RFC 6544 section 6.2: who connects to whom. Nobody can be reached at an active candidate. */
static bool transports_match(IceTransport local, IceTransport remote)
{
        switch (remote) {
        case ICE_TRANSPORT_UDP:
                return local == ICE_TRANSPORT_UDP;
        case ICE_TRANSPORT_TCP_PASSIVE:
                return local == ICE_TRANSPORT_TCP_ACTIVE;
        case ICE_TRANSPORT_TCP_ACTIVE:
                return local == ICE_TRANSPORT_TCP_PASSIVE;
        default:
                return false;
        }
}

static bool agent_can_pair(const IceAgent *agent, const IceCandidate *remote)
{
        /* Relays come late, and of which family they are is the servers' choice. */
        if (remote->transport == ICE_TRANSPORT_UDP && agent->n_relays > 0)
                return true;
        if (agent->relay_only)
                return false;
        for (size_t i = 0; i < agent->n_local; i++) {
                const IceCandidate *l = agent->local + i;

                if (l->address.sa.sa_family == remote->address.sa.sa_family &&
                    transports_match(l->transport, remote->transport))
                        return true;
        }
        return false;
}

static bool remote_candidate_is_sane(const IceCandidate *c)
{
        return c->priority > 0 && (unsigned) c->transport < _ICE_TRANSPORT_MAX &&
               (unsigned) c->type < _ICE_CANDIDATE_TYPE_MAX && c->type != ICE_CANDIDATE_PRFLX &&
               !socket_address_is_unspecified(&c->address) && !socket_address_is_multicast(&c->address) &&
               socket_address_port(&c->address) != 0;
}

int ice_agent_add_remote_candidate(IceAgent *agent, const IceCandidate *candidate)
{
        if (!agent->remote_credentials)
                return -ENOTCONN;
        if (!remote_candidate_is_sane(candidate) || agent->n_remote >= ICE_REMOTE_CANDIDATES_MAX ||
            candidates_contain(agent->remote, agent->n_remote, candidate) ||
            !agent_can_pair(agent, candidate))
                return 0;
        if (GROW_ARRAY(agent->remote, agent->n_remote_allocated, agent->n_remote + 1) < 0)
                return -ENOMEM;
        agent->remote[agent->n_remote++] = *candidate;
        agent_set_pace(agent);
        return ice_engine_add_remote_candidate(agent->engine, candidate);
}

size_t ice_agent_remote_candidates(const IceAgent *agent, const IceCandidate **ret)
{
        *ret = agent->remote;
        return agent->n_remote;
}

int ice_agent_end_of_candidates(IceAgent *agent)
{
        agent->remote_end = true;
        if (agent->state != ICE_STATE_READY)
                ice_engine_set_patience(agent->engine, PATIENCE_END);
        return 0;
}

/* ---- what the engine reports ---- */

void ice_agent_on_local_candidate(IceAgent *agent, const IceCandidate *candidate)
{
        agent_add_local(agent, candidate);
}

void ice_agent_on_gathering_done(IceAgent *agent)
{
        IceEngine *engine = agent->engine;

        agent->engine_gathered = true;
        if (agent->stun_asked)
                agent_ask_more_relays(agent);
        if (engine->owner == agent)
                agent_check_gathered(agent);
}

void ice_agent_on_state(IceAgent *agent, IceState state)
{
        if (state == agent->state)
                return;
        agent->state = state;
        agent_set_pace(agent);
        ice_engine_set_patience(agent->engine, state == ICE_STATE_READY ? PATIENCE_READY
                                               : agent->remote_end      ? PATIENCE_END
                                                                        : PATIENCE_TRICKLE);
        if (agent->callbacks->state)
                agent->callbacks->state(agent, state, agent->userdata);
}

void ice_agent_on_selected(IceAgent *agent, const IceCandidate *local, const IceCandidate *remote)
{
        if (agent->callbacks->selected)
                agent->callbacks->selected(agent, local, remote, agent->userdata);
}

void ice_agent_on_data(IceAgent *agent, const void *data, size_t size)
{
        if (agent->callbacks->data)
                agent->callbacks->data(agent, data, size, agent->userdata);
}

/* ---- data ---- */

int ice_agent_open_data_socket(IceAgent *agent, int *ret)
{
        int fd;

        fd = ice_engine_selected_fd(agent->engine);
        if (fd < 0)
                return fd;
        return ice_data_socket_open(fd, ret);
}

int ice_agent_send(IceAgent *agent, const void *data, size_t size)
{
        if (size == 0 || size > DATAGRAM_MAX)
                return -EMSGSIZE;
        if (agent->state != ICE_STATE_CONNECTED && agent->state != ICE_STATE_READY)
                return -ENOTCONN;
        return ice_engine_send(agent->engine, data, size);
}

/* Whether libnice speaks to this server at `address`. */
static bool relay_is_at(const IceServer *relay, bool udp, const SocketAddress *address)
{
        const SocketAddress *a = relay->kind == ICE_SERVER_TURN_TLS ? &relay->leg : &relay->address;

        return udp == (relay->kind == ICE_SERVER_TURN_UDP) && socket_address_equal(a, address);
}

int ice_agent_selected_server(IceAgent *agent, IceServerKind *ret_kind, SocketAddress *ret_address)
{
        SocketAddress address;
        bool udp;
        int r;

        r = ice_engine_selected_relay(agent->engine, &udp, &address);
        if (r < 0)
                return r;
        *ret_kind = udp ? ICE_SERVER_TURN_UDP : ICE_SERVER_TURN_TCP;
        *ret_address = address; /* unknown to us: it has sent us on to another one */
        for (size_t i = 0; i < agent->n_relays; i++)
                if (relay_is_at(&agent->relays[i].server, udp, &address)) {
                        *ret_kind = agent->relays[i].server.kind;
                        *ret_address = agent->relays[i].server.address;
                        break;
                }
        return 0;
}

int ice_agent_connection(IceAgent *agent, const IceCandidate *remote)
{
        SocketAddress relay;
        bool udp;

        if (ice_engine_selected_relay(agent->engine, &udp, &relay) >= 0)
                return udp ? -EOPNOTSUPP : ice_engine_relay_connection(agent->engine, &relay);
        if (remote->transport == ICE_TRANSPORT_UDP)
                return -EOPNOTSUPP;
        return ice_engine_connection(agent->engine, &remote->address);
}

int ice_agent_sockets(IceAgent *agent, int **ret, size_t *ret_n)
{
        return ice_engine_sockets(agent->engine, ret, ret_n);
}

usec_t ice_agent_round_trip_time(const IceAgent *agent)
{
        /* libnice measures none that it would tell. */
        return USEC_INFINITY;
}
