/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Bodies of envelopes; what is taken must be written, and read back, as it was. */

#include <stdint.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "message.h"
#include "string-util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
        if (!ok)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_free_ char *error = NULL, *text = NULL, *again = NULL;
        Message m, n;

        if (message_parse((const char *) data, size, &m, &error) < 0) {
                check(error);
                for (const char *p = error; *p; p++)
                        check(*p >= ' ' && *p < 127);
                return 0;
        }
        check(message_format(&m, &text) == 0);
        check(message_parse(text, strlen(text), &n, NULL) == 0);
        check(m.type == n.type && m.instance == n.instance && m.to == n.to && m.sequence == n.sequence &&
              m.session == n.session);
        check(m.network.ipv4 == n.network.ipv4 && m.network.ipv6 == n.network.ipv6 &&
              m.network.policy == n.network.policy);
        check(message_format(&n, &again) == 0);
        check(streq(text, again));
        return 0;
}
