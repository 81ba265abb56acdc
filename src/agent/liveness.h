/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "time-util.h"

/* Does a path still work? What WireGuard has received is authenticated, and proves it at any time. While it
 * sends and receives nothing, that may be traffic in one direction (whoever only receives says so each 10
 * s), so the path is probed: a STUN check that is answered is proof as well. It is dead when probes that
 * were answered before are no longer, and still nothing has been received. Where no probe can be sent, or
 * the peer's icewired does not answer any, only a longer silence tells.
 *
 * A probe that passes where WireGuard's packets do not is no reason to stay: that its handshakes come to
 * nothing is seen in reliance.c, whatever is found here.
 *
 * Pure: the clock (CLOCK_BOOTTIME) and the events are arguments. */

typedef enum LivenessState {
        LIVENESS_ALIVE,    /* as far as is known */
        LIVENESS_ASKING,   /* probes are under way */
        LIVENESS_DOUBTFUL, /* none was answered: the next reading decides */
        LIVENESS_DEAD,     /* it may come back, and is probed for a while */
        _LIVENESS_STATE_MAX,
} LivenessState;

/* What the caller is to do. */
typedef enum LivenessStep {
        LIVENESS_STEP_NONE,
        LIVENESS_STEP_PROBE, /* send one */
        LIVENESS_STEP_READ,  /* read the link, and tell */
} LivenessStep;

/* How often a dead path is probed: NATs forget a mapping that nothing uses after 30 s at the earliest. */
#define LIVENESS_DEAD_INTERVAL (5 * USEC_PER_SEC)
/* And for how long, or as long as there is traffic to the peer. */
#define LIVENESS_DEAD_PROBED (10 * USEC_PER_MINUTE)

typedef struct Liveness {
        LivenessState state;
        bool stream;  /* what is sent is lost by TCP never, but late */
        bool probes;  /* they can be sent */
        bool trusted; /* they are answered on this path while it works */

        bool counted; /* the counters of the last reading are these */
        uint64_t rx_bytes, tx_bytes;
        usec_t read;
        usec_t loud;             /* the last reading in which there was traffic, in any direction */
        usec_t heard;            /* the last reading in which something had been received, or the first */
        uint64_t heard_tx_bytes; /* sent by then */

        usec_t silent_since;  /* sent, and nothing received: since this reading; 0: not so */
        usec_t usual_silence; /* while the path works */
        unsigned n_silent;    /* readings since then in which more was sent */
        usec_t reassured;     /* the last answer */

        usec_t due; /* of the next step; USEC_INFINITY: none */
        unsigned n_sent;
        usec_t asked; /* the last probe of a path in doubt */
        usec_t sampled;
        unsigned n_unanswered; /* probes of a path that works, in a row */
        unsigned n_ambiguous;  /* their answers of which it is not known what they answer, in a row */
        unsigned loss;         /* of a probe or its answer, in millionths; pessimistic */
        usec_t died;

        usec_t round_trip_time, deviation; /* smoothed as in RFC 6298; USEC_INFINITY: unknown */
} Liveness;

/* There is a new path. stream: it begins or ends with a TCP connection, or may do so: while that waits to
 * repeat what was lost, nothing comes, and then all at once. */
void liveness_start(Liveness *l, usec_t t, bool stream);

/* Probes can be sent from now on, or no longer. */
void liveness_set_probes(Liveness *l, usec_t t, bool probes);

/* The link was read: WireGuard's counters of the peer. Ones that are smaller than before begin anew. */
void liveness_take_reading(Liveness *l, usec_t t, uint64_t tx_bytes, uint64_t rx_bytes);

/* A probe was answered. round_trip_time: USEC_INFINITY if it is not known which one. */
void liveness_take_answer(Liveness *l, usec_t t, usec_t round_trip_time);

/* What is to be done by now; to be called again until there is nothing. Also after each of the above. */
LivenessStep liveness_step(Liveness *l, usec_t t);

/* When to call liveness_step() next; USEC_INFINITY: not before another event. */
usec_t liveness_due(const Liveness *l);

static inline bool liveness_is_dead(const Liveness *l)
{
        return l->state == LIVENESS_DEAD;
}
