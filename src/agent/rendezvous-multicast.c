/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "rendezvous-multicast.h"

#include <linux/if_addr.h>

#include "alloc-util.h"
#include "encode.h"
#include "event-util.h"
#include "log.h"
#include "multicast.h"
#include "string-util.h"
#include "subscription.h"

static_assert(RENDEZVOUS_ENVELOPE_MAX == MULTICAST_ENVELOPE_MAX, "envelopes fit into a datagram");
static_assert(RENDEZVOUS_TOPIC_LENGTH == MULTICAST_TOPIC_SIZE * 2, "topics fit into a datagram");

typedef struct RendezvousMulticast {
        Rendezvous rendezvous;
        sd_event *event;
        const RtnlMonitor *monitor;
        const AddressPolicy *policy;
        Multicast *multicast;
        Subscription *subscriptions;
        sd_event_source *subscribed_source;
        sd_event_source *update_source; /* the first one, when the monitor knew everything before us */
        bool *freed;                    /* set when we are freed while a loop over callbacks runs */
} RendezvousMulticast;

static RendezvousMulticast *from_rendezvous(Rendezvous *r)
{
        return CONTAINER_OF(r, RendezvousMulticast, rendezvous);
}

/* ---- Topics ---- */

static int topic_from_string(const char *s, uint8_t ret[static MULTICAST_TOPIC_SIZE])
{
        size_t n;

        if (!rendezvous_topic_is_valid(s))
                return -EINVAL;
        return hex_decode(s, RENDEZVOUS_TOPIC_LENGTH, ret, MULTICAST_TOPIC_SIZE, &n);
}

static Subscription *find_untold_subscription(RendezvousMulticast *rm)
{
        for (Subscription *s = rm->subscriptions; s; s = s->hh.next)
                if (!s->told)
                        return s;
        return NULL;
}

static int tell_subscribed_soon(RendezvousMulticast *rm);

/* One at a time, for the callback may free us. */
static int on_tell_subscribed(sd_event_source *source, void *userdata)
{
        RendezvousMulticast *rm = userdata;
        Rendezvous *r = &rm->rendezvous;
        Subscription *s = find_untold_subscription(rm);
        char topic[RENDEZVOUS_TOPIC_LENGTH + 1];

        if (!s || r->state != RENDEZVOUS_STATE_UP)
                return 0;
        s->told = true;
        memcpy(topic, s->topic, sizeof(topic));
        (void) tell_subscribed_soon(rm);
        r->callbacks->subscribed(r, topic, r->userdata);
        return 0;
}

static int tell_subscribed_soon(RendezvousMulticast *rm)
{
        if (!find_untold_subscription(rm))
                return 0;
        return event_defer_once(rm->event, &rm->subscribed_source, on_tell_subscribed, rm,
                                "rendezvous-multicast-subscribed");
}

static int rendezvous_multicast_subscribe(Rendezvous *r, const char *topic)
{
        RendezvousMulticast *rm = from_rendezvous(r);
        int k = subscription_add(&rm->subscriptions, topic);

        return k > 0 ? tell_subscribed_soon(rm) : k;
}

static int rendezvous_multicast_unsubscribe(Rendezvous *r, const char *topic)
{
        RendezvousMulticast *rm = from_rendezvous(r);
        Subscription *s = subscription_find(rm->subscriptions, topic);

        if (s)
                subscription_remove(&rm->subscriptions, s);
        return 0;
}

/* ---- Envelopes ---- */

static int rendezvous_multicast_publish(Rendezvous *r, const char *topic, const void *envelope, size_t size)
{
        RendezvousMulticast *rm = from_rendezvous(r);
        MulticastPacket packet = { .envelope = envelope, .size = size };
        uint8_t buf[MULTICAST_PACKET_MAX];
        ssize_t n;
        int k;

        k = topic_from_string(topic, packet.topic);
        if (k < 0)
                return k;
        n = multicast_packet_build(&packet, buf);
        if (n < 0)
                return (int) n;
        k = multicast_send(rm->multicast, buf, (size_t) n);
        if (k == -ENOTCONN)
                return k;
        if (k < 0) {
                r->counters.send_errors++;
                return k;
        }
        r->counters.sent++;
        return 0;
}

/* What is for somebody else on the LAN is none of our business, and of no use; nor is what is one too many.
 */
static bool on_datagram(Multicast *m, const void *data, size_t size, void *userdata)
{
        RendezvousMulticast *rm = userdata;
        Rendezvous *r = &rm->rendezvous;
        char topic[HEX_SIZE(MULTICAST_TOPIC_SIZE)];
        MulticastPacket packet;
        int k;

        k = multicast_packet_parse(data, size, &packet);
        if (k == -EMSGSIZE)
                r->counters.oversized++;
        else if (k < 0)
                r->counters.malformed++;
        if (k < 0 ||
            !subscription_find(rm->subscriptions, hex_encode(packet.topic, sizeof(packet.topic), topic)))
                return false;
        r->counters.received++;
        return r->callbacks->envelope(r, topic, packet.envelope, packet.size, r->userdata);
}

/* ---- Interfaces ---- */

/* An address that can be sent from, so that what we say after joining is heard: IPv6 needs its link-local
 * one, and duplicate address detection done. */
static bool interface_can_send(const RtnlMonitor *monitor, int ifindex, int family)
{
        size_t n;
        const RtnlAddress *addresses = rtnl_monitor_addresses(monitor, &n);

        for (size_t i = 0; i < n; i++) {
                const RtnlAddress *a = &addresses[i];

                if (a->ifindex != ifindex || a->address.sa.sa_family != family)
                        continue;
                if (family == AF_INET)
                        return true;
                if (socket_address_is_link_local(&a->address) &&
                    (!(a->flags & IFA_F_TENTATIVE) || (a->flags & IFA_F_OPTIMISTIC)))
                        return true;
        }
        return false;
}

static bool link_is_lan(const RtnlLink *link, const AddressPolicy *policy)
{
        unsigned needed = IFF_UP | IFF_RUNNING | IFF_MULTICAST;

        return (link->flags & needed) == needed &&
               interface_is_uplink(link, link->default_routes > 0, policy);
}

static size_t collect_memberships(const RendezvousMulticast *rm, MulticastMembership *ret, size_t max)
{
        size_t n_links, n = 0;
        const RtnlLink *links = rtnl_monitor_links(rm->monitor, &n_links);

        for (size_t i = 0; i < n_links; i++) {
                if (!link_is_lan(&links[i], rm->policy))
                        continue;
                for (size_t k = 0; k < 2; k++) {
                        int family = k == 0 ? AF_INET6 : AF_INET;

                        if (n < max && interface_can_send(rm->monitor, links[i].ifindex, family))
                                ret[n++] = (MulticastMembership) { links[i].ifindex, family };
                }
        }
        return n;
}

static int on_update(sd_event_source *source, void *userdata)
{
        rendezvous_multicast_update(userdata);
        return 0;
}

/* Nobody hears us: when somebody does again, the topics are news again. */
static void set_down(RendezvousMulticast *rm)
{
        subscription_forget_told(rm->subscriptions);
        rendezvous_set_state(&rm->rendezvous, RENDEZVOUS_STATE_DOWN, "no LAN interface");
}

static void set_up(RendezvousMulticast *rm, bool joined)
{
        Rendezvous *r = &rm->rendezvous;
        int k;

        k = tell_subscribed_soon(rm);
        if (k < 0)
                log_warning_errno(k, "Rendezvous %s: failed to schedule what follows joining, ignoring: %m",
                                  r->name);
        if (r->state != RENDEZVOUS_STATE_UP)
                rendezvous_set_state(r, RENDEZVOUS_STATE_UP, /* error= */ NULL);
        else if (joined)
                r->callbacks->state(r, r->userdata);
}

void rendezvous_multicast_update(Rendezvous *r)
{
        RendezvousMulticast *rm = from_rendezvous(r);
        MulticastMembership memberships[MULTICAST_MEMBERSHIPS_MAX];
        size_t n, n_joined;

        n = collect_memberships(rm, memberships, ELEMENTSOF(memberships));
        n_joined = multicast_set_memberships(rm->multicast, memberships, n);
        /* Both may free us. */
        if (multicast_n_memberships(rm->multicast) > 0)
                set_up(rm, n_joined > 0);
        else
                set_down(rm);
}

/* ---- The object ---- */

static Rendezvous *rendezvous_multicast_free(Rendezvous *r)
{
        RendezvousMulticast *rm = from_rendezvous(r);

        multicast_free(rm->multicast);
        event_source_disable_unref(rm->subscribed_source);
        event_source_disable_unref(rm->update_source);
        subscription_clear(&rm->subscriptions);
        sd_event_unref(rm->event);
        rendezvous_done(r);
        return mfree(rm);
}

static const RendezvousOps rendezvous_multicast_ops = {
        .subscribe = rendezvous_multicast_subscribe,
        .unsubscribe = rendezvous_multicast_unsubscribe,
        .publish = rendezvous_multicast_publish,
        .network_changed = rendezvous_multicast_update,
        .free = rendezvous_multicast_free,
};

int rendezvous_multicast_new(sd_event *event, const RtnlMonitor *monitor, const AddressPolicy *policy,
                             const RendezvousCallbacks *callbacks, void *userdata, Rendezvous **ret)
{
        _cleanup_(rendezvous_freep) Rendezvous *owned = NULL;
        RendezvousMulticast *rm = new0(RendezvousMulticast, 1);
        int r;

        if (!rm)
                return -ENOMEM;
        owned = &rm->rendezvous;
        rendezvous_init(owned, &rendezvous_multicast_ops, callbacks, userdata);
        rm->event = sd_event_ref(event);
        rm->monitor = monitor;
        rm->policy = policy;
        owned->name = strdup("multicast");
        if (!owned->name)
                return -ENOMEM;
        r = multicast_new(event, on_datagram, rm, &rm->multicast);
        if (r < 0)
                return r;
        if (rtnl_monitor_is_ready(monitor))
                r = event_defer_once(event, &rm->update_source, on_update, owned,
                                     "rendezvous-multicast-update");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(owned);
        return 0;
}
