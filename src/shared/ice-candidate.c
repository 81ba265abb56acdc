/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ice-candidate.h"

#include <stdio.h>

#include "random-util.h"
#include "string-util.h"

static const char *const ice_candidate_type_table[_ICE_CANDIDATE_TYPE_MAX] = {
        [ICE_CANDIDATE_HOST] = "host",
        [ICE_CANDIDATE_SRFLX] = "srflx",
        [ICE_CANDIDATE_PRFLX] = "prflx",
        [ICE_CANDIDATE_RELAY] = "relay",
};
DEFINE_STRING_TABLE(ice_candidate_type, IceCandidateType);

static const char *const ice_transport_table[_ICE_TRANSPORT_MAX] = {
        [ICE_TRANSPORT_UDP] = "udp",
        [ICE_TRANSPORT_TCP_ACTIVE] = "tcp-active",
        [ICE_TRANSPORT_TCP_PASSIVE] = "tcp-passive",
        [ICE_TRANSPORT_TCP_SO] = "tcp-so",
};
DEFINE_STRING_TABLE(ice_transport, IceTransport);

/* isalnum() would ask the locale. */
static bool is_ice_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
               c == '/';
}

static bool is_ice_string(const char *s, size_t size, size_t min, size_t max)
{
        if (size < min || size > max)
                return false;
        for (size_t i = 0; i < size; i++)
                if (!is_ice_char(s[i]))
                        return false;
        return true;
}

bool ice_foundation_is_valid(const char *s, size_t size)
{
        return is_ice_string(s, size, 1, ICE_FOUNDATION_MAX);
}

bool ice_ufrag_is_valid(const char *s, size_t size)
{
        return is_ice_string(s, size, ICE_UFRAG_MIN, ICE_CREDENTIAL_MAX);
}

bool ice_pwd_is_valid(const char *s, size_t size)
{
        return is_ice_string(s, size, ICE_PWD_MIN, ICE_CREDENTIAL_MAX);
}

/* Every six bits of randomness are one ice-char (RFC 8839 section 5.4). */
void ice_credential_make(char *s, size_t size)
{
        static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

        random_bytes(s, size);
        for (size_t i = 0; i < size; i++)
                s[i] = chars[s[i] & 63];
        s[size] = '\0';
}

bool ice_candidate_equal(const IceCandidate *a, const IceCandidate *b)
{
        return a->transport == b->transport && socket_address_equal(&a->address, &b->address);
}

/* RFC 8445 section 5.1.2.2 */
#define TYPE_PREFERENCE_PRFLX 110
#define TYPE_PREFERENCE_SRFLX 100

static uint32_t priority_as(const IceCandidate *base, uint32_t type_preference)
{
        return type_preference << 24 | (base->priority & 0x00ffffff);
}

uint32_t ice_candidate_prflx_priority(const IceCandidate *base)
{
        return priority_as(base, TYPE_PREFERENCE_PRFLX);
}

void ice_candidate_make_srflx(const IceCandidate *base, const SocketAddress *mapped, IceCandidate *ret)
{
        *ret = (IceCandidate) {
                .type = ICE_CANDIDATE_SRFLX,
                .transport = base->transport,
                .priority = priority_as(base, TYPE_PREFERENCE_SRFLX),
                .address = *mapped,
                .related = base->address,
        };
}

char *ice_candidate_format(const IceCandidate *c, char buf[static ICE_CANDIDATE_STRLEN])
{
        (void) snprintf(buf, ICE_CANDIDATE_STRLEN, "%s %s %s", strna(ice_candidate_type_to_string(c->type)),
                        strna(ice_transport_to_string(c->transport)), SOCKET_ADDRESS_STR(&c->address));
        return buf;
}
