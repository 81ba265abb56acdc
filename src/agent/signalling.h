/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "message.h"
#include "ratelimit.h"

/* Which messages of a peer count: pure state, no clock and no I/O of its own.
 *
 * We face someone who records all that the two ever said and replays, delays, reorders and withholds it, and
 * rendezvous that do the same by accident. An instance is a random number that its owner draws; to put the
 * other's into `for` proves that one has read a message of that instance, so one was alive after it was
 * drawn.
 *
 * We believe in one instance of the peer, and are bound to it by one of ours: its messages count if their
 * `for` is that instance and their sequence was not seen before. Several rendezvous deliver in different
 * orders, so "not seen before" is a sliding window of 64 numbers, as IPsec's and WireGuard's.
 *
 * Nobody else can use the instance that we are bound with. A sender that we do not believe in is answered
 * with another one, `next`, and only a message for that one makes us believe: then it replaces the old, with
 * which all that was ever said to the old is dead, however long it was withheld. So a peer that starts anew
 * gets through, an earlier self of it that is replayed does not, and there is nothing to be remembered about
 * the past.
 *
 * What that asks of the caller:
 *   - while there is no session, say hello by and by;
 *   - on ANSWER_HELLO and SAY_HELLO answer to message->instance: signalling_stamp(…, message->instance, …).
 *     Nothing that works or is under way may depend on it;
 *   - stamp all messages of a session for the instance that it was offered to, or that offered it;
 *   - on ACCEPT_NEW_INSTANCE drop what belongs to sessions with the instance before, but not a session that
 *     was offered to this very instance; and say something to it, so that it knows what we are now. */

/* Of senders that we do not believe in, so many messages are remembered as answered, so that the copies of
 * other rendezvous do not use the limits up. */
#define SIGNALLING_ANSWERED_MAX 32

/* A negotiation is a hello or two, an offer or an answer, and up to some dozen candidates; several may
 * follow each other while a network settles. */
#define SIGNALLING_MESSAGES_BURST 64
#define SIGNALLING_MESSAGES_INTERVAL (100 * USEC_PER_MSEC)
/* Messages that prove nothing: anyone may replay old ones. */
#define SIGNALLING_HELLOS_BURST 8
#define SIGNALLING_HELLOS_INTERVAL (500 * USEC_PER_MSEC)
/* Those that have one of our living instances in `for`: few can exist to be replayed, so they do not share
 * the fate of the others while those flood us. */
#define SIGNALLING_CHALLENGES_BURST 8
#define SIGNALLING_CHALLENGES_INTERVAL (500 * USEC_PER_MSEC)

typedef enum SignallingVerdict {
        SIGNALLING_ACCEPT,              /* act on it */
        SIGNALLING_ACCEPT_NEW_INSTANCE, /* act on it; the peer has started anew, or is heard for the first
                                           time: what we knew of its sessions is void */
        SIGNALLING_ANSWER_HELLO,        /* a hello that proves nothing: answer it (an offer or a hello to
                                           message->instance) and change nothing else */
        SIGNALLING_SAY_HELLO,      /* an offer or an answer of the same kind, or a goodbye from a peer that
                                      wants nothing to do with us: do not act on it, but say hello to
                                      message->instance. Without that two who each believe in an earlier self
                                      of the other do not get out of it */
        SIGNALLING_DROP_DUPLICATE, /* the same message by another rendezvous, or a replay */
        SIGNALLING_DROP_STALE, /* for another instance of ours, from another of the peer, or too old to tell
                                */
        SIGNALLING_DROP_FLOOD, /* over the rate limit */
        SIGNALLING_DROP_ROLE,  /* an offer to the controlling side, an answer to the controlled one */
        _SIGNALLING_VERDICT_MAX,
        _SIGNALLING_VERDICT_INVALID = -EINVAL,
} SignallingVerdict;

DECLARE_STRING_TABLE(signalling_verdict, SignallingVerdict); /* "accept", "drop-flood", … */

typedef struct SignallingAnswered {
        uint64_t instance;
        uint64_t sequence;
} SignallingAnswered;

typedef struct Signalling {
        bool controlling;  /* our public key is the smaller one: we make the offers */
        uint64_t instance; /* ours, for peer_instance, or for whoever comes first while that is unknown */
        uint64_t next;     /* ours, for the next one that we will believe in; 0: not drawn yet */
        uint64_t sequence; /* the last one that we used, of either */
        uint64_t peer_instance;                               /* 0: unknown */
        uint64_t window_top;                                  /* highest sequence seen from peer_instance */
        uint64_t window;                                      /* bit n: window_top - n was seen */
        SignallingAnswered answered[SIGNALLING_ANSWERED_MAX]; /* a ring */
        size_t n_answered;                                    /* ever */
        RateLimit messages;
        RateLimit hellos;
        RateLimit challenges;
        uint64_t counters[_SIGNALLING_VERDICT_MAX];
} Signalling;

void signalling_init(Signalling *s, bool controlling);

/* Judges a message that was opened (so it is from this peer) and counts the verdict. t: usec,
 * CLOCK_BOOTTIME. */
SignallingVerdict signalling_judge(Signalling *s, const Message *m, usec_t t);

/* Fills in instance, for and sequence of a message to send: to `to`, or to the peer's instance if that is 0.
 * A hello that is for whoever the peer is now has its `for` set to 0 afterwards. Each message is stamped
 * once, however many rendezvous it goes out over. */
void signalling_stamp(Signalling *s, uint64_t to, Message *m);
