/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy.h"

static const char *const policy_table[_POLICY_MAX] = {
        [POLICY_AUTO] = "auto",
        [POLICY_DIRECT] = "direct",
        [POLICY_RELAY] = "relay",
        [POLICY_OFF] = "off",
};
DEFINE_STRING_TABLE(policy, Policy);

bool policy_allows_path(Policy policy, PathKind kind)
{
        if (kind == PATH_NONE)
                return true;
        switch (policy) {
        case POLICY_DIRECT:
                return kind != PATH_RELAYED;
        case POLICY_RELAY:
                return kind == PATH_RELAYED;
        default:
                return true;
        }
}

bool policy_allows_pair(Policy policy, IceCandidateType local, IceCandidateType remote)
{
        bool relayed = local == ICE_CANDIDATE_RELAY || remote == ICE_CANDIDATE_RELAY;

        return policy != POLICY_OFF && policy_allows_path(policy, relayed ? PATH_RELAYED : PATH_DIRECT);
}

bool policies_conflict(Policy here, Policy there)
{
        return here == POLICY_OFF || there == POLICY_OFF ||
               (here == POLICY_DIRECT && there == POLICY_RELAY) ||
               (here == POLICY_RELAY && there == POLICY_DIRECT);
}
