/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-json.h>

#include "alloc-util.h"
#include "encode.h"
#include "string-util.h"

static const char *const message_type_table[_MESSAGE_TYPE_MAX] = {
        [MESSAGE_HELLO] = "hello",           [MESSAGE_OFFER] = "offer", [MESSAGE_ANSWER] = "answer",
        [MESSAGE_CANDIDATES] = "candidates", [MESSAGE_BYE] = "bye",
};
DEFINE_STRING_TABLE(message_type, MessageType);

typedef enum Need {
        NEED_OPTIONAL,
        NEED_MANDATORY,
        NEED_FORBIDDEN,
} Need;

/* Which messages have which of the members that not all have. */
static const struct {
        Need to, session, sdp;
} needs[_MESSAGE_TYPE_MAX] = {
        [MESSAGE_HELLO] = { NEED_OPTIONAL, NEED_FORBIDDEN, NEED_FORBIDDEN },
        [MESSAGE_OFFER] = { NEED_MANDATORY, NEED_MANDATORY, NEED_MANDATORY },
        [MESSAGE_ANSWER] = { NEED_MANDATORY, NEED_MANDATORY, NEED_MANDATORY },
        [MESSAGE_CANDIDATES] = { NEED_MANDATORY, NEED_MANDATORY, NEED_MANDATORY },
        [MESSAGE_BYE] = { NEED_MANDATORY, NEED_OPTIONAL, NEED_FORBIDDEN },
};

typedef struct Parser {
        char *body; /* a copy with a NUL behind it */
        sd_json_variant *json;
        Message m;
        char *error;
} Parser;

static void parser_done(Parser *p)
{
        erase_and_free_string(p->body);
        sd_json_variant_unref(p->json);
        free(p->error);
        erase(p, sizeof(*p));
}

static int _printf_(2, 3) refuse(Parser *p, const char *format, ...)
{
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&p->error, format, ap);
        va_end(ap);
        if (r < 0) {
                p->error = NULL;
                return -ENOMEM;
        }
        return -EBADMSG;
}

/* sd-json nests up to 2048 deep, and visits what it built recursively. */
static bool is_flat(const char *s)
{
        size_t depth = 0;
        bool string = false;

        for (; *s; s++) {
                if (*s == '"')
                        string = !string;
                else if (string && *s == '\\' && s[1])
                        s++;
                else if (!string && (*s == '{' || *s == '[')) {
                        if (++depth > MESSAGE_DEPTH_MAX)
                                return false;
                } else if (!string && (*s == '}' || *s == ']') && depth > 0)
                        depth--;
        }
        return true;
}

static int parse_json(Parser *p, const char *body, size_t size)
{
        unsigned line = 0, column = 0;
        int r;

        if (size > MESSAGE_SIZE_MAX)
                return refuse(p, "more than %u bytes", MESSAGE_SIZE_MAX);
        if (size == 0)
                return refuse(p, "empty");
        if (memchr(body, '\0', size))
                return refuse(p, "has a NUL byte in it");
        p->body = memdup_suffix0(body, size);
        if (!p->body)
                return -ENOMEM;
        if (!is_flat(p->body))
                return refuse(p, "nested more than %u deep", MESSAGE_DEPTH_MAX);
        r = sd_json_parse(p->body, SD_JSON_PARSE_SENSITIVE, &p->json, &line, &column);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return refuse(p, "malformed JSON at line %u, column %u", line, column);
        return 0;
}

/* One object with every name once: whoever reads the first of two and whoever reads the last would disagree.
 * path: where it
 * is, for the error. */
static int check_object(Parser *p, sd_json_variant *v, const char *path)
{
        size_t n;

        if (!sd_json_variant_is_object(v))
                return refuse(p, "%snot a JSON object", path);
        n = sd_json_variant_elements(v);
        if (n / 2 > MESSAGE_MEMBERS_MAX)
                return refuse(p, "%smore than %u members", path, MESSAGE_MEMBERS_MAX);
        for (size_t i = 0; i < n; i += 2)
                for (size_t k = 0; k < i; k += 2)
                        if (streq(sd_json_variant_string(sd_json_variant_by_index(v, i)),
                                  sd_json_variant_string(sd_json_variant_by_index(v, k))))
                                return refuse(p, "%smember %zu has the name of an earlier one", path,
                                              i / 2 + 1);
        return 0;
}

/* 1 and the string, 0 if there is no such member. The string lives as long as the object. */
static int get_string(Parser *p, const char *name, Need need, const char **ret)
{
        sd_json_variant *v = sd_json_variant_by_key(p->json, name);

        if (!v)
                return need == NEED_MANDATORY ? refuse(p, "%s: missing", name) : 0;
        if (need == NEED_FORBIDDEN)
                return refuse(p, "%s: does not belong to a message of type %s", name,
                              message_type_to_string(p->m.type));
        if (!sd_json_variant_is_string(v))
                return refuse(p, "%s: not a string", name);
        *ret = sd_json_variant_string(v);
        return 1;
}

static int parse_type(Parser *p)
{
        const char *s;
        int r = get_string(p, "type", NEED_MANDATORY, &s);

        if (r < 0)
                return r;
        p->m.type = message_type_from_string(s);
        return p->m.type < 0 ? refuse(p, "type: unknown") : 0;
}

/* 16 hexadecimal digits, not all zero: that is our "absent". */
static int parse_id(Parser *p, const char *name, Need need, uint64_t *ret)
{
        uint8_t bytes[8];
        uint64_t id = 0;
        const char *s;
        size_t n;
        int r = get_string(p, name, need, &s);

        if (r <= 0)
                return r;
        if (hex_decode(s, strlen(s), bytes, sizeof(bytes), &n) < 0 || n != sizeof(bytes))
                return refuse(p, "%s: not 16 hexadecimal digits", name);
        for (size_t i = 0; i < sizeof(bytes); i++)
                id = id << 8 | bytes[i];
        if (id == 0)
                return refuse(p, "%s: zero", name);
        *ret = id;
        return 0;
}

static int parse_sequence(Parser *p)
{
        sd_json_variant *v = sd_json_variant_by_key(p->json, "sequence");

        if (!v)
                return refuse(p, "sequence: missing");
        if (sd_json_variant_type(v) != SD_JSON_VARIANT_UNSIGNED || sd_json_variant_unsigned(v) == 0 ||
            sd_json_variant_unsigned(v) > MESSAGE_SEQUENCE_MAX)
                return refuse(p, "sequence: not an integer from 1 to 2^53");
        p->m.sequence = sd_json_variant_unsigned(v);
        return 0;
}

static int parse_stranded(Parser *p)
{
        sd_json_variant *v = sd_json_variant_by_key(p->json, "stranded");

        if (v && !sd_json_variant_is_boolean(v))
                return refuse(p, "stranded: not a boolean");
        p->m.stranded = v && sd_json_variant_boolean(v);
        return 0;
}

static int parse_sdp(Parser *p)
{
        _cleanup_free_ char *error = NULL;
        const char *s;
        int r = get_string(p, "sdp", needs[p->m.type].sdp, &s);

        if (r <= 0)
                return r;
        if (p->m.type == MESSAGE_CANDIDATES)
                r = sdp_parse_fragment(s, strlen(s), &p->m.sdp, &error);
        else
                r = sdp_parse_description(s, strlen(s), &p->m.sdp, &error);
        return r == -EBADMSG ? refuse(p, "sdp: %s", error) : r;
}

/* One of our words, or whatever: a later version may have more of them. 1 and the word, 0 if there is no
 * such member. */
static int get_word(Parser *p, sd_json_variant *object, const char *name, const char **ret)
{
        sd_json_variant *v = sd_json_variant_by_key(object, name);

        if (!v)
                return 0;
        if (!sd_json_variant_is_string(v))
                return refuse(p, "network: %s: not a string", name);
        *ret = sd_json_variant_string(v);
        return 1;
}

static int parse_mapping(Parser *p, sd_json_variant *object, const char *name, NetworkMapping *ret)
{
        const char *word;
        int r = get_word(p, object, name, &word);

        if (r > 0)
                *ret = MAX(network_mapping_from_string(word), NETWORK_UNKNOWN);
        return r;
}

static int parse_policy(Parser *p, sd_json_variant *object, Policy *ret)
{
        const char *word;
        int r = get_word(p, object, "policy", &word);

        if (r > 0)
                *ret = MAX(policy_from_string(word), POLICY_AUTO);
        return r;
}

static int parse_network(Parser *p)
{
        sd_json_variant *v = sd_json_variant_by_key(p->json, "network");
        int r;

        if (!v)
                return 0;
        r = check_object(p, v, "network: ");
        if (r < 0)
                return r;
        r = parse_mapping(p, v, "ipv4", &p->m.network.ipv4);
        if (r < 0)
                return r;
        r = parse_mapping(p, v, "ipv6", &p->m.network.ipv6);
        return r < 0 ? r : parse_policy(p, v, &p->m.network.policy);
}

static int parse(Parser *p, const char *body, size_t size)
{
        int r;

        r = parse_json(p, body, size);
        if (r < 0)
                return r;
        r = check_object(p, p->json, "");
        if (r < 0)
                return r;
        r = parse_type(p);
        if (r < 0)
                return r;
        r = parse_id(p, "instance", NEED_MANDATORY, &p->m.instance);
        if (r < 0)
                return r;
        r = parse_id(p, "for", needs[p->m.type].to, &p->m.to);
        if (r < 0)
                return r;
        r = parse_sequence(p);
        if (r < 0)
                return r;
        r = parse_id(p, "session", needs[p->m.type].session, &p->m.session);
        if (r < 0)
                return r;
        r = parse_stranded(p);
        if (r < 0)
                return r;
        r = parse_sdp(p);
        return r < 0 ? r : parse_network(p);
}

int message_parse(const char *body, size_t size, Message *ret, char **ret_error)
{
        _cleanup_(parser_done) Parser p = {};
        int r;

        r = parse(&p, body, size);
        if (r < 0) {
                if (ret_error && r == -EBADMSG)
                        *ret_error = TAKE_PTR(p.error);
                return r;
        }
        *ret = p.m;
        return 0;
}

static bool need_is_met(Need need, bool present)
{
        return need == NEED_OPTIONAL || (need == NEED_MANDATORY) == present;
}

static bool message_is_writable(const Message *m)
{
        return message_type_to_string(m->type) && m->instance != 0 && m->sequence > 0 &&
               m->sequence <= MESSAGE_SEQUENCE_MAX && need_is_met(needs[m->type].to, m->to != 0) &&
               need_is_met(needs[m->type].session, m->session != 0);
}

/* NULL: there is nothing to say. */
static int format_network(const Network *n, sd_json_variant **ret)
{
        if (n->ipv4 == NETWORK_UNKNOWN && n->ipv6 == NETWORK_UNKNOWN && n->policy == POLICY_AUTO)
                return 0;
        return sd_json_buildo(
                ret,
                SD_JSON_BUILD_PAIR_CONDITION(n->ipv4 != NETWORK_UNKNOWN, "ipv4",
                                             SD_JSON_BUILD_STRING(network_mapping_to_string(n->ipv4))),
                SD_JSON_BUILD_PAIR_CONDITION(n->ipv6 != NETWORK_UNKNOWN, "ipv6",
                                             SD_JSON_BUILD_STRING(network_mapping_to_string(n->ipv6))),
                SD_JSON_BUILD_PAIR_CONDITION(n->policy != POLICY_AUTO, "policy",
                                             SD_JSON_BUILD_STRING(policy_to_string(n->policy))));
}

static int format_sdp(const Message *m, char **ret)
{
        if (needs[m->type].sdp != NEED_MANDATORY)
                return 0;
        return m->type == MESSAGE_CANDIDATES ? sdp_format_fragment(&m->sdp, ret)
                                             : sdp_format_description(&m->sdp, ret);
}

int message_format(const Message *m, char **ret)
{
        _cleanup_(sd_json_variant_unrefp) sd_json_variant *json = NULL, *network = NULL;
        char instance[HEX_SIZE(8)], to[HEX_SIZE(8)], session[HEX_SIZE(8)];
        _cleanup_erase_free_ char *sdp = NULL, *text = NULL;
        int r;

        if (!message_is_writable(m))
                return -EINVAL;
        r = format_sdp(m, &sdp);
        if (r < 0)
                return r;
        r = format_network(&m->network, &network);
        if (r < 0)
                return r;
        (void) snprintf(instance, sizeof(instance), "%016" PRIx64, m->instance);
        (void) snprintf(to, sizeof(to), "%016" PRIx64, m->to);
        (void) snprintf(session, sizeof(session), "%016" PRIx64, m->session);
        r = sd_json_buildo(
                &json, SD_JSON_BUILD_PAIR_STRING("type", message_type_to_string(m->type)),
                SD_JSON_BUILD_PAIR_STRING("instance", instance),
                SD_JSON_BUILD_PAIR_CONDITION(m->to != 0, "for", SD_JSON_BUILD_STRING(to)),
                SD_JSON_BUILD_PAIR_UNSIGNED("sequence", m->sequence),
                SD_JSON_BUILD_PAIR_CONDITION(m->session != 0, "session", SD_JSON_BUILD_STRING(session)),
                SD_JSON_BUILD_PAIR_CONDITION(m->stranded, "stranded", SD_JSON_BUILD_BOOLEAN(true)),
                SD_JSON_BUILD_PAIR_CONDITION(!!sdp, "sdp", SD_JSON_BUILD_STRING(sdp)),
                SD_JSON_BUILD_PAIR_CONDITION(!!network, "network", SD_JSON_BUILD_VARIANT(network)));
        if (r < 0)
                return r;
        sd_json_variant_sensitive(json);
        r = sd_json_variant_format(json, /* flags= */ 0, &text);
        if (r < 0)
                return r;
        if (strlen(text) > MESSAGE_SIZE_MAX)
                return -EINVAL;
        *ret = TAKE_PTR(text);
        return 0;
}
