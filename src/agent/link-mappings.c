/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "link-mappings.h"

#include "log.h"
#include "manager.h"
#include "session.h"
#include "sharing.h"

static void for_each_session(Link *link, void (*verb)(Session *s))
{
        Peer *peer, *next;

        HASH_ITER(hh, link->peers, peer, next)
        {
                if (peer->session)
                        verb(peer->session);
                if (peer->old_session)
                        verb(peer->old_session);
        }
}

static void for_each_peer(Link *link, void (*verb)(Peer *peer))
{
        Peer *peer, *next;

        HASH_ITER(hh, link->peers, peer, next)
        verb(peer);
}

static void on_mapping(Mapping *mapping, void *userdata)
{
        Link *link = userdata;

        if (mapping->state == MAPPING_STATE_FAILED)
                log_debug_errno(mapping->error, "%s: Cannot ask STUN servers about the port: %m",
                                link->name);
        for_each_session(link, session_mapping_changed);
        for_each_peer(link, peer_update_reason);
}

static void remove_mapping(Link *link, size_t i)
{
        mapping_free(link->mappings[i]);
        link->mappings[i] = link->mappings[--link->n_mappings];
}

void link_mappings_clear(Link *link)
{
        while (link->n_mappings > 0)
                remove_mapping(link, link->n_mappings - 1);
}

void link_mappings_lost(Link *link)
{
        for (size_t i = 0; i < link->n_mappings; i++)
                mapping_sharing_lost(link->mappings[i]);
}

static Mapping *find_mapping(const Link *link, const SocketAddress *local)
{
        for (size_t i = 0; i < link->n_mappings; i++)
                if (socket_address_ip_equal(&link->mappings[i]->local, local))
                        return link->mappings[i];
        return NULL;
}

/* Of an address that has gone, or of a port that the link no longer has. */
static void remove_stale(Link *link)
{
        const Manager *m = link->manager;

        for (size_t i = link->n_mappings; i > 0; i--) {
                const SocketAddress *local = &link->mappings[i - 1]->local;

                if (socket_address_port(local) != link->listen_port ||
                    !socket_addresses_contain_ip(m->addresses, m->n_addresses, local))
                        remove_mapping(link, i - 1);
        }
}

static void add_mapping(Link *link, const SocketAddress *local, const SocketAddress *servers, size_t n)
{
        Manager *m = link->manager;
        int r;

        if (link->n_mappings >= ELEMENTSOF(link->mappings))
                return;
        r = mapping_new(m->event, m->broker, link->name, local, link->listen_port, servers, n, on_mapping,
                        link, &link->mappings[link->n_mappings]);
        if (r < 0) {
                log_debug_errno(r, "%s: Cannot ask STUN servers from %s, ignoring: %m", link->name,
                                SOCKET_ADDRESS_IP_STR(local));
                return;
        }
        link->n_mappings++;
}

size_t link_mappings_servers(const Manager *m, SocketAddress *ret, size_t max)
{
        size_t n = 0;

        for (size_t i = 0; i < m->n_ice_servers && n < max; i++)
                if (m->ice_servers[i].kind == ICE_SERVER_STUN ||
                    m->ice_servers[i].kind == ICE_SERVER_TURN_UDP)
                        ret[n++] = m->ice_servers[i].address;
        return n;
}

void link_mappings_update(Link *link, bool again)
{
        const Manager *m = link->manager;
        SocketAddress servers[MAPPING_SERVERS_MAX];
        size_t n = link_mappings_servers(m, servers, ELEMENTSOF(servers));

        if (!sharing_is_on(m) || link->listen_port == 0) {
                link_mappings_clear(link);
                return;
        }
        remove_stale(link);
        for (size_t i = 0; i < link->n_mappings; i++) {
                mapping_set_servers(link->mappings[i], servers, n);
                if (again)
                        mapping_share_again(link->mappings[i]);
        }
        for (size_t i = 0; i < m->n_addresses; i++)
                if (!find_mapping(link, &m->addresses[i]))
                        add_mapping(link, &m->addresses[i], servers, n);
        link_mappings_consider_need(link);
}

void link_mappings_ask(Link *link)
{
        for (size_t i = 0; i < link->n_mappings; i++)
                mapping_ask(link->mappings[i], /* hairpin= */ false);
}

static bool needs_mappings(const Link *link)
{
        for (const Peer *peer = link->peers; peer; peer = peer->hh.next)
                if (peer->path.kind != PATH_DIRECT || session_is_negotiating(peer->session))
                        return true;
        return false;
}

void link_mappings_consider_need(Link *link)
{
        bool needed = needs_mappings(link);

        for (size_t i = 0; i < link->n_mappings; i++)
                mapping_set_wanted(link->mappings[i], needed);
}

const SocketAddress *link_mapped_address(const Link *link, const SocketAddress *local)
{
        const Mapping *mapping = find_mapping(link, local);

        return mapping && socket_address_is_set(&mapping->mapped) ? &mapping->mapped : NULL;
}

/* Does TCP get through, where UDP may not? */
static bool tcp_works(const Manager *m)
{
        for (size_t i = 0; i < m->n_rendezvous; i++)
                if (m->rendezvous[i]->state == RENDEZVOUS_STATE_UP && m->rendezvous[i]->ops->uses_tcp)
                        return true;
        return false;
}

static NetworkMapping describe(const Mapping *mapping, const Manager *m)
{
        bool asked = mapping->state == MAPPING_STATE_SETTLED && mapping->n_servers > 0;

        switch (mapping->kind) {
        case MAPPING_NONE:
        case MAPPING_ENDPOINT_INDEPENDENT:
                return NETWORK_ENDPOINT_INDEPENDENT;
        case MAPPING_VARIES:
                return NETWORK_VARIES;
        case MAPPING_UNKNOWN:
                return asked && tcp_works(m) ? NETWORK_BLOCKED : NETWORK_UNKNOWN;
        default:
                return NETWORK_UNKNOWN;
        }
}

/* In the order in which they help; what is not known may be the best. */
static NetworkMapping better(NetworkMapping a, NetworkMapping b)
{
        static const uint8_t ranks[_NETWORK_MAX] = {
                [NETWORK_ABSENT] = 0,
                [NETWORK_BLOCKED] = 1,
                [NETWORK_VARIES] = 2,
                [NETWORK_UNKNOWN] = 3,
                [NETWORK_ENDPOINT_INDEPENDENT] = 4,
        };

        return ranks[a] >= ranks[b] ? a : b;
}

static NetworkMapping describe_family(const Link *link, sa_family_t family)
{
        const Manager *m = link->manager;
        NetworkMapping best = m->addresses_known ? NETWORK_ABSENT : NETWORK_UNKNOWN;

        for (size_t i = 0; i < m->n_addresses; i++) {
                const Mapping *mapping = find_mapping(link, &m->addresses[i]);

                if (m->addresses[i].sa.sa_family == family)
                        best = better(best, mapping ? describe(mapping, m) : NETWORK_UNKNOWN);
        }
        return best;
}

void link_mappings_describe(const Link *link, Network *ret)
{
        ret->ipv4 = describe_family(link, AF_INET);
        ret->ipv6 = describe_family(link, AF_INET6);
}

bool link_udp_is_silent(const Link *link)
{
        size_t n = 0;

        for (size_t i = 0; i < link->n_mappings; i++) {
                if (link->mappings[i]->state < MAPPING_STATE_SETTLED ||
                    socket_address_is_set(&link->mappings[i]->mapped))
                        return false;
                n += link->mappings[i]->n_servers;
        }
        return n > 0;
}

bool link_mappings_are_settled(const Link *link)
{
        for (size_t i = 0; i < link->n_mappings; i++)
                if (link->mappings[i]->state < MAPPING_STATE_SETTLED)
                        return false;
        return true;
}
