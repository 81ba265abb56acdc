/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>

#include "endpoint-trial.h"

#define S(n) ((usec_t) (n) * USEC_PER_SEC)

static SocketAddress address(const char *text)
{
        SocketAddress a;

        cr_assert_geq(socket_address_from_string(text, &a), 0);
        return a;
}

#define OURS address("192.0.2.1:1")
#define THEIRS address("192.0.2.2:2")
#define OTHERS address("192.0.2.3:3")

static bool admits(EndpointTrial *trial, usec_t t, SocketAddress ours, SocketAddress theirs, bool rewritten)
{
        return endpoint_trial_admits(trial, t, &ours, &theirs, rewritten ? S(6) : USEC_INFINITY, rewritten,
                                     1000, 1000);
}

/* Its counters begin anew. */
static bool admits_rewritten(EndpointTrial *trial, usec_t t, SocketAddress ours, SocketAddress theirs)
{
        return endpoint_trial_admits(trial, t, &ours, &theirs, S(6), /* again= */ true, 0, 0);
}

static EndpointTrialVerdict read_endpoint(EndpointTrial *trial, usec_t t, SocketAddress endpoint,
                                          uint64_t tx_bytes, uint64_t rx_bytes)
{
        return endpoint_trial_read(trial, t, &endpoint, tx_bytes, rx_bytes);
}

Test(endpoint_trial, theirs_is_kept_when_it_works)
{
        EndpointTrial trial = {};

        cr_assert(admits(&trial, S(1000), OURS, THEIRS, false));
        cr_assert_eq(read_endpoint(&trial, S(1000), THEIRS, 1000, 1000), ENDPOINT_TRIAL_NONE);
        cr_assert_eq(read_endpoint(&trial, S(1001), THEIRS, 9000, 1000), ENDPOINT_TRIAL_NONE);
        cr_assert_eq(read_endpoint(&trial, S(1002), THEIRS, 9000, 1032), ENDPOINT_TRIAL_PASSED);
        cr_assert(!endpoint_trial_is_on(&trial));
}

Test(endpoint_trial, ours_is_set_again_when_theirs_fails_and_at_once_the_next_time)
{
        EndpointTrial trial = {};
        SocketAddress ours;

        cr_assert(!endpoint_trial_fail(&trial, S(999), &ours));
        cr_assert(admits(&trial, S(1000), OURS, THEIRS, false));
        cr_assert(admits(&trial, S(1001), THEIRS, THEIRS, false), "it is followed meanwhile");
        cr_assert(endpoint_trial_fail(&trial, S(1003), &ours));
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&ours), "192.0.2.1:1");
        cr_assert(!admits(&trial, S(1030), OURS, THEIRS, false));
        cr_assert(!admits(&trial, S(1060), OURS, THEIRS, true));
        cr_assert(admits(&trial, S(1061), OURS, OTHERS, false), "that is another one");
}

Test(endpoint_trial, what_failed_long_ago_is_tried_again)
{
        EndpointTrial trial = {};
        SocketAddress ours;

        cr_assert(admits(&trial, S(1000), OURS, THEIRS, false));
        cr_assert(endpoint_trial_fail(&trial, S(1003), &ours));
        cr_assert(!admits(&trial, S(1003) + ENDPOINT_TRIAL_MEMORY - 1, OURS, THEIRS, false));
        cr_assert(admits(&trial, S(1003) + ENDPOINT_TRIAL_MEMORY, OURS, THEIRS, false));
}

Test(endpoint_trial, a_device_that_is_written_anew_has_to_shake_hands)
{
        EndpointTrial trial = {};

        cr_assert(admits_rewritten(&trial, S(1000), OURS, THEIRS));
        cr_assert_eq(read_endpoint(&trial, S(1001), THEIRS, 148, 0), ENDPOINT_TRIAL_NONE);
        cr_assert_eq(read_endpoint(&trial, S(1005), THEIRS, 148, 0), ENDPOINT_TRIAL_NONE);
        cr_assert_eq(read_endpoint(&trial, S(1006), THEIRS, 296, 0), ENDPOINT_TRIAL_FAILED);
}

Test(endpoint_trial, who_sends_nothing_proves_nothing)
{
        EndpointTrial trial = {};

        cr_assert(admits_rewritten(&trial, S(1000), OURS, THEIRS));
        cr_assert_eq(read_endpoint(&trial, S(1029), THEIRS, 0, 0), ENDPOINT_TRIAL_NONE);
        cr_assert(endpoint_trial_is_on(&trial));
        cr_assert_eq(read_endpoint(&trial, S(1030), THEIRS, 0, 0), ENDPOINT_TRIAL_FAILED,
                     "but not for ever");
}

Test(endpoint_trial, where_somebody_else_judges_time_is_no_matter)
{
        EndpointTrial trial = {};

        cr_assert(admits(&trial, S(1000), OURS, THEIRS, false));
        cr_assert_eq(read_endpoint(&trial, S(9000), THEIRS, 5000, 1000), ENDPOINT_TRIAL_NONE);
        cr_assert(endpoint_trial_is_on(&trial));
}

Test(endpoint_trial, wireguard_goes_back_by_itself)
{
        EndpointTrial trial = {};

        cr_assert(admits(&trial, S(1000), OURS, THEIRS, false));
        cr_assert_eq(read_endpoint(&trial, S(1001), OURS, 2000, 2000), ENDPOINT_TRIAL_NONE);
        cr_assert(!endpoint_trial_is_on(&trial));
        cr_assert(admits(&trial, S(1002), OURS, THEIRS, false), "it was not refused");
}

Test(endpoint_trial, a_handshake_by_ours_shows_that_theirs_was_no_good)
{
        EndpointTrial trial = {};

        cr_assert(admits_rewritten(&trial, S(1000), OURS, THEIRS));
        cr_assert_eq(read_endpoint(&trial, S(1003), OURS, 148, 148), ENDPOINT_TRIAL_NONE);
        cr_assert(!endpoint_trial_is_on(&trial));
        cr_assert(!admits_rewritten(&trial, S(1030), OURS, THEIRS));
}

Test(endpoint_trial, ours_is_what_was_before_all_of_theirs)
{
        EndpointTrial trial = {};
        SocketAddress ours;

        cr_assert(admits(&trial, S(1000), OURS, THEIRS, false));
        cr_assert(admits(&trial, S(1001), THEIRS, OTHERS, false));
        cr_assert(endpoint_trial_fail(&trial, S(1003), &ours));
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&ours), "192.0.2.1:1");
}

/* kilo, in a loop, for a day: each time it is seen a second later. */
Test(endpoint_trial, a_day_with_somebody_who_insists)
{
        EndpointTrial trial = {};
        unsigned n_trials = 0;

        for (unsigned t = 1000; t < 1000 + 24 * 3600; t += 30) {
                SocketAddress ours;

                if (!admits(&trial, S(t), OURS, THEIRS, true))
                        continue;
                n_trials++;
                cr_assert(endpoint_trial_fail(&trial, S(t + 6), &ours));
        }
        cr_assert_leq(n_trials, 25);
        cr_assert_geq(n_trials, 23);
}
