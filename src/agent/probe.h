/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "peer.h"
#include "stun-check.h"

/* Our own checks of one path that WireGuard uses by itself, with the credentials of the session that has
 * found it. They leave from WireGuard's port, by the socket of link-probes.h, so that they go the way of its
 * packets; and when the session is over (a direct path does without), the peer's checks are answered here.
 */

typedef struct Probe Probe;

/* Never from inside a call of the owner's; the probe may be freed inside. */
typedef struct ProbeCallbacks {
        /* Checks can be sent from now on, or no longer: probe_is_ready(). */
        void (*ready)(Probe *probe, void *userdata);
        /* round_trip_time: USEC_INFINITY where it is not known which of several was answered. */
        void (*answered)(Probe *probe, usec_t round_trip_time, void *userdata);
} ProbeCallbacks;

struct Probe {
        Peer *peer;
        SocketAddress local;  /* our address that the checks leave from; the port is of no matter */
        SocketAddress remote; /* where to; the owner may change it */
        StunCheckCredentials credentials;
        bool session_is_over;
        const ProbeCallbacks *callbacks;
        void *userdata;

        /* link-probes.c's own */
        ProbeSocket *socket;
        Probe *prev, *next;     /* of the same socket */
        BrokerCall *call;       /* in flight: our ufrag is to come to the socket */
        bool answers;           /* it does */
        RateLimit answer_limit; /* to this peer */
        StunCheck *check;       /* open */
        usec_t checked;         /* since then */
        usec_t sent;            /* the last request; CLOCK_BOOTTIME */
        unsigned n_sent;
};

/* Of a path with these ends. The credentials are copied. -ENOTSUP: WireGuard's port is not shared; -ENOMEM;
 * errno of the system calls. */
int probe_new(Peer *peer, const SocketAddress *local, const SocketAddress *remote,
              const StunCheckCredentials *credentials, const ProbeCallbacks *callbacks, void *userdata,
              Probe **ret);
/* Erases the credentials. */
Probe *probe_free(Probe *probe);
DEFINE_TRIVIAL_CLEANUP_FUNC(Probe *, probe_free);

bool probe_is_ready(const Probe *probe);

/* One request; several within a few seconds are one check. What the network says to it is no matter: it is
 * answered, or not. */
void probe_send(Probe *probe);

/* The session is gone, and what comes for its ufrag is ours now. */
void probe_session_is_over(Probe *probe);
