/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "silence.h"

#include "macro.h"

/* Beyond that nothing is learned. */
#define SILENCE_MAX (60 * 60 * USEC_PER_SEC)

void silence_start(Silence *silence, usec_t t)
{
        silence->heard = t;
}

void silence_hear(Silence *silence, usec_t t)
{
        if (usec_sub(t, silence->heard) <= SILENCE_REGULAR)
                silence->tolerated = 0;
        silence->heard = t;
}

bool silence_is_alarming(Silence *silence, usec_t t)
{
        usec_t tolerated = MAX(silence->tolerated, (usec_t) SILENCE_MIN);

        if (usec_sub(t, silence->heard) <= tolerated)
                return false;
        silence->tolerated = MIN(tolerated * 2, (usec_t) SILENCE_MAX);
        return true;
}
