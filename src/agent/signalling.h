/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "message.h"
#include "ratelimit.h"

/* Which messages of a peer count: pure state, no clock and no I/O of its own.
 *
 * A message counts if its `for` is our instance (so the sender has seen a message of ours, made after our
 * start) and its sequence was not seen before. Several rendezvous deliver in different orders, so "not seen
 * before" is a sliding window of 64 numbers, as IPsec's and WireGuard's. The sender's instance that we
 * believe in moves on only by such a message; instances that it has left are remembered, and when there are
 * too many of them our own instance for this peer is drawn anew, which ends the life of everything ever said
 * to the old one. A hello without `for` proves nothing: it costs at most one rate-limited answer. */

#define SIGNALLING_RETIRED_MAX 32

typedef enum SignallingVerdict {
        SIGNALLING_ACCEPT,              /* act on it */
        SIGNALLING_ACCEPT_NEW_INSTANCE, /* act on it; the peer has started anew: what we knew of its sessions
                                           is void */
        SIGNALLING_ANSWER_HELLO,        /* a hello that proves nothing: answer it (an offer or a hello to
                                           message->instance) and change nothing else */
        SIGNALLING_DROP_DUPLICATE,      /* the same message by another rendezvous, or a replay */
        SIGNALLING_DROP_STALE, /* for another instance of ours, or from an instance that the peer has left */
        SIGNALLING_DROP_FLOOD, /* over the rate limit */
        SIGNALLING_DROP_ROLE,  /* an offer to the controlling side, an answer to the controlled one */
        _SIGNALLING_VERDICT_MAX,
        _SIGNALLING_VERDICT_INVALID = -EINVAL,
} SignallingVerdict;

DECLARE_STRING_TABLE(signalling_verdict, SignallingVerdict);

typedef struct Signalling {
        bool controlling;       /* our public key is the smaller one: we make the offers */
        uint64_t instance;      /* ours, for this peer */
        uint64_t sequence;      /* the last one that we used */
        uint64_t peer_instance; /* 0: unknown */
        uint64_t window_top;    /* highest sequence seen from peer_instance */
        uint64_t window;        /* bit n: window_top - n was seen */
        uint64_t retired[SIGNALLING_RETIRED_MAX];
        size_t n_retired;
        RateLimit messages;
        RateLimit hellos;
        uint64_t counters[_SIGNALLING_VERDICT_MAX];
} Signalling;

void signalling_init(Signalling *s, bool controlling);

/* Judges a message that was opened (so it is from this peer) and counts the verdict. t: usec,
 * CLOCK_BOOTTIME. */
SignallingVerdict signalling_judge(Signalling *s, const Message *m, usec_t t);

/* Fills in instance, for and sequence of a message to send: to `to`, or to the peer's instance if that is 0.
 */
void signalling_stamp(Signalling *s, uint64_t to, Message *m);
