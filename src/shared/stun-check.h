/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "ice-candidate.h"

/* A connectivity check (RFC 8445 section 7) beside an ICE agent, with the credentials of its session: the
 * request, who answers one, and what an answer is worth. An ICE agent takes it for one of its peer's checks.
 * It has no socket and no timer; the bytes are libnice's stun library's. */

typedef struct StunCheckCredentials {
        char local_ufrag[ICE_CREDENTIAL_MAX + 1]; /* "": there are none */
        char local_pwd[ICE_CREDENTIAL_MAX + 1];   /* secret */
        char remote_ufrag[ICE_CREDENTIAL_MAX + 1];
        char remote_pwd[ICE_CREDENTIAL_MAX + 1]; /* secret */
        bool controlling;
} StunCheckCredentials;

/* Overwrites the secrets. */
void stun_check_credentials_erase(StunCheckCredentials *credentials);

/* The same two under other names: what is asked by those is no ICE agent's, but for whoever else knows these
 * credentials. Both sides come to the same names, and neither is a secret. */
void stun_check_credentials_beside(const StunCheckCredentials *credentials, StunCheckCredentials *ret);

/* USERNAME has two ufrags and a colon. */
#define STUN_CHECK_REQUEST_MAX (2 * ICE_CREDENTIAL_MAX + 128)
#define STUN_CHECK_ANSWER_MAX 128

typedef struct StunCheck StunCheck;

/* A request with a new transaction ID; the credentials must outlive it. It may be sent several times, and
 * the first answer to any of them counts. -ENOMEM; -ENOBUFS (cannot happen with valid credentials). */
int stun_check_new(const StunCheckCredentials *credentials, StunCheck **ret);
StunCheck *stun_check_free(StunCheck *check);
DEFINE_TRIVIAL_CLEANUP_FUNC(StunCheck *, stun_check_free);

/* Borrowed. */
const void *stun_check_request(const StunCheck *check, size_t *ret_size);

/* Is this the answer, and really from the peer? Only once. An error response is none: it has no signature,
 * and anybody could have sent it. */
bool stun_check_is_answer(StunCheck *check, const void *data, size_t size);

/* For whom is this request? Copies the ufrag of the one that is to answer it; false if it is no request that
 * could be a check. Nothing is proven by that. */
bool stun_check_find_ufrag(const void *data, size_t size, char ret_ufrag[static ICE_LOCAL_UFRAG_SIZE + 1]);

/* The answer to a request that these credentials prove: 1 and its size, which is less than the request's; 0:
 * it is none, and nobody is told so. from: who asks, as we see it. `data` may be changed. */
int stun_check_answer(const StunCheckCredentials *credentials, const void *data, size_t size,
                      const SocketAddress *from, uint8_t ret[static STUN_CHECK_ANSWER_MAX],
                      size_t *ret_size);

/* An ICE agent keeps all STUN to itself, and hands on what is not. In disguise a check or an answer begins
 * with a byte that nothing else does which comes the same way (RFC 7983 section 7, RFC 8656 section 12), and
 * is otherwise what it was: whoever finds one takes the disguise off and goes on as above. */
bool stun_check_is_disguised(const void *data, size_t size);
/* Puts it on, or takes it off. */
void stun_check_disguise(void *message);
