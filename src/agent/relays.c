/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "relays.h"

#include <utlist.h>

#include "alloc-util.h"
#include "log-event.h"
#include "string-util.h"
#include "tls-leg.h"
#include "turn-credentials.h"
#include "turn-probe.h"

/* What a secret has made is good for so long: no session is shorter lived than that, and one that is longer
 * lived is renewed before. */
#define CREDENTIALS_LIFETIME (24 * 60 * 60 * USEC_PER_SEC)

/* How often sessions without a relay make us ask why. */
#define ASK_INTERVAL (60 * USEC_PER_SEC)

/* What speaks TLS to one address of a server. */
struct RelayLeg {
        Manager *manager;
        size_t number; /* of the server */
        TlsLeg *leg;
        bool retired; /* of a configuration that has gone */
        RelayLeg *prev, *next;
};

/* One address that is being asked, or has been in this run. */
struct RelayQuestion {
        Manager *manager;
        size_t number;
        TurnProbe *probe; /* NULL: there is an answer */
        RelayState state;
        char *text;
        RelayQuestion *prev, *next;
};

/* ---- statuses ---- */

static void tell_peers(Manager *m)
{
        Link *link, *next_link;
        Peer *peer, *next;

        HASH_ITER(hh, m->links, link, next_link)
        HASH_ITER(hh, link->peers, peer, next)
        peer_update_reason(peer);
}

static void log_status(const RelayStatus *s, RelayState before)
{
        static const LogEvent events[_RELAY_STATE_MAX] = {
                [RELAY_STATE_OK] = LOG_EVENT_RELAY_WORKS,
                [RELAY_STATE_UNREACHABLE] = LOG_EVENT_RELAY_UNREACHABLE,
                [RELAY_STATE_CERTIFICATE_REFUSED] = LOG_EVENT_CERTIFICATE_REFUSED,
                [RELAY_STATE_CREDENTIALS_REFUSED] = LOG_EVENT_RELAY_REFUSED,
                [RELAY_STATE_REFUSED] = LOG_EVENT_RELAY_REFUSED,
        };
        bool works = s->state == RELAY_STATE_OK;

        if (s->state == RELAY_STATE_UNKNOWN || (works && before == RELAY_STATE_UNKNOWN))
                return;
        log_event(works ? LOG_INFO : LOG_WARNING, 0, events[s->state],
                  (LOG_FIELD("ICEWIRE_SERVER=%s", s->name),
                   LOG_FIELD("ICEWIRE_SERVER_KIND=%s", ice_server_kind_to_string(s->kind)),
                   LOG_FIELD("ICEWIRE_ERROR=%s", works ? "" : strempty(s->text))),
                  "TURN server %s (%s): %s.", s->name, ice_server_kind_to_string(s->kind),
                  works ? "works now" : strna(s->text));
}

static void set_status(Manager *m, size_t number, RelayState state, const char *text)
{
        RelayStatus *s = m->relays + number;
        RelayState before = s->state;
        bool news = free_and_strdup(&s->text, text) > 0 || before != state;

        s->state = state;
        s->since = now(CLOCK_BOOTTIME);
        if (!news)
                return;
        log_status(s, before);
        tell_peers(m);
}

static int add_status(Manager *m, const IceServerConfig *config)
{
        RelayStatus *s = m->relays + m->n_relays;
        bool literal = strchr(config->host, ':');

        *s = (RelayStatus) { .kind = config->kind };
        s->name = asprintf_safe("%s%s%s:%u", literal ? "[" : "", config->host, literal ? "]" : "",
                                config->port);
        if (!s->name)
                return -ENOMEM;
        m->n_relays++;
        return 0;
}

static void clear_statuses(Manager *m)
{
        for (size_t i = 0; i < m->n_relays; i++) {
                free(m->relays[i].name);
                free(m->relays[i].text);
        }
        m->relays = mfree(m->relays);
        m->n_relays = 0;
}

/* The server's place among the TURN servers of the configuration. */
static size_t number_of(const Manager *m, const IceServerConfig *config)
{
        size_t n = 0;

        for (const IceServerConfig *c = m->config->ice_servers; c < config; c++)
                n += c->kind != ICE_SERVER_STUN;
        return n;
}

/* ---- TLS ---- */

static void relay_leg_free(RelayLeg *leg)
{
        DL_DELETE(leg->manager->relay_legs, leg);
        tls_leg_free(leg->leg);
        free(leg);
}

/* What the next probe finds out is not known by that. */
static void on_leg_established(TlsLeg *tls, void *userdata)
{
        RelayLeg *leg = userdata;
        Manager *m = leg->manager;

        if (!leg->retired && m->relays[leg->number].state == RELAY_STATE_CERTIFICATE_REFUSED)
                set_status(m, leg->number, RELAY_STATE_UNKNOWN, /* text= */ NULL);
}

static void on_leg_failed(TlsLeg *tls, int error, const char *reason, void *userdata)
{
        RelayLeg *leg = userdata;
        _cleanup_free_ char *text = NULL;
        RelayState state = RELAY_STATE_UNREACHABLE;

        if (leg->retired)
                return;
        if (error == -EKEYREJECTED) {
                state = RELAY_STATE_CERTIFICATE_REFUSED;
                text = asprintf_safe("its certificate is refused: %s", reason);
        } else if (error == -EPROTO)
                text = asprintf_safe("TLS with it fails: %s", reason);
        set_status(leg->manager, leg->number, state, text ?: reason);
}

static void on_leg_idle(TlsLeg *tls, void *userdata)
{
        relay_leg_free(userdata);
}

static const TlsLegCallbacks leg_callbacks = {
        .established = on_leg_established,
        .failed = on_leg_failed,
        .idle = on_leg_idle,
};

static void retire_legs(Manager *m)
{
        for (RelayLeg *leg = m->relay_legs; leg; leg = leg->next) {
                if (!leg->retired)
                        tls_leg_retire(leg->leg);
                leg->retired = true;
        }
}

static int relay_leg_new(Manager *m, const IceServerConfig *config, IceServer *server)
{
        RelayLeg *leg = new0(RelayLeg, 1);
        const SocketAddress *a;
        int r;

        if (!leg)
                return -ENOMEM;
        leg->manager = m;
        leg->number = server->number;
        r = tls_leg_new(m->event, &server->address, config->host, m->config->turn_ca_file, &leg_callbacks,
                        leg, &leg->leg);
        if (r < 0) {
                free(leg);
                return r;
        }
        DL_APPEND(m->relay_legs, leg);
        a = tls_leg_address(leg->leg, AF_INET) ?: tls_leg_address(leg->leg, AF_INET6);
        server->leg = *a;
        return 0;
}

static const RelayLeg *find_leg(const Manager *m, const SocketAddress *address)
{
        for (const RelayLeg *leg = m->relay_legs; leg; leg = leg->next) {
                const SocketAddress *a = tls_leg_address(leg->leg, address->sa.sa_family);

                if (a && socket_address_equal(a, address))
                        return leg;
        }
        return NULL;
}

int relays_prepare(Manager *m, const IceServerConfig *config, IceServer *server)
{
        _cleanup_free_ char *text = NULL;
        int r;

        server->number = number_of(m, config);
        if (config->kind != ICE_SERVER_TURN_TLS)
                return 0;
        r = relay_leg_new(m, config, server);
        if (r >= 0)
                return 0;
        text = asprintf_safe("TLS cannot be set up%s%s: %s", m->config->turn_ca_file ? " with " : "",
                             strempty(m->config->turn_ca_file),
                             r == -EBADMSG ? "there is no certificate in it" : strerror(-r));
        set_status(m, server->number, RELAY_STATE_CERTIFICATE_REFUSED, text);
        return r;
}

static bool any_has_family(const SocketAddress *addresses, size_t n, int family)
{
        for (size_t i = 0; i < n; i++)
                if (addresses[i].sa.sa_family == family)
                        return true;
        return false;
}

bool relays_adapt(const Manager *m, const SocketAddress *addresses, size_t n, IceServer *server)
{
        const SocketAddress *a = NULL;
        const RelayLeg *leg;

        if (server->kind != ICE_SERVER_TURN_TLS)
                return true;
        leg = find_leg(m, &server->leg);
        if (leg && any_has_family(addresses, n, AF_INET))
                a = tls_leg_address(leg->leg, AF_INET);
        if (leg && !a && any_has_family(addresses, n, AF_INET6))
                a = tls_leg_address(leg->leg, AF_INET6);
        if (!a)
                return false;
        server->leg = *a;
        return true;
}

/* ---- credentials ---- */

int relays_credentials(const Manager *m, char **ret_username, char **ret_password, usec_t *ret_expires)
{
        const Config *c = m->config;
        _cleanup_free_ char *username = NULL;
        usec_t expires = usec_add(now(CLOCK_REALTIME), CREDENTIALS_LIFETIME);
        char *password;

        if (c->turn_secret) {
                *ret_expires = expires;
                return turn_credentials_make(c->turn_secret, c->turn_user, expires, ret_username,
                                             ret_password);
        }
        if (!c->turn_user || !c->turn_password)
                return -ENOENT;
        username = strdup(c->turn_user);
        password = username ? strdup(c->turn_password) : NULL;
        if (!password)
                return -ENOMEM;
        *ret_username = TAKE_PTR(username);
        *ret_password = password;
        *ret_expires = USEC_INFINITY;
        return 0;
}

bool relays_have(const Manager *m, IceServerKind kind, const SocketAddress *address, unsigned generation)
{
        if (generation != m->relay_generation)
                return false;
        for (size_t i = 0; i < m->n_ice_servers; i++)
                if (m->ice_servers[i].kind == kind &&
                    socket_address_equal(&m->ice_servers[i].address, address))
                        return true;
        return false;
}

/* ---- questions ---- */

static void question_free(RelayQuestion *q)
{
        DL_DELETE(q->manager->relay_questions, q);
        turn_probe_free(q->probe);
        free(q->text);
        free(q);
}

static void forget_questions(Manager *m)
{
        while (m->relay_questions)
                question_free(m->relay_questions);
}

bool relays_are_busy(const Manager *m)
{
        for (const RelayQuestion *q = m->relay_questions; q; q = q->next)
                if (q->probe)
                        return true;
        return false;
}

static void answer(RelayQuestion *q, int error, const char *reason)
{
        q->state = error == 0         ? RELAY_STATE_OK
                   : error == -EACCES ? RELAY_STATE_CREDENTIALS_REFUSED
                   : error == -EDQUOT ? RELAY_STATE_REFUSED
                   : error == -EPROTO ? RELAY_STATE_REFUSED
                                      : RELAY_STATE_UNREACHABLE;
        (void) free_and_strdup(&q->text, reason);
}

/* A leg that could not be made has told why, and its user only sees that the connection ends. */
static bool leg_has_told(const Manager *m, const RelayQuestion *q)
{
        const RelayStatus *s = m->relays + q->number;

        return s->kind == ICE_SERVER_TURN_TLS && q->state == RELAY_STATE_UNREACHABLE &&
               s->state != RELAY_STATE_OK && s->text && s->since >= m->relays_asked;
}

/* Of a server with several addresses one that works is enough. */
static void conclude(Manager *m, size_t number)
{
        const RelayQuestion *best = NULL;

        for (const RelayQuestion *q = m->relay_questions; q; q = q->next)
                if (q->number == number && (!best || q->state == RELAY_STATE_OK))
                        best = q;
        if (best && !leg_has_told(m, best))
                set_status(m, number, best->state, best->text);
}

static void consider_conclusion(Manager *m)
{
        if (relays_are_busy(m))
                return;
        for (size_t i = 0; i < m->n_relays; i++)
                conclude(m, i);
        forget_questions(m);
}

static void on_probe(TurnProbe *probe, int error, const char *reason, void *userdata)
{
        RelayQuestion *q = userdata;

        answer(q, error, reason); /* the reason is the probe's */
        q->probe = turn_probe_free(q->probe);
        consider_conclusion(q->manager);
}

static void ask(Manager *m, const IceServer *server, const char *username, const char *password)
{
        bool udp = server->kind == ICE_SERVER_TURN_UDP, tls = server->kind == ICE_SERVER_TURN_TLS;
        RelayQuestion *q = new0(RelayQuestion, 1);
        int r;

        if (!q)
                return;
        q->manager = m;
        q->number = server->number;
        DL_APPEND(m->relay_questions, q);
        r = turn_probe_new(m->event, udp ? SOCK_DGRAM : SOCK_STREAM, tls ? &server->leg : &server->address,
                           username, password, on_probe, q, &q->probe);
        if (r < 0)
                answer(q, r, strerror(-r));
}

void relays_ask(Manager *m)
{
        _cleanup_free_ char *username = NULL;
        _cleanup_erase_free_ char *password = NULL;
        usec_t expires;
        int r;

        if (m->relay_questions)
                return;
        r = relays_credentials(m, &username, &password, &expires);
        if (r < 0)
                return;
        m->relays_asked = now(CLOCK_BOOTTIME);
        for (size_t i = 0; i < m->n_ice_servers; i++)
                if (m->ice_servers[i].kind != ICE_SERVER_STUN)
                        ask(m, m->ice_servers + i, username, password);
        consider_conclusion(m);
}

static bool any_is_unknown(const Manager *m)
{
        for (size_t i = 0; i < m->n_relays; i++)
                if (m->relays[i].state == RELAY_STATE_UNKNOWN)
                        return true;
        return false;
}

void relays_consider(Manager *m, bool got_one)
{
        usec_t t = now(CLOCK_BOOTTIME);

        if (got_one && !any_is_unknown(m))
                return;
        if (m->relays_asked == 0 || usec_sub(t, m->relays_asked) >= ASK_INTERVAL)
                relays_ask(m);
}

/* ---- life ---- */

int relays_configure(Manager *m)
{
        const Config *c = m->config;
        int r = 0;

        forget_questions(m);
        retire_legs(m);
        clear_statuses(m);
        m->relays_asked = 0;
        m->relays = new0(RelayStatus, c->n_ice_servers + 1);
        if (!m->relays)
                return -ENOMEM;
        for (size_t i = 0; i < c->n_ice_servers && r >= 0; i++)
                if (c->ice_servers[i].kind != ICE_SERVER_STUN)
                        r = add_status(m, &c->ice_servers[i]);
        return r;
}

void relays_free(Manager *m)
{
        forget_questions(m);
        while (m->relay_legs)
                relay_leg_free(m->relay_legs);
        clear_statuses(m);
}

void relays_unresolved(Manager *m, const IceServerConfig *config, int error)
{
        if (config->kind != ICE_SERVER_STUN)
                set_status(m, number_of(m, config), RELAY_STATE_UNREACHABLE,
                           error == -ESRCH ? "there is no such name" : "its name could not be resolved");
}
