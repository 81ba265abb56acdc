/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "alloc-util.h"
#include "network.h"
#include "sdp.h"

/* The body of an envelope: one JSON object.
 *
 *     { "type": "offer", "instance": "0123456789abcdef", "for": "…", "sequence": 7, "session":
 * "89abcdef01234567", "sdp": "v=0\r\n…" }
 *
 * `for` is absent only in a hello to a peer whose instance is not known. `session` and `sdp` belong to
 * offer, answer and candidates; `bye` has a `session` if it ends just that one. `stranded` is true or
 * absent. Any may have a `network`:
 *
 *     { "ipv4": "varies", "ipv6": "absent", "policy": "direct" }
 *
 * each member optional: what the sender has found out about its network (network.h), and which paths it
 * wants. Unknown members are ignored, and a word of ours that is not known is as good as none, so that later
 * versions may add some. */

typedef enum MessageType {
        MESSAGE_HELLO,
        MESSAGE_OFFER,
        MESSAGE_ANSWER,
        MESSAGE_CANDIDATES,
        MESSAGE_BYE,
        _MESSAGE_TYPE_MAX,
        _MESSAGE_TYPE_INVALID = -EINVAL,
} MessageType;

DECLARE_STRING_TABLE(message_type, MessageType); /* "hello", … */

#define MESSAGE_SIZE_MAX 12288 /* the most that an envelope holds */
#define MESSAGE_MEMBERS_MAX 32
#define MESSAGE_DEPTH_MAX 8 /* of arrays and objects in one another, in members that we ignore */
#define MESSAGE_SEQUENCE_MAX ((uint64_t) 1 << 53) /* what every JSON reader keeps exact */

typedef struct Message {
        MessageType type;
        uint64_t instance;  /* the sender's; 16 hexadecimal digits in JSON; never 0 */
        uint64_t to;        /* "for": the recipient's; 0: absent */
        uint64_t sequence;  /* from 1 */
        uint64_t session;   /* 0: absent */
        bool stranded;      /* the sender has no path that works: whatever is found is better */
        SdpDescription sdp; /* offer, answer: a description; candidates: a fragment */
        Network network;    /* the sender's */
} Message;

/* A message holds an ICE password. */
static inline void message_erase(Message *m)
{
        erase(m, sizeof(*m));
}

/* 0; -EBADMSG and what is wrong, with the member's name and no foreign bytes, in *ret_error (caller owns;
 * may be NULL), *ret untouched; -ENOMEM. Refused are a member that stands there twice, a member of ours of
 * another type or out of range, a `session` or `sdp` where it does not belong, and everything that is not
 * one JSON object within the limits above. */
int message_parse(const char *body, size_t size, Message *ret, char **ret_error);

/* The JSON text, NUL-terminated; the caller owns it and erases it (an sdp holds a password). -EINVAL if
 * message_parse() would refuse it; -ENOMEM. */
int message_format(const Message *m, char **ret);
