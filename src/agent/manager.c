/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "manager.h"

#include <malloc.h>
#include <utlist.h>

#include "carrier.h"
#include "event-util.h"
#include "exchange.h"
#include "link-mappings.h"
#include "link-probes.h"
#include "log.h"
#include "peer-policy.h"
#include "relays.h"
#include "session.h"
#include "sharing.h"
#include "string-util.h"
#include "try.h"

/* Addresses come in bursts (a link comes up, gets an address for each family, a route): wait for the end of
 * one. Whoever sets them up does so without a pause; what comes later is another burst. */
#define ADDRESSES_DELAY (20 * USEC_PER_MSEC)
/* … that may never come where containers come and go all the time. */
#define ADDRESSES_DELAY_MAX USEC_PER_SEC

/* Negotiations begin without the servers that are not resolved by then. */
#define LOOKUPS_TIMEOUT (2 * USEC_PER_SEC)

/* Goodbyes have this long to leave. */
#define STOP_TIMEOUT USEC_PER_SEC

/* A name with many addresses is one server with many doors: two are enough. */
#define ADDRESSES_PER_SERVER_MAX 2

struct ServerLookup {
        Manager *manager;
        const IceServerConfig *server; /* in manager->config */
        ResolverQuery *query;
        ServerLookup *prev, *next; /* in manager->lookups */
};

struct IgnoredLink {
        char name[IF_NAMESIZE];
        UT_hash_handle hh; /* in manager->ignored */
};

/* When the negotiations that have ended together are closed, which takes the TURN servers' answers. */
#define TRIM_DELAY (15 * USEC_PER_SEC)

typedef void (*peer_verb_t)(Peer *peer);

static void for_each_peer(Manager *m, peer_verb_t verb)
{
        Link *link, *next_link;
        Peer *peer, *next;

        HASH_ITER(hh, m->links, link, next_link)
        HASH_ITER(hh, link->peers, peer, next)
        verb(peer);
}

/* Telling the API */

static void flush_link(Manager *m, Link *link)
{
        Peer *peer, *next;

        if (link->dirty) {
                link->dirty = false;
                m->callbacks->link_changed(m, link, /* removed= */ false, m->userdata);
        }
        HASH_ITER(hh, link->peers, peer, next)
        if (peer->dirty) {
                peer->dirty = false;
                m->callbacks->peer_changed(m, peer, /* removed= */ false, m->userdata);
        }
}

static int on_flush(sd_event_source *source, void *userdata)
{
        Manager *m = userdata;
        Link *link, *next;

        if (m->dirty)
                m->callbacks->manager_changed(m, m->userdata);
        m->dirty = false;
        HASH_ITER(hh, m->links, link, next)
        flush_link(m, link);
        return 0;
}

void manager_schedule_flush(Manager *m)
{
        int r;

        if (!m->callbacks)
                return;
        r = event_defer_once(m->event, &m->flush, on_flush, m, "manager-flush");
        if (r < 0)
                log_warning_errno(r, "Failed to schedule what is to be told, ignoring: %m");
}

static void mark_dirty(Manager *m)
{
        m->dirty = true;
        manager_schedule_flush(m);
}

static int on_trim_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        (void) malloc_trim(0);
        return 0;
}

void manager_schedule_trim(Manager *m)
{
        (void) event_arm_timer(m->event, &m->trim_timer, TRIM_DELAY, on_trim_timer, m, "manager-trim");
}

/* Links that are not ours to look after */

static void ignore_link(Manager *m, const char *name)
{
        IgnoredLink *ignored;

        HASH_FIND_STR(m->ignored, name, ignored);
        if (ignored || strlen(name) >= sizeof(ignored->name))
                return;
        ignored = new0(IgnoredLink, 1);
        if (!ignored) {
                log_oom();
                return;
        }
        strcpy(ignored->name, name);
        HASH_ADD_STR(m->ignored, name, ignored);
}

static void forget_ignored(Manager *m, const char *name)
{
        IgnoredLink *ignored;

        HASH_FIND_STR(m->ignored, name, ignored);
        if (!ignored)
                return;
        HASH_DEL(m->ignored, ignored);
        free(ignored);
}

/* Life cycle */

int manager_new(sd_event *event, Config *config, Manager **ret)
{
        Manager *m;

        m = new0(Manager, 1);
        if (!m)
                return -ENOMEM;
        m->event = sd_event_ref(event);
        m->config = config;
        *ret = m;
        return 0;
}

static ServerLookup *server_lookup_free(ServerLookup *lookup)
{
        resolver_query_free(lookup->query);
        DL_DELETE(lookup->manager->lookups, lookup);
        free(lookup);
        return NULL;
}

static void cancel_lookups(Manager *m)
{
        while (m->lookups)
                server_lookup_free(m->lookups);
        event_disarm_timer(m->lookups_timer);
        m->lookups_overdue = false;
}

Manager *manager_free(Manager *m)
{
        Link *link, *next;

        if (!m)
                return NULL;

        while (m->ignored)
                forget_ignored(m, m->ignored->name);

        HASH_ITER(hh, m->links, link, next)
        link_free(link);
        while (m->n_rendezvous > 0)
                manager_remove_rendezvous(m, m->rendezvous[m->n_rendezvous - 1]);
        cancel_lookups(m);
        sharing_lost(m);
        free(m->redirect_reason);
        relays_free(m);
        proxy_pool_free(m->proxies);
        broker_free(m->broker);
        resolver_free(m->resolver);
        rtnl_monitor_free(m->rtnl);
        sd_event_source_disable_unref(m->addresses_timer);
        sd_event_source_disable_unref(m->lookups_timer);
        sd_event_source_disable_unref(m->flush);
        sd_event_source_disable_unref(m->trim_timer);
        sd_event_source_disable_unref(m->stop_timer);
        free(m->ice_servers);
        config_free(m->config);
        sd_event_unref(m->event);
        free(m);
        return NULL;
}

Link *manager_find_link(Manager *m, const char *name)
{
        Link *link;

        HASH_FIND_STR(m->links, name, link);
        return link;
}

/* The broker */

static void on_link_changed(Broker *b, const WireguardDevice *device, void *userdata)
{
        Manager *m = userdata;
        Link *link = manager_find_link(m, device->name);
        int r;

        if (!config_manages_link(m->config, device->name)) {
                ignore_link(m, device->name);
                return;
        }
        if (!link) {
                r = link_new(m, device->name, &link);
                if (r < 0) {
                        log_error_errno(r, "%s: Failed to take the link: %m", device->name);
                        return;
                }
                log_info("%s: Looking after this link.", device->name);
        }
        r = link_observe(link, device);
        if (r < 0)
                log_error_errno(r, "%s: Failed to follow the link's peers: %m", device->name);
}

static void on_link_removed(Broker *b, const char *name, void *userdata)
{
        Link *link = manager_find_link(userdata, name);

        forget_ignored(userdata, name);
        if (!link)
                return;
        log_info("%s: The link is gone.", name);
        link_free(link);
}

static void start_peer(Peer *peer)
{
        exchange_start(peer);
        try_now(peer);
}

static void on_broker_ready(Broker *b, void *userdata)
{
        Manager *m = userdata;
        Link *link, *next;

        /* What went while the broker was away is told by nobody. */
        HASH_ITER(hh, m->links, link, next)
        if (!link->present)
                link_free(link);
        m->broker_ready = true;
        mark_dirty(m);
        sharing_update(m);
        for_each_peer(m, start_peer);
}

static void on_broker_lost(Broker *b, int error, void *userdata)
{
        Manager *m = userdata;
        Link *link, *next;

        log_warning_errno(error, "Lost icewire-broker, paths stay as they are: %m");
        m->broker_ready = false;
        mark_dirty(m);
        sharing_lost(m);
        HASH_ITER(hh, m->links, link, next)
        {
                link->present = false;
                link_mappings_lost(link);
                link_probes_lost(link);
        }
        for_each_peer(m, peer_update_reason);
}

static void on_redirect_changed(Broker *b, void *userdata)
{
        sharing_update(userdata);
}

static void on_handshake_initiated(Broker *b, const char *name, const SocketAddress *endpoint,
                                   void *userdata)
{
        Link *link = manager_find_link(userdata, name);

        if (link)
                link_take_initiation(link, endpoint);
}

const BrokerCallbacks manager_broker_callbacks = {
        .link_changed = on_link_changed,
        .link_removed = on_link_removed,
        .ready = on_broker_ready,
        .lost = on_broker_lost,
        .redirect_changed = on_redirect_changed,
        .handshake_initiated = on_handshake_initiated,
};

/* What a negotiation has sent meanwhile came from its own port, and the pair that it finds, or has found, is
 * for the proxy alone. */
static bool has_missed_the_port(const Peer *peer)
{
        return peer->session && peer->session->shared &&
               (session_is_negotiating(peer->session) || peer->path.kind == PATH_PROXIED);
}

static void share_again(Peer *peer)
{
        if (has_missed_the_port(peer)) {
                peer_because(peer, PATH_CAUSE_SHARING_CHANGED);
                peer_reconnect(peer);
        } else if (peer->session)
                session_share_again(peer->session);
        if (peer->old_session)
                session_share_again(peer->old_session);
}

/* A path that was found by other means than there are now is looked for anew; and so is one that is being
 * negotiated: the candidates that were told are wrong. */
static void follow_sharing(Peer *peer)
{
        if (peer->session && peer->session->shared != sharing_is_on(peer->link->manager)) {
                peer_because(peer, PATH_CAUSE_SHARING_CHANGED);
                peer_reconnect(peer);
        } else
                try_now(peer);
}

void manager_sharing_settled(Manager *m, bool forgotten)
{
        bool again = TAKE_GENERIC(m->mappings_doubted, false) || forgotten;
        Link *link, *next;

        mark_dirty(m);
        if (forgotten)
                for_each_peer(m, share_again);
        HASH_ITER(hh, m->links, link, next)
        {
                link_mappings_update(link, again);
                link_probes_update(link, forgotten);
        }
        for_each_peer(m, follow_sharing);
}

void manager_set_broker(Manager *m, Broker *broker)
{
        assert(!m->broker);
        m->broker = broker;
}

void manager_topics_released(Manager *m, const Peer *peer)
{
        Link *link, *next;
        Peer *other;

        HASH_ITER(hh, m->links, link, next)
        {
                if (link == peer->link || !wireguard_key_equal(&link->public_key, &peer->link->public_key))
                        continue;
                other = link_find_peer(link, &peer->public_key);
                if (other)
                        exchange_start(other);
        }
}

/* The rendezvous */

static size_t rendezvous_index(const Manager *m, const Rendezvous *r)
{
        size_t i = 0;

        while (i < m->n_rendezvous && m->rendezvous[i] != r)
                i++;
        return i;
}

static Peer *find_peer_by_topic(Manager *m, const char *topic)
{
        Peer *peer = NULL;

        if (strlen(topic) == TOPIC_SIZE - 1)
                HASH_FIND(hh_topic, m->peers_by_topic, topic, TOPIC_SIZE - 1, peer);
        return peer;
}

static bool on_envelope(Rendezvous *r, const char *topic, const void *envelope, size_t size, void *userdata)
{
        Manager *m = userdata;
        Peer *peer = find_peer_by_topic(m, topic);
        size_t index = rendezvous_index(m, r);

        return peer && index < m->n_rendezvous && exchange_receive(peer, index, envelope, size);
}

static void on_rendezvous_state(Rendezvous *r, void *userdata)
{
        Manager *m = userdata;
        size_t index = rendezvous_index(m, r);
        bool up = r->state == RENDEZVOUS_STATE_UP;

        if (index >= m->n_rendezvous)
                return; /* still being made */
        /* When it comes up, `subscribed` follows for each topic; while it is up, this means new neighbours.
         */
        for_each_peer(m, up && m->rendezvous_was_up[index] ? try_now : peer_update_reason);
        m->rendezvous_was_up[index] = up;
        if (m->callbacks)
                m->callbacks->rendezvous_changed(m, r, m->userdata);
}

static void on_subscribed(Rendezvous *r, const char *topic, void *userdata)
{
        Peer *peer = find_peer_by_topic(userdata, topic);

        if (!peer)
                return;
        /* What was said so far went by others, if there are any, and may be said again only in a second. */
        if (session_is_negotiating(peer->session))
                session_repeat_description(peer->session);
        try_now(peer);
}

const RendezvousCallbacks manager_rendezvous_callbacks = {
        .envelope = on_envelope,
        .state = on_rendezvous_state,
        .subscribed = on_subscribed,
};

int manager_add_rendezvous(Manager *m, Rendezvous *r)
{
        Peer *peer, *next;

        if (m->n_rendezvous >= RENDEZVOUS_MAX) {
                rendezvous_free(r);
                return -E2BIG;
        }
        m->rendezvous_was_up[m->n_rendezvous] = r->state == RENDEZVOUS_STATE_UP;
        m->rendezvous[m->n_rendezvous++] = r;
        HASH_ITER(hh_topic, m->peers_by_topic, peer, next)
        exchange_subscribe(peer, r);
        return 0;
}

void manager_remove_rendezvous(Manager *m, Rendezvous *r)
{
        size_t index = rendezvous_index(m, r);

        assert(index < m->n_rendezvous);
        m->n_rendezvous--;
        memmove(m->rendezvous + index, m->rendezvous + index + 1,
                (m->n_rendezvous - index) * sizeof(*m->rendezvous));
        memmove(m->rendezvous_was_up + index, m->rendezvous_was_up + index + 1, m->n_rendezvous - index);
        rendezvous_free(r);
        for_each_peer(m, peer_update_reason);
}

size_t manager_n_rendezvous_up(const Manager *m)
{
        size_t n = 0;

        for (size_t i = 0; i < m->n_rendezvous; i++)
                n += m->rendezvous[i]->state == RENDEZVOUS_STATE_UP;
        return n;
}

/* Addresses */

static bool addresses_equal(const Manager *m, const SocketAddress *addresses, size_t n)
{
        if (m->n_addresses != n)
                return false;
        for (size_t i = 0; i < n; i++)
                if (!socket_address_ip_equal(&m->addresses[i], &addresses[i]))
                        return false;
        return true;
}

static bool any_address_goes(const Manager *m, const SocketAddress *addresses, size_t n)
{
        for (size_t i = 0; i < m->n_addresses; i++)
                if (!socket_addresses_contain_ip(addresses, n, &m->addresses[i]))
                        return true;
        return false;
}

/* WireGuard may find its way from another address by itself, or may not: its next handshake tells. */
static void doubt_handshake(Peer *peer)
{
        peer->doubted = now(CLOCK_BOOTTIME);
}

static void reconnect_from_address(Peer *peer)
{
        peer_because(peer, PATH_CAUSE_ADDRESS_CHANGED);
        peer_reconnect(peer);
}

static void reconnect_by_route(Peer *peer)
{
        peer_because(peer, PATH_CAUSE_ROUTE_CHANGED);
        peer_reconnect(peer);
}

static void reconnect_awake(Peer *peer)
{
        peer_because(peer, PATH_CAUSE_RESUMED);
        peer_reconnect(peer);
}

/* Packets may leave by another way now, and come from elsewhere, or not come back at all. */
static void doubt_everything(Manager *m, const char *why)
{
        for_each_peer(m, doubt_handshake);
        for (size_t i = 0; i < m->n_rendezvous; i++)
                if (m->rendezvous[i]->ops->renew)
                        m->rendezvous[i]->ops->renew(m->rendezvous[i], why);
}

static bool leads_elsewhere(const RtnlDefaultRoute *before, const RtnlDefaultRoute *after)
{
        return before->ifindex != 0 && after->ifindex != 0 &&
               (before->ifindex != after->ifindex ||
                !socket_address_ip_equal(&before->gateway, &after->gateway));
}

/* A default route that goes, and is back as it was, leads where it led; the addresses tell whether anything
 * was lost by it. */
static bool follow_default_routes(Manager *m, const RtnlDefaultRoute routes[static 2])
{
        bool elsewhere = false;

        for (size_t i = 0; i < ELEMENTSOF(m->routes); i++) {
                elsewhere = elsewhere || leads_elsewhere(&m->routes[i], &routes[i]);
                if (routes[i].ifindex != 0)
                        m->routes[i] = routes[i];
        }
        return elsewhere;
}

static bool follow_addresses(Manager *m, const SocketAddress *addresses, size_t n)
{
        if (m->addresses_known && addresses_equal(m, addresses, n)) {
                sharing_refresh(m);
                return false;
        }
        if (any_address_goes(m, addresses, n))
                for_each_peer(m, doubt_handshake);
        if (n > 0)
                memcpy(m->addresses, addresses, n * sizeof(*addresses));
        m->n_addresses = n;
        for (size_t i = 0; i < n; i++)
                log_debug("Our address %s.", SOCKET_ADDRESS_IP_STR(&addresses[i]));
        sharing_update(m);
        return true;
}

void manager_set_network(Manager *m, const SocketAddress *addresses, size_t n,
                         const RtnlDefaultRoute routes[static 2])
{
        bool first = !m->addresses_known, elsewhere, changed;

        elsewhere = follow_default_routes(m, routes);
        changed = follow_addresses(m, addresses, MIN(n, ELEMENTSOF(m->addresses)));
        m->addresses_known = true;
        if (elsewhere) {
                log_debug("The default route leads elsewhere.");
                /* By an interface, perhaps, where nothing shares WireGuard's port yet; and what the NAT
                 * there makes of that port is asked for when something does. */
                m->mappings_doubted = true;
                sharing_update(m);
                doubt_everything(m, "the default route leads elsewhere, connecting anew");
        }
        if (first)
                for_each_peer(m, try_now);
        else if (m->n_addresses == 0)
                for_each_peer(m, peer_update_reason);
        else if (changed)
                for_each_peer(m, reconnect_from_address);
        else if (elsewhere)
                for_each_peer(m, reconnect_by_route);
}

void manager_set_addresses(Manager *m, const SocketAddress *addresses, size_t n)
{
        manager_set_network(m, addresses, n, m->routes);
}

static void collect_network(Manager *m)
{
        SocketAddress addresses[MANAGER_ADDRESSES_MAX];
        const RtnlDefaultRoute routes[] = { rtnl_monitor_default_route(m->rtnl, AF_INET),
                                            rtnl_monitor_default_route(m->rtnl, AF_INET6) };
        size_t n;

        n = addresses_collect(m->rtnl, &m->config->addresses, addresses, ELEMENTSOF(addresses));
        manager_set_network(m, addresses, n, routes);
        for (size_t i = 0; i < m->n_rendezvous; i++)
                if (m->rendezvous[i]->ops->network_changed)
                        m->rendezvous[i]->ops->network_changed(m->rendezvous[i]);
}

void manager_resumed(Manager *m)
{
        Link *link, *next;

        log_info("The host has slept; every path is verified.");
        HASH_ITER(hh, m->links, link, next)
        link_mappings_ask(link);
        doubt_everything(m, "the host has slept, connecting anew");
        for_each_peer(m, reconnect_awake);
}

static int on_addresses_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        Manager *m = userdata;

        m->addresses_due = 0;
        collect_network(m);
        return 0;
}

static void on_rtnl_changed(RtnlMonitor *monitor, int ifindex, int changes, void *userdata)
{
        Manager *m = userdata;
        usec_t t = now(CLOCK_BOOTTIME);
        int r;

        if (!m->addresses_known)
                return;
        if (m->addresses_due == 0)
                m->addresses_due = t + ADDRESSES_DELAY_MAX;
        else if (t >= m->addresses_due)
                return; /* a timer that is set anew has to wait anew for its turn */
        r = event_arm_timer(m->event, &m->addresses_timer,
                            MIN(ADDRESSES_DELAY, usec_sub(m->addresses_due, t)), on_addresses_timer, m,
                            "manager-addresses");
        if (r < 0)
                log_warning_errno(r, "Failed to schedule a look at the addresses, ignoring: %m");
}

static void on_rtnl_ready(RtnlMonitor *monitor, void *userdata)
{
        Manager *m = userdata;

        m->rtnl = monitor;
        collect_network(m);
}

static const RtnlCallbacks rtnl_callbacks = {
        .changed = on_rtnl_changed,
        .ready = on_rtnl_ready,
};

/* An AllowedIPs of a whole family is a default route, which its manager keeps our packets out of. */
static bool is_tunnelled(const Peer *peer, const SocketAddress *a)
{
        for (size_t i = 0; i < peer->n_allowed_ips; i++)
                if (peer->allowed_ips[i].length > 1 && ip_prefix_contains(&peer->allowed_ips[i], a))
                        return true;
        return false;
}

bool manager_address_is_tunnelled(const Manager *m, const SocketAddress *a)
{
        Link *link, *next_link;
        Peer *peer, *next;

        HASH_ITER(hh, m->links, link, next_link)
        HASH_ITER(hh, link->peers, peer, next)
        if (is_tunnelled(peer, a))
                return true;
        return false;
}

/* STUN and TURN servers */

static void add_server(Manager *m, const IceServerConfig *config, const SocketAddress *address)
{
        IceServer server = { .kind = config->kind, .address = *address };

        if (GROW_ARRAY(m->ice_servers, m->ice_servers_allocated, m->n_ice_servers + 1) < 0) {
                log_oom();
                return;
        }
        if (config->kind == ICE_SERVER_STUN || relays_prepare(m, config, &server) >= 0)
                m->ice_servers[m->n_ice_servers++] = server;
}

/* The server that carries its path is no longer ours to use: the path goes on until there is another. */
static void leave_lost_relay(Peer *peer)
{
        const Session *s = carrier_session(peer);

        if (!s || !session_has_lost_its_relay(s))
                return;
        log_peer_full(peer, LOG_INFO, 0,
                      "Its TURN server is no longer configured, looking for another path.");
        peer_because(peer, PATH_CAUSE_CONFIGURATION);
        peer->wants_tcp = false;
        try_again(peer);
}

static void lookups_settled(Manager *m)
{
        event_disarm_timer(m->lookups_timer);
        sharing_update(m);
        for_each_peer(m, leave_lost_relay);
        for_each_peer(m, try_now);
}

static void on_resolved(int error, const SocketAddress *addresses, size_t n, void *userdata)
{
        ServerLookup *lookup = userdata;
        Manager *m = lookup->manager;

        lookup->query = NULL;
        if (error < 0)
                log_warning_errno(error, "Failed to resolve the %s server %s, ignoring: %m",
                                  ice_server_kind_to_string(lookup->server->kind), lookup->server->host);
        if (error < 0)
                relays_unresolved(m, lookup->server, error);
        for (size_t i = 0; i < n && i < ADDRESSES_PER_SERVER_MAX; i++)
                add_server(m, lookup->server, &addresses[i]);
        server_lookup_free(lookup);
        /* A TURN server that is known late must be known to the broker before it is used. */
        if (!m->lookups || m->lookups_overdue)
                lookups_settled(m);
}

static void look_up_server(Manager *m, const IceServerConfig *server)
{
        SocketAddress address;
        ServerLookup *lookup;
        int r;

        if (socket_address_from_ip(server->host, server->port, &address) >= 0) {
                add_server(m, server, &address);
                return;
        }
        lookup = new0(ServerLookup, 1);
        if (!lookup) {
                log_oom();
                return;
        }
        lookup->manager = m;
        lookup->server = server;
        DL_APPEND(m->lookups, lookup);
        r = resolver_query(m->resolver, server->host, server->port, on_resolved, lookup, &lookup->query);
        if (r < 0) {
                log_warning_errno(r, "Failed to ask for %s, ignoring: %m", server->host);
                server_lookup_free(lookup);
        }
}

static int on_lookups_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        Manager *m = userdata;

        m->lookups_overdue = true;
        lookups_settled(m);
        return 0;
}

static int look_up_servers(Manager *m)
{
        int r;

        cancel_lookups(m);
        m->n_ice_servers = 0;
        r = relays_configure(m);
        if (r < 0)
                return r;
        if (!m->resolver) {
                r = resolver_new(m->event, &m->resolver);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < m->config->n_ice_servers; i++)
                look_up_server(m, &m->config->ice_servers[i]);
        if (!m->lookups)
                return 0;
        return event_arm_timer(m->event, &m->lookups_timer, LOOKUPS_TIMEOUT, on_lookups_timer, m,
                               "manager-lookups");
}

bool manager_can_negotiate(const Manager *m)
{
        return m->addresses_known && m->n_addresses > 0 && (!m->lookups || m->lookups_overdue) &&
               m->redirect_settled;
}

/* Start, reload, stop */

int manager_start(Manager *m)
{
        int r;

        r = look_up_servers(m);
        if (r < 0)
                return r;
        return rtnl_monitor_new(m->event, &rtnl_callbacks, m, &m->rtnl);
}

/* Whatever the configuration leaves out from now on, and what it did until now. */
static void sort_links(Manager *m)
{
        IgnoredLink *ignored, *next_ignored;
        Link *link, *next;

        HASH_ITER(hh, m->links, link, next)
        {
                if (config_manages_link(m->config, link->name))
                        continue;
                ignore_link(m, link->name);
                link_free(link);
        }
        HASH_ITER(hh, m->ignored, ignored, next_ignored)
        {
                if (!config_manages_link(m->config, ignored->name))
                        continue;
                if (link_new(m, ignored->name, &link) >= 0)
                        link_refresh(link);
                forget_ignored(m, ignored->name);
        }
}

void manager_reload(Manager *m, Config *config)
{
        int r;

        cancel_lookups(m);
        m->relay_generation += !config_relay_credentials_equal(m->config, config);
        config_free(m->config);
        m->config = config;
        sort_links(m);
        r = look_up_servers(m);
        if (r < 0)
                log_error_errno(r, "Failed to look up the servers: %m");
        if (m->rtnl && rtnl_monitor_is_ready(m->rtnl))
                collect_network(m);
        sharing_update(m);
        for_each_peer(m, peer_follow_configured_policy);
        if (!m->lookups)
                for_each_peer(m, leave_lost_relay);
        for_each_peer(m, try_now);
}

static void say_goodbye(Peer *peer)
{
        Message m = { .type = MESSAGE_BYE };

        if (peer->signalling.peer_instance != 0 && !carrier_is_plain(peer))
                exchange_send(peer, 0, &m);
}

static bool is_busy(Manager *m)
{
        Link *link, *next_link;
        Peer *peer, *next;

        HASH_ITER(hh, m->links, link, next_link)
        HASH_ITER(hh, link->peers, peer, next)
        if (exchange_is_busy(peer))
                return true;
        return false;
}

static int on_stop_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        Manager *m = userdata;

        m->on_stopped(m, m->userdata);
        return 0;
}

static void arm_stop_timer(Manager *m, usec_t delay)
{
        if (event_arm_timer(m->event, &m->stop_timer, delay, on_stop_timer, m, "manager-stop") < 0)
                m->on_stopped(m, m->userdata);
}

void manager_check_stopped(Manager *m)
{
        /* By way of the loop, so that sockets are written and nobody is freed under our caller. */
        if (m->on_stopped && !is_busy(m))
                arm_stop_timer(m, 0);
}

void manager_stop(Manager *m, void (*on_stopped)(Manager *m, void *userdata))
{
        if (m->on_stopped)
                return;
        m->on_stopped = on_stopped;
        for_each_peer(m, try_cancel);
        for_each_peer(m, say_goodbye);
        arm_stop_timer(m, is_busy(m) ? STOP_TIMEOUT : 0);
}
