/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "redirect-kind.h"
#include "wireguard-device.h"

/* What the agent knows of icewire-broker: an interface, so that the model runs under a unit test without
 * root. broker-client.c is the real one, on org.icewire.Broker. Devices that come from it never hold a
 * private or preshared key. */

typedef struct Broker Broker;
typedef struct BrokerCall BrokerCall;

/* What the broker tells about one link; the device is lent. */
typedef struct BrokerCallbacks {
        void (*link_changed)(Broker *b, const WireguardDevice *device,
                             void *userdata); /* new or different */
        void (*link_removed)(Broker *b, const char *name, void *userdata);
        void (*ready)(Broker *b,
                      void *userdata); /* every link that exists was told; also after a reconnect */
        void (*lost)(Broker *b, int error,
                     void *userdata); /* it tries again by itself; pending calls end with -ECONNRESET */
        void (*redirect_changed)(Broker *b, void *userdata); /* set_redirect() may give another answer now */
} BrokerCallbacks;

/* error: 0, -ENODEV (no such link), -ENOENT (no such peer), -EBADMSG (envelope refused; `text` says why),
 * -ENOKEY (the link has no private key), -ENOTSUP (no redirect is in force), -EADDRNOTAVAIL (the link has no
 * port), -ECONNRESET, -EIO. Data is lent. Never called from inside the function that started the call. */
typedef void (*broker_data_callback_t)(Broker *b, int error, const void *data, size_t size, const char *text,
                                       void *userdata);
typedef void (*broker_done_callback_t)(Broker *b, int error, void *userdata);
typedef void (*broker_topics_callback_t)(Broker *b, int error, const char *send, const char *receive,
                                         void *userdata);
typedef void (*broker_device_callback_t)(Broker *b, int error, const WireguardDevice *device,
                                         void *userdata);

/* reason: why it is nothing better, and what does not work with it; NULL with the best, or if error says
 * that nothing is known. */
typedef void (*broker_redirect_callback_t)(Broker *b, int error, RedirectKind kind, const char *reason,
                                           void *userdata);

typedef struct BrokerOps {
        int (*seal)(Broker *b, const char *link, const WireguardKey *peer, const void *body, size_t size,
                    broker_data_callback_t callback, void *userdata, BrokerCall **ret);
        int (*open)(Broker *b, const char *link, const WireguardKey *peer, const void *envelope, size_t size,
                    broker_data_callback_t callback, void *userdata, BrokerCall **ret);
        int (*derive_topics)(Broker *b, const char *link, const WireguardKey *peer,
                             broker_topics_callback_t callback, void *userdata, BrokerCall **ret);
        /* keepalive: seconds, or -1 to leave it. An unset endpoint leaves the endpoint. */
        int (*set_endpoint)(Broker *b, const char *link, const WireguardKey *peer,
                            const SocketAddress *endpoint, int keepalive, broker_done_callback_t callback,
                            void *userdata, BrokerCall **ret);
        /* The device as it is now, with counters and handshake times. */
        int (*read_link)(Broker *b, const char *link, broker_device_callback_t callback, void *userdata,
                         BrokerCall **ret);
        /* Forces the receive and send buffers of these UDP sockets beyond net.core.rmem_max; best effort,
         * nothing comes back. */
        int (*grow_buffers)(Broker *b, const int *fds, size_t n);
        /* Which data path shares WireGuard's ports, on these interfaces (ifindex), and which servers are
         * TURN servers; the last call counts, until the connection to the broker is lost. */
        int (*set_redirect)(Broker *b, RedirectMode mode, const int *uplinks, size_t n_uplinks,
                            const SocketAddress *relays, size_t n_relays,
                            broker_redirect_callback_t callback, void *userdata, BrokerCall **ret);
        /* Bound UDP sockets, at most 16, share the link's port from now on, until they are closed or removed
         * or the connection is lost: what they send leaves from it, and STUN for `ufrag`
         * (ICE_LOCAL_UFRAG_SIZE characters) or in answer to them comes to them. keeps_relays: what they send
         * to TURN servers leaves from their own port. The descriptors are duplicated. */
        int (*add_sockets)(Broker *b, const char *link, const char *ufrag, bool keeps_relays, const int *fds,
                           size_t n, broker_done_callback_t callback, void *userdata, BrokerCall **ret);
        /* Those of add_sockets() with this ufrag; best effort, nothing comes back. */
        int (*remove_sockets)(Broker *b, const char *ufrag);
        Broker *(*free)(Broker *b);
} BrokerOps;

struct Broker {
        const BrokerOps *ops;
        const BrokerCallbacks *callbacks;
        void *userdata;
        bool connected;
};

/* A pending call: freeing it makes sure that its callback does not come. It is gone by itself after its
 * callback (the owner's pointer must be cleared there). Accepts NULL, returns NULL. */
BrokerCall *broker_call_free(BrokerCall *call);
DEFINE_TRIVIAL_CLEANUP_FUNC(BrokerCall *, broker_call_free);

static inline Broker *broker_free(Broker *b)
{
        return b ? b->ops->free(b) : NULL;
}
DEFINE_TRIVIAL_CLEANUP_FUNC(Broker *, broker_free);
