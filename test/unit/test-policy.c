/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "policy.h"

Test(policy, paths)
{
        static const bool allowed[_POLICY_MAX][_PATH_KIND_MAX] = {
                [POLICY_AUTO] = { [PATH_NONE] = 1,
                                  [PATH_DIRECT] = 1,
                                  [PATH_PROXIED] = 1,
                                  [PATH_RELAYED] = 1 },
                [POLICY_DIRECT] = { [PATH_NONE] = 1, [PATH_DIRECT] = 1, [PATH_PROXIED] = 1 },
                [POLICY_RELAY] = { [PATH_NONE] = 1, [PATH_RELAYED] = 1 },
                [POLICY_OFF] = { [PATH_NONE] = 1,
                                 [PATH_DIRECT] = 1,
                                 [PATH_PROXIED] = 1,
                                 [PATH_RELAYED] = 1 },
        };

        for (Policy p = 0; p < _POLICY_MAX; p++)
                for (PathKind k = 0; k < _PATH_KIND_MAX; k++)
                        cr_assert_eq(policy_allows_path(p, k), allowed[p][k], "%s %s", policy_to_string(p),
                                     path_kind_to_string(k));
}

/* A pair is relayed if one of its ends is a relay. */
Test(policy, pairs)
{
        for (IceCandidateType l = 0; l < _ICE_CANDIDATE_TYPE_MAX; l++)
                for (IceCandidateType r = 0; r < _ICE_CANDIDATE_TYPE_MAX; r++) {
                        bool relayed = l == ICE_CANDIDATE_RELAY || r == ICE_CANDIDATE_RELAY;

                        cr_assert(policy_allows_pair(POLICY_AUTO, l, r));
                        cr_assert_eq(policy_allows_pair(POLICY_DIRECT, l, r), !relayed);
                        cr_assert_eq(policy_allows_pair(POLICY_RELAY, l, r), relayed);
                        cr_assert_not(policy_allows_pair(POLICY_OFF, l, r));
                }
}

Test(policy, conflicts)
{
        for (Policy here = 0; here < _POLICY_MAX; here++)
                for (Policy there = 0; there < _POLICY_MAX; there++) {
                        bool conflict = policies_conflict(here, there);
                        bool pair = false;

                        cr_assert_eq(conflict, policies_conflict(there, here));
                        for (unsigned i = 0; i < _ICE_CANDIDATE_TYPE_MAX; i++)
                                pair = pair || (policy_allows_pair(here, i, ICE_CANDIDATE_HOST) &&
                                                policy_allows_pair(there, i, ICE_CANDIDATE_HOST));
                        cr_assert_eq(conflict, !pair, "%s %s", policy_to_string(here),
                                     policy_to_string(there));
                }
}

Test(policy, names)
{
        for (Policy p = 0; p < _POLICY_MAX; p++)
                cr_assert_eq(policy_from_string(policy_to_string(p)), p);
        cr_assert_lt(policy_from_string("on"), 0);
}
