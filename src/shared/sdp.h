/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "ice-candidate.h"

/* A strict codec for the SDP that peers exchange: offers and answers (RFC 8866, 3264, 8839) with one media
 * line
 *
 *     m=application PORT UDP wireguard
 *
 * and trickle fragments (RFC 8840, "application/trickle-ice-sdpfrag"). What the RFCs let a reader ignore
 * (unknown attributes, candidates with an unknown transport, address form, component or extension) is
 * ignored; everything else that is out of order, out of range or missing is refused, with the line and the
 * reason. Strings in and out end lines with CRLF; a reader takes LF too. */

#define SDP_SIZE_MAX 8192
#define SDP_LINE_MAX 1024 /* without its end; RFC 8866 has no limit, a peer has no use for more */
#define SDP_CANDIDATES_MAX                                                                                  \
        32 /* what one description may carry; further ones are ignored, as RFC 8839 allows */

#define SDP_SESSION_ID_MAX ((uint64_t) INT64_MAX) /* RFC 3264 section 5 */

typedef struct SdpDescription {
        char ufrag[ICE_CREDENTIAL_MAX + 1];
        char pwd[ICE_CREDENTIAL_MAX + 1];
        bool trickle; /* a=ice-options:trickle */
        bool ice2;    /* a=ice-options:ice2 (RFC 8445) */
        bool end_of_candidates;
        uint32_t pacing;          /* a=ice-pacing in ms; 0: absent */
        uint64_t session_id;      /* o=, at most SDP_SESSION_ID_MAX; not in a fragment */
        uint64_t session_version; /* o=, likewise */
        IceCandidate candidates[SDP_CANDIDATES_MAX];
        size_t n_candidates;
} SdpDescription;

/* Parse `size` bytes. 0, or -EBADMSG with *ret_error (owned by the caller, "line 4: …"; never holds foreign
 * bytes) and *ret untouched; -ENOMEM. ret_error may be NULL.
 *
 * Refused too, since no peer of ours can mean it: a=ice-lite, a=ice-mismatch, a media line with port 0 (a
 * refused stream, RFC 3264 section 6), known attributes at a level where RFC 8839 does not have them, and
 * anything twice that may stand there once. ufrag and password at the media level win over the session's. */
int sdp_parse_description(const char *s, size_t size, SdpDescription *ret, char **ret_error);

/* A trickle fragment (RFC 8840 section 9): ufrag and pwd at either level, the pseudo m= line (the same as in
 * a description), a=mid, candidates, perhaps a=end-of-candidates. */
int sdp_parse_fragment(const char *s, size_t size, SdpDescription *ret, char **ret_error);

/* The owner of *ret is the caller, who erases it (it holds the password). -ENOMEM, or -EINVAL if the
 * description breaks the limits above. What is written is read back equal, but for scope IDs of addresses
 * (they mean nothing to others) and the port of an active TCP candidate (0 becomes 9, RFC 6544 section 4.5).
 */
int sdp_format_description(const SdpDescription *d, char **ret);
int sdp_format_fragment(const SdpDescription *d, char **ret);

/* One a=candidate value, "1 1 udp 2130706431 192.0.2.1 5000 typ host": 1 parsed; 0 well-formed, but of a
 * kind that is to be ignored (another component than ours, a transport or type that is not known, a name or
 * an IPv4-mapped address in place of an address); -EBADMSG malformed. A host candidate has no related
 * address, and "raddr 0.0.0.0" or "::" is none either (RFC 8839 section 5.1). */
int sdp_parse_candidate(const char *s, size_t size, IceCandidate *ret);

/* The same the other way. -EINVAL if the candidate has no foundation, priority, address or port that may be
 * written. */
#define SDP_CANDIDATE_STRLEN 256
int sdp_format_candidate(const IceCandidate *c, char buf[static SDP_CANDIDATE_STRLEN]);
