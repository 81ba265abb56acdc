/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "host-network.h"

#include "event-util.h"
#include "link-mappings.h"
#include "log-event.h"
#include "sharing.h"
#include "try.h"

/* Addresses come in bursts (a link comes up, gets an address for each family, a route): wait for the end of
 * one. Whoever sets them up does so without a pause; what comes later is another burst. */
#define ADDRESSES_DELAY (20 * USEC_PER_MSEC)
/* … that may never come where containers come and go all the time. */
#define ADDRESSES_DELAY_MAX USEC_PER_SEC

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
        manager_for_each_peer(m, doubt_handshake);
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
                manager_for_each_peer(m, doubt_handshake);
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
                manager_for_each_peer(m, try_now);
        else if (m->n_addresses == 0)
                manager_for_each_peer(m, peer_update_reason);
        else if (changed)
                manager_for_each_peer(m, reconnect_from_address);
        else if (elsewhere)
                manager_for_each_peer(m, reconnect_by_route);
}

void manager_set_addresses(Manager *m, const SocketAddress *addresses, size_t n)
{
        manager_set_network(m, addresses, n, m->routes);
}

void host_network_collect(Manager *m)
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

        log_event(LOG_INFO, 0, LOG_EVENT_HOST_RESUMED, (), "The host has slept; every path is verified.");
        HASH_ITER(hh, m->links, link, next)
        link_mappings_ask(link);
        doubt_everything(m, "the host has slept, connecting anew");
        manager_for_each_peer(m, reconnect_awake);
}

static int on_addresses_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        Manager *m = userdata;

        m->addresses_due = 0;
        host_network_collect(m);
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
        host_network_collect(m);
}

static const RtnlCallbacks rtnl_callbacks = {
        .changed = on_rtnl_changed,
        .ready = on_rtnl_ready,
};

int host_network_start(Manager *m)
{
        return rtnl_monitor_new(m->event, &rtnl_callbacks, m, &m->rtnl);
}

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
