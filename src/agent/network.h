/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "policy.h"

/* What a host tells a peer about its network, so that both know why they have no direct path: nothing that
 * the candidates do not give away. All zero: nothing is known. Plain data and pure functions. */

typedef enum NetworkMapping {
        NETWORK_UNKNOWN,              /* nobody has told, or not yet */
        NETWORK_ABSENT,               /* no address of this family */
        NETWORK_ENDPOINT_INDEPENDENT, /* no NAT, or one that shows the same to everybody (RFC 4787) */
        NETWORK_VARIES,               /* a NAT that shows something else to everyone */
        NETWORK_BLOCKED,              /* no STUN server answers over UDP, while TCP works */
        _NETWORK_MAX,
        _NETWORK_INVALID = -EINVAL,
} NetworkMapping;

DECLARE_STRING_TABLE(network_mapping, NetworkMapping); /* "unknown", "absent", … */

typedef struct Network {
        NetworkMapping ipv4, ipv6;
        Policy policy;
} Network;

typedef enum NetworkObstacle {
        NETWORK_CLEAR, /* nothing that is known here stands between the two */
        NETWORK_NO_COMMON_FAMILY,
        NETWORK_BLOCKED_HERE,
        NETWORK_BLOCKED_THERE,
        NETWORK_VARIES_BOTH,
        _NETWORK_OBSTACLE_MAX,
        _NETWORK_OBSTACLE_INVALID = -EINVAL,
} NetworkObstacle;

/* What stops a direct path by UDP in every family that both have; CLEAR as soon as one has no obstacle that
 * is known. */
NetworkObstacle network_obstacle(const Network *here, const Network *there);
