/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "peer.h"
#include "rendezvous.h"

/* The conversation with one peer: messages out through the broker (sealed) and every rendezvous, envelopes
 * in through the broker (opened) and the rules of signalling.h, to whoever handles them (try.h, session.h).
 */

/* Derives the topics and listens to them on every rendezvous. */
void exchange_start(Peer *peer);
void exchange_stop(Peer *peer);

/* Listen on a rendezvous that came later. */
void exchange_subscribe(Peer *peer, Rendezvous *r);

/* Stamps the message (to: see signalling_stamp()), seals it and publishes it to all. What cannot be sent is
 * lost, as on a network. */
void exchange_send(Peer *peer, uint64_t to, Message *m);

/* A hello to whoever the peer is now; or, with `to`, the answer to one. */
void exchange_send_hello(Peer *peer, uint64_t to);

/* What waits at the broker to be opened, of all peers together, in bytes; further envelopes are dropped as a
 * flood. Far above what a thousand peers say at once, and far below the 16 MiB of text at which sd-varlink
 * gives the connection to the broker up. */
#define EXCHANGE_OPENING_MAX (4U * 1024U * 1024U)

/* An envelope for this peer's topic. False: dropped, as one too many. */
bool exchange_receive(Peer *peer, size_t rendezvous_index, const void *envelope, size_t size);

/* Forgets candidates that were kept for later; they hold an ICE password. */
void exchange_free_early(Peer *peer);

/* Messages on their way through the broker. */
bool exchange_is_busy(const Peer *peer);
