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
        /* WireGuard has just sent a handshake initiation from the link's port to there, which is lent: as a
         * rule it wants a peer and gets no answer. Not every one is told, and none without a redirect by
         * eBPF that has sockets at this port. NULL: nobody wants to know. */
        void (*handshake_initiated)(Broker *b, const char *link, const SocketAddress *endpoint,
                                    void *userdata);
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

/* packets: so many were moved since this move began. */
typedef void (*broker_move_callback_t)(Broker *b, int error, uint64_t packets, void *userdata);

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
         * to TURN servers leaves from their own port. The descriptors are duplicated. Called again for the
         * same sockets with another ufrag, and the rest as before, they serve that as well. */
        int (*add_sockets)(Broker *b, const char *link, const char *ufrag, bool keeps_relays, const int *fds,
                           size_t n, broker_done_callback_t callback, void *userdata, BrokerCall **ret);
        /* What add_sockets() gave this ufrag, and no other; best effort, nothing comes back. */
        int (*remove_sockets)(Broker *b, const char *ufrag);
        /* For so many seconds (BROKER_MOVE_SECONDS_MAX of varlink-broker.h at most) what arrives at the
         * link's port from `from`, and is no STUN, is made to look as if it came from `to`: while two paths
         * are alive, WireGuard follows the one that is meant. To be called when WireGuard has `to` as the
         * endpoint; called again with these two it goes on from now, and tells how much there was. 0 seconds
         * end it, and it ends with the connection. What was moved to `from` before goes on to `to`, and what
         * comes from `to` is not moved any more. -EAFNOSUPPORT, at once: the families differ; -ENOTSUP, as
         * an answer: no redirect is in force, or one that does not do this, nor can this one with these two.
         */
        int (*move_source)(Broker *b, const char *link, const SocketAddress *from, const SocketAddress *to,
                           unsigned seconds, broker_move_callback_t callback, void *userdata,
                           BrokerCall **ret);
        Broker *(*free)(Broker *b);
} BrokerOps;

struct Broker {
        const BrokerOps *ops;
        const BrokerCallbacks *callbacks;
        void *userdata;
        bool connected;
        usec_t active; /* CLOCK_MONOTONIC: when it last tried to connect, or lost the connection */
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
