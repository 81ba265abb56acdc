/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "alloc-util.h"
#include "sdp-text.h"
#include "sdp.h"
#include "string-util.h"

/* The order of the lines, RFC 8866 section 5, before the m= line and from it on; a fragment has only m= and
 * a=.
 */
static const char *const line_order[2][2] = {
        { "vosiuepcbtrzka", "micbka" },
        { "a", "ma" },
};
static const char *const line_repeatable[2] = { "epbtrza", "cba" };

typedef enum Level {
        LEVEL_SESSION,
        LEVEL_MEDIA,
        _LEVEL_MAX,
} Level;

typedef struct Parser {
        SdpText rest;
        unsigned line;
        bool fragment;
        Level level;
        char last;                       /* the type of the line before at this level, 0: none yet */
        uint32_t types[_LEVEL_MAX];      /* those that were there, by letter */
        unsigned attributes[_LEVEL_MAX]; /* likewise, by index in the table */
        char ufrag[_LEVEL_MAX][ICE_CREDENTIAL_MAX + 1];
        char pwd[_LEVEL_MAX][ICE_CREDENTIAL_MAX + 1];
        SdpDescription d;
        char *error;
} Parser;

static void parser_done(Parser *p)
{
        free(p->error);
        erase(p, sizeof(*p));
}

static int _printf_(2, 3) refuse(Parser *p, const char *format, ...)
{
        char reason[256];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(reason, sizeof(reason), format, ap);
        va_end(ap);
        p->error = asprintf_safe("line %u: %s", MAX(p->line, 1U), reason);
        return p->error ? -EBADMSG : -ENOMEM;
}

static bool seen(const Parser *p, Level level, char type)
{
        return p->types[level] & (uint32_t) 1 << (type - 'a');
}

/* nettype SP addrtype SP address. The address is nothing to us: ICE has its own. */
static bool is_connection(SdpText t)
{
        SdpText field;

        for (size_t i = 0; i < 3; i++)
                if (!sdp_text_cut(&t, ' ', &field) || field.n == 0 || !sdp_text_is_visible(field))
                        return false;
        return !t.s;
}

static int parse_version(Parser *p, SdpText value)
{
        return sdp_text_equal(value, "0") ? 0 : refuse(p, "SDP of another version than 0");
}

static int parse_origin(Parser *p, SdpText value)
{
        SdpText username, id, version;

        if (!sdp_text_cut(&value, ' ', &username) || username.n == 0 || !sdp_text_cut(&value, ' ', &id) ||
            !sdp_text_cut(&value, ' ', &version) || !is_connection(value))
                return refuse(p, "o= has not six fields");
        if (sdp_text_parse_number(id, 0, SDP_SESSION_ID_MAX, &p->d.session_id) < 0)
                return refuse(p, "the session ID in o= is no number up to 2^63 - 1");
        if (sdp_text_parse_number(version, 0, SDP_SESSION_ID_MAX, &p->d.session_version) < 0)
                return refuse(p, "the session version in o= is no number up to 2^63 - 1");
        return 0;
}

static int parse_connection(Parser *p, SdpText value)
{
        return is_connection(value) ? 0 : refuse(p, "c= has not three fields");
}

static int parse_bandwidth(Parser *p, SdpText value)
{
        uint64_t bandwidth;
        SdpText type;

        if (!sdp_text_cut(&value, ':', &type) || !sdp_text_is_token(type) || !value.s ||
            sdp_text_parse_number(value, 0, UINT64_MAX, &bandwidth) < 0)
                return refuse(p, "b= is not TYPE:NUMBER");
        return 0;
}

/* RFC 8866 section 5.9: 0, or NTP seconds of ten digits or more. */
static bool is_time(SdpText t)
{
        uint64_t time;

        return sdp_text_equal(t, "0") ||
               (t.n >= 10 && *t.s != '0' && sdp_text_parse_number(t, 1, UINT64_MAX, &time) >= 0);
}

static int parse_time(Parser *p, SdpText value)
{
        SdpText start;

        if (!sdp_text_cut(&value, ' ', &start) || !value.s || !is_time(start) || !is_time(value))
                return refuse(p, "t= is not START STOP");
        return 0;
}

static int parse_media(Parser *p, SdpText value)
{
        SdpText media, port, protocol;
        uint64_t number;

        if (!sdp_text_cut(&value, ' ', &media) || !sdp_text_cut(&value, ' ', &port) ||
            !sdp_text_cut(&value, ' ', &protocol) || !value.s)
                return refuse(p, "m= has not four fields");
        if (sdp_text_parse_number(port, 0, UINT16_MAX, &number) < 0)
                return refuse(p, "the port in m= is no number up to 65535");
        if (number == 0)
                return refuse(p, "the port in m= is 0: the stream is refused");
        if (!sdp_text_equal(media, "application") || !sdp_text_equal(protocol, "UDP") ||
            !sdp_text_equal(value, "wireguard"))
                return refuse(p, "m= is not for \"application\", \"UDP\", \"wireguard\"");
        return 0;
}

static int parse_candidate_attribute(Parser *p, SdpText value)
{
        IceCandidate c;
        int r;

        r = sdp_parse_candidate(value.s, value.n, &c);
        if (r < 0)
                return refuse(p, "malformed a=candidate");
        if (r > 0 && p->d.n_candidates < SDP_CANDIDATES_MAX)
                p->d.candidates[p->d.n_candidates++] = c;
        return 0;
}

static int parse_end_of_candidates(Parser *p, SdpText value)
{
        p->d.end_of_candidates = true;
        return 0;
}

static int parse_lite(Parser *p, SdpText value)
{
        return refuse(p, "a=ice-lite: the peer has no full ICE");
}

static int parse_mismatch(Parser *p, SdpText value)
{
        return refuse(p, "a=ice-mismatch: the peer has given ICE up");
}

static int parse_options(Parser *p, SdpText value)
{
        SdpText tag;

        while (sdp_text_cut(&value, ' ', &tag)) {
                if (!sdp_text_is_token(tag))
                        return refuse(p, "malformed tag in a=ice-options");
                if (sdp_text_equal(tag, "trickle"))
                        p->d.trickle = true;
                else if (sdp_text_equal(tag, "ice2"))
                        p->d.ice2 = true;
        }
        return 0;
}

static int parse_pacing(Parser *p, SdpText value)
{
        uint64_t pacing;

        if (sdp_text_parse_number(value, 1, UINT32_MAX, &pacing) < 0)
                return refuse(p, "a=ice-pacing is no number from 1 to 2^32 - 1");
        p->d.pacing = (uint32_t) pacing;
        return 0;
}

static int parse_ufrag(Parser *p, SdpText value)
{
        if (!ice_ufrag_is_valid(value.s, value.n))
                return refuse(p, "a=ice-ufrag is not %u to %u ice-chars", ICE_UFRAG_MIN, ICE_CREDENTIAL_MAX);
        memcpy(p->ufrag[p->level], value.s, value.n);
        return 0;
}

static int parse_pwd(Parser *p, SdpText value)
{
        if (!ice_pwd_is_valid(value.s, value.n))
                return refuse(p, "a=ice-pwd is not %u to %u ice-chars", ICE_PWD_MIN, ICE_CREDENTIAL_MAX);
        memcpy(p->pwd[p->level], value.s, value.n);
        return 0;
}

/* There is one media line, so any name for it will do. */
static int parse_mid(Parser *p, SdpText value)
{
        return sdp_text_is_token(value) ? 0 : refuse(p, "malformed a=mid");
}

static const struct {
        const char *name;
        bool levels[_LEVEL_MAX];
        bool has_value;
        bool repeatable;
        int (*parse)(Parser *p, SdpText value);
} attributes[] = {
        /* name, session and media level, value, repeatable */
        { "candidate", { false, true }, true, true, parse_candidate_attribute },
        { "end-of-candidates", { true, true }, false, false, parse_end_of_candidates },
        { "ice-lite", { true, false }, false, false, parse_lite },
        { "ice-mismatch", { false, true }, false, false, parse_mismatch },
        { "ice-options", { true, true }, true, false, parse_options },
        { "ice-pacing", { true, false }, true, false, parse_pacing },
        { "ice-pwd", { true, true }, true, false, parse_pwd },
        { "ice-ufrag", { true, true }, true, false, parse_ufrag },
        { "mid", { false, true }, true, false, parse_mid },
};
#define ATTRIBUTE_MID (ELEMENTSOF(attributes) - 1)

static int parse_known_attribute(Parser *p, size_t i, SdpText value)
{
        unsigned bit = 1U << i;

        if (!attributes[i].levels[p->level])
                return refuse(p, "a=%s at the %s level", attributes[i].name,
                              p->level == LEVEL_MEDIA ? "media" : "session");
        if ((value.s != NULL) != attributes[i].has_value)
                return refuse(p, "a=%s %s value", attributes[i].name, value.s ? "takes no" : "needs a");
        if (!attributes[i].repeatable && (p->attributes[p->level] & bit))
                return refuse(p, "a second a=%s", attributes[i].name);
        p->attributes[p->level] |= bit;
        return attributes[i].parse(p, value);
}

static int parse_attribute(Parser *p, SdpText value)
{
        SdpText name;

        (void) sdp_text_cut(&value, ':', &name);
        if (!sdp_text_is_token(name))
                return refuse(p, "malformed attribute name");
        if (value.s && value.n == 0)
                return refuse(p, "attribute with an empty value");
        for (size_t i = 0; i < ELEMENTSOF(attributes); i++)
                if (sdp_text_equal(name, attributes[i].name))
                        return parse_known_attribute(p, i, value);
        return 0;
}

static int parse_value(Parser *p, char type, SdpText value)
{
        switch (type) {
        case 'v':
                return parse_version(p, value);
        case 'o':
                return parse_origin(p, value);
        case 'c':
                return parse_connection(p, value);
        case 'b':
                return parse_bandwidth(p, value);
        case 't':
                return parse_time(p, value);
        case 'm':
                return parse_media(p, value);
        case 'a':
                return parse_attribute(p, value);
        default:
                return 0; /* for people, or about a schedule: of no meaning here */
        }
}

/* Is there everything that has to stand before a line of this type? rank: its place in the order. */
static int check_mandatory(Parser *p, const char *order, const char *rank)
{
        for (const char *q = p->fragment ? "" : "vost"; *q; q++)
                if (!seen(p, LEVEL_SESSION, *q) && (!rank || strchr(order, *q) < rank))
                        return refuse(p, "there is no %c= before this line", *q);
        return 0;
}

static int begin_media(Parser *p)
{
        if (p->level == LEVEL_MEDIA)
                return refuse(p, "a second m=");
        p->level = LEVEL_MEDIA;
        p->last = 0;
        return check_mandatory(p, /* order= */ NULL, /* rank= */ NULL);
}

static int check_order(Parser *p, char type)
{
        const char *order = line_order[p->fragment][p->level], *rank = strchr(order, type), *last;
        bool again;
        int r;

        if (!rank)
                return refuse(p, "lines of this type have no place here");
        if (p->level == LEVEL_SESSION) {
                r = check_mandatory(p, order, rank);
                if (r < 0)
                        return r;
        }
        last = p->last ? strchr(order, p->last) : order;
        /* A new t= may follow the repetitions of the one before. */
        again = type == 't' && p->last && strchr("rz", p->last);
        if (rank < last && !again)
                return refuse(p, "%c= after %c=", type, p->last);
        if (seen(p, p->level, type) && !again && !strchr(line_repeatable[p->level], type))
                return refuse(p, "a second %c=", type);
        return 0;
}

static int parse_line(Parser *p, SdpText line)
{
        SdpText value;
        char type;
        int r;

        if (line.n > SDP_LINE_MAX)
                return refuse(p, "longer than %u bytes", SDP_LINE_MAX);
        if (memchr(line.s, '\0', line.n) || memchr(line.s, '\r', line.n))
                return refuse(p, "has a NUL or a CR in it");
        if (line.n < 3 || line.s[0] < 'a' || line.s[0] > 'z' || line.s[1] != '=')
                return refuse(p, "is not TYPE=VALUE");
        type = line.s[0];
        value = (SdpText) { line.s + 2, line.n - 2 };

        r = type == 'm' ? begin_media(p) : check_order(p, type);
        if (r < 0)
                return r;
        p->types[p->level] |= (uint32_t) 1 << (type - 'a');
        p->last = type;
        return parse_value(p, type, value);
}

static int parse_lines(Parser *p)
{
        SdpText line;
        int r;

        while (p->rest.n > 0) {
                p->line++;
                (void) sdp_text_cut(&p->rest, '\n', &line);
                /* What was cut short in between must not pass. */
                if (!p->rest.s)
                        return refuse(p, "has no end");
                if (line.n > 0 && line.s[line.n - 1] == '\r')
                        line.n--;
                r = parse_line(p, line);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The media level's goes before the session's (RFC 8839 section 5.4). */
static int finish_credentials(Parser *p)
{
        const char *ufrag = p->ufrag[LEVEL_MEDIA], *pwd = p->pwd[LEVEL_MEDIA];

        strcpy(p->d.ufrag, *ufrag ? ufrag : p->ufrag[LEVEL_SESSION]);
        strcpy(p->d.pwd, *pwd ? pwd : p->pwd[LEVEL_SESSION]);
        if (isempty(p->d.ufrag))
                return refuse(p, "ends without a=ice-ufrag");
        if (isempty(p->d.pwd))
                return refuse(p, "ends without a=ice-pwd");
        return 0;
}

static int check_complete(Parser *p)
{
        if (p->level != LEVEL_MEDIA)
                return refuse(p, "ends without m=");
        if (!p->fragment && !seen(p, LEVEL_SESSION, 'c') && !seen(p, LEVEL_MEDIA, 'c'))
                return refuse(p, "ends without c=");
        if (p->fragment && !(p->attributes[LEVEL_MEDIA] & 1U << ATTRIBUTE_MID))
                return refuse(p, "ends without a=mid");
        return finish_credentials(p);
}

static int parse(const char *s, size_t size, bool fragment, SdpDescription *ret, char **ret_error)
{
        _cleanup_(parser_done) Parser p = { .rest = { s, size }, .fragment = fragment };
        int r;

        if (size > SDP_SIZE_MAX)
                r = refuse(&p, "more than %u bytes in all", SDP_SIZE_MAX);
        else
                r = parse_lines(&p);
        if (r >= 0)
                r = check_complete(&p);
        if (r < 0) {
                if (ret_error && r == -EBADMSG)
                        *ret_error = TAKE_PTR(p.error);
                return r;
        }
        *ret = p.d;
        return 0;
}

int sdp_parse_description(const char *s, size_t size, SdpDescription *ret, char **ret_error)
{
        return parse(s, size, /* fragment= */ false, ret, ret_error);
}

int sdp_parse_fragment(const char *s, size_t size, SdpDescription *ret, char **ret_error)
{
        return parse(s, size, /* fragment= */ true, ret, ret_error);
}
