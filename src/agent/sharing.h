/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "manager.h"

/* Asks the broker to share WireGuard's ports with ICE, on the uplinks that our addresses are on, and knows
 * what came of it. Negotiations wait for the answer: a check that left from another port would be for
 * nothing. */

#define SHARING_RELAYS_MAX 64

/* Addresses, servers, the configuration or the broker may have changed: nothing is known until the broker
 * has answered. */
void sharing_update(Manager *m);

/* Other interfaces may have the addresses now: what is known is good until the broker says otherwise. */
void sharing_refresh(Manager *m);

/* The broker is gone, and what it shared with it. */
void sharing_lost(Manager *m);

/* Are sockets to be shared now, or does the proxy carry everything? */
static inline bool sharing_is_on(const Manager *m)
{
        return m->redirect_kind != REDIRECT_PROXY;
}
