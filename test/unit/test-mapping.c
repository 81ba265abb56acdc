/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "mapping.h"

#include <arpa/inet.h>

#include "event-util.h"
#include "turnserver.h"

/* ---- The decision ---- */

#define LOCAL "192.0.2.1:51820"
#define HERE LOCAL
#define OUT "198.51.100.1:51820"
#define OTHER "198.51.100.1:40000"

typedef struct Case {
        const char *name;
        struct {
                const char *server, *mapped;
        } answers[5]; /* mapped: NULL for none */
        const char *held;
        MappingKind kind;
        const char *mapped;
} Case;

static const Case cases[] = {
        { "nobody was asked", {}, NULL, MAPPING_UNKNOWN, NULL },
        { "nobody answered",
          { { "203.0.113.1:1", NULL }, { "203.0.113.2:1", NULL } },
          OUT,
          MAPPING_UNKNOWN,
          NULL },
        { "no NAT, says one", { { "203.0.113.1:1", HERE } }, NULL, MAPPING_NONE, HERE },
        { "no NAT, say all",
          { { "203.0.113.1:1", HERE }, { "203.0.113.2:1", HERE } },
          NULL,
          MAPPING_NONE,
          HERE },
        { "one answer", { { "203.0.113.1:1", OUT } }, NULL, MAPPING_SINGLE, OUT },
        { "one answer, one silence",
          { { "203.0.113.1:1", OUT }, { "203.0.113.2:1", NULL } },
          NULL,
          MAPPING_SINGLE,
          OUT },
        { "two of one host",
          { { "203.0.113.1:1", OUT }, { "203.0.113.1:2", OUT } },
          NULL,
          MAPPING_SINGLE,
          OUT },
        { "two hosts",
          { { "203.0.113.1:1", OUT }, { "203.0.113.2:1", OUT } },
          NULL,
          MAPPING_ENDPOINT_INDEPENDENT,
          OUT },
        { "two hosts and a silent one",
          { { "203.0.113.3:1", NULL }, { "203.0.113.1:1", OUT }, { "203.0.113.2:1", OUT } },
          NULL,
          MAPPING_ENDPOINT_INDEPENDENT,
          OUT },
        { "by destination",
          { { "203.0.113.1:1", OUT }, { "203.0.113.2:1", OTHER } },
          NULL,
          MAPPING_VARIES,
          OUT },
        { "by port of destination",
          { { "203.0.113.1:1", OUT }, { "203.0.113.1:2", OTHER } },
          NULL,
          MAPPING_VARIES,
          OUT },
        { "what was held stays among equals",
          { { "203.0.113.1:1", OUT }, { "203.0.113.2:1", OTHER } },
          OTHER,
          MAPPING_VARIES,
          OTHER },
        { "the majority",
          { { "203.0.113.1:1", OTHER }, { "203.0.113.2:1", OUT }, { "203.0.113.3:1", OUT } },
          NULL,
          MAPPING_VARIES,
          OUT },
        { "the majority, whatever was held",
          { { "203.0.113.1:1", OTHER }, { "203.0.113.2:1", OUT }, { "203.0.113.3:1", OUT } },
          OTHER,
          MAPPING_VARIES,
          OUT },
        { "what was held and nobody says", { { "203.0.113.1:1", OUT } }, OTHER, MAPPING_SINGLE, OUT },
        { "a server on our side",
          { { "192.0.2.9:1", HERE }, { "203.0.113.1:1", OUT } },
          HERE,
          MAPPING_SINGLE,
          OUT },
        { "servers on our side are more",
          { { "192.0.2.9:1", HERE },
            { "192.0.2.8:1", HERE },
            { "203.0.113.1:1", OUT },
            { "203.0.113.2:1", OUT } },
          NULL,
          MAPPING_ENDPOINT_INDEPENDENT,
          OUT },
        { "a NAT that keeps the address",
          { { "203.0.113.1:1", "192.0.2.1:9" }, { "203.0.113.2:1", "192.0.2.1:9" } },
          NULL,
          MAPPING_ENDPOINT_INDEPENDENT,
          "192.0.2.1:9" },
        { "IPv6",
          { { "[2001:db8::1]:1", "[2001:db8::5]:5" }, { "[2001:db8::2]:1", "[2001:db8::5]:5" } },
          NULL,
          MAPPING_ENDPOINT_INDEPENDENT,
          "[2001:db8::5]:5" },
};

static SocketAddress address_or_none(const char *s)
{
        return s ? address(s) : (SocketAddress) {};
}

Test(mapping, judge)
{
        SocketAddress local = address(LOCAL);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Case *c = &cases[i];
                MappingServer servers[ELEMENTSOF(c->answers)] = {};
                SocketAddress held = address_or_none(c->held), mapped = address_or_none(c->mapped);
                MappingVerdict v;
                size_t n = 0;

                for (; n < ELEMENTSOF(c->answers) && c->answers[n].server; n++)
                        servers[n] = (MappingServer) { .address = address(c->answers[n].server),
                                                       .mapped = address_or_none(c->answers[n].mapped) };
                v = mapping_judge(&local, servers, n, &held);
                cr_assert_eq(v.kind, c->kind, "%s: %s", c->name, mapping_kind_to_string(v.kind));
                cr_assert(socket_address_equal(&v.mapped, &mapped), "%s: %s", c->name,
                          SOCKET_ADDRESS_STR(&v.mapped));
        }
}

/* ---- With servers and a broker ---- */

#define N 3

struct BrokerCall {
        broker_done_callback_t callback;
        void *userdata;
        int error;
        sd_event_source *source;
};

static sd_event *event;
static int servers[N];
static SocketAddress addresses[N], local;
static Mapping *mapping;
static BrokerCall *call;
static unsigned n_added, n_removed, n_told;
static int share_error; /* what the broker answers */
static char ufrag[16];
static bool free_in_callback;

BrokerCall *broker_call_free(BrokerCall *c)
{
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->source);
        free(c);
        call = NULL;
        return NULL;
}

static int on_call(sd_event_source *source, void *userdata)
{
        BrokerCall *c = userdata;

        c->callback(NULL, c->error, c->userdata);
        return broker_call_free(c) ? 1 : 0;
}

static int fake_add_sockets(Broker *b, const char *link, const char *u, bool keeps_relays, const int *fds,
                            size_t n, broker_done_callback_t callback, void *userdata, BrokerCall **ret)
{
        SocketAddress bound = local_address(fds[0]);

        cr_assert_str_eq(link, "wg0");
        cr_assert_eq(strlen(u), ICE_LOCAL_UFRAG_SIZE);
        cr_assert(!keeps_relays);
        cr_assert_eq(n, 1);
        cr_assert(socket_address_ip_equal(&bound, &local));
        strcpy(ufrag, u);
        n_added++;
        if (!b->connected)
                return -ENOTCONN;
        call = new0(BrokerCall, 1);
        *call = (BrokerCall) { .callback = callback, .userdata = userdata, .error = share_error };
        cr_assert_geq(sd_event_add_defer(event, &call->source, on_call, call), 0);
        *ret = call;
        return 0;
}

static int fake_remove_sockets(Broker *b, const char *u)
{
        cr_assert(n_added == 0 || strcmp(u, ufrag) == 0);
        n_removed++;
        return 0;
}

static const BrokerOps ops = { .add_sockets = fake_add_sockets, .remove_sockets = fake_remove_sockets };
static Broker broker = { .ops = &ops, .connected = true };

static void on_mapping(Mapping *m, void *userdata)
{
        n_told++;
        if (free_in_callback)
                mapping = mapping_free(m);
}

static void start(void)
{
        sandbox_enter();
        cr_assert_geq(sd_event_new(&event), 0);
        for (size_t i = 0; i < N; i++) {
                servers[i] = udp_socket("127.0.0.1:0");
                addresses[i] = local_address(servers[i]);
        }
        /* A second host, where there is one that counts as such. */
        close(servers[1]);
        servers[1] = udp_socket("127.0.0.2:0");
        addresses[1] = local_address(servers[1]);
        local = address("127.0.0.1:0");
}

static void stop(void)
{
        mapping = mapping_free(mapping);
        for (size_t i = 0; i < N; i++)
                close(servers[i]);
        event = sd_event_unref(event);
}

TestSuite(mapping_life, .init = start, .fini = stop, .timeout = 60);

static void make(Broker *b, size_t n_servers)
{
        cr_assert_eq(mapping_new(event, b, "wg0", &local, 51820, addresses, n_servers, on_mapping, NULL,
                                 &mapping),
                     0);
}

static void answer(size_t i, const char *mapped)
{
        stun_answer_next(event, servers[i], mapped);
}

static bool was_asked(size_t i)
{
        return stun_was_asked(servers[i]);
}

static void discard(size_t i)
{
        uint8_t request[128];
        SocketAddress from;

        while (stun_receive(servers[i], request, sizeof(request), &from) > 0)
                ;
}

static bool is_mapped(const char *s)
{
        SocketAddress a = address(s);

        return socket_address_equal(&mapping->mapped, &a);
}

static void settle(size_t n)
{
        make(&broker, n);
        for (size_t i = 0; i < n; i++)
                answer(i, OUT);
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_SETTLED);
}

Test(mapping_life, shares_asks_and_settles)
{
        make(&broker, N);
        cr_assert_eq(mapping->state, MAPPING_STATE_SHARING);
        cr_assert(!was_asked(0)); /* not before the port is the link's */
        answer(0, OUT);
        RUN_UNTIL(event, n_told == 1);
        cr_assert_eq(mapping->state, MAPPING_STATE_ASKING);
        cr_assert_eq(mapping->kind, MAPPING_SINGLE);
        cr_assert(is_mapped(OUT));
        cr_assert(mapping->port_kept);
        answer(1, OUT);
        RUN_UNTIL(event, n_told == 2);
        cr_assert_eq(mapping->kind, MAPPING_ENDPOINT_INDEPENDENT);
        answer(2, OUT);
        RUN_UNTIL(event, n_told == 3);
        cr_assert_eq(mapping->state, MAPPING_STATE_SETTLED);
        cr_assert(!mapping_is_busy(mapping));
        cr_assert_eq(mapping->servers[2].error, 0);
        cr_assert_gt(mapping->servers[2].asked, 0);
        cr_assert_eq(mapping->hairpin, MAPPING_HAIRPIN_UNKNOWN);
        run_pending(event);
        cr_assert_eq(n_told, 3);
        mapping = mapping_free(mapping);
        cr_assert_eq(n_added, 1);
        cr_assert_eq(n_removed, 1);
}

Test(mapping_life, settles_without_a_dead_server)
{
        make(&broker, 2);
        answer(0, OTHER);
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_SETTLED);
        cr_assert_eq(mapping->kind, MAPPING_SINGLE);
        cr_assert(!mapping->port_kept);
        cr_assert_eq(mapping->servers[1].error, -EINPROGRESS);
        /* It was only slow. */
        discard(1);
        answer(1, OTHER);
        RUN_UNTIL(event, mapping->kind == MAPPING_ENDPOINT_INDEPENDENT);
        cr_assert_eq(n_told, 3);
}

Test(mapping_life, no_nat)
{
        make(&broker, 2);
        answer(0, "127.0.0.1:51820");
        answer(1, "127.0.0.1:51820");
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_SETTLED);
        cr_assert_eq(mapping->kind, MAPPING_NONE);
        cr_assert(mapping->port_kept);
}

Test(mapping_life, no_servers)
{
        SocketAddress v6 = address("[::1]:3478");

        make(&broker, 0);
        cr_assert_eq(mapping->state, MAPPING_STATE_SETTLED);
        mapping_set_wanted(mapping, true);
        mapping_set_servers(mapping, &v6, 1); /* not of our family */
        mapping_ask(mapping, /* hairpin= */ true);
        cr_assert(!mapping_is_busy(mapping));
        run_pending(event);
        cr_assert_eq(n_added, 0);
        mapping_set_servers(mapping, addresses, 1);
        cr_assert_eq(n_added, 1);
        answer(0, OUT);
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_SETTLED);
        cr_assert_eq(mapping->kind, MAPPING_SINGLE);
}

/* Peers would send to what it says. */
Test(mapping_life, an_answer_that_cannot_be)
{
        make(&broker, 2);
        answer(0, "224.0.0.1:7");
        answer(1, "127.0.0.9:7");
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_SETTLED);
        cr_assert_eq(mapping->kind, MAPPING_UNKNOWN);
        cr_assert_eq(mapping->servers[0].error, -EPROTO);
        cr_assert_eq(mapping->servers[1].error, -EPROTO);
}

Test(mapping_life, servers_that_cannot_be_reached_are_told_from_the_loop)
{
        SocketAddress nowhere = address("192.0.2.77:3478"); /* no route */

        cr_assert_eq(mapping_new(event, NULL, NULL, &local, 0, &nowhere, 1, on_mapping, NULL, &mapping), 0);
        cr_assert_eq(n_told, 0);
        RUN_UNTIL(event, n_told == 1);
        cr_assert_eq(mapping->state, MAPPING_STATE_SETTLED);
        cr_assert_lt(mapping->servers[0].error, 0);
        cr_assert_neq(mapping->servers[0].error, -EINPROGRESS);
}

Test(mapping_life, the_broker_refuses)
{
        share_error = -ENOTSUP;
        make(&broker, 1);
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_FAILED);
        cr_assert_eq(mapping->error, -ENOTSUP);
        cr_assert_eq(n_told, 1);
        cr_assert(!mapping_is_busy(mapping));
        cr_assert(!was_asked(0));
        /* Whoever wants to know tries again. */
        share_error = 0;
        mapping_ask(mapping, /* hairpin= */ false);
        answer(0, OUT);
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_SETTLED);
        cr_assert_eq(mapping->error, 0);
}

Test(mapping_life, a_refusal_is_not_for_ever)
{
        share_error = -ENOSPC;
        make(&broker, 1);
        mapping_set_wanted(mapping, true);
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_FAILED);
        share_error = 0;
        cr_assert_geq(sd_event_source_set_time_relative(mapping->refresh_timer, 0), 0);
        answer(0, OUT);
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_SETTLED);
        cr_assert(is_mapped(OUT));
}

/* It has forgotten the socket also where there was nobody to ask in the meantime. */
Test(mapping_life, the_broker_is_gone_while_there_are_no_servers)
{
        settle(1);
        mapping_set_servers(mapping, NULL, 0);
        RUN_UNTIL(event, mapping->kind == MAPPING_UNKNOWN);
        mapping_sharing_lost(mapping);
        cr_assert_eq(mapping->state, MAPPING_STATE_SETTLED);
        n_added = 0;
        mapping_set_servers(mapping, addresses, 1);
        cr_assert_eq(n_added, 1);
        answer(0, OUT);
        RUN_UNTIL(event, is_mapped(OUT));
}

Test(mapping_life, the_broker_is_gone_for_a_while)
{
        settle(2);
        mapping_set_wanted(mapping, true);
        mapping_sharing_lost(mapping);
        cr_assert(is_mapped(OUT));
        mapping_ask(mapping, /* hairpin= */ false);
        run_pending(event);
        cr_assert(!was_asked(0)); /* it would leave from another port */

        broker.connected = false;
        n_told = 0;
        mapping_share_again(mapping);
        cr_assert_eq(n_told, 0);
        RUN_UNTIL(event, n_told == 1);
        cr_assert_eq(mapping->state, MAPPING_STATE_FAILED);
        cr_assert_eq(mapping->kind, MAPPING_UNKNOWN);

        broker.connected = true;
        mapping_share_again(mapping);
        answer(0, OUT);
        answer(1, OUT);
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_SETTLED);
        cr_assert_eq(mapping->kind, MAPPING_ENDPOINT_INDEPENDENT);
}

/* A request that has left is not undone by forgetting it. */
Test(mapping_life, goes_while_the_broker_is_asked)
{
        make(&broker, 1);
        mapping = mapping_free(mapping);
        cr_assert_null(call);
        cr_assert_eq(n_removed, 1);
}

Test(mapping_life, the_callback_may_free_it)
{
        free_in_callback = true;
        make(&broker, 1);
        answer(0, OUT);
        RUN_UNTIL(event, !mapping);
        share_error = -EIO;
        make(&broker, 1);
        RUN_UNTIL(event, !mapping);
        share_error = 0;
        cr_assert_eq(mapping_new(event, NULL, NULL, &local, 0, addresses, 1, on_mapping, NULL, &mapping), 0);
        RUN_UNTIL(event, !mapping); /* of impatience */
}

Test(mapping_life, is_asked_anew)
{
        settle(2);
        n_told = 0;
        mapping_ask(mapping, /* hairpin= */ false);
        cr_assert_eq(mapping->state, MAPPING_STATE_ASKING);
        /* The NAT has started again. While only one has said so, nobody is contradicted. */
        answer(0, OTHER);
        RUN_UNTIL(event, mapping->servers[0].error == 0);
        cr_assert_eq(mapping->kind, MAPPING_ENDPOINT_INDEPENDENT);
        cr_assert_eq(n_told, 0);
        answer(1, OTHER);
        RUN_UNTIL(event, n_told == 1);
        cr_assert_eq(mapping->state, MAPPING_STATE_SETTLED);
        cr_assert_eq(mapping->kind, MAPPING_ENDPOINT_INDEPENDENT);
        cr_assert(is_mapped(OTHER));
}

/* What a server said before does not count for ever. */
Test(mapping_life, a_server_that_has_died)
{
        settle(2);
        n_told = 0;
        mapping_ask(mapping, /* hairpin= */ false);
        answer(1, OTHER);
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_SETTLED);
        cr_assert_eq(n_told, 1);
        cr_assert_eq(mapping->kind, MAPPING_SINGLE);
        cr_assert(is_mapped(OTHER));
        cr_assert(!socket_address_is_set(&mapping->servers[0].mapped));
}

Test(mapping_life, other_servers)
{
        SocketAddress others[] = { addresses[1], addresses[2] };

        settle(2);
        n_told = 0;
        mapping_set_servers(mapping, addresses, 2);
        run_pending(event);
        cr_assert_eq(n_told, 0);
        mapping_set_servers(mapping, others, 2);
        cr_assert_eq(mapping->n_servers, 2);
        cr_assert_eq(mapping->state, MAPPING_STATE_ASKING);
        answer(2, OUT);
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_SETTLED);
        cr_assert_eq(mapping->kind, MAPPING_ENDPOINT_INDEPENDENT);
        cr_assert(!was_asked(0));
        cr_assert(!was_asked(1));
        mapping_set_servers(mapping, NULL, 0);
        RUN_UNTIL(event, mapping->kind == MAPPING_UNKNOWN);
}

/* Every 25 s, so only that it is armed for then can be seen here; a need that comes late is served at
 * once. */
Test(mapping_life, is_refreshed_while_it_is_wanted)
{
        uint64_t due;

        settle(2);
        cr_assert_null(mapping->refresh_timer);
        mapping_set_wanted(mapping, true);
        cr_assert_eq(sd_event_source_get_enabled(mapping->refresh_timer, NULL), 1);
        cr_assert_geq(sd_event_source_get_time(mapping->refresh_timer, &due), 0);
        cr_assert_gt(due, mapping->servers[0].asked + 20 * USEC_PER_SEC);
        mapping_set_wanted(mapping, false);
        cr_assert_eq(sd_event_source_get_enabled(mapping->refresh_timer, NULL), 0);

        for (size_t i = 0; i < 2; i++)
                mapping->servers[i].asked = 1;
        mapping_set_wanted(mapping, true);
        answer(0, OTHER);
        cr_assert_eq(mapping->state, MAPPING_STATE_SETTLED);
        answer(1, OTHER);
        RUN_UNTIL(event, is_mapped(OTHER));
        cr_assert_eq(sd_event_source_get_enabled(mapping->refresh_timer, NULL), 1);
}

/* Dead ones are not asked for ever where there are enough others. */
Test(mapping_life, a_refresh_asks_whom_it_needs)
{
        SocketAddress twice[] = { addresses[0], addresses[1], address("192.0.2.77:3478") };

        cr_assert_eq(mapping_new(event, &broker, "wg0", &local, 51820, twice, 3, on_mapping, NULL, &mapping),
                     0);
        answer(0, OUT);
        answer(1, OUT);
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_SETTLED);
        for (size_t i = 0; i < 3; i++)
                mapping->servers[i].asked = 1;
        mapping_set_wanted(mapping, true);
        answer(0, OUT);
        answer(1, OUT);
        RUN_UNTIL(event, mapping->servers[0].error == 0 && mapping->servers[1].error == 0);
        cr_assert_eq(mapping->servers[2].asked, 1);
}

/* ---- Hairpin ---- */

/* Without a NAT, a server that lies stands for one: what is sent "outside" comes back here. */
Test(mapping_life, a_hairpin)
{
        SocketAddress own;

        make(NULL, 1);
        own = mapping->local;
        cr_assert_eq(socket_address_port(&own), socket_address_port(stun_client_local(mapping->client)));
        answer(0, OUT);
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_SETTLED);

        /* The socket is bound to its port whatever we call it. */
        socket_address_set_port(&mapping->local, 51820);
        mapping_ask(mapping, /* hairpin= */ true);
        answer(0, SOCKET_ADDRESS_STR(&own));
        RUN_UNTIL(event, mapping->hairpin == MAPPING_HAIRPIN_YES);
        cr_assert(!mapping_is_busy(mapping));
}

Test(mapping_life, no_hairpin)
{
        SocketAddress sink = addresses[2];

        make(NULL, 1);
        mapping_ask(mapping, /* hairpin= */ true);
        discard(0);
        answer(0, SOCKET_ADDRESS_STR(&sink));
        RUN_UNTIL(event, mapping->state == MAPPING_STATE_SETTLED);
        cr_assert_eq(mapping->hairpin, MAPPING_HAIRPIN_TESTING);
        cr_assert(mapping_is_busy(mapping));
        RUN_UNTIL(event, !mapping_is_busy(mapping));
        cr_assert_eq(mapping->hairpin, MAPPING_HAIRPIN_NO);
}

/* There is none to test. */
Test(mapping_life, no_hairpin_without_a_nat)
{
        settle(1);
        mapping_ask(mapping, /* hairpin= */ true);
        answer(0, "127.0.0.1:51820");
        RUN_UNTIL(event, !mapping_is_busy(mapping));
        cr_assert_eq(mapping->hairpin, MAPPING_HAIRPIN_UNKNOWN);
        run_pending(event);
        cr_assert(!mapping_is_busy(mapping));
}
