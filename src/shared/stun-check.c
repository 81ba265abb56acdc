/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stun-check.h"

#include <stdio.h>
#include <stun/usages/ice.h>

#include "alloc-util.h"
#include "random-util.h"

/* RFC 8445 section 5.1.2: of a peer-reflexive candidate, which is what a check may discover. */
#define PRIORITY ((110U << 24) | (65535U << 8) | 255U)

#define SIGNATURE_SIZE 20

/* STUN has zeros there, ChannelData zero and one. */
#define DISGUISE 0xc0

struct StunCheck {
        StunAgent agent; /* remembers the one transaction */
        uint8_t request[STUN_CHECK_REQUEST_MAX];
        size_t size;
};

static const uint16_t known_attributes[] = {
        STUN_ATTRIBUTE_USERNAME,           STUN_ATTRIBUTE_MESSAGE_INTEGRITY,  STUN_ATTRIBUTE_ERROR_CODE,
        STUN_ATTRIBUTE_UNKNOWN_ATTRIBUTES, STUN_ATTRIBUTE_XOR_MAPPED_ADDRESS, STUN_ATTRIBUTE_MAPPED_ADDRESS,
        STUN_ATTRIBUTE_PRIORITY,           STUN_ATTRIBUTE_USE_CANDIDATE,      STUN_ATTRIBUTE_ICE_CONTROLLED,
        STUN_ATTRIBUTE_ICE_CONTROLLING,    STUN_ATTRIBUTE_FINGERPRINT,        0,
};

static void agent_init(StunAgent *agent)
{
        stun_agent_init(agent, known_attributes, STUN_COMPATIBILITY_RFC5389,
                        STUN_AGENT_USAGE_SHORT_TERM_CREDENTIALS | STUN_AGENT_USAGE_USE_FINGERPRINT);
}

void stun_check_credentials_erase(StunCheckCredentials *credentials)
{
        erase(credentials, sizeof(*credentials));
}

static void rename_ufrag(char *ufrag)
{
        static const char characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char *c = strchr(characters, ufrag[0]);

        if (ufrag[0] != '\0' && c)
                ufrag[0] = c[1] != '\0' ? c[1] : characters[0];
}

void stun_check_credentials_beside(const StunCheckCredentials *credentials, StunCheckCredentials *ret)
{
        *ret = *credentials;
        rename_ufrag(ret->local_ufrag);
        rename_ufrag(ret->remote_ufrag);
}

/* The library compares as many bytes as a signature has, whatever the attribute's length says. */
static bool has_signature(const void *data, size_t size)
{
        StunMessage message = { .buffer = (uint8_t *) data, .buffer_len = size };
        uint16_t n;

        return stun_message_validate_buffer_length(data, size, /* has_padding= */ true) == (int) size &&
               stun_message_find(&message, STUN_ATTRIBUTE_MESSAGE_INTEGRITY, &n) && n == SIGNATURE_SIZE;
}

/* ---- The one who asks ---- */

int stun_check_new(const StunCheckCredentials *c, StunCheck **ret)
{
        _cleanup_(stun_check_freep) StunCheck *check = new0(StunCheck, 1);
        char username[2 * ICE_CREDENTIAL_MAX + 2];
        StunMessage message;
        size_t n;

        if (!check)
                return -ENOMEM;
        agent_init(&check->agent);
        /* RFC 8445 section 7.2.2: whom it is for comes first. */
        n = (size_t) snprintf(username, sizeof(username), "%s:%s", c->remote_ufrag, c->local_ufrag);
        check->size = stun_usage_ice_conncheck_create(
                &check->agent, &message, check->request, sizeof(check->request), (const uint8_t *) username,
                n, (const uint8_t *) c->remote_pwd, strlen(c->remote_pwd), /* cand_use= */ false,
                c->controlling, PRIORITY, random_u64(), /* candidate_identifier= */ NULL,
                STUN_USAGE_ICE_COMPATIBILITY_RFC5245);
        if (check->size == 0)
                return -ENOBUFS;
        *ret = TAKE_PTR(check);
        return 0;
}

StunCheck *stun_check_free(StunCheck *check)
{
        return mfree(check);
}

const void *stun_check_request(const StunCheck *check, size_t *ret_size)
{
        *ret_size = check->size;
        return check->request;
}

bool stun_check_is_answer(StunCheck *check, const void *data, size_t size)
{
        StunMessage message;

        if (size < STUN_MESSAGE_HEADER_LENGTH ||
            memcmp((const uint8_t *) data + STUN_MESSAGE_TRANS_ID_POS,
                   check->request + STUN_MESSAGE_TRANS_ID_POS, STUN_MESSAGE_TRANS_ID_LEN) != 0 ||
            !has_signature(data, size))
                return false;
        return stun_agent_validate(&check->agent, &message, data, size, /* validater= */ NULL,
                                   /* validater_data= */ NULL) == STUN_VALIDATION_SUCCESS &&
               stun_message_get_method(&message) == STUN_BINDING &&
               stun_message_get_class(&message) == STUN_RESPONSE;
}

/* ---- The one who answers ---- */

static bool is_request(const uint8_t *data, size_t size)
{
        static const uint8_t binding_request[] = { 0x00, 0x01 };

        return size >= STUN_MESSAGE_HEADER_LENGTH &&
               memcmp(data, binding_request, sizeof(binding_request)) == 0 && has_signature(data, size);
}

bool stun_check_find_ufrag(const void *data, size_t size, char ret_ufrag[static ICE_LOCAL_UFRAG_SIZE + 1])
{
        StunMessage message = { .buffer = (uint8_t *) data, .buffer_len = size };
        const char *username;
        uint16_t n;

        if (!is_request(data, size))
                return false;
        username = stun_message_find(&message, STUN_ATTRIBUTE_USERNAME, &n);
        if (!username || n <= ICE_LOCAL_UFRAG_SIZE || username[ICE_LOCAL_UFRAG_SIZE] != ':')
                return false;
        memcpy(ret_ufrag, username, ICE_LOCAL_UFRAG_SIZE);
        ret_ufrag[ICE_LOCAL_UFRAG_SIZE] = '\0';
        return true;
}

/* The whole name: RFC 8445 section 7.3. */
static bool validate_user(StunAgent *agent, StunMessage *message, uint8_t *username, uint16_t username_size,
                          uint8_t **password, size_t *password_size, void *userdata)
{
        const StunCheckCredentials *c = userdata;
        char expected[2 * ICE_CREDENTIAL_MAX + 2];
        size_t n;

        n = (size_t) snprintf(expected, sizeof(expected), "%s:%s", c->local_ufrag, c->remote_ufrag);
        if (n != username_size || memcmp(username, expected, n) != 0)
                return false;
        *password = (uint8_t *) c->local_pwd;
        *password_size = strlen(c->local_pwd);
        return true;
}

static size_t format_answer(StunAgent *agent, const StunMessage *request, const SocketAddress *from,
                            uint8_t *buffer)
{
        struct sockaddr_storage storage = {};
        StunMessage answer;

        memcpy(&storage, &from->sa, socket_address_length(from));
        if (!stun_agent_init_response(agent, &answer, buffer, STUN_CHECK_ANSWER_MAX, request) ||
            stun_message_append_xor_addr(&answer, STUN_ATTRIBUTE_XOR_MAPPED_ADDRESS, &storage,
                                         socket_address_length(from)) != STUN_MESSAGE_RETURN_SUCCESS)
                return 0;
        return stun_agent_finish_message(agent, &answer, /* key= */ NULL, /* key_len= */ 0);
}

int stun_check_answer(const StunCheckCredentials *credentials, const void *data, size_t size,
                      const SocketAddress *from, uint8_t ret[static STUN_CHECK_ANSWER_MAX], size_t *ret_size)
{
        StunAgent agent;
        StunMessage request;
        uint8_t buffer[STUN_CHECK_ANSWER_MAX];
        size_t n;

        if (!is_request(data, size))
                return 0;
        agent_init(&agent);
        if (stun_agent_validate(&agent, &request, data, size, validate_user, (void *) credentials) !=
            STUN_VALIDATION_SUCCESS)
                return 0;
        n = format_answer(&agent, &request, from, buffer);
        if (n == 0 || n > size)
                return 0;
        memcpy(ret, buffer, n);
        *ret_size = n;
        return 1;
}

/* ---- What no ICE agent knows ---- */

bool stun_check_is_disguised(const void *data, size_t size)
{
        static const uint8_t cookie[] = { 0x21, 0x12, 0xa4, 0x42 };
        const uint8_t *d = data;

        return size >= STUN_MESSAGE_HEADER_LENGTH && (d[0] & DISGUISE) == DISGUISE &&
               (size_t) (d[2] << 8 | d[3]) + STUN_MESSAGE_HEADER_LENGTH == size &&
               memcmp(d + STUN_MESSAGE_TRANS_ID_POS, cookie, sizeof(cookie)) == 0;
}

void stun_check_disguise(void *message)
{
        *(uint8_t *) message ^= DISGUISE;
}
