/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "path.h"

/* What kinds of paths a peer may have, as the administrator of this host wants it. Plain data and pure
 * functions; peer-policy.h puts it in force. */

typedef enum Policy {
        POLICY_AUTO,   /* the best there is */
        POLICY_DIRECT, /* never by a relay: rather no path */
        POLICY_RELAY,  /* by a TURN server of ours only: the peer learns no address of this host */
        POLICY_OFF,    /* nothing is negotiated; WireGuard is left as it is */
        _POLICY_MAX,
        _POLICY_INVALID = -EINVAL,
} Policy;

DECLARE_STRING_TABLE(policy, Policy); /* "auto", "direct", "relay", "off" */

/* May the peer's traffic go by such a path? A path of WireGuard's own is nobody's to forbid when the policy
 * is off. */
bool policy_allows_path(Policy policy, PathKind kind);

/* May a session select such a pair? */
bool policy_allows_pair(Policy policy, IceCandidateType local, IceCandidateType remote);

/* Can no path please both sides? */
bool policies_conflict(Policy here, Policy there);
