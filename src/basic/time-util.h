/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>
#include <time.h>

typedef uint64_t usec_t;

#define USEC_INFINITY ((usec_t) UINT64_MAX)
#define USEC_PER_MSEC ((usec_t) 1000)
#define USEC_PER_SEC (1000 * USEC_PER_MSEC)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MINUTE)

usec_t now(clockid_t clock);

/* Both stay at 0 and USEC_INFINITY instead of wrapping. */
static inline usec_t usec_add(usec_t a, usec_t b)
{
        return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}

static inline usec_t usec_sub(usec_t a, usec_t b)
{
        return a > b ? a - b : 0;
}

/* "1h 2min", "3.25s", "12ms": at most two units, as a person wants to read it. Returns buf. */
#define TIMESPAN_STRLEN 64
char *format_timespan(usec_t t, char buf[static TIMESPAN_STRLEN]);
#define TIMESPAN_STR(t) format_timespan((t), (char[TIMESPAN_STRLEN]) {})

/* "5", "5s", "200ms", "2min", "1h": a number with an optional unit (seconds if there is none). -EINVAL,
 * -ERANGE. */
int parse_timespan(const char *s, usec_t *ret);
