/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdlib.h>

#include "stun-check.h"
#include "stun-transaction.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A request for us, and an answer to a check of ours. Nobody has the keys, so neither counts. */
static void fuzz_check(uint8_t *data, size_t size)
{
        static const StunCheckCredentials credentials = {
                .local_ufrag = "abcdefgh",
                .local_pwd = "abcdefghijklmnopqrstuvwx",
                .remote_ufrag = "ABCDEFGH",
                .remote_pwd = "ABCDEFGHIJKLMNOPQRSTUVWX",
        };
        SocketAddress from = { .in = { .sin_family = AF_INET, .sin_port = 1 } };
        uint8_t answer[STUN_CHECK_ANSWER_MAX];
        char ufrag[ICE_LOCAL_UFRAG_SIZE + 1];
        StunCheck *check;
        const uint8_t *request;
        size_t n;

        if (stun_check_new(&credentials, &check) < 0)
                abort();
        if (stun_check_is_disguised(data, size))
                stun_check_disguise(data);
        (void) stun_check_find_ufrag(data, size, ufrag);
        if (stun_check_answer(&credentials, data, size, &from, answer, &n) != 0)
                abort();
        request = stun_check_request(check, &n);
        if (size >= STUN_MESSAGE_HEADER_LENGTH)
                memcpy(data + STUN_MESSAGE_TRANS_ID_POS, request + STUN_MESSAGE_TRANS_ID_POS,
                       STUN_MESSAGE_TRANS_ID_LEN);
        if (stun_check_is_answer(check, data, size))
                abort();
        stun_check_free(check);
}

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
        fuzz_check(copy, size);
        free(copy);
        return 0;
}
