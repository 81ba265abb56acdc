/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "broker-manager.h"

#include <utlist.h>

#include "alloc-util.h"
#include "event-util.h"
#include "log.h"
#include "string-util.h"
#include "varlink-util.h"

static BrokerLink *find_by_name(const BrokerManager *m, const char *name)
{
        BrokerLink *link;

        DL_FOREACH (m->links, link)
                if (streq(link->name, name))
                        return link;
        return NULL;
}

static BrokerLink *find_by_ifindex(const BrokerManager *m, int ifindex)
{
        BrokerLink *link;

        DL_FOREACH (m->links, link)
                if (link->ifindex == ifindex)
                        return link;
        return NULL;
}

BrokerLink *broker_manager_find(const BrokerManager *m, const char *name)
{
        BrokerLink *link = find_by_name(m, name);

        return link && link->device ? link : NULL;
}

void broker_manager_link_changed(BrokerManager *m, BrokerLink *link)
{
        m->callbacks->link_changed(m, link, m->userdata);
}

void broker_manager_link_removed(BrokerManager *m, const char *name)
{
        m->callbacks->link_removed(m, name, m->userdata);
}

void broker_manager_check_settled(BrokerManager *m)
{
        BrokerLink *link;

        if (m->settled || !m->enumerated)
                return;
        DL_FOREACH (m->links, link)
                if (!link->tried)
                        return;
        m->settled = true;
        m->callbacks->settled(m, m->userdata);
}

static void add_link(BrokerManager *m, const char *name, WireguardKind kind, const RtnlLink *interface)
{
        BrokerLink *link;
        int r;

        r = broker_link_new(m, name, kind, interface ? interface->ifindex : 0);
        if (r < 0) {
                log_warning_errno(r, "Failed to follow link %s, ignoring: %m", name);
                return;
        }
        link = find_by_name(m, name);
        if (interface)
                link->up = interface->flags & IFF_UP;
}

/* A link of the kernel appeared, changed or got another name. */
static void update_kernel_link(BrokerManager *m, const RtnlLink *interface)
{
        BrokerLink *link = find_by_ifindex(m, interface->ifindex), *other = find_by_name(m, interface->name);

        if (other && other != link)
                broker_link_remove(other);
        if (!link) {
                add_link(m, interface->name, WIREGUARD_KIND_KERNEL, interface);
                return;
        }
        broker_link_set_name(link, interface->name);
        broker_link_set_interface(link, interface->ifindex, interface->flags & IFF_UP);
}

/* Another interface: it may be what stands behind a UAPI socket of its name. */
static void update_other_link(BrokerManager *m, const RtnlLink *interface, bool removed)
{
        BrokerLink *link = find_by_name(m, interface->name);

        if (!removed && link && link->kind == WIREGUARD_KIND_USERSPACE)
                broker_link_set_interface(link, interface->ifindex, interface->flags & IFF_UP);
        link = find_by_ifindex(m, interface->ifindex);
        if (link && link->kind == WIREGUARD_KIND_USERSPACE &&
            (removed || !streq(link->name, interface->name))) {
                broker_link_set_interface(link, 0, false);
                broker_link_refresh(link);
        }
}

static void on_link(RtnlMonitor *monitor, const RtnlLink *interface, bool removed, void *userdata)
{
        BrokerManager *m = userdata;
        BrokerLink *link = find_by_ifindex(m, interface->ifindex);

        if (!streq(interface->kind, "wireguard"))
                update_other_link(m, interface, removed);
        else if (!removed && !varlink_ifname_is_valid(interface->name))
                /* The kernel takes nearly any bytes; JSON and our API do not. */
                log_notice("Link %d has a name beyond printable ASCII, ignoring.", interface->ifindex);
        else if (!removed)
                update_kernel_link(m, interface);
        else if (link && link->kind == WIREGUARD_KIND_KERNEL) {
                broker_link_remove(link);
                /* A socket of that name was hidden by it. */
                uapi_folder_scan(m->folder);
        }
}

static void on_changed(RtnlMonitor *monitor, int ifindex, int changes, void *userdata)
{
        BrokerLink *link = find_by_ifindex(userdata, ifindex);

        if (link && ifindex > 0)
                broker_link_refresh(link);
}

static void on_ready(RtnlMonitor *monitor, void *userdata)
{
        BrokerManager *m = userdata;

        m->enumerated = true;
        broker_manager_check_settled(m);
}

static const RtnlLink *find_interface(const BrokerManager *m, const char *name)
{
        const RtnlLink *links;
        size_t n;

        links = rtnl_monitor_links(m->rtnl, &n);
        for (size_t i = 0; i < n; i++)
                if (streq(links[i].name, name))
                        return &links[i];
        return NULL;
}

static void on_appeared(UapiFolder *folder, const char *name, void *userdata)
{
        BrokerManager *m = userdata;
        BrokerLink *link = find_by_name(m, name);

        if (!link)
                add_link(m, name, WIREGUARD_KIND_USERSPACE, find_interface(m, name));
        else if (link->kind == WIREGUARD_KIND_USERSPACE)
                broker_link_refresh(link);
}

static void on_gone(UapiFolder *folder, const char *name, void *userdata)
{
        BrokerLink *link = find_by_name(userdata, name);

        if (link && link->kind == WIREGUARD_KIND_USERSPACE)
                broker_link_remove(link);
}

void broker_manager_refresh(BrokerManager *m)
{
        BrokerLink *link;

        DL_FOREACH (m->links, link)
                broker_link_refresh(link);
        uapi_folder_scan(m->folder);
}

/* Whoever writes devices without end does not keep us reading. */
#define WRITTEN_BURST 3
#define WRITTEN_INTERVAL (1 * USEC_PER_SEC)

static void look_at_kernel_links(BrokerManager *m)
{
        BrokerLink *link;

        m->written_again = false;
        DL_FOREACH (m->links, link)
                if (link->kind == WIREGUARD_KIND_KERNEL)
                        broker_link_look(link);
}

static int on_written_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        look_at_kernel_links(userdata);
        return 0;
}

static void on_written(void *userdata)
{
        BrokerManager *m = userdata;
        int r;

        if (m->written_again)
                return;
        if (ratelimit_ok(&m->written, now(CLOCK_MONOTONIC))) {
                look_at_kernel_links(m);
                return;
        }
        r = event_arm_timer(m->event, &m->written_timer, WRITTEN_INTERVAL, on_written_timer, m,
                            "written-devices");
        if (r < 0)
                log_warning_errno(r, "Failed to arm the timer of the next reading, ignoring: %m");
        else
                m->written_again = true;
}

int broker_manager_set_watch(BrokerManager *m, DeviceWatch *watch)
{
        int r;

        m->watch = watch;
        m->written = (RateLimit) { .interval = WRITTEN_INTERVAL, .burst = WRITTEN_BURST };
        r = device_watch_start(watch, m->event, on_written, m);
        if (r < 0)
                m->watch = device_watch_free(m->watch);
        return r;
}

void broker_manager_tell_family(BrokerManager *m)
{
        if (m->watch)
                device_watch_set_family(m->watch, wireguard_netlink_family(m->wireguard),
                                        wireguard_netlink_port(m->wireguard));
}

static const RtnlCallbacks rtnl_callbacks = {
        .link = on_link,
        .changed = on_changed,
        .ready = on_ready,
};

static const UapiFolderCallbacks folder_callbacks = {
        .appeared = on_appeared,
        .gone = on_gone,
};

int broker_manager_new(sd_event *event, const char *uapi_path, const BrokerManagerCallbacks *callbacks,
                       void *userdata, BrokerManager **ret)
{
        _cleanup_(broker_manager_freep) BrokerManager *m = NULL;
        int r;

        m = new0(BrokerManager, 1);
        if (!m)
                return -ENOMEM;
        *m = (BrokerManager) {
                .event = sd_event_ref(event),
                .uapi_path = strdup(uapi_path),
                .callbacks = callbacks,
                .userdata = userdata,
        };
        if (!m->uapi_path)
                return -ENOMEM;
        r = wireguard_netlink_new(event, &m->wireguard);
        if (r < 0)
                return r;
        r = rtnl_monitor_new(event, &rtnl_callbacks, m, &m->rtnl);
        if (r < 0)
                return r;
        r = uapi_folder_new(event, uapi_path, &folder_callbacks, m, &m->folder);
        if (r < 0)
                return r;
        uapi_folder_scan(m->folder);
        *ret = TAKE_PTR(m);
        return 0;
}

BrokerManager *broker_manager_free(BrokerManager *m)
{
        if (!m)
                return NULL;
        while (m->links)
                broker_link_free(m->links);
        event_source_disable_unref(m->written_timer);
        device_watch_free(m->watch);
        uapi_folder_free(m->folder);
        rtnl_monitor_free(m->rtnl);
        wireguard_netlink_free(m->wireguard);
        sd_event_unref(m->event);
        free(m->uapi_path);
        return mfree(m);
}
