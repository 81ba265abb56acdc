/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>

#include "macro.h"
#include "socket-address.h"

/* An ICE candidate (RFC 8445 section 5.3, RFC 8839 section 5.1), as plain data: what the SDP codec reads and
 * writes and the ICE agent takes and gives. We have one component, numbered 1. */

typedef enum IceCandidateType {
        ICE_CANDIDATE_HOST,
        ICE_CANDIDATE_SRFLX, /* server-reflexive */
        ICE_CANDIDATE_PRFLX, /* peer-reflexive */
        ICE_CANDIDATE_RELAY,
        _ICE_CANDIDATE_TYPE_MAX,
        _ICE_CANDIDATE_TYPE_INVALID = -EINVAL,
} IceCandidateType;

DECLARE_STRING_TABLE(ice_candidate_type, IceCandidateType); /* "host", "srflx", "prflx", "relay" */

typedef enum IceTransport {
        ICE_TRANSPORT_UDP,
        ICE_TRANSPORT_TCP_ACTIVE, /* RFC 6544 */
        ICE_TRANSPORT_TCP_PASSIVE,
        ICE_TRANSPORT_TCP_SO,
        _ICE_TRANSPORT_MAX,
        _ICE_TRANSPORT_INVALID = -EINVAL,
} IceTransport;

DECLARE_STRING_TABLE(ice_transport, IceTransport); /* "udp", "tcp-active", "tcp-passive", "tcp-so" */

#define ICE_FOUNDATION_MAX 32
#define ICE_COMPONENT 1

/* RFC 8839 section 5.4: a ufrag has 4 to 256, a password 22 to 256 ice-chars. */
#define ICE_UFRAG_MIN 4
#define ICE_PWD_MIN 22
#define ICE_CREDENTIAL_MAX 256
/* What we choose for ourselves: a fixed length, so that a ufrag can be the key of a redirect. */
#define ICE_LOCAL_UFRAG_SIZE 8
#define ICE_LOCAL_PWD_SIZE 24

/* Remote candidates beyond this are ignored: each costs a check per local address (and libnice does not
 * limit them). */
#define ICE_REMOTE_CANDIDATES_MAX 20

typedef struct IceCandidate {
        char foundation[ICE_FOUNDATION_MAX + 1];
        IceTransport transport;
        uint32_t priority; /* never 0 */
        SocketAddress address;
        IceCandidateType type;
        SocketAddress related; /* raddr and rport; unset: none */
} IceCandidate;

/* A foundation, ufrag or password of `size` bytes as RFC 8839 wants it: so many ice-chars (letters, digits,
 * + and
 * /) and nothing else. */
bool ice_foundation_is_valid(const char *s, size_t size);
bool ice_ufrag_is_valid(const char *s, size_t size);
bool ice_pwd_is_valid(const char *s, size_t size);

/* A random ufrag or password of `size` characters, and a NUL. */
void ice_credential_make(char *s, size_t size);

/* Same address, port and transport: to ICE they are one. */
bool ice_candidate_equal(const IceCandidate *a, const IceCandidate *b);

/* The server-reflexive candidate of a host candidate (RFC 8445 sections 5.1.1.2 and 5.1.2.1): the mapped
 * address, with the local preference of its base. The foundation is the caller's to set. */
void ice_candidate_make_srflx(const IceCandidate *base, const SocketAddress *mapped, IceCandidate *ret);

/* What a check from this host candidate has as its PRIORITY (RFC 8445 section 7.1.1), and so a
 * peer-reflexive candidate that is discovered by it. */
uint32_t ice_candidate_prflx_priority(const IceCandidate *base);

/* For people and logs: "srflx udp 192.0.2.1:4500". */
#define ICE_CANDIDATE_STRLEN (SOCKET_ADDRESS_STRLEN + 24)
char *ice_candidate_format(const IceCandidate *c, char buf[static ICE_CANDIDATE_STRLEN]);
#define ICE_CANDIDATE_STR(c) ice_candidate_format((c), (char[ICE_CANDIDATE_STRLEN]) {})
