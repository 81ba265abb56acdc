/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The TURN servers of a configuration, against a real one. */

#include "turnserver.h"

#include "alloc-util.h"
#include "event-util.h"
#include "relays.h"
#include "session.h"
#include "string-util.h"
#include "uptime.h"

static sd_event *event;
static Manager *manager;

static Config *config(const char *servers)
{
        _cleanup_free_ char *text = asprintf_safe("[ICE]\nTURNServers=%s\nTURNUser=user\nTURNCAFile=%s\n",
                                                  servers, SANDBOX_DIR "/ca.pem");
        Config *c;

        cr_assert_geq(config_parse("test", text, strlen(text), &c, NULL), 0);
        c->turn_password = strdup("secret");
        return c;
}

static void set_up(void)
{
        sandbox_enter();
        turnserver_make_certificate();
        sandbox_replace("/etc/hosts", "127.0.0.1 " TURN_NAME " other.test\n");
        cr_assert_geq(sd_event_new(&event), 0);
}

static void tear_down(void)
{
        manager = manager_free(manager);
        event = sd_event_unref(event);
}

TestSuite(relays, .init = set_up, .fini = tear_down);

static void start(Config *c)
{
        cr_assert_geq(manager_new(event, c, &manager), 0);
        cr_assert_geq(manager_start(manager), 0);
        RUN_UNTIL(event, !manager->lookups);
}

static void ask(void)
{
        relays_ask(manager);
        RUN_UNTIL(event, !relays_are_busy(manager));
}

static void expect(size_t i, const char *name, RelayState state, const char *text)
{
        const RelayStatus *s = manager->relays + i;

        cr_assert_lt(i, manager->n_relays);
        cr_assert_str_eq(s->name, name);
        cr_assert_str_eq(relay_state_to_string(s->state), relay_state_to_string(state), "%s: %s", name,
                         strna(s->text));
        if (text)
                cr_assert(s->text && strstr(s->text, text), "\"%s\" is not about \"%s\"", strna(s->text),
                          text);
        else
                cr_assert_null(s->text);
}

Test(relays, each_has_its_status)
{
        pid_t pid = turnserver_start_with(&(TurnserverOptions) { .tls = true });

        start(config("turn:127.0.0.1 turn:127.0.0.1:3478?transport=tcp turns:" TURN_NAME " turns:other.test "
                     "turn:[::1]:9 turn:127.0.0.1:9?transport=tcp turn:nowhere.test"));
        cr_assert_eq(manager->n_relays, 7);
        expect(0, "127.0.0.1:3478", RELAY_STATE_UNKNOWN, NULL);
        ask();
        expect(0, "127.0.0.1:3478", RELAY_STATE_OK, NULL);
        expect(1, "127.0.0.1:3478", RELAY_STATE_OK, NULL);
        expect(2, TURN_NAME ":5349", RELAY_STATE_OK, NULL);
        expect(3, "other.test:5349", RELAY_STATE_CERTIFICATE_REFUSED, "hostname mismatch");
        expect(4, "[::1]:9", RELAY_STATE_UNREACHABLE, "refused");
        expect(5, "127.0.0.1:9", RELAY_STATE_UNREACHABLE, "refused");
        expect(6, "nowhere.test:3478", RELAY_STATE_UNREACHABLE, "name");
        cr_assert_eq(relay_status_best(manager->relays, manager->n_relays), manager->relays);
        cr_assert_eq(relay_status_best(manager->relays + 3, 4), manager->relays + 3);
        cr_assert_null(relay_status_best(NULL, 0));
        turnserver_stop(pid);
}

Test(relays, credentials_that_are_refused)
{
        pid_t pid = turnserver_start();
        Config *c = config("turn:127.0.0.1");

        *c->turn_password = 'S';
        start(c);
        ask();
        expect(0, "127.0.0.1:3478", RELAY_STATE_CREDENTIALS_REFUSED, "password");

        /* They are right again, and nothing is known before it is asked. */
        manager_reload(manager, config("turn:127.0.0.1"));
        expect(0, "127.0.0.1:3478", RELAY_STATE_UNKNOWN, NULL);
        ask();
        expect(0, "127.0.0.1:3478", RELAY_STATE_OK, NULL);
        turnserver_stop(pid);
        ask();
        expect(0, "127.0.0.1:3478", RELAY_STATE_UNREACHABLE, "refused");
}

Test(relays, a_secret_makes_credentials)
{
        pid_t pid = turnserver_start_with(&(TurnserverOptions) { .secret = "shared" });
        _cleanup_free_ char *user = NULL;
        _cleanup_erase_free_ char *password = NULL;
        usec_t expires, t = now(CLOCK_REALTIME);
        Config *c = config("turn:127.0.0.1");

        c->turn_secret = strdup("shared");
        start(c);
        ask();
        expect(0, "127.0.0.1:3478", RELAY_STATE_OK, NULL);
        cr_assert_geq(relays_credentials(manager, &user, &password, &expires), 0);
        cr_assert_geq(expires, t + 23 * USEC_PER_HOUR);
        cr_assert_leq(expires, now(CLOCK_REALTIME) + 25 * USEC_PER_HOUR);
        cr_assert_str_eq(strchr(user, ':'), ":user");
        turnserver_stop(pid);
}

Test(relays, a_certificate_file_that_cannot_be_used)
{
        Config *c = config("turns:" TURN_NAME);

        sandbox_write("ca.pem", "this is no certificate\n");
        start(c);
        expect(0, TURN_NAME ":5349", RELAY_STATE_CERTIFICATE_REFUSED, "no certificate");
        cr_assert_eq(manager->n_ice_servers, 0);
}

/* Sessions without a relay make us ask, but not all the time; and those that have one, once. */
Test(relays, are_asked_when_there_is_a_question)
{
        pid_t pid = turnserver_start();
        usec_t asked;

        start(config("turn:127.0.0.1"));
        relays_consider(manager, /* got_one= */ true);
        RUN_UNTIL(event, !relays_are_busy(manager));
        expect(0, "127.0.0.1:3478", RELAY_STATE_OK, NULL);
        asked = manager->relays_asked;
        relays_consider(manager, /* got_one= */ false);
        cr_assert_not(relays_are_busy(manager));

        manager->relays_asked -= USEC_PER_MINUTE;
        relays_consider(manager, /* got_one= */ true);
        cr_assert_not(relays_are_busy(manager));
        relays_consider(manager, /* got_one= */ false);
        cr_assert(relays_are_busy(manager));
        RUN_UNTIL(event, !relays_are_busy(manager));
        cr_assert_gt(manager->relays_asked, asked);
        turnserver_stop(pid);
}

/* What an agent is told to connect to has the family of an address that it may bind to. */
Test(relays, legs_suit_the_host)
{
        SocketAddress four = address("192.0.2.1:0"), six = address("[2001:db8::1]:0"), both[2];
        IceServer server, original;

        start(config("turns:" TURN_NAME));
        cr_assert_eq(manager->n_ice_servers, 1);
        original = server = manager->ice_servers[0];
        cr_assert_eq(server.kind, ICE_SERVER_TURN_TLS);
        cr_assert_eq(socket_address_port(&server.address), 5349);
        cr_assert(relays_adapt(manager, &four, 1, &server));
        cr_assert(socket_address_is_loopback(&server.leg) && server.leg.sa.sa_family == AF_INET);
        cr_assert(relays_adapt(manager, &six, 1, &server));
        cr_assert(socket_address_is_loopback(&server.leg) && server.leg.sa.sa_family == AF_INET6);
        both[0] = six;
        both[1] = four;
        cr_assert(relays_adapt(manager, both, 2, &server));
        cr_assert_eq(server.leg.sa.sa_family, AF_INET);
        cr_assert_not(relays_adapt(manager, NULL, 0, &server));

        /* One of a configuration that has gone is no longer there for new sessions. */
        manager_reload(manager, config("turns:" TURN_NAME));
        RUN_UNTIL(event, !manager->lookups);
        cr_assert_not(relays_adapt(manager, &four, 1, &original));
        server = manager->ice_servers[0];
        cr_assert(relays_adapt(manager, &four, 1, &server));
}

Test(relays, are_ours_as_long_as_they_are_configured)
{
        SocketAddress a = address(TURN_ADDRESS), b = address("127.0.0.1:9");
        Config *c;

        start(config("turn:127.0.0.1"));
        cr_assert(relays_have(manager, ICE_SERVER_TURN_UDP, &a, manager->relay_generation));
        cr_assert_not(relays_have(manager, ICE_SERVER_TURN_TCP, &a, manager->relay_generation));
        cr_assert_not(relays_have(manager, ICE_SERVER_TURN_UDP, &b, manager->relay_generation));
        manager_reload(manager, config("turn:127.0.0.1 turn:127.0.0.1:9"));
        cr_assert(relays_have(manager, ICE_SERVER_TURN_UDP, &a, 0));
        c = config("turn:127.0.0.1");
        *c->turn_password = 'S';
        manager_reload(manager, c);
        cr_assert_not(relays_have(manager, ICE_SERVER_TURN_UDP, &a, 0));
        cr_assert(relays_have(manager, ICE_SERVER_TURN_UDP, &a, manager->relay_generation));
}
