/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attempts.h"

#define STEPS 6

static const usec_t pauses[_ATTEMPTS_AIM_MAX][STEPS] = {
        [ATTEMPTS_PATH] = { USEC_PER_SEC, 3 * USEC_PER_SEC, 10 * USEC_PER_SEC, 30 * USEC_PER_SEC,
                            60 * USEC_PER_SEC, 300 * USEC_PER_SEC },
        [ATTEMPTS_BETTER_PATH] = { 10 * USEC_PER_SEC, 30 * USEC_PER_SEC, 60 * USEC_PER_SEC,
                                   300 * USEC_PER_SEC, 300 * USEC_PER_SEC, 300 * USEC_PER_SEC },
};

/* For some minutes after a loss; what is gone longer has gone for another reason than a router's restart. */
#define SHORT_PAUSES 12

#define REFUSAL_MIN (5 * USEC_PER_MINUTE)
#define REFUSAL_MAX USEC_PER_HOUR
#define REFUSAL_STEPS 4U

void attempts_restart(Attempts *a)
{
        a->step = 0;
}

void attempts_after_loss(Attempts *a)
{
        a->step = 0;
        a->short_pauses = SHORT_PAUSES;
}

usec_t attempts_pause(const Attempts *a, AttemptsAim aim)
{
        if (aim == ATTEMPTS_BETTER_PATH && a->short_pauses > 0)
                return pauses[aim][0];
        return pauses[aim][MIN(a->step, STEPS - 1U)];
}

void attempts_elapsed(Attempts *a)
{
        if (a->short_pauses > 0)
                a->short_pauses--;
        if (a->step < STEPS)
                a->step++;
}

void attempts_refused(Attempts *a, const Path *path, usec_t t)
{
        AttemptsRefusal *refusal = &a->refusals[path->kind];

        refusal->until = usec_add(t, MIN(REFUSAL_MIN << refusal->n, (usec_t) REFUSAL_MAX));
        refusal->n = MIN(refusal->n + 1, REFUSAL_STEPS);
}

void attempts_proved(Attempts *a, const Path *path)
{
        a->refusals[path->kind] = (AttemptsRefusal) {};
}

void attempts_forgive(Attempts *a)
{
        for (size_t i = 0; i < ELEMENTSOF(a->refusals); i++)
                a->refusals[i] = (AttemptsRefusal) {};
}

bool attempts_shun(const Attempts *a, const Path *path, usec_t t)
{
        return t < a->refusals[path->kind].until;
}

bool attempts_prefer(const Attempts *a, const Path *path, const Path *in_use, AttemptsWish wish, usec_t t)
{
        int better = path_compare(path, in_use);

        if (wish == ATTEMPTS_WISH_ANY)
                return true;
        return !attempts_shun(a, path, t) && better >= (wish == ATTEMPTS_WISH_BETTER);
}
