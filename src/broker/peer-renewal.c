/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "peer-renewal.h"

#include "alloc-util.h"
#include "log.h"
#include "wireguard-call.h"

/* Whoever writes a large device sends several messages, one right after the other. */
#define READINGS_MAX 10

typedef struct Renewal {
        WireguardCall call; /* first */
        WireguardNetlink *wireguard;
        const DeviceWatch *watch;
        char name[IF_NAMESIZE];
        WireguardKey peer;
        SocketAddress endpoint;
        int keepalive;
        unsigned readings;
        bool quiet;          /* nobody was writing when the last one began, */
        uint64_t writes;     /* and this many had */
        WireguardCall *step; /* what is under way */
} Renewal;

bool peer_renewal_helps(const WireguardPeer *peer)
{
        return peer->persistent_keepalive != 0 && !socket_address_is_set(&peer->endpoint) &&
               peer->last_handshake == 0 && peer->rx_bytes == 0;
}

static void renewal_destroy(WireguardCall *call)
{
        Renewal *renewal = CONTAINER_OF(call, Renewal, call);

        wireguard_call_free(renewal->step);
        free(renewal);
}

/* Since the last reading began. */
static bool is_undisturbed(const Renewal *renewal)
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

static void on_renewed(int error, void *userdata)
{
        Renewal *renewal = userdata;

        if (error >= 0)
                log_debug("%s: Peer %s was made anew, so that it shakes hands at once.", renewal->name,
                          WIREGUARD_KEY_STR(&renewal->peer));
        on_set(error, renewal);
}

static int set_endpoint_alone(Renewal *renewal)
{
        return wireguard_netlink_set_endpoint(renewal->wireguard, renewal->name, &renewal->peer,
                                              &renewal->endpoint, renewal->keepalive, on_set, renewal,
                                              &renewal->step);
}

static void warn_if_disturbed(const Renewal *renewal)
{
        if (!is_undisturbed(renewal))
                log_warning("%s: Somebody has written to WireGuard at the very moment at which peer %s was "
                            "made anew, as it had been: if that was about this peer, do it again.",
                            renewal->name, WIREGUARD_KEY_STR(&renewal->peer));
}

static int renew(Renewal *renewal, WireguardPeer *peer)
{
        int r;

        peer->endpoint = renewal->endpoint;
        if (renewal->keepalive >= 0)
                peer->persistent_keepalive = (uint16_t) renewal->keepalive;
        r = wireguard_netlink_renew_peer(renewal->wireguard, renewal->name, peer, on_renewed, renewal,
                                         &renewal->step);
        /* The kernel is done with it when it is sent, whenever it says so. */
        if (r >= 0)
                warn_if_disturbed(renewal);
        return r;
}

static int renewal_read(Renewal *renewal);

static int renewal_go_on(Renewal *renewal, WireguardDevice *device)
{
        WireguardPeer *peer = wireguard_device_find_peer(device, &renewal->peer);
        int error;

        /* One that is gone is no error, here as elsewhere, and one that has been heard of does without. */
        if (!peer || !peer_renewal_helps(peer))
                return set_endpoint_alone(renewal);
        if (!is_undisturbed(renewal))
                return renewal->readings < READINGS_MAX ? renewal_read(renewal)
                                                        : set_endpoint_alone(renewal);
        error = renew(renewal, peer);
        return error == -EMSGSIZE ? set_endpoint_alone(renewal) : error;
}

static void on_read(int error, WireguardDevice *device, void *userdata)
{
        _cleanup_(wireguard_device_freep) WireguardDevice *d = device;
        Renewal *renewal = userdata;

        renewal->step = NULL;
        if (error >= 0)
                error = renewal_go_on(renewal, d);
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
        r = renewal_read(renewal);
        if (r < 0) {
                renewal_destroy(&renewal->call);
                return r;
        }
        *ret = &renewal->call;
        return 0;
}
