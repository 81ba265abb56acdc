/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "health.h"

#include "resolve.h"

/* A lookup that fails is no standstill. */
static_assert(HEALTH_RENDEZVOUS_PATIENCE >= 2 * RESOLVER_TIMEOUT);

static bool is_at_work(const HealthPart *part, usec_t patience, usec_t t)
{
        return part->works || usec_sub(t, part->active) <= patience;
}

bool health_is_good(const Health *h, usec_t t, const char **ret_culprit)
{
        if (!is_at_work(&h->broker, HEALTH_BROKER_PATIENCE, t)) {
                *ret_culprit = h->broker.name;
                return false;
        }
        for (size_t i = 0; i < h->n_rendezvous; i++)
                if (is_at_work(&h->rendezvous[i], HEALTH_RENDEZVOUS_PATIENCE, t))
                        return true;
        if (h->n_rendezvous == 0)
                return true;
        *ret_culprit = h->rendezvous[0].name;
        return false;
}
