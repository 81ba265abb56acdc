/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "peer.h"
#include "stun-check.h"

/* Our own checks of one path, with the credentials of the session that has found it. They go the way that
 * the path's packets go.
 *
 * Of a plain path they leave from WireGuard's port: link-probes.h has the socket. The peer's ICE answers;
 * and when the session is over (a direct path does without), the peer's own checks are answered there.
 *
 * Of a carried path they go through the session's ICE agent, in whatever carries it: session-probes.h. What
 * an ICE agent answers would be kept by ours, so it is the peer's icewired that is asked, by the other names
 * of the two (stun_check_credentials_beside()), and it answers in disguise. */

typedef struct Probe Probe;

/* Never from inside a call of the owner's; the probe may be freed inside. */
typedef struct ProbeCallbacks {
        /* Checks can be sent from now on, or no longer: probe_is_ready(). */
        void (*ready)(Probe *probe, void *userdata);
        /* round_trip_time: USEC_INFINITY where it is not known which of several was answered. */
        void (*answered)(Probe *probe, usec_t round_trip_time, void *userdata);
} ProbeCallbacks;

/* By what they leave. */
typedef struct ProbeWay {
        bool (*is_ready)(const Probe *probe);
        void (*send)(Probe *probe, const void *request, size_t size);
        void (*leave)(Probe *probe); /* the probe is about to be freed */
} ProbeWay;

/* One that asks for us, if it asks by our name and knows the password. */
typedef struct ProbeName {
        Probe *probe;
        StunCheckCredentials credentials;
        BrokerCall *call; /* in flight: what asks by it is to come to the socket */
        bool answers;     /* it does */
} ProbeName;

struct Probe {
        Peer *peer;
        const ProbeWay *way;
        SocketAddress remote;             /* plain: where to; the owner may change it */
        StunCheckCredentials credentials; /* of the checks */
        bool session_is_over;             /* plain: … whose ICE has answered */
        const ProbeCallbacks *callbacks;
        void *userdata;
        StunCheck *check; /* open */
        usec_t checked;   /* since then */
        usec_t sent;      /* the last request; CLOCK_BOOTTIME */
        unsigned n_sent;

        /* link-probes.c's own */
        ProbeSocket *socket;
        Probe *prev, *next;     /* of the same socket */
        ProbeName own, beside;  /* the session's, when that is over; and the other one */
        RateLimit answer_limit; /* to this peer */

        /* session-probes.c's own */
        Session *session; /* lent */
};

/* How often one peer is answered, whatever it asks for. */
#define PROBE_REQUEST_INTERVAL (100 * USEC_PER_MSEC)
#define PROBE_REQUEST_BURST 20

/* Of a path that WireGuard uses by itself. local: our address that the checks leave from; the port is of no
 * matter. The credentials are copied. -ENOTSUP: WireGuard's port is not shared; -ENOMEM; errno of the system
 * calls. */
int probe_new_plain(Peer *peer, const SocketAddress *local, const SocketAddress *remote,
                    const StunCheckCredentials *credentials, const ProbeCallbacks *callbacks, void *userdata,
                    Probe **ret);
/* Of one that icewired carries by this session's pair; the owner frees it before the session goes. -EBUSY:
 * there is one already; -ENOMEM. */
int probe_new_carried(Session *session, const ProbeCallbacks *callbacks, void *userdata, Probe **ret);
/* Erases the credentials. */
Probe *probe_free(Probe *probe);
DEFINE_TRIVIAL_CLEANUP_FUNC(Probe *, probe_free);

bool probe_is_ready(const Probe *probe);

/* One request; several within a few seconds are one check. What the network says to it is no matter: it is
 * answered, or not. */
void probe_send(Probe *probe);

/* Is this the answer that the probe waits for? Then the owner is told, who may free it. For whoever
 * receives. */
bool probe_take_answer(Probe *probe, const void *data, size_t size);

/* The session is gone, and what comes for its ufrag is ours now. */
void probe_session_is_over(Probe *probe);
