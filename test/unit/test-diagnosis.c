/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "agent-json.h"
#include "diagnosis.h"

#include "event-util.h"
#include "host-network.h"
#include "json.h"
#include "link-mappings.h"
#include "log.h"
#include "string-util.h"
#include "turnserver.h"
#include "varlink-util.h"

#define OUT "198.51.100.1:51820"

struct BrokerCall {
        broker_done_callback_t callback;
        void *userdata;
        sd_event_source *source;
};

static sd_event *event;
static Manager *manager;
static Diagnosis *diagnosis;
static sd_json_variant *reply, *progress; /* references */
static unsigned n_replies, n_told;
static int servers[2];
static SocketAddress addresses[2];

/* ---- A broker that shares whatever it is asked to ---- */

BrokerCall *broker_call_free(BrokerCall *c)
{
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->source);
        free(c);
        return NULL;
}

static int on_call(sd_event_source *source, void *userdata)
{
        BrokerCall *c = userdata;

        c->callback(manager->broker, 0, c->userdata);
        broker_call_free(c);
        return 0;
}

static int fake_add_sockets(Broker *b, const char *link, const char *ufrag, bool keeps_relays,
                            const int *fds, size_t n, broker_done_callback_t callback, void *userdata,
                            BrokerCall **ret)
{
        BrokerCall *c = new0(BrokerCall, 1);

        *c = (BrokerCall) { .callback = callback, .userdata = userdata };
        cr_assert_geq(sd_event_add_defer(event, &c->source, on_call, c), 0);
        *ret = c;
        return 0;
}

static int fake_remove_sockets(Broker *b, const char *ufrag)
{
        return 0;
}

static Broker *fake_free(Broker *b)
{
        return NULL;
}

static const BrokerOps broker_ops = {
        .add_sockets = fake_add_sockets,
        .remove_sockets = fake_remove_sockets,
        .free = fake_free,
};
static Broker broker = { .ops = &broker_ops, .connected = true };

/* ---- Two STUN servers, one of them dead unless a test answers for it ---- */

static void on_diagnosis(Diagnosis *d, sd_json_variant *v, bool finished, void *userdata)
{
        cr_assert_not_null(v);
        if (!finished) {
                n_told++;
                sd_json_variant_unref(progress);
                progress = sd_json_variant_ref(v);
                return;
        }
        n_replies++;
        sd_json_variant_unref(reply);
        reply = sd_json_variant_ref(v);
}

static void set_servers(void)
{
        manager->ice_servers = new0(IceServer, 2);
        manager->n_ice_servers = 2;
        for (size_t i = 0; i < 2; i++)
                manager->ice_servers[i] = (IceServer) { .kind = ICE_SERVER_STUN, .address = addresses[i] };
}

static void start(void)
{
        static const char text[] = "[ICE]\nSTUNServers=192.0.2.1 [2001:db8::1]:3479 one.test none.test\n"
                                   "TURNServers=turn:one.test:3480?transport=udp\nTURNUser=u\n";
        Config *config;

        sandbox_need_root();
        sandbox_enter();
        sandbox_replace("/etc/hosts", "192.0.2.7 one.test\n");
        sandbox_replace("/etc/resolv.conf", "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n");
        log_set_max_level(LOG_CRIT);
        cr_assert_geq(sd_event_new(&event), 0);
        cr_assert_eq(config_parse("test", text, strlen(text), &config, NULL), 0);
        cr_assert_eq(manager_new(event, config, &manager), 0);
        manager_set_broker(manager, &broker);
        servers[0] = udp_socket("127.0.0.1:0");
        servers[1] = udp_socket("127.0.0.2:0");
        for (size_t i = 0; i < 2; i++)
                addresses[i] = local_address(servers[i]);
        cr_assert_eq(diagnosis_new(event, manager, on_diagnosis, NULL, &diagnosis), 0);
}

static void stop(void)
{
        diagnosis = diagnosis_free(diagnosis);
        manager = manager_free(manager);
        reply = sd_json_variant_unref(reply);
        progress = sd_json_variant_unref(progress);
        close(servers[0]);
        close(servers[1]);
        event = sd_event_unref(event);
}

TestSuite(diagnosis, .init = start, .fini = stop, .timeout = 60);

static void answer(size_t i, const char *mapped)
{
        stun_answer_next(event, servers[i], mapped);
}

static bool was_asked(size_t i)
{
        return stun_was_asked(servers[i]);
}

static void run(void)
{
        cr_assert_eq(diagnosis_run(diagnosis), 0);
        cr_assert_eq(n_replies, 0);
}

static sd_json_variant *element(const char *array, size_t i)
{
        sd_json_variant *v = sd_json_variant_by_index(at(reply, array), i);

        cr_assert_not_null(v, "%s has no element %zu", array, i);
        return v;
}

static bool has(sd_json_variant *v, const char *name)
{
        return sd_json_variant_by_key(v, name) != NULL;
}

/* A name that nothing answers for is the last to be known; nobody waits for it for ever. */
Test(diagnosis, without_anything_to_ask)
{
        run();
        RUN_UNTIL(event, n_replies);
        cr_assert_eq(sd_json_variant_elements(at(reply, "mappings")), 0);
        cr_assert(!sd_json_variant_boolean(at(reply, "ipv6Address")));
        cr_assert(!sd_json_variant_boolean(at(reply, "ipv6Answered")));
        cr_assert_str_eq(string_at(reply, "broker"), "connecting");
        cr_assert_eq(sd_json_variant_elements(at(reply, "rendezvous")), 0);
}

Test(diagnosis, names_are_resolved)
{
        static const struct {
                const char *kind, *name, *address, *error;
        } expected[] = {
                { "stun", "192.0.2.1:3478", "192.0.2.1:3478", NULL },
                { "stun", "[2001:db8::1]:3479", "[2001:db8::1]:3479", NULL },
                { "stun", "one.test:3478", "192.0.2.7:3478", NULL },
                { "stun", "none.test:3478", NULL, "no name server" },
                { "turn_udp", "one.test:3480", "192.0.2.7:3480", NULL },
        };

        run();
        RUN_UNTIL(event, n_replies);
        cr_assert_eq(sd_json_variant_elements(at(reply, "servers")), ELEMENTSOF(expected));
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                sd_json_variant *v = element("servers", i), *list = at(v, "addresses");

                cr_assert_str_eq(string_at(v, "kind"), expected[i].kind);
                cr_assert_str_eq(string_at(v, "name"), expected[i].name);
                cr_assert_eq(sd_json_variant_elements(list), expected[i].address ? 1 : 0);
                if (expected[i].address)
                        cr_assert_str_eq(sd_json_variant_string(sd_json_variant_by_index(list, 0)),
                                         expected[i].address);
                cr_assert_eq(has(v, "error"), expected[i].error != NULL);
                if (expected[i].error)
                        cr_assert_str_eq(string_at(v, "error"), expected[i].error);
        }
}

/* Where WireGuard's ports are not shared the NAT can be told all the same. */
Test(diagnosis, by_ports_of_its_own)
{
        SocketAddress local = address("127.0.0.1:0");
        sd_json_variant *v, *server;

        set_servers();
        manager_set_addresses(manager, &local, 1);
        run();
        answer(0, OUT);
        RUN_UNTIL(event, n_replies);
        cr_assert_eq(sd_json_variant_elements(at(reply, "mappings")), 1);
        v = element("mappings", 0);
        cr_assert(!has(v, "link"));
        cr_assert_not_null(startswith(string_at(v, "local"), "127.0.0.1:"));
        cr_assert_str_eq(string_at(v, "mapped"), OUT);
        cr_assert_str_eq(string_at(v, "kind"), "single");
        cr_assert(!sd_json_variant_boolean(at(v, "portKept")));
        cr_assert(!has(v, "error"));
        server = sd_json_variant_by_index(at(v, "servers"), 0);
        cr_assert_str_eq(string_at(server, "address"), SOCKET_ADDRESS_STR(&addresses[0]));
        cr_assert_str_eq(string_at(server, "mapped"), OUT);
        cr_assert(has(server, "roundTripTimeUSec") && !has(server, "error"));
        server = sd_json_variant_by_index(at(v, "servers"), 1);
        cr_assert(!has(server, "roundTripTimeUSec") && !has(server, "mapped"));
        cr_assert_str_eq(string_at(server, "error"), "no answer");
}

Test(diagnosis, by_the_ports_of_links)
{
        SocketAddress local = address("127.0.0.1:0");
        sd_json_variant *v = NULL, *mapping;
        Link *link;

        set_servers();
        manager_set_addresses(manager, &local, 1);
        cr_assert_eq(link_new(manager, "wg0", &link), 0);
        link->listen_port = 51820;
        manager->redirect_kind = REDIRECT_EBPF;
        manager->redirect_settled = manager->redirect_known = true;
        link_mappings_update(link, /* again= */ false);
        cr_assert_eq(link->n_mappings, 1);
        answer(0, "127.0.0.1:51820");
        answer(1, "127.0.0.1:51820");
        RUN_UNTIL(event, link_mappings_are_settled(link));

        /* Whoever does not want to wait gets what is known. */
        cr_assert_eq(manager_build_json(manager, &v), 0);
        cr_assert_eq(sd_json_variant_elements(at(v, "mappings")), 1);
        mapping = sd_json_variant_by_index(at(v, "mappings"), 0);
        cr_assert_str_eq(string_at(mapping, "link"), "wg0");
        cr_assert_str_eq(string_at(mapping, "mapped"), "127.0.0.1:51820");
        cr_assert_str_eq(string_at(mapping, "kind"), "none");
        sd_json_variant_unref(v);

        /* What it was an hour ago is not what is asked for. */
        run();
        answer(0, OUT);
        answer(1, OUT);
        RUN_UNTIL(event, n_replies);
        cr_assert_str_eq(string_at(reply, "redirect"), "ebpf");
        cr_assert_eq(sd_json_variant_elements(at(reply, "mappings")), 1);
        v = element("mappings", 0);
        cr_assert_str_eq(string_at(v, "link"), "wg0");
        cr_assert_str_eq(string_at(v, "local"), "127.0.0.1:51820");
        cr_assert_str_eq(string_at(v, "mapped"), OUT);
        cr_assert_str_eq(string_at(v, "kind"), "endpoint_independent");
        cr_assert(sd_json_variant_boolean(at(v, "portKept")));
        cr_assert_eq(sd_json_variant_elements(at(v, "servers")), 2);
}

Test(diagnosis, ipv6)
{
        SocketAddress all[] = { address("[::1]:0"), address("[2001:db8::7]:0"), address("[fd00::1]:0") };

        set_servers();
        manager->ice_servers[0].address = address("[::1]:3478");
        manager->n_ice_servers = 1;
        (void) turnserver_start();
        manager_set_addresses(manager, all, 1);
        run();
        RUN_UNTIL(event, n_replies);
        cr_assert(!sd_json_variant_boolean(at(reply, "ipv6Address")));
        cr_assert(sd_json_variant_boolean(at(reply, "ipv6Answered")));
        cr_assert_str_eq(string_at(element("mappings", 0), "kind"), "none");
        cr_assert_str_eq(string_at(element("mappings", 0), "hairpin"), "unknown");
}

static sd_json_variant *server_so_far(size_t i)
{
        sd_json_variant *mapping = sd_json_variant_by_index(at(progress, "mappings"), 0);

        return sd_json_variant_by_index(at(mapping, "servers"), i);
}

/* Who has not answered yet is not said to be silent. */
Test(diagnosis, tells_what_is_known_so_far)
{
        SocketAddress local = address("127.0.0.1:0");
        uint64_t pending;

        set_servers();
        manager_set_addresses(manager, &local, 1);
        run();
        RUN_UNTIL(event, n_told);
        pending = number_at(progress, "pending");
        cr_assert_geq(pending, 2);
        cr_assert(!has(server_so_far(0), "mapped") && !has(server_so_far(0), "error"));
        answer(0, OUT);
        RUN_UNTIL(event, has(server_so_far(0), "mapped"));
        cr_assert_lt(number_at(progress, "pending"), pending);
        cr_assert(!has(server_so_far(1), "mapped") && !has(server_so_far(1), "error"));
        cr_assert_eq(n_replies, 0);
        RUN_UNTIL(event, n_replies);
        cr_assert_eq(number_at(reply, "pending"), 0);
        cr_assert(has(sd_json_variant_by_index(at(element("mappings", 0), "servers"), 1), "error"));
}

/* Whoever asks all the time learns nothing new by that. */
Test(diagnosis, is_not_repeated_at_once)
{
        SocketAddress local = address("127.0.0.1:0");

        set_servers();
        manager_set_addresses(manager, &local, 1);
        run();
        run(); /* the same one */
        answer(0, OUT);
        answer(1, OUT);
        RUN_UNTIL(event, n_replies);
        while (was_asked(0) || was_asked(1)) {
                uint8_t request[128];
                SocketAddress from;

                (void) stun_receive(servers[0], request, sizeof(request), &from);
                (void) stun_receive(servers[1], request, sizeof(request), &from);
        }
        run_pending(event);
        cr_assert_eq(n_replies, 1);
        cr_assert_eq(diagnosis_run(diagnosis), 0);
        cr_assert_eq(n_replies, 1);
        RUN_UNTIL(event, n_replies == 2);
        cr_assert(!was_asked(0) && !was_asked(1));
        cr_assert_str_eq(string_at(element("mappings", 0), "mapped"), OUT);
}

/* As a reload in the midst of it makes it, which puts another server before the one that is being asked. */
Test(diagnosis, what_is_known_of_a_server_is_told_of_no_other)
{
        SocketAddress local = address("127.0.0.1:0");

        manager_set_addresses(manager, &local, 1);
        run();
        manager->relays = new0(RelayStatus, 2);
        manager->relays[0] = (RelayStatus) { .kind = ICE_SERVER_TURN_UDP,
                                             .name = strdup("other.test:3480"),
                                             .state = RELAY_STATE_OK };
        manager->relays[1] = (RelayStatus) { .kind = ICE_SERVER_TURN_UDP,
                                             .name = strdup("one.test:3480"),
                                             .state = RELAY_STATE_REFUSED };
        manager->n_relays = 2;
        RUN_UNTIL(event, n_replies);
        cr_assert_str_eq(string_at(element("servers", 4), "name"), "one.test:3480");
        cr_assert_str_eq(string_at(element("servers", 4), "relay"), "refused");
}

Test(diagnosis, is_given_up)
{
        SocketAddress local = address("127.0.0.1:0");

        set_servers();
        manager_set_addresses(manager, &local, 1);
        run();
        diagnosis = diagnosis_free(diagnosis);
        answer(0, OUT);
        run_pending(event);
        cr_assert_eq(n_replies, 0);
}
