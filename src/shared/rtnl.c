/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "rtnl.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "alloc-util.h"
#include "event-util.h"
#include "log.h"
#include "rtnl-parse.h"
#include "string-util.h"

/* How long to wait before reading everything again: what made the kernel drop messages is probably still
 * going on. */
#define RESYNC_DELAY (100 * USEC_PER_MSEC)
/* A dump that was changed under way: again at once, but not in a spin where links come and go all the time.
 */
#define INTERRUPTED_DELAY (10 * USEC_PER_MSEC)
#define RETRY_DELAY (1 * USEC_PER_SEC)

/* What is read from the kernel, in this order: addresses and routes belong to links. */
typedef enum Stage {
        STAGE_LINKS,
        STAGE_ADDRESSES,
        STAGE_ROUTES_IPV4,
        STAGE_ROUTES_IPV6,
        _STAGE_MAX,
        _STAGE_INVALID = -EINVAL,
} Stage;

#define STAGES_ALL ((1U << _STAGE_MAX) - 1)

struct RtnlMonitor {
        sd_event *event; /* a reference; NULL: tests */
        Netlink *nl;
        const RtnlCallbacks *callbacks;
        void *userdata;

        RtnlLink *links; /* sorted by ifindex */
        size_t n_links, links_allocated;
        RtnlAddress *addresses; /* sorted, see compare_addresses() */
        size_t n_addresses, addresses_allocated;
        RtnlRoute *routes; /* default routes alone */
        size_t n_routes, routes_allocated;

        /* A dump gives what it sees the new generation; what is left of an older one has gone. */
        unsigned generation;
        unsigned stages_wanted; /* set of 1 << Stage */
        Stage stage;            /* being dumped */
        NetlinkSlot *dump;
        sd_event_source *resync;
        bool announce; /* call `ready` when all stages are done */
        bool ready;
        bool changes_pending;

        unsigned n_users; /* callers on the stack that will look at us again */
        bool freed;
};

static void monitor_enter(RtnlMonitor *m)
{
        m->n_users++;
}

static void monitor_leave(RtnlMonitor *m)
{
        if (--m->n_users > 0 || !m->freed)
                return;
        free(m->links);
        free(m->addresses);
        free(m->routes);
        sd_event_unref(m->event);
        free(m);
}

/* --- telling --- */

static void tell_link(RtnlMonitor *m, const RtnlLink *link, bool removed)
{
        if (!m->freed && m->callbacks->link)
                m->callbacks->link(m, link, removed, m->userdata);
}

static void tell_changed(RtnlMonitor *m, int ifindex, int changes)
{
        if (!m->freed && m->ready && m->callbacks->changed)
                m->callbacks->changed(m, ifindex, changes, m->userdata);
}

static void mark(RtnlMonitor *m, RtnlLink *link, int changes)
{
        if (!link)
                return;
        link->changes |= changes;
        m->changes_pending = true;
}

static void tell_changes(RtnlMonitor *m)
{
        if (!m->changes_pending)
                return;
        m->changes_pending = false;
        for (size_t i = 0; i < m->n_links && !m->freed; i++) {
                int changes = TAKE_GENERIC(m->links[i].changes, 0);

                if (changes != 0)
                        tell_changed(m, m->links[i].ifindex, changes);
        }
}

/* --- sorted arrays --- */

/* Where the element that compares equal to `key` is, or (false) belongs. */
static bool find_sorted(const void *array, size_t n, size_t size, const void *key,
                        int (*compare)(const void *a, const void *b), size_t *ret)
{
        size_t low = 0, high = n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int c = compare(key, (const uint8_t *) array + middle * size);

                if (c == 0) {
                        *ret = middle;
                        return true;
                }
                if (c < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
        *ret = low;
        return false;
}

#define INSERT_AT(array, allocated, n, i, value)                                                            \
        ({                                                                                                  \
                int _r = GROW_ARRAY(array, allocated, (n) + 1);                                             \
                if (_r >= 0) {                                                                              \
                        memmove((array) + (i) + 1, (array) + (i), ((n) - (i)) * sizeof(*(array)));          \
                        (array)[i] = (value);                                                               \
                        (n)++;                                                                              \
                }                                                                                           \
                _r;                                                                                         \
        })

#define REMOVE_AT(array, n, i)                                                                              \
        ({                                                                                                  \
                (n)--;                                                                                      \
                memmove((array) + (i), (array) + (i) + 1, ((n) - (i)) * sizeof(*(array)));                  \
        })

static int compare_links(const void *a, const void *b)
{
        const RtnlLink *x = a, *y = b;

        return (x->ifindex > y->ifindex) - (x->ifindex < y->ifindex);
}

static int compare_addresses(const void *a, const void *b)
{
        const RtnlAddress *x = a, *y = b;
        int c;

        if (x->ifindex != y->ifindex)
                return x->ifindex < y->ifindex ? -1 : 1;
        if (x->address.sa.sa_family != y->address.sa.sa_family)
                return x->address.sa.sa_family < y->address.sa.sa_family ? -1 : 1;
        c = x->address.sa.sa_family == AF_INET
                    ? memcmp(&x->address.in.sin_addr, &y->address.in.sin_addr, 4)
                    : memcmp(&x->address.in6.sin6_addr, &y->address.in6.sin6_addr, 16);
        return c != 0 ? c : (int) x->prefix_length - (int) y->prefix_length;
}

static RtnlLink *find_link(const RtnlMonitor *m, int ifindex)
{
        RtnlLink key = { .ifindex = ifindex };
        size_t i;

        return find_sorted(m->links, m->n_links, sizeof(key), &key, compare_links, &i) ? m->links + i : NULL;
}

/* --- default routes --- */

static bool same_route(const RtnlRoute *a, const RtnlRoute *b)
{
        return a->family == b->family && a->table == b->table && a->priority == b->priority &&
               a->tos == b->tos;
}

static bool same_next_hop(const RtnlRoute *a, const RtnlRoute *b)
{
        return same_route(a, b) && a->ifindex == b->ifindex &&
               socket_address_ip_equal(&a->gateway, &b->gateway);
}

static void count_default_routes(RtnlMonitor *m, RtnlLink *link)
{
        link->default_routes = 0;
        for (size_t i = 0; i < m->n_routes; i++)
                link->default_routes += m->routes[i].ifindex == link->ifindex;
}

static void drop_route(RtnlMonitor *m, size_t i)
{
        RtnlLink *link = find_link(m, m->routes[i].ifindex);

        REMOVE_AT(m->routes, m->n_routes, i);
        if (link) {
                count_default_routes(m, link);
                mark(m, link, RTNL_CHANGE_ROUTE);
        }
}

static void drop_routes_of_link(RtnlMonitor *m, int ifindex)
{
        for (size_t i = m->n_routes; i-- > 0;)
                if (m->routes[i].ifindex == ifindex)
                        drop_route(m, i);
}

static int add_route(RtnlMonitor *m, const RtnlRoute *route)
{
        RtnlLink *link;
        int r;

        for (size_t i = 0; i < m->n_routes; i++)
                if (same_next_hop(m->routes + i, route)) {
                        m->routes[i].generation = m->generation;
                        return 0;
                }
        r = INSERT_AT(m->routes, m->routes_allocated, m->n_routes, m->n_routes, *route);
        if (r < 0)
                return r;
        m->routes[m->n_routes - 1].generation = m->generation;
        link = find_link(m, route->ifindex);
        if (link) {
                count_default_routes(m, link);
                mark(m, link, RTNL_CHANGE_ROUTE);
        }
        return 0;
}

static void remove_route(RtnlMonitor *m, const RtnlRoute *route)
{
        for (size_t i = m->n_routes; i-- > 0;)
                if (same_next_hop(m->routes + i, route))
                        drop_route(m, i);
}

/* A message that is being taken in. */
typedef struct RouteMessage {
        RtnlMonitor *monitor;
        bool removed;
} RouteMessage;

static int on_next_hop(const RtnlRoute *route, void *userdata)
{
        const RouteMessage *message = userdata;
        RtnlMonitor *m = message->monitor;
        RtnlLink *link = find_link(m, route->ifindex);

        /* Whoever sets up a WireGuard link adds the routes of its peers last. */
        if (link && streq(link->kind, "wireguard"))
                mark(m, link, RTNL_CHANGE_ROUTE);
        if (route->destination_length != 0)
                return 0;
        if (!message->removed)
                return add_route(m, route);
        remove_route(m, route);
        return 0;
}

static int process_route(RtnlMonitor *m, const struct nlmsghdr *message)
{
        RouteMessage context = { .monitor = m, .removed = message->nlmsg_type == RTM_DELROUTE };
        RtnlRoute route;
        int r;

        r = rtnl_parse_route(message, &route);
        if (r <= 0)
                return r;
        /* The route that is replaced is not announced as removed. (In a dump the flag means nothing.) */
        if (route.destination_length == 0 && !context.removed &&
            (message->nlmsg_flags & (NLM_F_REPLACE | NLM_F_MULTI)) == NLM_F_REPLACE)
                for (size_t i = m->n_routes; i-- > 0;)
                        if (same_route(m->routes + i, &route))
                                drop_route(m, i);
        return rtnl_parse_next_hops(message, &route, on_next_hop, &context);
}

/* --- addresses --- */

static int add_address(RtnlMonitor *m, const RtnlAddress *address)
{
        RtnlAddress *known;
        size_t i;
        int r;

        if (!find_sorted(m->addresses, m->n_addresses, sizeof(*address), address, compare_addresses, &i)) {
                r = INSERT_AT(m->addresses, m->addresses_allocated, m->n_addresses, i, *address);
                if (r < 0)
                        return r;
        } else {
                known = m->addresses + i;
                known->generation = m->generation;
                if (known->flags == address->flags && known->scope == address->scope)
                        return 0;
                *known = *address;
        }
        m->addresses[i].generation = m->generation;
        mark(m, find_link(m, address->ifindex), RTNL_CHANGE_ADDRESS);
        return 0;
}

static void drop_address(RtnlMonitor *m, size_t i)
{
        RtnlLink *link = find_link(m, m->addresses[i].ifindex);

        REMOVE_AT(m->addresses, m->n_addresses, i);
        mark(m, link, RTNL_CHANGE_ADDRESS);
}

static void want_stages(RtnlMonitor *m, unsigned stages, usec_t delay);

static int process_address(RtnlMonitor *m, const struct nlmsghdr *message)
{
        RtnlAddress address;
        size_t i;
        int r;

        r = rtnl_parse_address(message, &address);
        if (r <= 0)
                return r;
        if (message->nlmsg_type == RTM_NEWADDR)
                return add_address(m, &address);
        if (!find_sorted(m->addresses, m->n_addresses, sizeof(address), &address, compare_addresses, &i))
                return 0;
        drop_address(m, i);
        /* Routes with this preferred source go with it, unannounced. */
        if (address.address.sa.sa_family == AF_INET && m->n_routes > 0)
                want_stages(m, 1U << STAGE_ROUTES_IPV4, RESYNC_DELAY);
        return 0;
}

/* --- links --- */

static bool link_equal(const RtnlLink *a, const RtnlLink *b)
{
        return streq(a->name, b->name) && streq(a->kind, b->kind) && a->flags == b->flags &&
               a->type == b->type && a->master == b->master && streq(a->slave_kind, b->slave_kind) &&
               a->mtu == b->mtu;
}

/* The link was taken in at i, over an old state or as a new one. */
static void announce_link(RtnlMonitor *m, size_t i, unsigned old_flags)
{
        RtnlLink *link = m->links + i;

        count_default_routes(m, link);
        /* A link that goes down takes its routes along without a word about it (IPv6: depends on a sysctl),
         * and one that comes up revives next hops in the same way. */
        if (!(link->flags & IFF_UP))
                drop_routes_of_link(m, link->ifindex);
        else if (!(old_flags & IFF_UP) && m->ready)
                want_stages(m, 1U << STAGE_ROUTES_IPV4, RESYNC_DELAY);
        mark(m, link, RTNL_CHANGE_LINK);
        tell_link(m, link, /* removed= */ false);
}

static int add_link(RtnlMonitor *m, const RtnlLink *link)
{
        unsigned old_flags = 0;
        size_t i;
        int r;

        if (find_sorted(m->links, m->n_links, sizeof(*link), link, compare_links, &i)) {
                RtnlLink *known = m->links + i;
                int changes = known->changes;

                known->generation = m->generation;
                if (link_equal(known, link))
                        return 0;
                old_flags = known->flags;
                *known = *link;
                known->changes = changes;
        } else {
                r = INSERT_AT(m->links, m->links_allocated, m->n_links, i, *link);
                if (r < 0)
                        return r;
        }
        m->links[i].generation = m->generation;
        announce_link(m, i, old_flags);
        return 0;
}

static void drop_link(RtnlMonitor *m, size_t i)
{
        RtnlLink link = m->links[i];

        drop_routes_of_link(m, link.ifindex);
        for (size_t k = m->n_addresses; k-- > 0;)
                if (m->addresses[k].ifindex == link.ifindex)
                        drop_address(m, k);
        REMOVE_AT(m->links, m->n_links, i);
        tell_changed(m, link.ifindex, RTNL_CHANGE_LINK);
        tell_link(m, &link, /* removed= */ true);
}

static int process_link(RtnlMonitor *m, const struct nlmsghdr *message)
{
        RtnlLink link;
        size_t i;
        int r;

        r = rtnl_parse_link(message, &link);
        if (r <= 0)
                return r;
        if (message->nlmsg_type == RTM_NEWLINK)
                return add_link(m, &link);
        if (find_sorted(m->links, m->n_links, sizeof(link), &link, compare_links, &i))
                drop_link(m, i);
        return 0;
}

/* --- messages and dumps --- */

static int process_message(RtnlMonitor *m, const struct nlmsghdr *message)
{
        switch (message->nlmsg_type) {
        case RTM_NEWLINK:
        case RTM_DELLINK:
                return process_link(m, message);
        case RTM_NEWADDR:
        case RTM_DELADDR:
                return process_address(m, message);
        case RTM_NEWROUTE:
        case RTM_DELROUTE:
                return process_route(m, message);
        default:
                return 0;
        }
}

int rtnl_monitor_process(RtnlMonitor *m, const struct nlmsghdr *message)
{
        int r;

        monitor_enter(m);
        r = process_message(m, message);
        if (!m->freed)
                tell_changes(m);
        monitor_leave(m);
        return r;
}

static int on_message(Netlink *nl, const struct nlmsghdr *message, void *userdata)
{
        int r = rtnl_monitor_process(userdata, message);

        if (r < 0)
                log_debug_errno(r, "Failed to take in an rtnetlink message of type %u, ignoring: %m",
                                message->nlmsg_type);
        /* One message that we do not understand is no reason to give up the others. */
        return r == -ENOMEM ? r : 0;
}

static void sweep_links(RtnlMonitor *m)
{
        for (size_t i = m->n_links; i-- > 0 && !m->freed;)
                if (m->links[i].generation != m->generation)
                        drop_link(m, i);
}

static void sweep_addresses(RtnlMonitor *m)
{
        for (size_t i = m->n_addresses; i-- > 0;)
                if (m->addresses[i].generation != m->generation)
                        drop_address(m, i);
}

static void sweep_routes(RtnlMonitor *m, int family)
{
        for (size_t i = m->n_routes; i-- > 0;)
                if (m->routes[i].family == family && m->routes[i].generation != m->generation)
                        drop_route(m, i);
}

static void sweep(RtnlMonitor *m)
{
        switch (m->stage) {
        case STAGE_LINKS:
                sweep_links(m);
                break;
        case STAGE_ADDRESSES:
                sweep_addresses(m);
                break;
        case STAGE_ROUTES_IPV4:
                sweep_routes(m, AF_INET);
                break;
        default:
                sweep_routes(m, AF_INET6);
        }
}

static void put_dump_request(struct nlmsghdr *message, Stage stage)
{
        message->nlmsg_flags = NLM_F_DUMP;
        if (stage == STAGE_LINKS) {
                message->nlmsg_type = RTM_GETLINK;
                mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
                /* Without counters: they are most of a link's message. */
                mnl_attr_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        } else if (stage == STAGE_ADDRESSES) {
                message->nlmsg_type = RTM_GETADDR;
                mnl_nlmsg_put_extra_header(message, sizeof(struct ifaddrmsg));
        } else {
                struct rtmsg *rt;

                message->nlmsg_type = RTM_GETROUTE;
                rt = mnl_nlmsg_put_extra_header(message, sizeof(*rt));
                rt->rtm_family = stage == STAGE_ROUTES_IPV4 ? AF_INET : AF_INET6;
                /* A filter, with strict checking: without the local, broadcast and multicast routes of each
                 * address. The kernel cannot filter by destination. */
                rt->rtm_type = RTN_UNICAST;
        }
}

static int start_dump(RtnlMonitor *m);

static void finish_stages(RtnlMonitor *m)
{
        bool announce = TAKE_GENERIC(m->announce, false);

        if (!announce)
                return;
        m->ready = true;
        if (m->callbacks->ready)
                m->callbacks->ready(m, m->userdata);
}

/* What a failed stage calls for. 1: it counts as done. */
static int check_dump_error(RtnlMonitor *m, int error)
{
        if (error >= 0)
                return 1;
        log_debug_errno(error, "Failed to read rtnetlink stage %d: %m", m->stage);
        /* A kernel without IPv6. */
        if (m->stage == STAGE_ROUTES_IPV6 && (error == -EOPNOTSUPP || error == -EAFNOSUPPORT))
                return 1;
        want_stages(m, 1U << m->stage, error == -EINTR ? INTERRUPTED_DELAY : RETRY_DELAY);
        return 0;
}

static void on_dump_done(Netlink *nl, int error, void *userdata)
{
        RtnlMonitor *m = userdata;
        int r;

        m->dump = NULL;
        monitor_enter(m);
        if (check_dump_error(m, error) > 0) {
                sweep(m);
                if (!m->freed)
                        tell_changes(m);
                if (!m->freed) {
                        r = start_dump(m);
                        if (r < 0)
                                want_stages(m, 1U << m->stage, RETRY_DELAY);
                }
        }
        monitor_leave(m);
}

/* Starts the next stage that is wanted; `ready` after the last. */
static int start_dump(RtnlMonitor *m)
{
        uint8_t buf[128] __attribute__((aligned(NLMSG_ALIGNTO)));
        struct nlmsghdr *message;

        if (m->stages_wanted == 0) {
                finish_stages(m);
                return 0;
        }
        m->stage = (Stage) __builtin_ctz(m->stages_wanted);
        m->stages_wanted &= ~(1U << m->stage);
        m->generation++;
        message = mnl_nlmsg_put_header(buf);
        put_dump_request(message, m->stage);
        return netlink_call(m->nl, message, on_message, on_dump_done, m, &m->dump);
}

static int on_resync(sd_event_source *source, uint64_t usec, void *userdata)
{
        RtnlMonitor *m = userdata;

        if (!m->dump && start_dump(m) < 0)
                want_stages(m, 1U << m->stage, RETRY_DELAY);
        return 0;
}

/* Reads these again after the delay, or behind the dump that runs. */
static void want_stages(RtnlMonitor *m, unsigned stages, usec_t delay)
{
        int r;

        m->stages_wanted |= stages;
        if (m->dump || !m->event)
                return;
        r = event_arm_timer(m->event, &m->resync, delay, on_resync, m, "rtnl-resync");
        if (r < 0)
                log_debug_errno(r, "Failed to arm the timer for the next rtnetlink dump: %m");
}

static void on_overrun(Netlink *nl, int error, void *userdata)
{
        RtnlMonitor *m = userdata;

        log_debug_errno(error, "The kernel dropped rtnetlink messages, reading everything again: %m");
        m->dump = netlink_slot_free(m->dump);
        m->announce = true;
        want_stages(m, STAGES_ALL, RESYNC_DELAY);
}

/* --- the monitor --- */

static int connect_monitor(RtnlMonitor *m)
{
        static const unsigned groups[] = { RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                           RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE };
        int r;

        r = netlink_open(m->event, NETLINK_ROUTE, &m->nl);
        for (size_t i = 0; i < ELEMENTSOF(groups) && r >= 0; i++)
                r = netlink_subscribe(m->nl, groups[i], on_message, on_overrun, m);
        if (r < 0)
                return r;
        /* Subscribed first, read afterwards: nothing falls between. */
        m->announce = true;
        m->stages_wanted = STAGES_ALL;
        return start_dump(m);
}

int rtnl_monitor_new(sd_event *event, const RtnlCallbacks *callbacks, void *userdata, RtnlMonitor **ret)
{
        _cleanup_(rtnl_monitor_freep) RtnlMonitor *m = NULL;
        int r;

        m = new (RtnlMonitor, 1);
        if (!m)
                return -ENOMEM;
        *m = (RtnlMonitor) {
                .event = event ? sd_event_ref(event) : NULL,
                .callbacks = callbacks,
                .userdata = userdata,
                .ready = !event,
        };
        if (event) {
                r = connect_monitor(m);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(m);
        return 0;
}

RtnlMonitor *rtnl_monitor_free(RtnlMonitor *m)
{
        if (!m || m->freed)
                return NULL;
        monitor_enter(m);
        m->freed = true;
        m->nl = netlink_close(m->nl);
        m->resync = sd_event_source_disable_unref(m->resync);
        monitor_leave(m);
        return NULL;
}

bool rtnl_monitor_is_ready(const RtnlMonitor *m)
{
        return m->ready;
}

const RtnlLink *rtnl_monitor_links(const RtnlMonitor *m, size_t *ret_n)
{
        *ret_n = m->n_links;
        return m->links;
}

const RtnlAddress *rtnl_monitor_addresses(const RtnlMonitor *m, size_t *ret_n)
{
        *ret_n = m->n_addresses;
        return m->addresses;
}

const RtnlLink *rtnl_monitor_find_link(const RtnlMonitor *m, int ifindex)
{
        return find_link(m, ifindex);
}

static bool is_default_for_all(const RtnlRoute *route, int family)
{
        return route->family == family && route->table == RT_TABLE_MAIN && route->tos == 0;
}

static bool is_preferred(const RtnlRoute *a, const RtnlRoute *b)
{
        return a->priority != b->priority ? a->priority < b->priority : a->ifindex < b->ifindex;
}

RtnlDefaultRoute rtnl_monitor_default_route(const RtnlMonitor *m, int family)
{
        const RtnlRoute *best = NULL;

        for (size_t i = 0; i < m->n_routes; i++)
                if (is_default_for_all(m->routes + i, family) &&
                    (!best || is_preferred(m->routes + i, best)))
                        best = m->routes + i;
        return best ? (RtnlDefaultRoute) { best->ifindex, best->gateway } : (RtnlDefaultRoute) {};
}

int64_t rtnl_monitor_default_metric(const RtnlMonitor *m, int ifindex, int family)
{
        int64_t metric = -ENOENT;

        for (size_t i = 0; i < m->n_routes; i++)
                if (m->routes[i].ifindex == ifindex && is_default_for_all(m->routes + i, family) &&
                    (metric < 0 || m->routes[i].priority < metric))
                        metric = m->routes[i].priority;
        return metric;
}
