/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The real server and real clients on one loop, around a model that a fake broker fills. */

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent-varlink.h"
#include "event-util.h"
#include "host-network.h"
#include "json.h"
#include "nobody.h"
#include "one-link.h"
#include "oneway.h"
#include "sandbox.h"
#include "string-util.h"
#include "turnserver.h"
#include "uptime.h"
#include "varlink-agent.h"
#include "varlink-service.h"
#include "varlink-util.h"

typedef struct Client {
        sd_varlink *link;
        sd_json_variant *replies[128]; /* references */
        size_t n;
        char *error;
        bool finished; /* that was the last reply */
        bool counts;   /* `n` is of peers, and no reply is kept */
} Client;

static SystemBus *system_bus; /* there is none: nobody but root and we ourselves may change anything */
static Authority *authority;
static AgentVarlink *server;
static char socket_path[] = "/tmp/icewire-test-XXXXXX";

static void set_up(void)
{
        int fd;

        one_link_set_up();
        fd = mkstemp(socket_path);
        cr_assert_geq(fd, 0);
        close(fd);
        cr_assert_eq(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", true), 0);
        cr_assert_geq(system_bus_new(event, "test", &system_bus), 0);
        cr_assert_eq(authority_new(system_bus, &authority), 0);
        cr_assert_geq(agent_varlink_new(event, verbs, authority, socket_path, &server), 0);
        while (sd_event_run(event, 0) > 0)
                ; /* what the model has to tell of its first link is told */
}

static void tear_down(void)
{
        server = agent_varlink_free(server);
        authority = authority_free(authority);
        system_bus = system_bus_free(system_bus);
        one_link_tear_down();
        unlink(socket_path);
}

TestSuite(agent_varlink, .init = set_up, .fini = tear_down, .timeout = 60);

/* Clients */

static int on_counted(Client *c, sd_json_variant *parameters)
{
        sd_json_variant *event_name = sd_json_variant_by_key(parameters, "event");

        c->n += sd_json_variant_elements(sd_json_variant_by_key(parameters, "peers"));
        c->n += sd_json_variant_by_key(parameters, "peer") != NULL;
        if (event_name && streq(sd_json_variant_string(event_name), "ready"))
                c->finished = true;
        return 0;
}

static int on_reply(sd_varlink *link, sd_json_variant *parameters, const char *error,
                    sd_varlink_reply_flags_t flags, void *userdata)
{
        Client *c = userdata;

        if (error) {
                free(c->error);
                c->error = strdup(error);
        }
        c->finished = !(flags & SD_VARLINK_REPLY_CONTINUES);
        if (c->counts)
                return on_counted(c, parameters);
        cr_assert_lt(c->n, ELEMENTSOF(c->replies));
        c->replies[c->n++] = sd_json_variant_ref(parameters);
        return 0;
}

static void client_open(Client *c)
{
        *c = (Client) {};
        cr_assert_geq(sd_varlink_connect_address(&c->link, socket_path), 0);
        sd_varlink_set_userdata(c->link, c);
        cr_assert_geq(sd_varlink_bind_reply(c->link, on_reply), 0);
        cr_assert_geq(sd_varlink_attach_event(c->link, event, SD_EVENT_PRIORITY_NORMAL), 0);
}

static void client_close(Client *c)
{
        for (size_t i = 0; i < c->n; i++)
                sd_json_variant_unref(c->replies[i]);
        free(c->error);
        sd_varlink_close_unref(c->link);
        *c = (Client) {};
}

static void wait_for_replies(Client *c, size_t n)
{
        RUN_UNTIL(event, c->n >= n);
}

static void call(Client *c, const char *method, const char *parameters)
{
        _cleanup_json_ sd_json_variant *v = NULL;

        if (parameters)
                cr_assert_geq(sd_json_parse(parameters, 0, &v, NULL, NULL), 0);
        cr_assert_geq(sd_varlink_invoke(c->link, method, v), 0);
}

/* Asks and returns the reply; the broker answers at once. */
static sd_json_variant *ask(Client *c, const char *method, const char *parameters)
{
        size_t n = c->n;

        call(c, method, parameters);
        RUN_UNTIL(event, ({
                          answer_reads(0);
                          c->n > n;
                  }));
        return c->replies[n];
}

static void expect_error(const char *method, const char *parameters, const char *error)
{
        Client c;

        client_open(&c);
        ask(&c, method, parameters);
        cr_assert_str_eq(c.error, error);
        client_close(&c);
}

/* Reading */

Test(agent_varlink, describe)
{
        sd_json_variant *v;
        Client c;

        client_open(&c);
        v = ask(&c, "org.icewire.Agent.Describe", NULL);
        cr_assert_str_eq(string_at(v, "broker"), "connecting");
        cr_assert_eq(sd_json_variant_elements(at(v, "rendezvous")), 0);
        client_close(&c);
}

Test(agent_varlink, list_links)
{
        sd_json_variant *v;
        Client c;

        client_open(&c);
        v = sd_json_variant_by_index(at(ask(&c, "org.icewire.Agent.ListLinks", NULL), "links"), 0);
        cr_assert_str_eq(string_at(v, "name"), "wg0");
        cr_assert_str_eq(string_at(v, "kind"), "kernel");
        cr_assert_str_eq(string_at(v, "publicKey"), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=");
        cr_assert_eq(number_at(v, "ifindex"), 7);
        cr_assert_eq(number_at(v, "listenPort"), 51820);
        cr_assert_eq(number_at(v, "peers"), 2);
        cr_assert_eq(number_at(v, "connected"), 0);
        client_close(&c);
}

#define KEY_1 "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_2 "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define KEY_3 "AwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

Test(agent_varlink, list_peers_reads_counters_anew)
{
        sd_json_variant *v;
        Client c;

        client_open(&c);
        device->peers[0].rx_bytes = 1234567890123;
        device->peers[0].last_handshake = 42 * USEC_PER_SEC;
        v = at(ask(&c, "org.icewire.Agent.ListPeers", "{\"link\":\"wg0\",\"peer\":\"" KEY_2 "\"}"), "peers");
        cr_assert_eq(sd_json_variant_elements(v), 1);
        v = sd_json_variant_by_index(v, 0);
        cr_assert_str_eq(string_at(v, "publicKey"), KEY_2);
        cr_assert_str_eq(string_at(v, "endpoint"), "192.0.2.7:7");
        cr_assert_eq(number_at(v, "rxBytes"), 1234567890123);
        cr_assert_eq(number_at(v, "lastHandshakeUSec"), 42 * USEC_PER_SEC);
        cr_assert_not_null(at(v, "reasonText"));
        cr_assert_eq(number_at(at(v, "counters"), "sessions"), 0);
        client_close(&c);
}

Test(agent_varlink, who_lists_peers_at_once_shares_a_reading)
{
        Client a, b;

        client_open(&a);
        client_open(&b);
        n_reads = 0;
        call(&a, "org.icewire.Agent.ListPeers", NULL);
        call(&b, "org.icewire.Agent.ListPeers", "{\"peer\":\"" KEY_1 "\"}");
        run_pending(event);
        cr_assert_eq(a.n + b.n, 0);
        cr_assert_eq(n_reads, 1);
        answer_reads(0);
        wait_for_replies(&a, 1);
        wait_for_replies(&b, 1);
        cr_assert_eq(sd_json_variant_elements(at(a.replies[0], "peers")), 2);
        cr_assert_eq(sd_json_variant_elements(at(b.replies[0], "peers")), 1);
        client_close(&a);
        client_close(&b);
}

Test(agent_varlink, who_goes_while_waiting_is_forgotten)
{
        Client a, b;

        client_open(&a);
        client_open(&b);
        call(&a, "org.icewire.Agent.ListPeers", NULL);
        call(&b, "org.icewire.Agent.ListPeers", NULL);
        run_pending(event);
        client_close(&a);
        run_pending(event);
        answer_reads(0);
        wait_for_replies(&b, 1);
        client_close(&b);
}

Test(agent_varlink, lists_what_is_known_if_the_broker_is_lost)
{
        Client c;

        client_open(&c);
        call(&c, "org.icewire.Agent.ListPeers", NULL);
        run_pending(event);
        answer_reads(-ECONNRESET);
        wait_for_replies(&c, 1);
        cr_assert_eq(sd_json_variant_elements(at(c.replies[0], "peers")), 2);
        broker.connected = false;
        ask(&c, "org.icewire.Agent.ListPeers", NULL);
        cr_assert_eq(sd_json_variant_elements(at(c.replies[1], "peers")), 2);
        client_close(&c);
}

Test(agent_varlink, does_not_wait_for_a_broker_that_hangs)
{
        Client c;

        client_open(&c);
        call(&c, "org.icewire.Agent.ListPeers", NULL);
        wait_for_replies(&c, 1);
        cr_assert_eq(sd_json_variant_elements(at(c.replies[0], "peers")), 2);
        cr_assert_null(calls);
        client_close(&c);
}

Test(agent_varlink, the_server_goes_while_somebody_waits)
{
        Client c;

        client_open(&c);
        call(&c, "org.icewire.Agent.ListPeers", NULL);
        run_pending(event);
        server = agent_varlink_free(server);
        run_pending(event);
        cr_assert_str_eq(c.error, SD_VARLINK_ERROR_DISCONNECTED);
        answer_reads(0); /* for nobody any more */
        client_close(&c);
}

Test(agent_varlink, errors)
{
        expect_error("org.icewire.Agent.ListPeers", "{\"link\":\"wg1\"}", AGENT_ERROR_NO_SUCH_LINK);
        expect_error("org.icewire.Agent.ListPeers", "{\"peer\":\"" KEY_3 "\"}", AGENT_ERROR_NO_SUCH_PEER);
        expect_error("org.icewire.Agent.ListPeers", "{\"peer\":\"short\"}",
                     SD_VARLINK_ERROR_INVALID_PARAMETER);
        expect_error("org.icewire.Agent.ListPeers", "{\"links\":\"wg0\"}",
                     SD_VARLINK_ERROR_INVALID_PARAMETER);
        expect_error("org.icewire.Agent.Reconnect", "{\"link\":\"wg1\"}", AGENT_ERROR_NO_SUCH_LINK);
        expect_error("org.icewire.Agent.Reconnect", "{\"peer\":\"" KEY_3 "\"}", AGENT_ERROR_NO_SUCH_PEER);
        expect_error("org.icewire.Agent.Watch", NULL, SD_VARLINK_ERROR_EXPECTED_MORE);
}

static void expect_numbers(Client *c, const char *method, const char *parameters, const char *numbers)
{
        sd_json_variant *peers = at(ask(c, method, parameters), "peers");
        char found[16] = "";

        for (size_t i = 0; i < sd_json_variant_elements(peers); i++) {
                sd_json_variant *v = sd_json_variant_by_index(peers, i);
                sd_json_variant *peer = sd_json_variant_by_key(v, "peer") ?: v;
                WireguardKey key;

                cr_assert_eq(wireguard_key_from_base64(string_at(peer, "publicKey"), &key), 0);
                (void) sprintf(found + strlen(found), "%u", key.bytes[0]);
        }
        cr_assert_str_eq(found, numbers, "%s: %s", method, parameters);
}

Test(agent_varlink, filters)
{
        static const char *const methods[] = { "org.icewire.Agent.ListPeers",
                                               "org.icewire.Agent.DescribePeers" };
        Client c;

        client_open(&c);
        for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
                expect_numbers(&c, methods[i], "{}", "21");
                expect_numbers(&c, methods[i], "{\"path\":\"none\"}", "21");
                link_find_peer(manager->links, &(WireguardKey) { .bytes = { 1 } })->path.kind = PATH_RELAYED;
                expect_numbers(&c, methods[i], "{\"path\":\"none\"}", "2");
                expect_numbers(&c, methods[i], "{\"link\":\"wg0\",\"path\":\"relayed\"}", "1");
                expect_numbers(&c, methods[i], "{\"peer\":\"" KEY_2 "\",\"path\":\"relayed\"}", "");
                expect_numbers(&c, methods[i], "{\"state\":\"connected\"}", "");
                expect_numbers(&c, methods[i], "{\"state\":\"waiting\",\"path\":null}", "21");
                link_find_peer(manager->links, &(WireguardKey) { .bytes = { 1 } })->path.kind = PATH_NONE;
                expect_error(methods[i], "{\"state\":\"happy\"}", SD_VARLINK_ERROR_INVALID_PARAMETER);
                expect_error(methods[i], "{\"path\":7}", SD_VARLINK_ERROR_INVALID_PARAMETER);
                expect_error(methods[i], "{\"link\":\"wg1\",\"state\":\"waiting\"}",
                             AGENT_ERROR_NO_SUCH_LINK);
        }
        client_close(&c);
}

/* With 'more' there is one in each reply, and the last one says that it is. */
static void observe_peers(Client *c, const char *method, const char *parameters, size_t n)
{
        _cleanup_json_ sd_json_variant *v = NULL;

        client_open(c);
        cr_assert_geq(sd_json_parse(parameters, 0, &v, NULL, NULL), 0);
        cr_assert_geq(sd_varlink_observe(c->link, method, v), 0);
        RUN_UNTIL(event, ({
                          answer_reads(0);
                          c->finished;
                  }));
        cr_assert_null(c->error);
        cr_assert_eq(c->n, n);
}

Test(agent_varlink, peers_one_by_one)
{
        static const char *const methods[] = { "org.icewire.Agent.ListPeers",
                                               "org.icewire.Agent.DescribePeers",
                                               "org.icewire.Agent.GetHistory" };
        Client c;

        for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
                observe_peers(&c, methods[i], "{}", 2);
                for (size_t k = 0; k < 2; k++)
                        cr_assert_eq(sd_json_variant_elements(at(c.replies[k], "peers")), 1);
                client_close(&c);
        }
        observe_peers(&c, "org.icewire.Agent.ListPeers", "{\"state\":\"failed\"}", 1);
        cr_assert_eq(sd_json_variant_elements(at(c.replies[0], "peers")), 0);
        client_close(&c);
}

/* Diagnosing: what is found out is test-diagnosis's business */

Test(agent_varlink, who_diagnoses_at_once_shares_the_answer)
{
        Client a, b, gone;

        client_open(&a);
        client_open(&b);
        client_open(&gone);
        call(&a, "org.icewire.Agent.Diagnose", NULL);
        call(&b, "org.icewire.Agent.Diagnose", NULL);
        call(&gone, "org.icewire.Agent.Diagnose", NULL);
        client_close(&gone);
        wait_for_replies(&a, 1);
        wait_for_replies(&b, 1);
        cr_assert_null(a.error);
        cr_assert_str_eq(string_at(a.replies[0], "broker"), "connecting");
        cr_assert_eq(sd_json_variant_elements(at(b.replies[0], "mappings")), 0);
        client_close(&a);
        client_close(&b);
        expect_error("org.icewire.Agent.Diagnose", "{\"link\":\"wg0\"}", SD_VARLINK_ERROR_INVALID_PARAMETER);
}

static void observe(Client *c, const char *method)
{
        client_open(c);
        cr_assert_geq(sd_varlink_observe(c->link, method, NULL), 0);
}

/* With 'more' each reply has all that is known by then. */
Test(agent_varlink, diagnosis_in_progress)
{
        SocketAddress local = address("127.0.0.1:0"), from;
        int stun = udp_socket("127.0.0.1:0");
        uint8_t request[128];
        Client c;

        manager->ice_servers = new0(IceServer, 1);
        manager->n_ice_servers = 1;
        manager->ice_servers[0] = (IceServer) { .kind = ICE_SERVER_STUN, .address = local_address(stun) };
        manager_set_addresses(manager, &local, 1);
        observe(&c, "org.icewire.Agent.Diagnose");
        RUN_UNTIL(event, c.n > 0 && poll(&(struct pollfd) { .fd = stun, .events = POLLIN }, 1, 0) == 1);
        cr_assert_not(c.finished);
        cr_assert_gt(number_at(c.replies[0], "pending"), 0);
        cr_assert_str_eq(string_at(c.replies[0], "broker"), "connecting");
        cr_assert_eq(sd_json_variant_elements(at(c.replies[0], "mappings")), 1);
        cr_assert_gt(stun_receive(stun, request, sizeof(request), &from), 0);
        stun_answer(stun, request, &from, &from);
        RUN_UNTIL(event, c.finished);
        cr_assert_null(c.error);
        cr_assert_eq(number_at(c.replies[c.n - 1], "pending"), 0);
        cr_assert_str_eq(string_at(sd_json_variant_by_index(at(c.replies[c.n - 1], "mappings"), 0), "kind"),
                         "none");
        client_close(&c);
        close(stun);
}

/* Watching */

static void watch(Client *c)
{
        observe(c, "org.icewire.Agent.Watch");
}

static void expect_event(sd_json_variant *v, const char *event_name, const char *object)
{
        cr_assert_str_eq(string_at(v, "event"), event_name);
        if (object)
                at(v, object);
}

Test(agent_varlink, watch_tells_what_is_then_what_changes)
{
        Client c;

        watch(&c);
        wait_for_replies(&c, 4);
        expect_event(c.replies[0], "link_changed", "link");
        expect_event(c.replies[1], "peer_changed", "peer");
        expect_event(c.replies[2], "peer_changed", "peer");
        expect_event(c.replies[3], "ready", NULL);

        add_peer(3);
        broker.callbacks->link_changed(&broker, device, manager);
        wait_for_replies(&c, 6);
        expect_event(c.replies[4], "link_changed", "link");
        cr_assert_eq(number_at(at(c.replies[4], "link"), "peers"), 3);
        expect_event(c.replies[5], "peer_changed", "peer");
        cr_assert_str_eq(string_at(at(c.replies[5], "peer"), "publicKey"), KEY_3);

        broker.callbacks->link_removed(&broker, "wg0", manager);
        wait_for_replies(&c, 10);
        expect_event(c.replies[6], "peer_removed", "peer");
        expect_event(c.replies[9], "link_removed", "link");
        cr_assert_null(c.error);
        client_close(&c);
}

Test(agent_varlink, a_watcher_hears_how_many_peers_are_connected)
{
        Client c;

        watch(&c);
        wait_for_replies(&c, 4);
        cr_assert_eq(number_at(at(c.replies[0], "link"), "connected"), 0);
        device->peers[0].last_handshake = now(CLOCK_REALTIME);
        broker.callbacks->link_changed(&broker, device, manager);
        wait_for_replies(&c, 6);
        expect_event(c.replies[4], "link_changed", "link");
        cr_assert_eq(number_at(at(c.replies[4], "link"), "connected"), 1);
        expect_event(c.replies[5], "peer_changed", "peer");
        cr_assert_str_eq(string_at(at(c.replies[5], "peer"), "state"), "connected");
        client_close(&c);
}

Test(agent_varlink, a_watcher_that_goes_is_forgotten)
{
        Client a, b;

        watch(&a);
        watch(&b);
        wait_for_replies(&a, 4);
        wait_for_replies(&b, 4);
        client_close(&a);
        run_pending(event);
        broker.callbacks->link_removed(&broker, "wg0", manager);
        wait_for_replies(&b, 7);
        client_close(&b);
}

/* Metrics: what there is to measure is test-metrics' business */

Test(agent_varlink, metrics)
{
        Client c;

        expect_error("io.systemd.Metrics.List", NULL, SD_VARLINK_ERROR_EXPECTED_MORE);
        expect_error("io.systemd.Metrics.Describe", NULL, SD_VARLINK_ERROR_EXPECTED_MORE);
        observe(&c, "io.systemd.Metrics.Describe");
        RUN_UNTIL(event, c.finished);
        cr_assert_null(c.error);
        cr_assert_gt(c.n, 10);
        cr_assert_not_null(startswith(string_at(c.replies[0], "name"), "org.icewire.Agent."));
        client_close(&c);
}

/* With counters of now, and one in each reply. */
Test(agent_varlink, metrics_are_fresh)
{
        unsigned before = n_reads;
        bool found = false;
        Client c;

        device->peers[0].rx_bytes = 4711;
        observe(&c, "io.systemd.Metrics.List");
        RUN_UNTIL(event, ({
                          answer_reads(0);
                          c.finished;
                  }));
        cr_assert_null(c.error);
        cr_assert_eq(n_reads, before + 1);
        for (size_t i = 0; i < c.n; i++)
                if (streq(string_at(c.replies[i], "name"), "org.icewire.Agent.PeerReceivedBytes") &&
                    streq(string_at(c.replies[i], "object"), KEY_2)) {
                        cr_assert_eq(number_at(c.replies[i], "value"), 4711);
                        cr_assert_str_eq(string_at(at(c.replies[i], "fields"), "link"), "wg0");
                        found = true;
                }
        cr_assert(found);
        client_close(&c);
}

/* Many peers */

#define MANY 1000

static void add_many_peers(void)
{
        for (unsigned i = 0; i < MANY; i++) {
                WireguardKey key = { .bytes = { 7, (uint8_t) (i >> 8), (uint8_t) i } };
                WireguardPeer *peer;

                cr_assert_eq(wireguard_device_add_peer(device, &key, &peer), 0);
        }
        broker.callbacks->link_changed(&broker, device, manager);
        run_pending(event);
}

static size_t count_peers(const char *method, bool more)
{
        Client c;
        size_t n;

        client_open(&c);
        c.counts = true;
        cr_assert_geq((more ? sd_varlink_observe : sd_varlink_invoke)(c.link, method, NULL), 0);
        RUN_UNTIL(event, ({
                          answer_reads(0);
                          c.finished;
                  }));
        n = c.n;
        c.n = 0;
        client_close(&c);
        return n;
}

Test(agent_varlink, many_peers)
{
        add_many_peers();
        cr_assert_eq(count_peers("org.icewire.Agent.ListPeers", false), MANY + 2);
        cr_assert_eq(count_peers("org.icewire.Agent.ListPeers", true), MANY + 2);
        cr_assert_eq(count_peers("org.icewire.Agent.DescribePeers", true), MANY + 2);
        cr_assert_eq(count_peers("org.icewire.Agent.Watch", true), MANY + 2);
}

/* A client that asks and never reads. */
static int connect_deaf(const char *call)
{
        struct sockaddr_un sun = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        strcpy(sun.sun_path, socket_path);
        cr_assert_geq(fd, 0);
        cr_assert_eq(connect(fd, (struct sockaddr *) &sun, sizeof(sun)), 0);
        cr_assert_eq(write(fd, call, strlen(call) + 1), (ssize_t) strlen(call) + 1);
        return fd;
}

static bool is_hung_up(int fd)
{
        struct pollfd p = { .fd = fd };

        return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

/* Who does not read what it watches is let go, and the others hear on. */
Test(agent_varlink, a_watcher_that_does_not_read)
{
        int deaf = connect_deaf("{\"method\":\"org.icewire.Agent.Watch\",\"more\":true}");
        Client c;

        add_many_peers();
        watch(&c);
        c.counts = true;
        RUN_UNTIL(event, c.finished);
        cr_assert_not(is_hung_up(deaf));
        while (!is_hung_up(deaf)) {
                for (Peer *peer = manager->links->peers; peer; peer = peer->hh.next)
                        peer->dirty = true;
                manager_schedule_flush(manager);
                run_pending(event);
                uptime_leaps += USEC_PER_SEC;
        }
        c.n = 0;
        peer_changed(manager->links->peers);
        RUN_UNTIL(event, c.n > 0);
        c.n = 0;
        client_close(&c);
        close(deaf);
}

Test(agent_varlink, refuses_who_wants_no_reply)
{
        oneway_is_refused_by(event, socket_path, &vl_interface_org_icewire_Agent);
        oneway_is_refused_by(event, socket_path, &vl_interface_io_systemd_service);
}

/* And nothing is done for it. */
Test(agent_varlink, who_wants_no_reply)
{
        static const char *const methods[] = {
                "org.icewire.Agent.ListPeers", "org.icewire.Agent.DescribePeers",
                "org.icewire.Agent.Diagnose",  "org.icewire.Agent.Reconnect",
                "org.icewire.Agent.Reload",    "io.systemd.service.Reload",
                "io.systemd.Metrics.List",     "org.icewire.Agent.Watch",
        };
        unsigned before = n_reads;
        Client c;

        client_open(&c);
        for (size_t i = 0; i < 2 * ELEMENTSOF(methods); i++)
                cr_assert_geq(sd_varlink_send(c.link, methods[i / 2], NULL), 0);
        ask(&c, "org.icewire.Agent.Describe", NULL);
        cr_assert_null(c.error);
        cr_assert_eq(c.n, 1);
        cr_assert_eq(n_reads, before);
        cr_assert_eq(n_reloads, 0);
        expect_numbers(&c, "org.icewire.Agent.ListPeers", NULL, "21");
        ask(&c, "org.icewire.Agent.Reload", NULL);
        cr_assert_eq(n_reloads, 1);
        client_close(&c);
}

/* Changing */

Test(agent_varlink, reload)
{
        Client c;

        client_open(&c);
        ask(&c, "org.icewire.Agent.Reload", "{\"allowInteractiveAuthentication\":true}");
        cr_assert_null(c.error);
        cr_assert_eq(number_at(c.replies[0], "problems"), 3);
        cr_assert_eq(n_reloads, 1);
        reload_result = -EIO;
        ask(&c, "org.icewire.Agent.Reload", NULL);
        cr_assert_str_eq(c.error, AGENT_ERROR_CONFIGURATION_INVALID);
        cr_assert_str_eq(string_at(c.replies[1], "message"), "it is on fire");
        client_close(&c);
}

Test(agent_varlink, service)
{
        Client c;

        client_open(&c);
        ask(&c, "io.systemd.service.Ping", NULL);
        ask(&c, "io.systemd.service.SetLogLevel", "{\"level\":2}");
        cr_assert_null(c.error);
        cr_assert_eq(number_at(ask(&c, "io.systemd.service.GetLogLevel", NULL), "level"), 2);
        ask(&c, "io.systemd.service.SetLogLevel", "{\"level\":8}");
        cr_assert_str_eq(c.error, SD_VARLINK_ERROR_INVALID_PARAMETER);
        client_close(&c);
        expect_error("io.systemd.service.SetLogLevel", NULL, SD_VARLINK_ERROR_INVALID_PARAMETER);
        expect_error("io.systemd.service.SetLogLevel", "{\"level\":null}",
                     SD_VARLINK_ERROR_INVALID_PARAMETER);
}

Test(agent_varlink, service_reload)
{
        Client c;

        client_open(&c);
        ask(&c, "io.systemd.service.Reload", NULL);
        cr_assert_null(c.error);
        cr_assert_eq(n_reloads, 1);
        reload_result = -EIO;
        ask(&c, "io.systemd.service.Reload", NULL);
        cr_assert_str_eq(c.error, SD_VARLINK_ERROR_SYSTEM);
        client_close(&c);
}

static bool has_string(sd_json_variant *array, const char *s)
{
        for (size_t i = 0; i < sd_json_variant_elements(array); i++)
                if (streq(sd_json_variant_string(sd_json_variant_by_index(array, i)), s))
                        return true;
        return false;
}

Test(agent_varlink, service_environment)
{
        static char bad[32] = "no assignment", *broken[] = { bad, NULL };
        char **saved;
        Client c;

        cr_assert_eq(setenv("ICEWIRE_TEST", "ä = b", 1), 0);
        saved = environ;
        client_open(&c);
        cr_assert(has_string(at(ask(&c, "io.systemd.service.GetEnvironment", NULL), "environment"),
                             "ICEWIRE_TEST=ä = b"));
        environ = broken;
        ask(&c, "io.systemd.service.GetEnvironment", NULL);
        cr_assert_str_eq(c.error, "io.systemd.service.InconsistentEnvironment");
        strcpy(bad, "A=\xff");
        ask(&c, "io.systemd.service.GetEnvironment", NULL);
        cr_assert_str_eq(c.error, "io.systemd.service.InconsistentEnvironment");
        environ = saved;
        client_close(&c);
}

static const NobodysCall nobodys_calls[] = {
        { "org.icewire.Agent.Describe", NULL, NULL },
        { "org.icewire.Agent.ListLinks", NULL, NULL },
        { "org.icewire.Agent.Diagnose", NULL, SD_VARLINK_ERROR_PERMISSION_DENIED },
        { "org.icewire.Agent.Reconnect", NULL, SD_VARLINK_ERROR_PERMISSION_DENIED },
        { "org.icewire.Agent.Reconnect", "{\"link\":\"wg1\"}", SD_VARLINK_ERROR_PERMISSION_DENIED },
        { "org.icewire.Agent.Reload", NULL, SD_VARLINK_ERROR_PERMISSION_DENIED },
        { "org.icewire.Agent.GetHistory", NULL, NULL },
        { "org.icewire.Agent.SetPolicy", "{\"peer\":\"" KEY_1 "\",\"policy\":\"off\"}",
          SD_VARLINK_ERROR_PERMISSION_DENIED },
        { "io.systemd.service.Ping", NULL, NULL },
        { "io.systemd.service.SetLogLevel", "{\"level\":7}", SD_VARLINK_ERROR_PERMISSION_DENIED },
        { "io.systemd.service.GetEnvironment", NULL, SD_VARLINK_ERROR_PERMISSION_DENIED },
        { "io.systemd.service.Reload", NULL, SD_VARLINK_ERROR_PERMISSION_DENIED },
        { "org.icewire.Agent.DescribePeers", NULL, NULL },
};

static int call_as_nobody(void)
{
        return nobody_calls(socket_path, nobodys_calls, ELEMENTSOF(nobodys_calls));
}

Test(agent_varlink, others_may_only_read)
{
        int status;

        if (geteuid() != 0)
                cr_skip_test("needs root to become somebody else");
        nobody_run(event, call_as_nobody, &status);
        RUN_UNTIL(event, status >= 0);
        cr_assert_eq(status, 0, "call number %d", status);
        cr_assert_eq(n_reloads, 0);
}

Test(agent_varlink, history)
{
        Path path = { .kind = PATH_DIRECT, .local.type = ICE_CANDIDATE_HOST };
        sd_json_variant *v, *change;
        Peer *peer = link_find_peer(manager->links, &(WireguardKey) { .bytes = { 1 } });
        Client c;

        client_open(&c);
        v = at(ask(&c, "org.icewire.Agent.GetHistory", NULL), "peers");
        cr_assert_eq(sd_json_variant_elements(v), 2);
        cr_assert_eq(sd_json_variant_elements(at(sd_json_variant_by_index(v, 0), "changes")), 0);

        cr_assert_eq(socket_address_from_string("192.0.2.1:1", &path.remote.address), 0);
        peer_set_path(peer, &path);
        peer_because(peer, PATH_CAUSE_PEER_LEFT);
        peer_set_path(peer, &peer_no_path);
        v = at(ask(&c, "org.icewire.Agent.GetHistory", "{\"link\":\"wg0\",\"peer\":\"" KEY_1 "\"}"),
               "peers");
        cr_assert_eq(sd_json_variant_elements(v), 1);
        v = sd_json_variant_by_index(v, 0);
        cr_assert_str_eq(string_at(v, "link"), "wg0");
        cr_assert_str_eq(string_at(v, "publicKey"), KEY_1);
        v = at(v, "changes");
        cr_assert_eq(sd_json_variant_elements(v), 2);
        change = sd_json_variant_by_index(v, 0);
        cr_assert_str_eq(string_at(change, "cause"), "first_path");
        cr_assert_str_eq(string_at(at(change, "from"), "kind"), "none");
        cr_assert_null(sd_json_variant_by_key(at(change, "from"), "remote"));
        cr_assert_str_eq(string_at(at(at(change, "to"), "remote"), "address"), "192.0.2.1:1");
        cr_assert_null(sd_json_variant_by_key(at(change, "to"), "local"));
        cr_assert_leq(number_at(change, "bootTimeUSec"), now(CLOCK_BOOTTIME));
        cr_assert_leq(number_at(change, "timeUSec"), now(CLOCK_REALTIME));
        change = sd_json_variant_by_index(v, 1);
        cr_assert_str_eq(string_at(change, "cause"), "peer_left");
        cr_assert_str_eq(string_at(at(change, "from"), "kind"), "direct");
        cr_assert_str_eq(string_at(at(change, "to"), "kind"), "none");
        client_close(&c);
        expect_error("org.icewire.Agent.GetHistory", "{\"link\":\"wg9\"}", "org.icewire.Agent.NoSuchLink");
        expect_error("org.icewire.Agent.GetHistory", "{\"peer\":\"" KEY_3 "\"}",
                     "org.icewire.Agent.NoSuchPeer");
}

Test(agent_varlink, policy)
{
        const Peer *one = link_find_peer(manager->links, &(WireguardKey) { .bytes = { 1 } }),
                   *two = link_find_peer(manager->links, &(WireguardKey) { .bytes = { 2 } });
        sd_json_variant *v;
        Client c;

        client_open(&c);
        ask(&c, "org.icewire.Agent.SetPolicy", "{\"peer\":\"" KEY_1 "\",\"policy\":\"direct\"}");
        cr_assert_null(c.error);
        cr_assert_eq(one->policy, POLICY_DIRECT);
        cr_assert_eq(two->policy, POLICY_AUTO);
        v = at(ask(&c, "org.icewire.Agent.ListPeers", "{\"peer\":\"" KEY_1 "\"}"), "peers");
        v = sd_json_variant_by_index(v, 0);
        cr_assert_str_eq(string_at(v, "policy"), "direct");
        cr_assert(sd_json_variant_boolean(at(v, "policyTemporary")));
        v = at(ask(&c, "org.icewire.Agent.ListPeers", "{\"peer\":\"" KEY_2 "\"}"), "peers");
        v = sd_json_variant_by_index(v, 0);
        cr_assert_str_eq(string_at(v, "policy"), "auto");
        cr_assert_not(sd_json_variant_boolean(at(v, "policyTemporary")));
        client_close(&c);
}

Test(agent_varlink, policies_that_make_no_sense)
{
        static const char method[] = "org.icewire.Agent.SetPolicy";

        expect_error(method, NULL, SD_VARLINK_ERROR_INVALID_PARAMETER);
        expect_error(method, "{\"policy\":\"off\"}", SD_VARLINK_ERROR_INVALID_PARAMETER);
        expect_error(method, "{\"peer\":null,\"policy\":\"off\"}", SD_VARLINK_ERROR_INVALID_PARAMETER);
        expect_error(method, "{\"peer\":\"" KEY_1 "\"}", SD_VARLINK_ERROR_INVALID_PARAMETER);
        expect_error(method, "{\"peer\":\"" KEY_1 "\",\"policy\":\"on\"}",
                     SD_VARLINK_ERROR_INVALID_PARAMETER);
        expect_error(method, "{\"peer\":\"" KEY_1 "\",\"policy\":7}", SD_VARLINK_ERROR_INVALID_PARAMETER);
        expect_error(method, "{\"peer\":\"" KEY_3 "\",\"policy\":\"off\"}", "org.icewire.Agent.NoSuchPeer");
        expect_error(method, "{\"link\":\"wg9\",\"peer\":\"" KEY_1 "\",\"policy\":\"off\"}",
                     "org.icewire.Agent.NoSuchLink");
        for (const Peer *peer = manager->links->peers; peer; peer = peer->hh.next)
                cr_assert_eq(peer->policy, POLICY_AUTO);
}

/* Where WireGuard gets through by itself, nothing else makes us look for another path. */
Test(agent_varlink, a_person_may_have_any_peer_reconnected)
{
        Peer *peer = manager->links->peers;
        Client c;

        peer->endpoint = (SocketAddress) {};
        cr_assert_eq(socket_address_from_string("192.0.2.1:51820", &peer->endpoint), 0);
        peer->last_handshake = now(CLOCK_REALTIME);
        peer->handshake_at = now(CLOCK_BOOTTIME);
        cr_assert(peer_is_self_reliant(peer));
        peer_reconnect(peer);
        cr_assert_not(peer->renew);
        client_open(&c);
        ask(&c, "org.icewire.Agent.Reconnect", NULL);
        cr_assert_null(c.error);
        cr_assert(peer->renew);
        cr_assert_not(peer_is_self_reliant(peer));
        client_close(&c);
}
