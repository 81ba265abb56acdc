/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "random-util.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *p, size_t n)
{
        uint8_t *q = p;

        while (n > 0) {
                ssize_t k = getrandom(q, n, 0);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0)
                        abort();
                q += k;
                n -= (size_t) k;
        }
}

uint64_t random_u64(void)
{
        uint64_t u;

        random_bytes(&u, sizeof(u));
        return u;
}

uint64_t random_below(uint64_t bound)
{
        uint64_t limit = UINT64_MAX - UINT64_MAX % bound, u;

        do
                u = random_u64();
        while (u >= limit);
        return u % bound;
}
