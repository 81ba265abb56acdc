/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "link.h"

#include "carrier.h"
#include "event-util.h"
#include "link-mappings.h"
#include "link-probes.h"
#include "log.h"
#include "manager.h"
#include "session.h"
#include "try.h"

int link_new(Manager *manager, const char *name, Link **ret)
{
        Link *link;

        link = new0(Link, 1);
        if (!link)
                return -ENOMEM;
        link->manager = manager;
        link->name = strdup(name);
        if (!link->name) {
                free(link);
                return -ENOMEM;
        }
        HASH_ADD_KEYPTR(hh, manager->links, link->name, strlen(link->name), link);
        *ret = link;
        return 0;
}

static void free_peers(Link *link)
{
        const ManagerCallbacks *callbacks = link->manager->callbacks;
        Peer *peer, *next;

        HASH_ITER(hh, link->peers, peer, next)
        {
                if (callbacks)
                        callbacks->peer_changed(link->manager, peer, /* removed= */ true,
                                                link->manager->userdata);
                peer_free(peer);
        }
}

Link *link_free(Link *link)
{
        if (!link)
                return NULL;

        link_mappings_clear(link);
        free_peers(link);
        sd_event_source_disable_unref(link->watch_timer);
        link->refresh = broker_call_free(link->refresh);
        if (link->manager->callbacks)
                link->manager->callbacks->link_changed(link->manager, link, /* removed= */ true,
                                                       link->manager->userdata);
        HASH_DEL(link->manager->links, link);
        free(link->name);
        free(link);
        return NULL;
}

Peer *link_find_peer(Link *link, const WireguardKey *public_key)
{
        Peer *peer;

        HASH_FIND(hh, link->peers, public_key, sizeof(*public_key), peer);
        return peer;
}

static void mark_dirty(Link *link)
{
        link->dirty = true;
        manager_schedule_flush(link->manager);
}

/* Everything that peers of this link say and hear depends on our key. */
static void follow_public_key(Link *link, const WireguardDevice *device)
{
        if (wireguard_key_equal(&link->public_key, &device->public_key))
                return;
        free_peers(link);
        link->public_key = device->public_key;
        mark_dirty(link);
}

static bool was_found_for_port(const Peer *peer)
{
        return (peer->session && peer->session->shared) || (peer->path.negotiated && carrier_is_plain(peer));
}

static void follow_port(Link *link, const WireguardDevice *device)
{
        Peer *peer, *next;

        if (link->listen_port == device->listen_port)
                return;
        link->listen_port = device->listen_port;
        mark_dirty(link);
        if (link->manager->redirect_settled)
                link_mappings_update(link, /* again= */ false);
        link_probes_update(link, /* forgotten= */ false);
        HASH_ITER(hh, link->peers, peer, next)
        {
                carrier_port_changed(peer);
                if (link->listen_port == 0)
                        peer_update_reason(peer);
                else if (was_found_for_port(peer)) {
                        peer_because(peer, PATH_CAUSE_PORT_CHANGED);
                        peer_reconnect_regardless(peer);
                } else
                        try_now(peer);
        }
}

static void remove_absent_peers(Link *link, const WireguardDevice *device)
{
        const ManagerCallbacks *callbacks = link->manager->callbacks;
        Peer *peer, *next;

        HASH_ITER(hh, link->peers, peer, next)
        {
                if (wireguard_device_find_peer(device, &peer->public_key))
                        continue;
                log_peer_full(peer, LOG_INFO, 0, "Removed from the link.");
                if (callbacks)
                        callbacks->peer_changed(link->manager, peer, /* removed= */ true,
                                                link->manager->userdata);
                peer_free(peer);
                mark_dirty(link);
        }
}

static int observe_peers(Link *link, const WireguardDevice *device)
{
        for (size_t i = 0; i < device->n_peers; i++) {
                Peer *peer = link_find_peer(link, &device->peers[i].public_key);
                int r;

                if (peer) {
                        peer_observe(peer, &device->peers[i]);
                        continue;
                }
                r = peer_new(link, &device->peers[i], &peer);
                if (r < 0)
                        return r;
                log_peer_full(peer, LOG_DEBUG, 0, "Appeared on the link.");
                mark_dirty(link);
        }
        return 0;
}

/* ---- When to read it ---- */

static bool has_paths(const Link *link)
{
        for (const Peer *peer = link->peers; peer; peer = peer->hh.next)
                if (peer->path.kind != PATH_NONE)
                        return true;
        return false;
}

static int on_watch_timer(sd_event_source *source, uint64_t t, void *userdata)
{
        link_refresh(userdata);
        return 0;
}

static void arm_watch_timer(Link *link)
{
        usec_t due = watch_due(&link->watch);
        int r;

        if (due == USEC_INFINITY || !has_paths(link)) {
                event_disarm_timer(link->watch_timer);
                return;
        }
        r = event_arm_timer(link->manager->event, &link->watch_timer, usec_sub(due, now(CLOCK_BOOTTIME)),
                            on_watch_timer, link, "link-watch");
        if (r < 0)
                log_warning_errno(r, "%s: Failed to watch the link, ignoring: %m", link->name);
}

void link_watch(Link *link)
{
        watch_ask(&link->watch, now(CLOCK_BOOTTIME));
        arm_watch_timer(link);
}

void link_take_initiation(Link *link, const SocketAddress *endpoint)
{
        usec_t t = now(CLOCK_BOOTTIME);
        bool known = false;

        for (Peer *peer = link->peers; peer; peer = peer->hh.next)
                if (socket_address_equal(&peer->endpoint, endpoint)) {
                        known = true;
                        watch_take_initiation(&link->watch, &peer->initiated, t,
                                              usec_sub(t, peer->handshake_at));
                }
        /* Somebody has set it since the last reading. */
        if (!known)
                watch_ask(&link->watch, t);
        arm_watch_timer(link);
}

/* ---- What is read ---- */

static int observe(Link *link, const WireguardDevice *device)
{
        link->present = true;
        if (link->kind != device->kind || link->ifindex != device->ifindex || link->fwmark != device->fwmark)
                mark_dirty(link);
        link->kind = device->kind;
        link->ifindex = device->ifindex;
        link->fwmark = device->fwmark;
        follow_public_key(link, device);
        follow_port(link, device);
        remove_absent_peers(link, device);
        return observe_peers(link, device);
}

int link_observe(Link *link, const WireguardDevice *device)
{
        int r;

        link->busy = false;
        r = observe(link, device);
        watch_take_reading(&link->watch, now(CLOCK_BOOTTIME), link->busy);
        arm_watch_timer(link);
        return r;
}

static void on_device(Broker *b, int error, const WireguardDevice *device, void *userdata)
{
        Link *link = userdata;
        int r;

        link->refresh = NULL;
        if (error == -ENODEV && !link->present) {
                link_free(link); /* it went while nobody told us of it */
                return;
        }
        if (error < 0) {
                log_debug_errno(error, "%s: Failed to read the link, ignoring: %m", link->name);
                return;
        }
        r = link_observe(link, device);
        if (r < 0)
                log_error_errno(r, "%s: Failed to follow the link's peers: %m", link->name);
}

void link_refresh(Link *link)
{
        Broker *b = link->manager->broker;
        int r;

        if (link->refresh || !b || !b->connected)
                return;
        r = b->ops->read_link(b, link->name, on_device, link, &link->refresh);
        if (r < 0)
                log_debug_errno(r, "%s: Failed to ask for the link, ignoring: %m", link->name);
}

void link_reconnect(Link *link)
{
        Peer *peer, *next;

        HASH_ITER(hh, link->peers, peer, next)
        try_now(peer);
}
