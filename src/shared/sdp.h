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
#define SDP_CANDIDATES_MAX                                                                                  \
        32 /* what one description may carry; further ones are ignored, as RFC 8839 allows */

typedef struct SdpDescription {
        char ufrag[ICE_CREDENTIAL_MAX + 1];
        char pwd[ICE_CREDENTIAL_MAX + 1];
        bool trickle; /* a=ice-options:trickle */
        bool ice2;    /* a=ice-options:ice2 (RFC 8445) */
        bool end_of_candidates;
        unsigned pacing;          /* a=ice-pacing in ms; 0: absent */
        uint64_t session_id;      /* o= */
        uint64_t session_version; /* o= */
        IceCandidate candidates[SDP_CANDIDATES_MAX];
        size_t n_candidates;
} SdpDescription;

/* Parse `size` bytes. 0, or -EBADMSG with *ret_error (owned by the caller, "line 4: …") and *ret untouched;
 * -ENOMEM. ret_error may be NULL. */
int sdp_parse_description(const char *s, size_t size, SdpDescription *ret, char **ret_error);

/* A trickle fragment: ufrag and pwd, the pseudo m= line, a=mid, candidates, perhaps a=end-of-candidates. */
int sdp_parse_fragment(const char *s, size_t size, SdpDescription *ret, char **ret_error);

/* The owner of *ret is the caller. -ENOMEM, or -EINVAL if the description breaks the limits above. */
int sdp_format_description(const SdpDescription *d, char **ret);
int sdp_format_fragment(const SdpDescription *d, char **ret);

/* One a=candidate value, "1 1 udp 2130706431 192.0.2.1 5000 typ host": 1 parsed; 0 well-formed, but of a
 * kind that is to be ignored; -EBADMSG malformed. */
int sdp_parse_candidate(const char *s, size_t size, IceCandidate *ret);
