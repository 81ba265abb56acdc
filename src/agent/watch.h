/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "time-util.h"

/* How often is a link read? WireGuard tells nobody of counters, endpoints and handshakes. The broker reads
 * each link at least every 30 s and tells of what is not quiet; so nothing has to be read while everything
 * is. While there is traffic the link is read once a second, for all of its peers at once: that is how soon
 * a dead path, or an endpoint that somebody else has set, can be seen. Pure: the caller has the clock,
 * CLOCK_BOOTTIME. */

/* Between two readings at least. */
#define WATCH_INTERVAL USEC_PER_SEC

typedef struct Watch {
        usec_t read;   /* the last reading; 0: none yet */
        usec_t due;    /* the next one; 0: none */
        unsigned calm; /* readings in a row in which nothing changed */
} Watch;

/* The link was read, by whomever. changed: a peer with a path has traffic, another endpoint or a handshake
 * that is not just a regular one. */
void watch_take_reading(Watch *watch, usec_t t, bool changed);

/* Something has happened, or is about to, that a reading would show: there is one as soon as may be. */
void watch_ask(Watch *watch, usec_t t);

/* WireGuard has sent a handshake initiation to a peer whose last handshake was `age` ago. It renews a
 * handshake after two minutes, and nothing is wrong then; but it also sends one each 5 s to a peer that does
 * not answer, and one 15 s after a packet that was not answered. last: of this peer, when the one before
 * was, 0 at first. */
void watch_take_initiation(Watch *watch, usec_t *last, usec_t t, usec_t age);

/* When to read, CLOCK_BOOTTIME; USEC_INFINITY: not before something happens. */
static inline usec_t watch_due(const Watch *watch)
{
        return watch->due > 0 ? watch->due : USEC_INFINITY;
}

/* Is that more than WireGuard sends by itself, where there is nothing to say? bytes: what a counter of a
 * peer has grown by in `interval`. handshake: there was one in that time. */
bool traffic_is_loud(uint64_t bytes, usec_t interval, bool handshake);
