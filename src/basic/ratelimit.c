/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ratelimit.h"

static void refill(RateLimit *limit, usec_t t)
{
        usec_t earned;

        if (!limit->started) {
                limit->started = true;
                limit->tokens = limit->burst;
                limit->refilled = t;
                return;
        }
        earned = limit->interval > 0 ? usec_sub(t, limit->refilled) / limit->interval : 0;
        if (earned >= limit->burst - limit->tokens) {
                limit->tokens = limit->burst;
                limit->refilled = t;
                return;
        }
        limit->tokens += (unsigned) earned;
        limit->refilled += earned * limit->interval;
}

bool ratelimit_ok(RateLimit *limit, usec_t t)
{
        refill(limit, t);
        if (limit->tokens == 0)
                return false;
        limit->tokens--;
        return true;
}
