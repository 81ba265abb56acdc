/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "network.h"

static const char *const network_mapping_table[_NETWORK_MAX] = {
        [NETWORK_UNKNOWN] = "unknown",
        [NETWORK_ABSENT] = "absent",
        [NETWORK_ENDPOINT_INDEPENDENT] = "endpoint-independent",
        [NETWORK_VARIES] = "varies",
        [NETWORK_BLOCKED] = "blocked",
};
DEFINE_STRING_TABLE(network_mapping, NetworkMapping);

static NetworkObstacle obstacle(NetworkMapping here, NetworkMapping there)
{
        if (here == NETWORK_ABSENT || there == NETWORK_ABSENT)
                return NETWORK_NO_COMMON_FAMILY;
        if (here == NETWORK_BLOCKED)
                return NETWORK_BLOCKED_HERE;
        if (there == NETWORK_BLOCKED)
                return NETWORK_BLOCKED_THERE;
        return here == NETWORK_VARIES && there == NETWORK_VARIES ? NETWORK_VARIES_BOTH : NETWORK_CLEAR;
}

NetworkObstacle network_obstacle(const Network *here, const Network *there)
{
        NetworkObstacle ipv4 = obstacle(here->ipv4, there->ipv4), ipv6 = obstacle(here->ipv6, there->ipv6);

        if (ipv4 == NETWORK_CLEAR || ipv6 == NETWORK_CLEAR)
                return NETWORK_CLEAR;
        /* What stands in the way of a family that both have says more than that the other is missing. */
        if (ipv4 == NETWORK_NO_COMMON_FAMILY)
                return ipv6;
        if (ipv6 == NETWORK_NO_COMMON_FAMILY)
                return ipv4;
        return ipv4 < ipv6 ? ipv4 : ipv6;
}
