/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "manager.h"

/* Asks the broker to share WireGuard's ports with ICE, on the uplinks that our addresses are on, and knows
 * what came of it. Negotiations wait for the answer: a check that left from another port would be for
 * nothing. */

#define SHARING_RELAYS_MAX 64

/* Uplinks, servers, the configuration or the broker may have changed: nothing is known until the broker has
 * answered. */
void sharing_update(Manager *m);

/* The same, where sharing_update() follows in this turn. */
static inline void sharing_invalidate(Manager *m)
{
        m->redirect_settled = false;
}

/* The broker is gone, and what it shared with it. */
void sharing_lost(Manager *m);

/* Are sockets to be shared now, or does the proxy carry everything? */
static inline bool sharing_is_on(const Manager *m)
{
        return m->redirect_kind != REDIRECT_PROXY;
}
