/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "manager.h"

#include <malloc.h>

#include "carrier.h"
#include "event-util.h"
#include "exchange.h"
#include "host-network.h"
#include "link-mappings.h"
#include "link-probes.h"
#include "log-event.h"
#include "peer-policy.h"
#include "relays.h"
#include "servers.h"
#include "session.h"
#include "sharing.h"
#include "try.h"

/* Goodbyes have this long to leave. */
#define STOP_TIMEOUT USEC_PER_SEC

/* When the negotiations that have ended together are closed, which takes the TURN servers' answers. */
#define TRIM_DELAY (15 * USEC_PER_SEC)

struct IgnoredLink {
        char name[IF_NAMESIZE];
        UT_hash_handle hh; /* in manager->ignored */
};

void manager_for_each_peer(Manager *m, peer_verb_t verb)
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
        servers_cancel(m);
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
                log_event(LOG_INFO, 0, LOG_EVENT_LINK_APPEARED, (LOG_FIELD("ICEWIRE_LINK=%s", device->name)),
                          "%s: Looking after this link.", device->name);
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
        log_event(LOG_INFO, 0, LOG_EVENT_LINK_GONE, (LOG_FIELD("ICEWIRE_LINK=%s", name)),
                  "%s: The link is gone.", name);
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
        log_event(LOG_INFO, 0, LOG_EVENT_BROKER_READY, (), "icewire-broker has told of all links.");
        sharing_update(m);
        manager_for_each_peer(m, start_peer);
}

static void on_broker_lost(Broker *b, int error, void *userdata)
{
        Manager *m = userdata;
        Link *link, *next;

        log_event(LOG_WARNING, error, LOG_EVENT_BROKER_LOST, (),
                  "Lost icewire-broker, paths stay as they are: %m");
        m->broker_ready = false;
        mark_dirty(m);
        sharing_lost(m);
        HASH_ITER(hh, m->links, link, next)
        {
                link->present = false;
                link_mappings_lost(link);
                link_probes_lost(link);
        }
        manager_for_each_peer(m, peer_update_reason);
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
                manager_for_each_peer(m, share_again);
        HASH_ITER(hh, m->links, link, next)
        {
                link_mappings_update(link, again);
                link_probes_update(link, forgotten);
        }
        manager_for_each_peer(m, follow_sharing);
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
        manager_for_each_peer(m, up && m->rendezvous_was_up[index] ? try_now : peer_update_reason);
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
        manager_for_each_peer(m, peer_update_reason);
}

size_t manager_n_rendezvous_up(const Manager *m)
{
        size_t n = 0;

        for (size_t i = 0; i < m->n_rendezvous; i++)
                n += m->rendezvous[i]->state == RENDEZVOUS_STATE_UP;
        return n;
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

        r = servers_look_up(m);
        if (r < 0)
                return r;
        return host_network_start(m);
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

        servers_cancel(m);
        m->relay_generation += !config_relay_credentials_equal(m->config, config);
        config_free(m->config);
        m->config = config;
        sort_links(m);
        r = servers_look_up(m);
        if (r < 0)
                log_error_errno(r, "Failed to look up the servers: %m");
        if (m->rtnl && rtnl_monitor_is_ready(m->rtnl))
                host_network_collect(m);
        sharing_update(m);
        manager_for_each_peer(m, peer_follow_configured_policy);
        if (!m->lookups)
                manager_for_each_peer(m, servers_leave_lost_relay);
        manager_for_each_peer(m, try_now);
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

        m->on_stopped(m, m->stop_userdata);
        return 0;
}

static void arm_stop_timer(Manager *m, usec_t delay)
{
        if (event_arm_timer(m->event, &m->stop_timer, delay, on_stop_timer, m, "manager-stop") < 0)
                m->on_stopped(m, m->stop_userdata);
}

void manager_check_stopped(Manager *m)
{
        /* By way of the loop, so that sockets are written and nobody is freed under our caller. */
        if (m->on_stopped && !is_busy(m))
                arm_stop_timer(m, 0);
}

void manager_stop(Manager *m, void (*on_stopped)(Manager *m, void *userdata), void *userdata)
{
        if (m->on_stopped)
                return;
        m->on_stopped = on_stopped;
        m->stop_userdata = userdata;
        manager_for_each_peer(m, try_cancel);
        manager_for_each_peer(m, say_goodbye);
        arm_stop_timer(m, is_busy(m) ? STOP_TIMEOUT : 0);
}
