/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stun/stunagent.h>

#include "macro.h"
#include "socket-address.h"
#include "time-util.h"

/* One STUN Binding transaction (RFC 8489): its request, when that is sent again, and which answer is its
 * own. It has no socket and no timer; the bytes are libnice's stun library's. */

/* RFC 8489 section 6.2.1: RTO 500 ms doubles with each of Rc = 7 requests; after the last one we wait for
 * Rm = 16 times the first RTO. */
#define STUN_RTO (500 * USEC_PER_MSEC)
#define STUN_REQUESTS_MAX 7
#define STUN_LAST_WAIT (16 * STUN_RTO)

/* What may come in one datagram; longer ones are no answers to what we ask. */
#define STUN_RESPONSE_MAX 1500

typedef struct StunTransaction {
        uint8_t request[128];
        size_t size; /* 0: none under way */
        unsigned n_sent;
        usec_t sent; /* the last request, CLOCK_BOOTTIME */
} StunTransaction;

/* The agent remembers the transactions of one owner (at most STUN_AGENT_MAX_SAVED_IDS). */
void stun_transaction_agent_init(StunAgent *agent);

/* Makes a request with a new ID. username: NULL or at most 64 bytes. -ENOBUFS. */
int stun_transaction_start(StunTransaction *t, StunAgent *agent, const char *username);
/* Nothing is its answer any longer. */
void stun_transaction_end(StunTransaction *t, StunAgent *agent);

static inline bool stun_transaction_is_open(const StunTransaction *t)
{
        return t->size > 0;
}

/* Sends the request (again); `to`: NULL for a connected socket. *ret_wait: how long to wait before calling
 * this again. -ETIMEDOUT: it was sent often enough; errno of sendto(2), except for passing ones. */
int stun_transaction_send(StunTransaction *t, int fd, const SocketAddress *to, usec_t *ret_wait);

/* 1: *ret is the mapped address; 0: not an answer to this request, ignore it; -EPROTO: the server refuses.
 * The transaction has ended unless 0. */
int stun_transaction_parse(StunTransaction *t, StunAgent *agent, const uint8_t *data, size_t size,
                           SocketAddress *ret);

/* Errors of a socket that pass by themselves. */
static inline bool stun_errno_is_transient(int error)
{
        return error == EAGAIN || error == ENOBUFS || error == EINTR || error == ENOMEM;
}
