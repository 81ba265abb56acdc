/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "mapping.h"

#include "addresses.h"
#include "alloc-util.h"
#include "event-util.h"
#include "log.h"
#include "string-util.h"

/* Up to a quarter is added: 25 s on the average, and less than the 30 s after which the impatient NATs
 * forget a mapping (RFC 4787 section 4.3 asks for two minutes at least). */
#define REFRESH_INTERVAL (22 * USEC_PER_SEC)
/* So many servers have to answer for a refresh to leave out those that did not. */
#define REFRESH_SERVERS_MIN 2

static const char *const mapping_state_table[_MAPPING_STATE_MAX] = {
        [MAPPING_STATE_SHARING] = "sharing",
        [MAPPING_STATE_ASKING] = "asking",
        [MAPPING_STATE_SETTLED] = "settled",
        [MAPPING_STATE_FAILED] = "failed",
};
DEFINE_STRING_TABLE(mapping_state, MappingState);

static const char *const mapping_kind_table[_MAPPING_KIND_MAX] = {
        [MAPPING_UNKNOWN] = "unknown", [MAPPING_NONE] = "none",
        [MAPPING_SINGLE] = "single",   [MAPPING_ENDPOINT_INDEPENDENT] = "endpoint-independent",
        [MAPPING_VARIES] = "varies",
};
DEFINE_STRING_TABLE(mapping_kind, MappingKind);

static const char *const mapping_hairpin_table[_MAPPING_HAIRPIN_MAX] = {
        [MAPPING_HAIRPIN_UNKNOWN] = "unknown",
        [MAPPING_HAIRPIN_TESTING] = "testing",
        [MAPPING_HAIRPIN_YES] = "yes",
        [MAPPING_HAIRPIN_NO] = "no",
};
DEFINE_STRING_TABLE(mapping_hairpin, MappingHairpin);

/* ---- What the answers mean ---- */

/* Of those that tell something: all, unless some see a NAT; then only these. */
static bool counts(const MappingServer *server, const SocketAddress *local, bool translated)
{
        return socket_address_is_set(&server->mapped) &&
               (!translated || !socket_address_equal(&server->mapped, local));
}

static bool any_translated(const SocketAddress *local, const MappingServer *servers, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (counts(&servers[i], local, /* translated= */ true))
                        return true;
        return false;
}

static size_t count_votes(const SocketAddress *mapped, const MappingServer *servers, size_t n)
{
        size_t votes = 0;

        for (size_t i = 0; i < n; i++)
                votes += socket_address_equal(&servers[i].mapped, mapped);
        return votes;
}

/* Somebody at another address agrees with it; two ports of one address would be no second opinion. */
static bool is_confirmed(const MappingServer *server, const MappingServer *servers, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (socket_address_equal(&servers[i].mapped, &server->mapped) &&
                    !socket_address_ip_equal(&servers[i].address, &server->address))
                        return true;
        return false;
}

MappingVerdict mapping_judge(const SocketAddress *local, const MappingServer *servers, size_t n,
                             const SocketAddress *held)
{
        bool translated = any_translated(local, servers, n), confirmed = false;
        MappingVerdict verdict = {};
        size_t best = 0, total = 0;

        for (size_t i = 0; i < n; i++) {
                const SocketAddress *mapped = &servers[i].mapped;
                size_t votes;

                if (!counts(&servers[i], local, translated))
                        continue;
                total++;
                votes = count_votes(mapped, servers, n);
                if (votes > best || (votes == best && socket_address_equal(mapped, held)))
                        verdict.mapped = *mapped;
                best = MAX(best, votes);
                confirmed = confirmed || is_confirmed(&servers[i], servers, n);
        }
        if (total == 0)
                verdict.kind = MAPPING_UNKNOWN;
        else if (!translated)
                verdict.kind = MAPPING_NONE;
        else if (best < total)
                verdict.kind = MAPPING_VARIES;
        else
                verdict.kind = confirmed ? MAPPING_ENDPOINT_INDEPENDENT : MAPPING_SINGLE;
        return verdict;
}

/* ---- State ---- */

static bool is_asked(const MappingServer *server)
{
        return server->error == -EINPROGRESS;
}

/* Asked again, and what it said before may no longer hold. */
static bool is_stale(const MappingServer *server)
{
        return is_asked(server) && socket_address_is_set(&server->mapped);
}

static size_t count_servers(const Mapping *m, bool (*is)(const MappingServer *server))
{
        size_t n = 0;

        for (size_t i = 0; i < m->n_servers; i++)
                n += is(&m->servers[i]);
        return n;
}

bool mapping_is_busy(const Mapping *m)
{
        return m->state < MAPPING_STATE_SETTLED || m->hairpin == MAPPING_HAIRPIN_TESTING;
}

/* True if it was not before. */
static bool settle(Mapping *m)
{
        if (m->state != MAPPING_STATE_ASKING)
                return false;
        m->state = MAPPING_STATE_SETTLED;
        m->hairpin_wanted = false; /* there is nothing to test by now, or it is being tested */
        log_debug("%s: mapping of %s: %s, seen as %s.", m->link ?: "stun", SOCKET_ADDRESS_STR(&m->local),
                  mapping_kind_to_string(m->kind),
                  socket_address_is_set(&m->mapped) ? SOCKET_ADDRESS_STR(&m->mapped) : "nothing");
        return true;
}

static void test_hairpin(Mapping *m)
{
        int r;

        if (!m->hairpin_wanted || m->kind == MAPPING_UNKNOWN || m->kind == MAPPING_NONE)
                return;
        m->hairpin_wanted = false;
        r = stun_client_test_hairpin(m->client, m->ufrag, &m->mapped);
        m->hairpin = r < 0 ? MAPPING_HAIRPIN_UNKNOWN : MAPPING_HAIRPIN_TESTING;
}

/* True if that is news. While old answers are being renewed, the new ones are not held against them. */
static bool judge(Mapping *m)
{
        MappingVerdict v;
        bool moved, changed;

        if (count_servers(m, is_stale) > 0)
                return false;
        v = mapping_judge(&m->local, m->servers, m->n_servers, &m->mapped);
        moved = !socket_address_equal(&v.mapped, &m->mapped);
        changed = moved || v.kind != m->kind;
        m->kind = v.kind;
        m->mapped = v.mapped;
        m->port_kept = socket_address_is_set(&v.mapped) &&
                       socket_address_port(&v.mapped) == socket_address_port(&m->local);
        if (moved && m->hairpin != MAPPING_HAIRPIN_TESTING)
                m->hairpin = MAPPING_HAIRPIN_UNKNOWN; /* that was about another address */
        test_hairpin(m);
        return changed;
}

static void forget_answers(Mapping *m)
{
        for (size_t i = 0; i < m->n_servers; i++) {
                MappingServer *server = &m->servers[i];

                stun_client_forget(m->client, &server->address);
                server->mapped = (SocketAddress) {};
                server->error = is_asked(server) ? -ECANCELED : server->error;
        }
        (void) judge(m);
}

/* ---- Asking ---- */

static void ask_server(Mapping *m, MappingServer *server)
{
        int r;

        server->asked = now(CLOCK_BOOTTIME);
        r = stun_client_ask(m->client, &server->address);
        server->error = r < 0 ? r : -EINPROGRESS;
        if (r < 0)
                server->mapped = (SocketAddress) {};
}

/* Whoever has not answered by now is not waited for; its answer counts when it comes. Also comes without
 * delay, to tell what was known at once. */
static int on_patience(sd_event_source *s, uint64_t usec, void *userdata)
{
        Mapping *m = userdata;
        bool news;

        for (size_t i = 0; i < m->n_servers; i++)
                if (is_stale(&m->servers[i]))
                        m->servers[i].mapped = (SocketAddress) {};
        news = judge(m);
        if (settle(m) || m->state == MAPPING_STATE_FAILED || news)
                m->callback(m, m->userdata);
        return 0;
}

static void arm_patience(Mapping *m, usec_t delay)
{
        int r;

        r = event_arm_timer(m->event, &m->patience_timer, delay, on_patience, m, "mapping-patience");
        if (r < 0)
                log_warning_errno(r, "Failed to wait for STUN servers, ignoring: %m");
}

static int on_refresh(sd_event_source *s, uint64_t usec, void *userdata);

static void schedule_refresh(Mapping *m, usec_t delay)
{
        int r;

        if (!m->wanted || m->n_servers == 0)
                return;
        r = event_arm_timer_jittered(m->event, &m->refresh_timer, delay, on_refresh, m, "mapping-refresh");
        if (r < 0)
                log_warning_errno(r, "Failed to schedule a question to STUN servers, ignoring: %m");
}

/* After servers were asked. */
static void wait_for_answers(Mapping *m)
{
        arm_patience(m, count_servers(m, is_asked) > 0 ? MAPPING_PATIENCE : 0);
        schedule_refresh(m, REFRESH_INTERVAL);
}

static void ask_all(Mapping *m)
{
        m->state = MAPPING_STATE_ASKING;
        m->error = 0;
        for (size_t i = 0; i < m->n_servers; i++)
                ask_server(m, &m->servers[i]);
        wait_for_answers(m);
}

static bool has_answered(const MappingServer *server)
{
        return socket_address_is_set(&server->mapped);
}

/* Those that answer keep the mapping alive; the others get another chance where there are too few to tell
 * what kind it is. */
static int on_refresh(sd_event_source *s, uint64_t usec, void *userdata)
{
        Mapping *m = userdata;
        bool all = count_servers(m, has_answered) < REFRESH_SERVERS_MIN;

        if (m->state == MAPPING_STATE_FAILED) {
                mapping_share_again(m);
                return 0;
        }
        for (size_t i = 0; i < m->n_servers; i++) {
                MappingServer *server = &m->servers[i];

                if ((all || has_answered(server)) && !is_asked(server))
                        ask_server(m, server);
        }
        wait_for_answers(m);
        return 0;
}

void mapping_set_wanted(Mapping *m, bool wanted)
{
        usec_t asked = 0;

        if (m->wanted == wanted)
                return;
        m->wanted = wanted;
        if (!wanted) {
                event_disarm_timer(m->refresh_timer);
                return;
        }
        for (size_t i = 0; i < m->n_servers; i++)
                asked = MAX(asked, m->servers[i].asked);
        if (m->state != MAPPING_STATE_SHARING)
                schedule_refresh(m, usec_sub(usec_add(asked, REFRESH_INTERVAL), now(CLOCK_BOOTTIME)));
}

static MappingServer *find_server(Mapping *m, const SocketAddress *address)
{
        for (size_t i = 0; i < m->n_servers; i++)
                if (socket_address_equal(&m->servers[i].address, address))
                        return &m->servers[i];
        return NULL;
}

/* What a server says is signalled to peers, who will send to it. */
static bool is_plausible(const Mapping *m, const SocketAddress *mapped)
{
        return socket_address_ip_equal(mapped, &m->local) ||
               address_is_usable_remote(mapped, /* tunnelled= */ NULL, /* n_tunnelled= */ 0);
}

static void on_answered(StunClient *client, const SocketAddress *address, int error,
                        const SocketAddress *mapped, usec_t round_trip_time, void *userdata)
{
        Mapping *m = userdata;
        MappingServer *server = find_server(m, address);
        bool news;

        if (!server)
                return;
        if (error >= 0 && !is_plausible(m, mapped))
                error = -EPROTO;
        server->error = error;
        server->mapped = error < 0 ? (SocketAddress) {} : *mapped;
        if (error >= 0)
                server->round_trip_time = round_trip_time;
        news = judge(m);
        if (count_servers(m, is_asked) == 0) {
                event_disarm_timer(m->patience_timer);
                news = settle(m) || news;
        }
        if (news)
                m->callback(m, m->userdata);
}

static void on_hairpin(StunClient *client, bool came, void *userdata)
{
        Mapping *m = userdata;

        m->hairpin = came ? MAPPING_HAIRPIN_YES : MAPPING_HAIRPIN_NO;
}

static const StunClientCallbacks client_callbacks = { .answered = on_answered, .hairpin = on_hairpin };

/* ---- Sharing the link's port ---- */

static void fail(Mapping *m, int error)
{
        m->error = error;
        m->state = MAPPING_STATE_FAILED;
        m->hairpin_wanted = false;
        forget_answers(m);
        schedule_refresh(m, REFRESH_INTERVAL);
}

static void on_shared(Broker *b, int error, void *userdata)
{
        Mapping *m = userdata;

        m->call = NULL;
        if (error >= 0) {
                m->shared = true;
                ask_all(m);
                return;
        }
        fail(m, error);
        m->callback(m, m->userdata);
}

static int share(Mapping *m)
{
        int fd = stun_client_fd(m->client);

        m->state = MAPPING_STATE_SHARING;
        return m->broker->ops->add_sockets(m->broker, m->link, m->ufrag, /* keeps_relays= */ false, &fd, 1,
                                           on_shared, m, &m->call);
}

void mapping_sharing_lost(Mapping *m)
{
        if (!m->broker)
                return;
        m->call = broker_call_free(m->call);
        m->shared = false;
        if (m->n_servers == 0) {
                m->state = MAPPING_STATE_SETTLED;
                return;
        }
        m->state = MAPPING_STATE_SHARING;
        event_disarm_timer(m->patience_timer);
        event_disarm_timer(m->refresh_timer);
        /* What is asked now would leave from the socket's own port. */
        for (size_t i = 0; i < m->n_servers; i++) {
                stun_client_forget(m->client, &m->servers[i].address);
                if (is_asked(&m->servers[i]))
                        m->servers[i].error = -ECANCELED;
        }
}

void mapping_share_again(Mapping *m)
{
        int r;

        if (!m->broker)
                return;
        mapping_sharing_lost(m);
        (void) m->broker->ops->remove_sockets(m->broker, m->ufrag); /* should it remember after all */
        if (m->n_servers == 0)
                return;
        r = share(m);
        if (r < 0) {
                fail(m, r);
                arm_patience(m, 0);
        }
}

void mapping_ask(Mapping *m, bool hairpin)
{
        if (m->n_servers == 0)
                return;
        m->hairpin_wanted = m->hairpin_wanted || hairpin;
        if (m->state == MAPPING_STATE_FAILED)
                mapping_share_again(m);
        else if (m->state == MAPPING_STATE_SETTLED)
                ask_all(m);
        else if (m->state == MAPPING_STATE_ASKING && count_servers(m, is_stale) == 0)
                test_hairpin(m);
}

/* ---- Life ---- */

/* Puts the servers of our family into m->servers, each once, with what they have said. True if there are
 * others than before. */
static bool take_servers(Mapping *m, const SocketAddress *servers, size_t n)
{
        MappingServer old[MAPPING_SERVERS_MAX];
        size_t n_old = m->n_servers, n_kept = 0;

        memcpy(old, m->servers, sizeof(old));
        m->n_servers = 0;
        for (size_t i = 0; i < n && m->n_servers < ELEMENTSOF(m->servers); i++)
                if (servers[i].sa.sa_family == m->local.sa.sa_family && !find_server(m, &servers[i]))
                        m->servers[m->n_servers++] = (MappingServer) { .address = servers[i] };
        for (size_t i = 0; i < n_old; i++) {
                MappingServer *server = find_server(m, &old[i].address);

                if (server) {
                        *server = old[i];
                        n_kept++;
                } else
                        stun_client_forget(m->client, &old[i].address);
        }
        return n_kept < n_old || n_kept < m->n_servers;
}

/* Servers are there or not: whether there is anything to do at all. */
static int start(Mapping *m)
{
        if (m->n_servers == 0) {
                m->state = MAPPING_STATE_SETTLED;
                return 0;
        }
        if (m->broker)
                return share(m);
        ask_all(m);
        return 0;
}

void mapping_set_servers(Mapping *m, const SocketAddress *servers, size_t n_servers)
{
        bool idle = m->n_servers == 0;

        if (!take_servers(m, servers, n_servers))
                return;
        if (m->n_servers == 0 && !m->call)
                m->state = MAPPING_STATE_SETTLED;
        else if (idle && m->broker && !m->shared && !m->call)
                mapping_share_again(m);
        if (m->state != MAPPING_STATE_ASKING && m->state != MAPPING_STATE_SETTLED)
                return;
        for (size_t i = 0; i < m->n_servers; i++)
                if (m->servers[i].asked == 0) {
                        m->state = MAPPING_STATE_ASKING;
                        ask_server(m, &m->servers[i]);
                }
        wait_for_answers(m);
}

int mapping_new(sd_event *event, Broker *broker, const char *link, const SocketAddress *local, uint16_t port,
                const SocketAddress *servers, size_t n_servers, mapping_callback_t callback, void *userdata,
                Mapping **ret)
{
        _cleanup_(mapping_freep) Mapping *m = new0(Mapping, 1);
        int r;

        if (!m)
                return -ENOMEM;
        m->event = sd_event_ref(event);
        m->broker = broker;
        m->callback = callback;
        m->userdata = userdata;
        ice_credential_make(m->ufrag, ICE_LOCAL_UFRAG_SIZE);
        r = free_and_strdup(&m->link, link);
        if (r < 0)
                return r;
        r = stun_client_new(event, local, &client_callbacks, m, &m->client);
        if (r < 0)
                return r;
        m->local = *stun_client_local(m->client);
        if (broker)
                socket_address_set_port(&m->local, port);
        (void) take_servers(m, servers, n_servers);
        r = start(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

Mapping *mapping_free(Mapping *m)
{
        if (!m)
                return NULL;
        /* A call that is on its way is not called back by giving it up. */
        if (m->shared || m->call)
                (void) m->broker->ops->remove_sockets(m->broker, m->ufrag);
        m->call = broker_call_free(m->call);
        stun_client_free(m->client);
        event_source_disable_unref(m->patience_timer);
        event_source_disable_unref(m->refresh_timer);
        sd_event_unref(m->event);
        free(m->link);
        return mfree(m);
}
