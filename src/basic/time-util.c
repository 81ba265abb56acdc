/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "time-util.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "macro.h"

usec_t now(clockid_t clock)
{
        struct timespec ts;

        if (clock_gettime(clock, &ts) < 0)
                abort();
        return (usec_t) ts.tv_sec * USEC_PER_SEC + (usec_t) ts.tv_nsec / 1000;
}

static const struct {
        const char *suffix;
        usec_t usec;
} units[] = {
        { "d", 24 * USEC_PER_HOUR }, { "h", USEC_PER_HOUR },  { "min", USEC_PER_MINUTE },
        { "s", USEC_PER_SEC },       { "ms", USEC_PER_MSEC }, { "us", 1 },
};

char *format_timespan(usec_t t, char buf[static TIMESPAN_STRLEN])
{
        if (t == USEC_INFINITY)
                return strcpy(buf, "infinity");
        if (t >= USEC_PER_SEC && t < USEC_PER_MINUTE) {
                snprintf(buf, TIMESPAN_STRLEN, "%.3gs", (double) t / USEC_PER_SEC);
                return buf;
        }
        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                int n;

                if (t < units[i].usec)
                        continue;
                n = snprintf(buf, TIMESPAN_STRLEN, "%" PRIu64 "%s", t / units[i].usec, units[i].suffix);
                t %= units[i].usec;
                /* The second unit, down to the second: nobody reads "3 h 12 us". */
                if (i + 1 < ELEMENTSOF(units) && units[i + 1].usec >= USEC_PER_SEC && t >= units[i + 1].usec)
                        snprintf(buf + n, TIMESPAN_STRLEN - (size_t) n, " %" PRIu64 "%s",
                                 t / units[i + 1].usec, units[i + 1].suffix);
                return buf;
        }
        return strcpy(buf, "0s");
}

int parse_timespan(const char *s, usec_t *ret)
{
        unsigned long long n;
        char *end;

        if (!isdigit((unsigned char) *s))
                return -EINVAL;
        errno = 0;
        n = strtoull(s, &end, 10);
        if (errno != 0)
                return -ERANGE;
        while (*end == ' ')
                end++;
        if (!*end)
                end = (char *) "s";
        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                if (strcmp(end, units[i].suffix) != 0)
                        continue;
                if (n > (USEC_INFINITY - 1) / units[i].usec)
                        return -ERANGE;
                *ret = n * units[i].usec;
                return 0;
        }
        return -EINVAL;
}
