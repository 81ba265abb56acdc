/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "path.h"

/* When to look for a path, or for a better one, and which of those that are found is taken. Pure: the clock
 * (CLOCK_BOOTTIME) is an argument, try.c has the timer.
 *
 * Without a path a message may have got lost and a peer may just be booting, so the first pauses are short.
 * Beside a path that works they are those of the design: 10 s, 30 s, 60 s, then 5 min; only where a better
 * path has just been lost are the first ones all short, since it may soon be back. */

typedef enum AttemptsAim {
        ATTEMPTS_PATH,        /* there is none */
        ATTEMPTS_BETTER_PATH, /* there is one, not of the best kind */
        _ATTEMPTS_AIM_MAX,
} AttemptsAim;

/* What a path has to be to replace the one in use. */
typedef enum AttemptsWish {
        ATTEMPTS_WISH_BETTER, /* the one in use is good */
        ATTEMPTS_WISH_EQUAL, /* likewise, but something has changed, or a person asks: a new one is wanted */
        ATTEMPTS_WISH_ANY,   /* it is dead, or will be */
} AttemptsWish;

typedef struct AttemptsRefusal {
        usec_t until; /* CLOCK_BOOTTIME */
        unsigned n;   /* in a row */
} AttemptsRefusal;

/* All zero: nothing was tried yet. */
typedef struct Attempts {
        unsigned step;
        unsigned short_pauses; /* so many more, after a loss */
        AttemptsRefusal refusals[_PATH_KIND_MAX];
} Attempts;

/* Something has happened that may have made a path possible: the pauses begin anew. */
void attempts_restart(Attempts *a);

/* A path was lost, and the one that there is now is worse. */
void attempts_after_loss(Attempts *a);

/* How long to wait after this attempt; attempts_elapsed() when that is over, and the next one is longer. */
usec_t attempts_pause(const Attempts *a, AttemptsAim aim);
void attempts_elapsed(Attempts *a);

/* WireGuard did not get through on this path, which looked good: its kind is left alone for 5 min, and twice
 * as long each further time, up to an hour; until the network is another one, or a person asks: then
 * attempts_forgive(). attempts_proved(): it does get through now. */
void attempts_refused(Attempts *a, const Path *path, usec_t t);
void attempts_proved(Attempts *a, const Path *path);
void attempts_forgive(Attempts *a);

/* Is the kind of this path left alone? */
bool attempts_shun(const Attempts *a, const Path *path, usec_t t);

/* Is this path taken in place of the one in use? */
bool attempts_prefer(const Attempts *a, const Path *path, const Path *in_use, AttemptsWish wish, usec_t t);
