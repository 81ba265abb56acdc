/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "network.h"

static void expect(NetworkMapping here4, NetworkMapping here6, NetworkMapping there4, NetworkMapping there6,
                   NetworkObstacle expected)
{
        NetworkObstacle found = network_obstacle(&(Network) { here4, here6, POLICY_AUTO },
                                                 &(Network) { there4, there6, POLICY_AUTO });

        cr_assert_eq(found, expected, "%d %d, %d %d: %d instead of %d", here4, here6, there4, there6, found,
                     expected);
}

#define U NETWORK_UNKNOWN
#define A NETWORK_ABSENT
#define E NETWORK_ENDPOINT_INDEPENDENT
#define V NETWORK_VARIES
#define B NETWORK_BLOCKED

Test(network, obstacles)
{
        expect(U, U, U, U, NETWORK_CLEAR);
        expect(E, A, E, A, NETWORK_CLEAR);
        expect(V, A, E, A, NETWORK_CLEAR);
        expect(V, A, U, U, NETWORK_CLEAR);
        expect(V, A, V, A, NETWORK_VARIES_BOTH);
        expect(V, A, V, E, NETWORK_VARIES_BOTH);
        expect(V, E, V, E, NETWORK_CLEAR);
        expect(V, V, V, V, NETWORK_VARIES_BOTH);
        expect(A, E, E, A, NETWORK_NO_COMMON_FAMILY);
        expect(A, E, U, U, NETWORK_CLEAR);
        expect(A, U, E, A, NETWORK_NO_COMMON_FAMILY);
        expect(B, A, E, A, NETWORK_BLOCKED_HERE);
        expect(E, A, B, A, NETWORK_BLOCKED_THERE);
        expect(B, A, B, A, NETWORK_BLOCKED_HERE);
        expect(B, E, E, A, NETWORK_BLOCKED_HERE);
        expect(B, E, E, E, NETWORK_CLEAR);
        expect(B, U, E, U, NETWORK_CLEAR);
        expect(V, B, V, E, NETWORK_BLOCKED_HERE);
        expect(A, B, A, U, NETWORK_BLOCKED_HERE);
        /* A host without any address says no more than that. */
        expect(A, A, E, E, NETWORK_NO_COMMON_FAMILY);
}

/* What one side sees as here, the other one sees as there. */
Test(network, both_sides_agree)
{
        static const NetworkObstacle mirror[_NETWORK_OBSTACLE_MAX] = {
                [NETWORK_CLEAR] = NETWORK_CLEAR,
                [NETWORK_NO_COMMON_FAMILY] = NETWORK_NO_COMMON_FAMILY,
                [NETWORK_BLOCKED_HERE] = NETWORK_BLOCKED_THERE,
                [NETWORK_BLOCKED_THERE] = NETWORK_BLOCKED_HERE,
                [NETWORK_VARIES_BOTH] = NETWORK_VARIES_BOTH,
        };

        for (unsigned i = 0; i < _NETWORK_MAX * _NETWORK_MAX; i++)
                for (unsigned k = 0; k < _NETWORK_MAX * _NETWORK_MAX; k++) {
                        Network x = { i % _NETWORK_MAX, i / _NETWORK_MAX, POLICY_AUTO },
                                y = { k % _NETWORK_MAX, k / _NETWORK_MAX, POLICY_AUTO };
                        NetworkObstacle there = network_obstacle(&y, &x), here = network_obstacle(&x, &y);
                        bool blocked_both = (x.ipv4 == B || x.ipv6 == B) && (y.ipv4 == B || y.ipv6 == B);

                        if (!blocked_both)
                                cr_assert_eq(here, mirror[there], "%u %u", i, k);
                }
}

Test(network, names)
{
        for (NetworkMapping m = 0; m < _NETWORK_MAX; m++)
                cr_assert_eq(network_mapping_from_string(network_mapping_to_string(m)), m);
        cr_assert_lt(network_mapping_from_string("open"), 0);
}
