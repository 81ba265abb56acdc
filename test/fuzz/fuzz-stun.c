/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdlib.h>

#include "stun-transaction.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A STUN server's answer. The ID is drawn anew each time: the input's is replaced by it, or nothing would
 * ever match. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static StunAgent agent;
        static bool initialised;
        StunTransaction t = {};
        uint8_t *copy;
        SocketAddress mapped;
        int r;

        if (!initialised)
                stun_transaction_agent_init(&agent);
        initialised = true;
        if (stun_transaction_start(&t, &agent, /* username= */ NULL) < 0)
                abort();
        copy = malloc(size);
        if (!copy && size > 0)
                abort();
        if (size > 0)
                memcpy(copy, data, size);
        if (size >= STUN_MESSAGE_HEADER_LENGTH)
                memcpy(copy + STUN_MESSAGE_TRANS_ID_POS, t.request + STUN_MESSAGE_TRANS_ID_POS,
                       STUN_MESSAGE_TRANS_ID_LEN);
        r = stun_transaction_parse(&t, &agent, copy, size, &mapped);
        if (r != 0 && stun_transaction_is_open(&t))
                abort();
        if (r > 0 && (!socket_address_is_set(&mapped) || socket_address_port(&mapped) == 0 ||
                      socket_address_is_unspecified(&mapped)))
                abort();
        /* Nothing is left behind that would fill the agent's table. */
        stun_transaction_end(&t, &agent);
        free(copy);
        return 0;
}
