/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "servers.h"

#include <utlist.h>

#include "carrier.h"
#include "event-util.h"
#include "log-event.h"
#include "relays.h"
#include "session.h"
#include "sharing.h"
#include "try.h"

/* Negotiations begin without the servers that are not resolved by then. */
#define LOOKUPS_TIMEOUT (2 * USEC_PER_SEC)

/* A name with many addresses is one server with many doors: two are enough. */
#define ADDRESSES_PER_SERVER_MAX 2

struct ServerLookup {
        Manager *manager;
        const IceServerConfig *server; /* in manager->config */
        ResolverQuery *query;
        ServerLookup *prev, *next; /* in manager->lookups */
};

static ServerLookup *server_lookup_free(ServerLookup *lookup)
{
        resolver_query_free(lookup->query);
        DL_DELETE(lookup->manager->lookups, lookup);
        free(lookup);
        return NULL;
}

void servers_cancel(Manager *m)
{
        while (m->lookups)
                server_lookup_free(m->lookups);
        event_disarm_timer(m->lookups_timer);
        m->lookups_overdue = false;
}

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
void servers_leave_lost_relay(Peer *peer)
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
        manager_for_each_peer(m, servers_leave_lost_relay);
        manager_for_each_peer(m, try_now);
}

static void on_resolved(int error, const SocketAddress *addresses, size_t n, void *userdata)
{
        ServerLookup *lookup = userdata;
        Manager *m = lookup->manager;

        lookup->query = NULL;
        if (error < 0)
                log_event(LOG_WARNING, error, LOG_EVENT_SERVER_UNKNOWN,
                          (LOG_FIELD("ICEWIRE_SERVER=%s", lookup->server->host),
                           LOG_FIELD("ICEWIRE_SERVER_KIND=%s",
                                     ice_server_kind_to_string(lookup->server->kind))),
                          "Failed to resolve the %s server %s, ignoring: %m",
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

int servers_look_up(Manager *m)
{
        int r;

        servers_cancel(m);
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
