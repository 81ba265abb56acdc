/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "endpoint-trial.h"

#include "macro.h"

void endpoint_trial_end(EndpointTrial *trial)
{
        trial->ours = trial->theirs = (SocketAddress) {};
}

static bool is_refused(const EndpointTrial *trial, usec_t t, const SocketAddress *theirs)
{
        return socket_address_is_set(&trial->refused) && socket_address_equal(&trial->refused, theirs) &&
               usec_sub(t, trial->refused_at) < ENDPOINT_TRIAL_MEMORY;
}

bool endpoint_trial_admits(EndpointTrial *trial, usec_t t, const SocketAddress *ours,
                           const SocketAddress *theirs, usec_t patience, bool again, uint64_t tx_bytes,
                           uint64_t rx_bytes)
{
        /* Who tries several, one after the other, has one that worked before the first. */
        const SocketAddress *worked = endpoint_trial_is_on(trial) ? &trial->ours : ours;

        if (is_refused(trial, t, theirs)) {
                endpoint_trial_end(trial);
                return false;
        }
        if (endpoint_trial_is_on(trial) && socket_address_equal(&trial->theirs, theirs) && !again)
                return true;
        trial->ours = *worked;
        trial->theirs = *theirs;
        trial->since = t;
        trial->patience = patience;
        trial->tx_bytes = tx_bytes;
        trial->rx_bytes = rx_bytes;
        return true;
}

static void refuse(EndpointTrial *trial, usec_t t)
{
        trial->refused = trial->theirs;
        trial->refused_at = t;
}

bool endpoint_trial_fail(EndpointTrial *trial, usec_t t, SocketAddress *ret_ours)
{
        if (!endpoint_trial_is_on(trial))
                return false;
        refuse(trial, t);
        *ret_ours = trial->ours;
        endpoint_trial_end(trial);
        return true;
}

/* Where nothing is sent nothing is lost either; but nobody looks for ever. */
static bool is_over(const EndpointTrial *trial, usec_t t, bool sent)
{
        usec_t took = usec_sub(t, trial->since);

        return trial->patience != USEC_INFINITY && took >= (sent ? trial->patience : ENDPOINT_TRIAL_WATCHED);
}

EndpointTrialVerdict endpoint_trial_read(EndpointTrial *trial, usec_t t, const SocketAddress *endpoint,
                                         uint64_t tx_bytes, uint64_t rx_bytes)
{
        bool heard = rx_bytes > trial->rx_bytes, sent = tx_bytes > trial->tx_bytes;

        if (!endpoint_trial_is_on(trial))
                return ENDPOINT_TRIAL_NONE;
        if (!socket_address_equal(endpoint, &trial->theirs)) {
                /* WireGuard has heard the peer from elsewhere, or somebody has changed his mind. */
                if (trial->patience != USEC_INFINITY && sent && heard &&
                    socket_address_equal(endpoint, &trial->ours))
                        refuse(trial, t);
                endpoint_trial_end(trial);
                return ENDPOINT_TRIAL_NONE;
        }
        if (heard) {
                endpoint_trial_end(trial);
                return ENDPOINT_TRIAL_PASSED;
        }
        return is_over(trial, t, sent) ? ENDPOINT_TRIAL_FAILED : ENDPOINT_TRIAL_NONE;
}
