/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "broker-link.h"

#include <utlist.h>

#include "alloc-util.h"
#include "broker-manager.h"
#include "event-util.h"
#include "hpke.h"
#include "log-event.h"
#include "peer-renewal.h"
#include "string-util.h"
#include "wireguard-uapi.h"

/* A UAPI socket appears before its owner listens. These many tries, with pauses that double, are 2.5 s:
 * whoever does not listen then left the socket behind. */
#define CONNECT_TRIES 7U
#define CONNECT_PAUSE (20 * USEC_PER_MSEC)

/* What others are told of. Counters alone are not news, but that there is traffic again is: whoever wants to
 * know more then reads the link as often as it likes. */
#define NEWS (WIREGUARD_CHANGE_CONFIGURATION | WIREGUARD_CHANGE_ENDPOINT | WIREGUARD_CHANGE_HANDSHAKE)

struct BrokerRead {
        BrokerLink *link;
        bool served; /* in which of the two lists */
        broker_read_callback_t callback;
        void *userdata;
        BrokerRead *prev, *next;
};

static void link_read(BrokerLink *link);

static void link_log_event(const BrokerLink *link, LogEvent event, const char *what)
{
        log_event(LOG_INFO, 0, event, (LOG_FIELD("ICEWIRE_LINK=%s", link->name)), "%s: %s", link->name,
                  what);
}

static void link_log(const BrokerLink *link, int level, int error, const char *what)
{
        const char *const fields[] = { LOG_FIELD("ICEWIRE_LINK=%s", link->name), NULL };

        if (error == 0)
                log_full_fields(level, 0, fields, "%s: %s", link->name, what);
        else
                log_full_fields(level, error, fields, "%s: %s: %m", link->name, what);
}

/* Everybody who waits in the list gets the answer; who calls back may start new readings meanwhile. */
static void link_answer(BrokerLink *link, BrokerRead **list, int error)
{
        while (*list) {
                BrokerRead *read = *list;
                broker_read_callback_t callback = read->callback;
                void *userdata = read->userdata;

                DL_DELETE(*list, read);
                free(read);
                callback(error, error == -ENODEV ? NULL : link, userdata);
        }
}

static void link_set_device(BrokerLink *link, WireguardDevice *device, BrokerSecrets *secrets)
{
        wireguard_device_free(link->device);
        broker_secrets_free(link->secrets);
        link->device = device;
        link->secrets = secrets;
}

static void link_forget(BrokerLink *link)
{
        if (!link->device)
                return;
        link_log_event(link, LOG_EVENT_LINK_GONE, "Link is gone.");
        link_set_device(link, NULL, NULL);
        broker_manager_link_removed(link->manager, link->name);
}

static void log_changes(const BrokerLink *link, const WireguardDevice *new_device, bool new_key)
{
        if (!link->device)
                link_log_event(link, LOG_EVENT_LINK_APPEARED,
                               link->kind == WIREGUARD_KIND_KERNEL ? "Link appeared, in the kernel."
                                                                   : "Link appeared, in userspace.");
        if (wireguard_key_is_zero(&new_device->public_key)) {
                if (!link->device || !wireguard_key_is_zero(&link->device->public_key))
                        link_log_event(link, LOG_EVENT_LINK_KEY_CHANGED, "Link has no private key.");
        } else if (link->device && new_key)
                link_log_event(link, LOG_EVENT_LINK_KEY_CHANGED, "Link has a new private key.");
}

/* UAPI tells the private key only. */
static int complete_public_key(WireguardDevice *device)
{
        if (!wireguard_key_is_zero(&device->public_key) || wireguard_key_is_zero(&device->private_key))
                return 0;
        return x25519_public_key(&device->private_key, &device->public_key);
}

/* More than keepalives and a renewed handshake can be in so long a time (the WireGuard paper, sections 5.4
 * and 6). */
#define QUIET_BYTES 512

static bool is_loud(const WireguardPeer *before, const WireguardPeer *now)
{
        return now->rx_bytes - before->rx_bytes > QUIET_BYTES ||
               now->tx_bytes - before->tx_bytes > QUIET_BYTES;
}

static bool has_traffic(const WireguardDevice *before, const WireguardDevice *now)
{
        for (size_t i = 0; i < now->n_peers; i++) {
                const WireguardPeer *peer = wireguard_device_find_peer(before, &now->peers[i].public_key);

                if (peer && is_loud(peer, &now->peers[i]))
                        return true;
        }
        return false;
}

/* icewired sees no key, and is to know when there is another one. */
static void count_preshared_keys(const BrokerLink *link, WireguardDevice *d, const BrokerSecrets *secrets)
{
        for (size_t i = 0; i < d->n_peers && link->device; i++) {
                WireguardPeer *peer = &d->peers[i];
                const WireguardPeer *before = wireguard_device_find_peer(link->device, &peer->public_key);

                if (before)
                        peer->preshared_key_changes = before->preshared_key_changes +
                                                      !broker_secrets_same_preshared_key(
                                                              link->secrets, secrets, &peer->public_key);
        }
}

/* Takes a reading over; returns what changed against the one before. */
static int link_apply(BrokerLink *link, WireguardDevice *device)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *d = device;
        _cleanup_(broker_secrets_freep) BrokerSecrets *secrets = NULL;
        bool traffic;
        int changes, r;

        r = complete_public_key(d);
        if (r < 0)
                return r;
        r = broker_secrets_take(d, &secrets);
        if (r < 0)
                return r;
        if (link->ifindex > 0)
                d->ifindex = link->ifindex;
        changes = link->device ? wireguard_device_compare(link->device, d) : WIREGUARD_CHANGE_CONFIGURATION;
        if (!broker_secrets_equal(link->secrets, secrets) ||
            (link->device && link->device->ifindex != d->ifindex))
                changes |= WIREGUARD_CHANGE_CONFIGURATION;
        traffic = link->device && link->polled && has_traffic(link->device, d);
        count_preshared_keys(link, d, secrets);
        log_changes(link, d,
                    link->device && !wireguard_key_equal(&link->device->public_key, &d->public_key));
        link_set_device(link, TAKE_PTR(d), TAKE_PTR(secrets));
        if ((changes & NEWS) || traffic)
                broker_manager_link_changed(link->manager, link);
        return changes;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
        BrokerLink *link = userdata;

        link->polled = true;
        link_read(link);
        return 0;
}

static void link_arm(BrokerLink *link, usec_t delay)
{
        int r;

        r = event_arm_timer(link->manager->event, &link->timer, delay, on_timer, link, "link-poll");
        if (r < 0)
                link_log(link, LOG_WARNING, r, "Failed to arm the timer of the next reading, ignoring");
}

/* Nobody is there: the interface went, or nobody listens at the socket. */
static bool error_means_gone(int error)
{
        return error == -ENODEV || error == -EOPNOTSUPP || error == -ENOENT || error == -ECONNREFUSED ||
               error == -ENOTSOCK;
}

static void link_fail(BrokerLink *link, int error)
{
        link->failures++;
        /* A userspace device that is just ending: the next try tells whether it is gone. */
        if (error == -ECONNRESET && link->failures < CONNECT_TRIES) {
                link_arm(link, CONNECT_PAUSE << (link->failures - 1));
                return;
        }
        if (link->kind == WIREGUARD_KIND_USERSPACE && error_means_gone(error)) {
                link_log(link, LOG_DEBUG, error, "Nobody answers at the socket");
                link_forget(link);
                /* A socket that was left behind is no link; inotify tells when it is replaced. */
                if (link->failures < CONNECT_TRIES)
                        link_arm(link, CONNECT_PAUSE << (link->failures - 1));
                return;
        }
        if (link->failures == 1)
                link_log(link, error == -ENODEV ? LOG_DEBUG : LOG_WARNING, error,
                         "Failed to read the link, trying again");
        if (error_means_gone(error))
                link_forget(link);
        link_arm(link, link->hung ? BROKER_POLL_MIN : broker_poll_next(&link->poll, 0));
}

static void on_read(int error, WireguardDevice *device, void *userdata)
{
        BrokerLink *link = userdata;
        BrokerManager *m = link->manager;
        int r = error;

        link->reading = NULL;
        link->hung = error == -ETIMEDOUT;
        if (error >= 0)
                r = link_apply(link, device);
        if (r < 0)
                link_fail(link, r);
        else {
                link->failures = 0;
                broker_manager_tell_family(m);
                link_arm(link, broker_poll_next(&link->poll, r));
        }
        link->polled = false;
        link->tried = true;
        link_answer(link, &link->served, MIN(r, 0));
        if (!link->reading && (link->again || link->waiting))
                link_read(link);
        broker_manager_check_settled(m);
}

static int start_reading(BrokerLink *link)
{
        BrokerManager *m = link->manager;

        if (link->kind == WIREGUARD_KIND_KERNEL)
                return wireguard_netlink_get(m->wireguard, link->name, on_read, link, &link->reading);
        return wireguard_uapi_get(m->event, m->uapi_path, link->name, on_read, link, &link->reading);
}

static void link_read(BrokerLink *link)
{
        BrokerRead *read;
        int r;

        if (link->reading) {
                link->again = true;
                return;
        }
        link->again = false;
        DL_CONCAT(link->served, link->waiting);
        link->waiting = NULL;
        DL_FOREACH (link->served, read)
                read->served = true;
        event_disarm_timer(link->timer);
        r = start_reading(link);
        if (r < 0) {
                /* Answered when the loop turns, as every failure is: nobody is called back from inside. */
                link->again = true;
                link->failures++;
                link_log(link, LOG_WARNING, r, "Failed to begin reading the link, trying again");
                link_arm(link, CONNECT_PAUSE << MIN(link->failures, CONNECT_TRIES));
        }
}

void broker_link_look(BrokerLink *link)
{
        link->failures = 0;
        link_read(link);
}

void broker_link_refresh(BrokerLink *link)
{
        broker_poll_restart(&link->poll);
        broker_link_look(link);
}

void broker_link_set_hung(BrokerLink *link)
{
        if (link->hung)
                return;
        link->hung = true;
        broker_link_refresh(link);
}

int broker_link_read(BrokerLink *link, broker_read_callback_t callback, void *userdata, BrokerRead **ret)
{
        BrokerRead *read;

        if (link->hung)
                return -ETIMEDOUT;
        read = new0(BrokerRead, 1);
        if (!read)
                return -ENOMEM;
        *read = (BrokerRead) { .link = link, .callback = callback, .userdata = userdata };
        DL_APPEND(link->waiting, read);
        if (!link->reading)
                link_read(link);
        *ret = read;
        return 0;
}

BrokerRead *broker_read_free(BrokerRead *read)
{
        if (!read)
                return NULL;
        if (read->served)
                DL_DELETE(read->link->served, read);
        else
                DL_DELETE(read->link->waiting, read);
        return mfree(read);
}

/* Only where it is known whether others write meanwhile. */
static bool is_to_be_renewed(const BrokerLink *link, const WireguardKey *key, const SocketAddress *endpoint)
{
        const WireguardPeer *peer;

        if (link->kind != WIREGUARD_KIND_KERNEL || !link->device || !link->manager->watch ||
            !socket_address_is_set(endpoint))
                return false;
        peer = wireguard_device_find_peer(link->device, key);
        return peer && peer_renewal_helps(peer);
}

int broker_link_set_endpoint(BrokerLink *link, const WireguardKey *peer, const SocketAddress *endpoint,
                             int keepalive, wireguard_done_callback_t callback, void *userdata,
                             WireguardCall **ret)
{
        BrokerManager *m = link->manager;

        if (link->hung)
                return -ETIMEDOUT;
        if (link->kind == WIREGUARD_KIND_KERNEL)
                peer_renewal_amend(m->wireguard, link->name, peer, endpoint, keepalive);
        if (is_to_be_renewed(link, peer, endpoint))
                return peer_renewal_new(m->wireguard, m->watch, link->name, peer, endpoint, keepalive,
                                        callback, userdata, ret);
        if (link->kind == WIREGUARD_KIND_KERNEL)
                return wireguard_netlink_set_endpoint(m->wireguard, link->name, peer, endpoint, keepalive,
                                                      callback, userdata, ret);
        return wireguard_uapi_set_endpoint(m->event, m->uapi_path, link->name, peer, endpoint, keepalive,
                                           callback, userdata, ret);
}

/* For others a new name is another link. */
void broker_link_set_name(BrokerLink *link, const char *name)
{
        bool known = link->device;

        assert(strlen(name) < sizeof(link->name));
        if (streq(link->name, name))
                return;
        if (known)
                broker_manager_link_removed(link->manager, link->name);
        link_log(link, LOG_INFO, 0, "Link was renamed.");
        strcpy(link->name, name);
        if (known) {
                strcpy(link->device->name, name);
                broker_manager_link_changed(link->manager, link);
        }
        broker_link_refresh(link);
}

void broker_link_set_interface(BrokerLink *link, int ifindex, bool up)
{
        bool changed = link->ifindex != ifindex || link->up != up;

        link->ifindex = ifindex;
        link->up = up;
        if (!changed || !link->device)
                return;
        link->device->ifindex = ifindex;
        broker_manager_link_changed(link->manager, link);
}

int broker_link_new(BrokerManager *m, const char *name, WireguardKind kind, int ifindex)
{
        BrokerLink *link;

        assert(strlen(name) < sizeof(link->name));
        link = new0(BrokerLink, 1);
        if (!link)
                return -ENOMEM;
        *link = (BrokerLink) { .manager = m, .kind = kind, .ifindex = ifindex };
        strcpy(link->name, name);
        DL_APPEND(m->links, link);
        link_read(link);
        return 0;
}

BrokerLink *broker_link_free(BrokerLink *link)
{
        if (!link)
                return NULL;
        DL_DELETE(link->manager->links, link);
        wireguard_call_free(link->reading);
        link_answer(link, &link->served, -ENODEV);
        link_answer(link, &link->waiting, -ENODEV);
        link_set_device(link, NULL, NULL);
        event_source_disable_unref(link->timer);
        return mfree(link);
}

void broker_link_remove(BrokerLink *link)
{
        BrokerManager *m = link->manager;

        link_forget(link);
        broker_link_free(link);
        broker_manager_check_settled(m);
}
