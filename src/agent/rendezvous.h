/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "macro.h"
#include "time-util.h"

/* A channel that carries envelopes to whoever listens to a topic (64 hexadecimal digits, made by the broker
 * for one direction of one pair of peers). It promises nothing: envelopes may be lost, repeated, reordered
 * or forged. Each implementation embeds this struct as its first member. */

typedef struct Rendezvous Rendezvous;

/* No envelope is longer (bytes); what arrives longer is counted and dropped. At least the broker's
 * ENVELOPE_SIZE_MAX. */
#define RENDEZVOUS_ENVELOPE_MAX 16384

/* Hexadecimal digits, without the NUL. */
#define RENDEZVOUS_TOPIC_LENGTH 64

typedef enum RendezvousState {
        RENDEZVOUS_STATE_CONNECTING,
        RENDEZVOUS_STATE_UP,   /* what is published now is delivered to who listens now */
        RENDEZVOUS_STATE_DOWN, /* see Rendezvous.error; it tries again by itself */
        _RENDEZVOUS_STATE_MAX,
        _RENDEZVOUS_STATE_INVALID = -EINVAL,
} RendezvousState;

DECLARE_STRING_TABLE(rendezvous_state, RendezvousState); /* "connecting", "up", "down" */

typedef struct RendezvousOps {
        /* Listen to a topic, or no longer. Remembered and repeated by the implementation when it connects
         * again. -EINVAL: not a topic; -ENOMEM. */
        int (*subscribe)(Rendezvous *r, const char *topic);
        int (*unsubscribe)(Rendezvous *r, const char *topic);
        /* Dropped while the rendezvous is not up: whoever needs it sends again. -ENOTCONN (not up),
         * -EMSGSIZE, -EINVAL (not a topic), -ENOBUFS; no need to act on any of them. */
        int (*publish)(Rendezvous *r, const char *topic, const void *envelope, size_t size);
        /* Addresses, links or routes of this host have changed; NULL: that does not matter. */
        void (*network_changed)(Rendezvous *r);
        /* What it has of connections may be dead and not know it: it is to connect anew, now. why: for
         * people. NULL: it has none. */
        void (*renew)(Rendezvous *r, const char *why);
        Rendezvous *(*free)(Rendezvous *r);
        bool uses_tcp; /* that it is up shows that TCP gets through */
        bool connects; /* to a server, again and again while it is down; false: it waits for the network */
} RendezvousOps;

typedef struct RendezvousCallbacks {
        /* An envelope for a topic that was subscribed; not longer than RENDEZVOUS_ENVELOPE_MAX. False: it
         * was dropped unread, as one too many. */
        bool (*envelope)(Rendezvous *r, const char *topic, const void *envelope, size_t size,
                         void *userdata);
        /* state or error changed, or (while up) a new neighbour may be listening. */
        void (*state)(Rendezvous *r, void *userdata);
        /* The subscription of this topic is in force at the far end: what a peer publishes from now on
         * arrives. */
        void (*subscribed)(Rendezvous *r, const char *topic, void *userdata);
} RendezvousCallbacks;

typedef struct RendezvousCounters {
        uint64_t sent;
        uint64_t received;
        uint64_t oversized;
        uint64_t malformed; /* multicast: packets that are not ours; MQTT: topics that are not ours */
        uint64_t send_errors;
} RendezvousCounters;

struct Rendezvous {
        const RendezvousOps *ops;
        const RendezvousCallbacks *callbacks;
        void *userdata;
        char *name; /* "mqtts://broker.example:8883", "multicast"; owned */
        RendezvousState state;
        char *error;   /* why it is down, or not as good as it should be while up, for people; or NULL; owned
                        */
        usec_t active; /* CLOCK_MONOTONIC: when it last tried, or found out, something */
        RendezvousCounters counters;
};

static inline int rendezvous_subscribe(Rendezvous *r, const char *topic)
{
        return r->ops->subscribe(r, topic);
}

static inline int rendezvous_unsubscribe(Rendezvous *r, const char *topic)
{
        return r->ops->unsubscribe(r, topic);
}

static inline int rendezvous_publish(Rendezvous *r, const char *topic, const void *envelope, size_t size)
{
        return r->ops->publish(r, topic, envelope, size);
}

static inline Rendezvous *rendezvous_free(Rendezvous *r)
{
        return r ? r->ops->free(r) : NULL;
}
DEFINE_TRIVIAL_CLEANUP_FUNC(Rendezvous *, rendezvous_free);

/* 64 lower-case hexadecimal digits? */
bool rendezvous_topic_is_valid(const char *topic);

/* For implementations: of a zeroed object, whose name is still to be set. */
void rendezvous_init(Rendezvous *r, const RendezvousOps *ops, const RendezvousCallbacks *callbacks,
                     void *userdata);
/* For implementations that connect: an attempt goes on. */
void rendezvous_is_active(Rendezvous *r);
/* For implementations: changes state and error (copied) and tells the callbacks if that is news. */
void rendezvous_set_state(Rendezvous *r, RendezvousState state, const char *error);
/* For implementations: frees name and error. */
void rendezvous_done(Rendezvous *r);
