/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "diagnosis.h"

#include "agent-json.h"
#include "alloc-util.h"
#include "event-util.h"
#include "link-mappings.h"
#include "log.h"
#include "relays.h"
#include "sharing.h"
#include "string-util.h"
#include "varlink-util.h"

/* A server has MAPPING_PATIENCE and the hairpin test a little more; this is for names that nobody resolves
 * and a broker that hangs. */
#define PATIENCE (8 * USEC_PER_SEC)
#define FRESH USEC_PER_SEC

/* A configured server. */
typedef struct Lookup {
        Diagnosis *diagnosis;
        IceServerKind kind;
        char *name;
        ResolverQuery *query;
        int error;
        SocketAddress addresses[RESOLVER_ADDRESSES_MAX];
        size_t n_addresses;
} Lookup;

struct Diagnosis {
        sd_event *event;
        Manager *manager;
        diagnosis_callback_t callback;
        void *userdata;

        Resolver *resolver;
        Lookup *lookups;
        size_t n_lookups;
        Mapping *mappings[MANAGER_ADDRESSES_MAX]; /* of ports of our own */
        size_t n_mappings;

        bool running;
        size_t pending; /* questions without an answer, as told last */
        sd_event_source *timer;
        sd_event_source *post; /* after each turn: is everything known by now? */
        sd_json_variant *reply;
        usec_t replied; /* CLOCK_BOOTTIME */
};

static void lookup_done(Lookup *lookup)
{
        resolver_query_free(lookup->query);
        free(lookup->name);
}

static void drop_run(Diagnosis *d)
{
        for (size_t i = 0; i < d->n_lookups; i++)
                lookup_done(&d->lookups[i]);
        d->lookups = mfree(d->lookups);
        d->n_lookups = 0;
        while (d->n_mappings > 0)
                mapping_free(d->mappings[--d->n_mappings]);
        d->running = false;
        d->pending = 0;
        event_disarm_timer(d->timer);
        if (d->post)
                (void) sd_event_source_set_enabled(d->post, SD_EVENT_OFF);
}

Diagnosis *diagnosis_free(Diagnosis *d)
{
        if (!d)
                return NULL;
        drop_run(d);
        event_source_disable_unref(d->timer);
        event_source_disable_unref(d->post);
        resolver_free(d->resolver);
        sd_json_variant_unref(d->reply);
        sd_event_unref(d->event);
        return mfree(d);
}

int diagnosis_new(sd_event *event, Manager *manager, diagnosis_callback_t callback, void *userdata,
                  Diagnosis **ret)
{
        _cleanup_(diagnosis_freep) Diagnosis *d = new0(Diagnosis, 1);
        int r;

        if (!d)
                return -ENOMEM;
        d->event = sd_event_ref(event);
        d->manager = manager;
        d->callback = callback;
        d->userdata = userdata;
        r = resolver_new(event, &d->resolver);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

/* ---- The reply ---- */

typedef int (*build_t)(const Diagnosis *d, JsonArray *array);

static int set_array(const Diagnosis *d, sd_json_variant **v, const char *name, build_t build)
{
        _cleanup_(json_array_done) JsonArray array = {};
        _cleanup_json_ sd_json_variant *all = NULL;
        int r;

        r = build(d, &array);
        if (r < 0)
                return r;
        r = json_array_build(&array, &all);
        return r < 0 ? r : sd_json_variant_set_field(v, name, all);
}

static int add_mapping(JsonArray *array, const Mapping *mapping, const char *link, bool asking)
{
        sd_json_variant *item = NULL;

        return json_array_take(array, mapping_build_json(mapping, link, asking, &item), &item);
}

static int build_mappings(const Diagnosis *d, JsonArray *array)
{
        Link *link, *next;
        int r;

        HASH_ITER(hh, d->manager->links, link, next)
        {
                for (size_t i = 0; i < link->n_mappings; i++) {
                        r = add_mapping(array, link->mappings[i], link->name, d->pending > 0);
                        if (r < 0)
                                return r;
                }
        }
        for (size_t i = 0; i < d->n_mappings; i++) {
                r = add_mapping(array, d->mappings[i], /* link= */ NULL, d->pending > 0);
                if (r < 0)
                        return r;
        }
        return 0;
}

static const char *explain_lookup(int error)
{
        switch (error) {
        case 0:
                return NULL;
        case -ESRCH:
                return "there is no such name";
        case -EINPROGRESS:
        case -ETIMEDOUT:
                return "no answer from the name servers";
        case -ECONNREFUSED:
                return "no name server";
        default:
                return strerror(-error);
        }
}

static int add_address(JsonArray *array, const SocketAddress *a)
{
        sd_json_variant *item = NULL;

        return json_array_take(array, sd_json_variant_new_string(&item, SOCKET_ADDRESS_STR(a)), &item);
}

static int set_relay(sd_json_variant **v, const RelayStatus *s)
{
        _cleanup_json_ sd_json_variant *state = NULL;
        int r;

        r = enum_build_json(relay_state_to_string(s->state), &state);
        if (r >= 0)
                r = sd_json_variant_set_field(v, "relay", state);
        return r < 0 || !s->text ? r : sd_json_variant_set_field_string(v, "relayError", s->text);
}

/* relay: NULL: it is a STUN server, or is being asked. asking: who has not answered is still waited for. */
static int add_server(JsonArray *servers, const Lookup *lookup, const RelayStatus *relay, bool asking)
{
        _cleanup_(json_array_done) JsonArray array = {};
        _cleanup_json_ sd_json_variant *addresses = NULL, *kind = NULL;
        sd_json_variant *item = NULL;
        const char *error = asking && lookup->error == -EINPROGRESS ? NULL : explain_lookup(lookup->error);
        int r;

        for (size_t i = 0; i < lookup->n_addresses; i++) {
                r = add_address(&array, &lookup->addresses[i]);
                if (r < 0)
                        return r;
        }
        r = json_array_build(&array, &addresses);
        if (r >= 0)
                r = enum_build_json(ice_server_kind_to_string(lookup->kind), &kind);
        if (r < 0)
                return r;
        r = sd_json_buildo(
                &item, SD_JSON_BUILD_PAIR_VARIANT("kind", kind),
                SD_JSON_BUILD_PAIR_STRING("name", lookup->name),
                SD_JSON_BUILD_PAIR_VARIANT("addresses", addresses),
                SD_JSON_BUILD_PAIR_CONDITION(error != NULL, "error", SD_JSON_BUILD_STRING(error)));
        if (r >= 0 && relay)
                r = set_relay(&item, relay);
        if (r < 0) {
                sd_json_variant_unref(item);
                return r;
        }
        return json_array_add(servers, item);
}

static int build_servers(const Diagnosis *d, JsonArray *array)
{
        const Manager *m = d->manager;
        size_t n_relays = d->pending > 0 && relays_are_busy(m) ? 0 : m->n_relays;

        for (size_t i = 0; i < d->n_lookups; i++) {
                const Lookup *lookup = &d->lookups[i];
                /* By its name: the configuration may be another one by now. */
                int r = add_server(array, lookup,
                                   relay_status_find(m->relays, n_relays, lookup->kind, lookup->name),
                                   d->pending > 0);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* 2000::/3, RFC 4291 section 2.4: all that is routed in the internet. */
static bool is_global_ipv6(const SocketAddress *a)
{
        return a->sa.sa_family == AF_INET6 && (a->in6.sin6_addr.s6_addr[0] & 0xe0) == 0x20;
}

static bool has_global_ipv6(const Manager *m)
{
        for (size_t i = 0; i < m->n_addresses; i++)
                if (is_global_ipv6(&m->addresses[i]))
                        return true;
        return false;
}

static bool answered_over_ipv6(const Mapping *const *mappings, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (mappings[i]->mapped.sa.sa_family == AF_INET6)
                        return true;
        return false;
}

static bool has_ipv6_answer(const Diagnosis *d)
{
        Link *link, *next;

        HASH_ITER(hh, d->manager->links, link, next)
        {
                if (answered_over_ipv6((const Mapping *const *) link->mappings, link->n_mappings))
                        return true;
        }
        return answered_over_ipv6((const Mapping *const *) d->mappings, d->n_mappings);
}

static int build_reply(const Diagnosis *d, sd_json_variant **ret)
{
        _cleanup_json_ sd_json_variant *v = NULL;
        int r;

        r = manager_build_json(d->manager, &v);
        if (r >= 0)
                r = sd_json_variant_set_field_unsigned(&v, "pending", d->pending);
        if (r >= 0)
                r = sd_json_variant_set_fieldb(&v, "ipv6Address",
                                               SD_JSON_BUILD_BOOLEAN(has_global_ipv6(d->manager)));
        if (r >= 0)
                r = sd_json_variant_set_fieldb(&v, "ipv6Answered",
                                               SD_JSON_BUILD_BOOLEAN(has_ipv6_answer(d)));
        if (r >= 0)
                r = set_array(d, &v, "servers", build_servers);
        if (r >= 0)
                r = set_array(d, &v, "mappings", build_mappings);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        return 0;
}

/* ---- The run ---- */

/* What nobody has answered yet, of one mapping. */
static size_t count_open(const Mapping *mapping)
{
        size_t n = mapping->hairpin == MAPPING_HAIRPIN_TESTING;

        if (!mapping_is_busy(mapping))
                return 0;
        for (size_t i = 0; i < mapping->n_servers; i++)
                n += mapping->servers[i].error == -EINPROGRESS;
        return MAX(n, (size_t) 1);
}

static size_t count_pending(const Diagnosis *d)
{
        size_t n = relays_are_busy(d->manager);
        Link *link, *next;

        HASH_ITER(hh, d->manager->links, link, next)
        {
                for (size_t i = 0; i < link->n_mappings; i++)
                        n += count_open(link->mappings[i]);
        }
        for (size_t i = 0; i < d->n_mappings; i++)
                n += count_open(d->mappings[i]);
        for (size_t i = 0; i < d->n_lookups; i++)
                n += d->lookups[i].error == -EINPROGRESS;
        return n;
}

static void finish(Diagnosis *d)
{
        _cleanup_json_ sd_json_variant *reply = NULL;
        int r;

        r = build_reply(d, &reply);
        if (r < 0)
                log_warning_errno(r, "Failed to put together what was found out: %m");
        drop_run(d);
        sd_json_variant_unref(d->reply);
        d->reply = sd_json_variant_ref(reply);
        d->replied = now(CLOCK_BOOTTIME);
        d->callback(d, reply, /* finished= */ true, d->userdata);
}

static void tell_progress(Diagnosis *d)
{
        _cleanup_json_ sd_json_variant *reply = NULL;
        int r = build_reply(d, &reply);

        if (r < 0)
                log_warning_errno(r, "Failed to put together what is known so far, ignoring: %m");
        else
                d->callback(d, reply, /* finished= */ false, d->userdata);
}

static int on_post(sd_event_source *s, void *userdata)
{
        Diagnosis *d = userdata;
        size_t pending = d->running ? count_pending(d) : 0;

        if (!d->running || pending == d->pending)
                return 0;
        d->pending = pending;
        if (pending == 0)
                finish(d);
        else
                tell_progress(d);
        return 0;
}

/* Also when there is nothing to wait for, and when the last answer is still good. */
static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        Diagnosis *d = userdata;

        if (d->running) {
                d->pending = 0; /* whoever has not answered by now is not waited for */
                finish(d);
        } else
                d->callback(d, d->reply, /* finished= */ true, d->userdata);
        return 0;
}

static void on_resolved(int error, const SocketAddress *addresses, size_t n, void *userdata)
{
        Lookup *lookup = userdata;

        lookup->query = NULL;
        lookup->error = error;
        lookup->n_addresses = error < 0 ? 0 : n;
        memcpy(lookup->addresses, addresses, lookup->n_addresses * sizeof(*addresses));
}

static int look_up_servers(Diagnosis *d)
{
        const Config *c = d->manager->config;
        int r;

        d->lookups = new0(Lookup, c->n_ice_servers + 1);
        if (!d->lookups)
                return -ENOMEM;
        for (size_t i = 0; i < c->n_ice_servers; i++) {
                const IceServerConfig *server = &c->ice_servers[i];
                Lookup *lookup = &d->lookups[d->n_lookups++];
                bool literal = strchr(server->host, ':');

                *lookup = (Lookup) { .diagnosis = d, .kind = server->kind, .error = -EINPROGRESS };
                lookup->name = asprintf_safe("%s%s%s:%u", literal ? "[" : "", server->host,
                                             literal ? "]" : "", server->port);
                if (!lookup->name)
                        return -ENOMEM;
                r = resolver_query(d->resolver, server->host, server->port, on_resolved, lookup,
                                   &lookup->query);
                if (r < 0)
                        lookup->error = r;
        }
        return 0;
}

/* Returns how many mappings were asked. */
static size_t ask_about_links(Diagnosis *d)
{
        Link *link, *next;
        size_t n = 0;

        HASH_ITER(hh, d->manager->links, link, next)
        {
                for (size_t i = 0; i < link->n_mappings; i++, n++)
                        mapping_ask(link->mappings[i], /* hairpin= */ true);
        }
        return n;
}

static void on_mapping(Mapping *mapping, void *userdata)
{
        /* on_post() looks at what has become of it. */
}

static void ask_about_own_ports(Diagnosis *d)
{
        const Manager *m = d->manager;
        SocketAddress servers[MAPPING_SERVERS_MAX];
        size_t n = link_mappings_servers(m, servers, ELEMENTSOF(servers));

        for (size_t i = 0; i < m->n_addresses; i++) {
                Mapping **mapping = &d->mappings[d->n_mappings];
                int r;

                r = mapping_new(d->event, /* broker= */ NULL, /* link= */ NULL, &m->addresses[i],
                                /* port= */ 0, servers, n, on_mapping, d, mapping);
                if (r < 0) {
                        log_debug_errno(r, "Cannot ask from %s: %m",
                                        SOCKET_ADDRESS_IP_STR(&m->addresses[i]));
                        continue;
                }
                mapping_ask(*mapping, /* hairpin= */ true);
                d->n_mappings++;
        }
}

static int arm_timer(Diagnosis *d, usec_t delay)
{
        return event_arm_timer(d->event, &d->timer, delay, on_timer, d, "diagnosis");
}

static int watch_turns(Diagnosis *d)
{
        int r;

        if (d->post)
                return sd_event_source_set_enabled(d->post, SD_EVENT_ON);
        r = sd_event_add_post(d->event, &d->post, on_post, d);
        return r < 0 ? r : sd_event_source_set_description(d->post, "diagnosis-post");
}

static int start(Diagnosis *d)
{
        int r;

        r = look_up_servers(d);
        if (r < 0)
                return r;
        if (ask_about_links(d) == 0)
                ask_about_own_ports(d);
        relays_ask(d->manager);
        d->pending = count_pending(d) > 0 ? SIZE_MAX : 0; /* what there is to ask is told first */
        r = watch_turns(d);
        return r < 0 ? r : arm_timer(d, d->pending > 0 ? PATIENCE : 0);
}

int diagnosis_run(Diagnosis *d)
{
        int r;

        if (d->running)
                return 0;
        if (d->reply && usec_sub(now(CLOCK_BOOTTIME), d->replied) < FRESH)
                return arm_timer(d, 0);
        d->running = true;
        r = start(d);
        if (r < 0)
                drop_run(d);
        return r;
}
