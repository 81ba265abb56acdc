/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "peer-renewal.h"

#include <utlist.h>

#include "alloc-util.h"
#include "log.h"
#include "string-util.h"
#include "wireguard-call.h"

/* Whoever writes a large device sends several messages, one right after the other. */
#define READINGS_MAX 10
/* How often the message is sent while the kernel is short of memory. */
#define ATTEMPTS_MAX 10

typedef struct Renewal Renewal;

struct Renewal {
        WireguardCall call; /* first */
        WireguardNetlink *wireguard;
        const DeviceWatch *watch;
        char name[IF_NAMESIZE];
        WireguardKey peer;
        SocketAddress endpoint;
        int keepalive;
        bool quiet;              /* nobody was writing when the last reading began */
        uint64_t writes;         /* how many had been by then */
        WireguardDevice *device; /* what it said; owned, with secrets */
        unsigned readings;
        unsigned attempts;
        bool disturbed;      /* somebody has begun to write when the peer was made anew */
        WireguardCall *step; /* what is under way */
        Renewal *prev, *next;
};

/* All that are under way, whoever asked. */
static Renewal *renewals;

bool peer_renewal_helps(const WireguardPeer *peer)
{
        return peer->persistent_keepalive != 0 && !socket_address_is_set(&peer->endpoint) &&
               peer->last_handshake == 0 && peer->rx_bytes == 0;
}

void peer_renewal_amend(const WireguardNetlink *w, const char *name, const WireguardKey *peer,
                        const SocketAddress *endpoint, int keepalive)
{
        Renewal *renewal;

        DL_FOREACH (renewals, renewal) {
                if (renewal->wireguard != w || !streq(renewal->name, name) ||
                    !wireguard_key_equal(&renewal->peer, peer))
                        continue;
                if (socket_address_is_set(endpoint))
                        renewal->endpoint = *endpoint;
                if (keepalive >= 0)
                        renewal->keepalive = keepalive;
        }
}

static void renewal_destroy(WireguardCall *call)
{
        Renewal *renewal = CONTAINER_OF(call, Renewal, call);

        DL_DELETE(renewals, renewal);
        wireguard_call_free(renewal->step);
        wireguard_device_free(renewal->device);
        free(renewal);
}

/* Since the last reading began. */
static bool renewal_is_undisturbed(const Renewal *renewal)
{
        uint64_t writes;

        return renewal->quiet && device_watch_is_quiet(renewal->watch, &writes) && writes == renewal->writes;
}

static void on_set(int error, void *userdata)
{
        Renewal *renewal = userdata;

        renewal->step = NULL;
        wireguard_call_finish(&renewal->call, error, /* device= */ NULL);
}

static int renewal_set_alone(Renewal *renewal)
{
        renewal->device = wireguard_device_free(renewal->device);
        return wireguard_netlink_set_endpoint(renewal->wireguard, renewal->name, &renewal->peer,
                                              &renewal->endpoint, renewal->keepalive, on_set, renewal,
                                              &renewal->step);
}

static int renewal_send(Renewal *renewal);

/* Short of memory, the kernel may have taken the peer out and not put it back, or not all of it. What was
 * read is still so if nobody has written since. */
static bool renewal_is_repeated_after(const Renewal *renewal, int error)
{
        return error == -ENOMEM && renewal->attempts < ATTEMPTS_MAX && renewal_is_undisturbed(renewal);
}

static void renewal_log(const Renewal *renewal, int error)
{
        if (error < 0)
                (void) log_error_errno(
                        error,
                        "%s: Failed to make peer %s anew with its endpoint, it may be missing "
                        "now, or some of its configuration: %m",
                        renewal->name, WIREGUARD_KEY_STR(&renewal->peer));
        else if (renewal->disturbed)
                log_warning("%s: Somebody has written to WireGuard at the very moment at which peer %s was "
                            "made anew, as it had been: if that was about this peer, do it again.",
                            renewal->name, WIREGUARD_KEY_STR(&renewal->peer));
        else
                log_debug("%s: Peer %s was made anew, so that it shakes hands at once.", renewal->name,
                          WIREGUARD_KEY_STR(&renewal->peer));
}

static void on_renewed(int error, void *userdata)
{
        Renewal *renewal = userdata;

        renewal->step = NULL;
        if (renewal_is_repeated_after(renewal, error)) {
                error = renewal_send(renewal);
                if (error >= 0)
                        return;
        }
        /* It may have waited to be sent: then only this look was after that. */
        renewal->disturbed = renewal->disturbed || !renewal_is_undisturbed(renewal);
        renewal_log(renewal, error);
        wireguard_call_finish(&renewal->call, error, /* device= */ NULL);
}

static int renewal_send(Renewal *renewal)
{
        WireguardPeer *peer = wireguard_device_find_peer(renewal->device, &renewal->peer);
        int r;

        renewal->attempts++;
        peer->endpoint = renewal->endpoint;
        if (renewal->keepalive >= 0)
                peer->persistent_keepalive = (uint16_t) renewal->keepalive;
        r = wireguard_netlink_renew_peer(renewal->wireguard, renewal->name, peer, on_renewed, renewal,
                                         &renewal->step);
        /* The kernel is done with it when it is sent, whenever it says so. */
        if (r >= 0)
                renewal->disturbed = renewal->disturbed || !renewal_is_undisturbed(renewal);
        return r;
}

static bool covers(const IpPrefix *wide, const IpPrefix *prefix)
{
        IpPrefix cut;

        if (wide->length >= prefix->length || wide->family != prefix->family)
                return false;
        ip_prefix_from_bytes(prefix->family, prefix->bytes, wide->length, &cut);
        return ip_prefix_equal(wide, &cut);
}

static bool peer_is_covered_by(const WireguardPeer *peer, const WireguardPeer *other)
{
        for (size_t i = 0; i < other->n_allowed_ips; i++)
                for (size_t j = 0; j < peer->n_allowed_ips; j++)
                        if (covers(other->allowed_ips + i, peer->allowed_ips + j))
                                return true;
        return false;
}

/* While a peer is out, its packets go to who has a wider prefix, and are encrypted for that one. */
static bool is_covered(const WireguardDevice *device, const WireguardPeer *peer)
{
        for (size_t i = 0; i < device->n_peers; i++)
                if (device->peers + i != peer && peer_is_covered_by(peer, device->peers + i))
                        return true;
        return false;
}

static int renewal_read(Renewal *renewal);

static int renewal_go_on(Renewal *renewal, WireguardDevice *device)
{
        const WireguardPeer *peer = wireguard_device_find_peer(device, &renewal->peer);
        bool helps = peer && peer_renewal_helps(peer) && !is_covered(device, peer);
        int r;

        wireguard_device_free(renewal->device);
        renewal->device = device;
        /* One that is gone is no error, here as elsewhere, and one that has been heard of does without. */
        if (!helps)
                return renewal_set_alone(renewal);
        if (!renewal_is_undisturbed(renewal))
                return renewal->readings < READINGS_MAX ? renewal_read(renewal) : renewal_set_alone(renewal);
        r = renewal_send(renewal);
        return r == -EMSGSIZE ? renewal_set_alone(renewal) : r;
}

static void on_read(int error, WireguardDevice *device, void *userdata)
{
        Renewal *renewal = userdata;

        renewal->step = NULL;
        if (error >= 0)
                error = renewal_go_on(renewal, device);
        if (error < 0)
                wireguard_call_finish(&renewal->call, error, /* device= */ NULL);
}

static int renewal_read(Renewal *renewal)
{
        renewal->readings++;
        renewal->quiet = device_watch_is_quiet(renewal->watch, &renewal->writes);
        return wireguard_netlink_get(renewal->wireguard, renewal->name, on_read, renewal, &renewal->step);
}

int peer_renewal_new(WireguardNetlink *w, const DeviceWatch *watch, const char *name,
                     const WireguardKey *peer, const SocketAddress *endpoint, int keepalive,
                     wireguard_done_callback_t callback, void *userdata, WireguardCall **ret)
{
        Renewal *renewal;
        int r;

        renewal = new (Renewal, 1);
        if (!renewal)
                return -ENOMEM;
        *renewal = (Renewal) {
                .call = { .on_done = callback, .userdata = userdata, .destroy = renewal_destroy },
                .wireguard = w,
                .watch = watch,
                .peer = *peer,
                .endpoint = *endpoint,
                .keepalive = keepalive,
        };
        (void) snprintf(renewal->name, sizeof(renewal->name), "%s", name);
        DL_APPEND(renewals, renewal);
        r = renewal_read(renewal);
        if (r < 0) {
                renewal_destroy(&renewal->call);
                return r;
        }
        *ret = &renewal->call;
        return 0;
}
