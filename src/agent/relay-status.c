/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "relay-status.h"

#include "string-util.h"

static const char *const relay_state_table[_RELAY_STATE_MAX] = {
        [RELAY_STATE_UNKNOWN] = "unknown",
        [RELAY_STATE_OK] = "ok",
        [RELAY_STATE_UNREACHABLE] = "unreachable",
        [RELAY_STATE_CERTIFICATE_REFUSED] = "certificate-refused",
        [RELAY_STATE_CREDENTIALS_REFUSED] = "credentials-refused",
        [RELAY_STATE_REFUSED] = "refused",
};
DEFINE_STRING_TABLE(relay_state, RelayState);

/* The most telling last. */
static const RelayState telling[] = {
        RELAY_STATE_UNKNOWN,
        RELAY_STATE_UNREACHABLE,
        RELAY_STATE_REFUSED,
        RELAY_STATE_CREDENTIALS_REFUSED,
        RELAY_STATE_CERTIFICATE_REFUSED,
        RELAY_STATE_OK,
};

static size_t rank(RelayState state)
{
        size_t i = 0;

        while (i < ELEMENTSOF(telling) - 1 && telling[i] != state)
                i++;
        return i;
}

const RelayStatus *relay_status_best(const RelayStatus *statuses, size_t n)
{
        const RelayStatus *best = NULL;

        for (size_t i = 0; i < n; i++)
                if (!best || rank(statuses[i].state) > rank(best->state))
                        best = statuses + i;
        return best;
}

const RelayStatus *relay_status_find(const RelayStatus *statuses, size_t n, IceServerKind kind,
                                     const char *name)
{
        for (size_t i = 0; i < n; i++)
                if (statuses[i].kind == kind && streq(statuses[i].name, name))
                        return statuses + i;
        return NULL;
}
