/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stun-transaction.h"

#include <stun/usages/bind.h>

static const uint16_t known_attributes[] = {
        STUN_ATTRIBUTE_MAPPED_ADDRESS,
        STUN_ATTRIBUTE_XOR_MAPPED_ADDRESS,
        STUN_ATTRIBUTE_ERROR_CODE,
        STUN_ATTRIBUTE_ALTERNATE_SERVER,
        STUN_ATTRIBUTE_UNKNOWN_ATTRIBUTES,
        STUN_ATTRIBUTE_REALM,
        STUN_ATTRIBUTE_NONCE,
        0,
};

void stun_transaction_agent_init(StunAgent *agent)
{
        stun_agent_init(agent, known_attributes, STUN_COMPATIBILITY_RFC5389, (StunAgentUsageFlags) 0);
}

int stun_transaction_start(StunTransaction *t, StunAgent *agent, const char *username)
{
        StunTransaction new = {};
        StunMessage message;

        if (!stun_agent_init_request(agent, &message, new.request, sizeof(new.request), STUN_BINDING))
                return -ENOBUFS;
        if (username && stun_message_append_string(&message, STUN_ATTRIBUTE_USERNAME, username) !=
                                STUN_MESSAGE_RETURN_SUCCESS)
                return -ENOBUFS;
        new.size = stun_agent_finish_message(agent, &message, /* key= */ NULL, /* key_len= */ 0);
        if (new.size == 0)
                return -ENOBUFS;
        *t = new;
        return 0;
}

static const uint8_t *transaction_id(const StunTransaction *t)
{
        return t->request + STUN_MESSAGE_TRANS_ID_POS;
}

void stun_transaction_end(StunTransaction *t, StunAgent *agent)
{
        StunTransactionId id;

        if (!stun_transaction_is_open(t))
                return;
        memcpy(id, transaction_id(t), sizeof(id));
        (void) stun_agent_forget_transaction(agent, id);
        t->size = 0;
}

int stun_transaction_send(StunTransaction *t, int fd, const SocketAddress *to, usec_t *ret_wait)
{
        ssize_t n;

        if (t->n_sent >= STUN_REQUESTS_MAX)
                return -ETIMEDOUT;
        n = sendto(fd, t->request, t->size, MSG_NOSIGNAL, to ? &to->sa : NULL,
                   to ? socket_address_length(to) : 0);
        if (n < 0 && !stun_errno_is_transient(errno))
                return -errno;
        t->n_sent++;
        t->sent = now(CLOCK_BOOTTIME);
        *ret_wait = t->n_sent < STUN_REQUESTS_MAX ? STUN_RTO << (t->n_sent - 1) : STUN_LAST_WAIT;
        return 0;
}

/* 1, 0 or -EPROTO as above. */
static int read_mapped_address(StunMessage *response, SocketAddress *ret)
{
        union {
                struct sockaddr_storage storage;
                struct sockaddr sa;
        } mapped = {}, alternate = {};
        socklen_t mapped_size = sizeof(mapped), alternate_size = sizeof(alternate);
        SocketAddress a;

        switch (stun_usage_bind_process(response, &mapped.sa, &mapped_size, &alternate.sa,
                                        &alternate_size)) {
        case STUN_USAGE_BIND_RETURN_SUCCESS:
                if (socket_address_from_sockaddr(&mapped.sa, mapped_size, &a) < 0 ||
                    socket_address_is_unspecified(&a) || socket_address_port(&a) == 0)
                        return -EPROTO;
                *ret = a;
                return 1;
        case STUN_USAGE_BIND_RETURN_ERROR:
        case STUN_USAGE_BIND_RETURN_ALTERNATE_SERVER:
                return -EPROTO;
        default:
                return 0;
        }
}

static int parse(StunAgent *agent, const uint8_t *data, size_t size, SocketAddress *ret)
{
        StunMessage response;

        switch (stun_agent_validate(agent, &response, data, size, /* validater= */ NULL,
                                    /* validater_data= */ NULL)) {
        case STUN_VALIDATION_SUCCESS:
                return read_mapped_address(&response, ret);
        case STUN_VALIDATION_UNKNOWN_ATTRIBUTE:
                return -EPROTO;
        default:
                return 0;
        }
}

int stun_transaction_parse(StunTransaction *t, StunAgent *agent, const uint8_t *data, size_t size,
                           SocketAddress *ret)
{
        int r;

        /* libnice would take an answer to any transaction of the agent, whoever sent it. */
        if (!stun_transaction_is_open(t) || size < STUN_MESSAGE_HEADER_LENGTH ||
            memcmp(data + STUN_MESSAGE_TRANS_ID_POS, transaction_id(t), STUN_MESSAGE_TRANS_ID_LEN) != 0)
                return 0;
        r = parse(agent, data, size, ret);
        if (r != 0)
                stun_transaction_end(t, agent);
        return r;
}
