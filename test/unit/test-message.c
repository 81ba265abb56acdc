/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <stdio.h>

#include "alloc-util.h"
#include "message.h"
#include "random-util.h"
#include "string-util.h"

#define IDS "\"instance\":\"0123456789abcdef\",\"for\":\"fedcba9876543210\",\"sequence\":7"
#define SESSION ",\"session\":\"89abcdef01234567\""
#define DESCRIPTION                                                                                         \
        "v=0\\r\\no=- 42 1 IN IP4 0.0.0.0\\r\\ns=-\\r\\nt=0 0\\r\\nm=application 9 UDP wireguard\\r\\n"     \
        "c=IN IP4 0.0.0.0\\r\\na=ice-ufrag:8hhY\\r\\na=ice-pwd:asd88fgpdd777uzjYhagZg\\r\\n"
#define FRAGMENT                                                                                            \
        "a=ice-ufrag:8hhY\\r\\na=ice-pwd:asd88fgpdd777uzjYhagZg\\r\\nm=application 9 UDP wireguard\\r\\n"   \
        "a=mid:0\\r\\na=candidate:1 1 udp 1 192.0.2.1 5000 typ host\\r\\n"

static Message parse(const char *s)
{
        _cleanup_free_ char *error = NULL;
        Message m;

        cr_assert_eq(message_parse(s, strlen(s), &m, &error), 0, "%s: %s", s, error);
        return m;
}

static void expect_refused(const char *s, size_t size, const char *reason)
{
        _cleanup_free_ char *error = NULL;
        Message m, untouched;

        memset(&m, 0xa5, sizeof(m));
        untouched = m;
        cr_assert_eq(message_parse(s, size, &m, &error), -EBADMSG, "taken: %s", s);
        cr_assert_str_eq(error, reason);
        cr_assert_eq(memcmp(&m, &untouched, sizeof(m)), 0);
        cr_assert_eq(message_parse(s, size, &m, NULL), -EBADMSG);
}

static void refuse(const char *s, const char *reason)
{
        expect_refused(s, strlen(s), reason);
}

Test(message, types)
{
        Message m = parse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":1}");

        cr_assert_eq(m.type, MESSAGE_HELLO);
        cr_assert_eq(m.instance, 0x0123456789abcdef);
        cr_assert_eq(m.to, 0);
        cr_assert_eq(m.sequence, 1);
        cr_assert_eq(m.session, 0);

        m = parse(" {\"type\":\"hello\",\n" IDS "} ");
        cr_assert_eq(m.to, 0xfedcba9876543210);

        m = parse("{\"type\":\"offer\"," IDS SESSION ",\"sdp\":\"" DESCRIPTION "\"}");
        cr_assert_eq(m.type, MESSAGE_OFFER);
        cr_assert_eq(m.session, 0x89abcdef01234567);
        cr_assert_eq(m.sdp.session_id, 42);

        m = parse("{\"sdp\":\"" DESCRIPTION "\"" SESSION "," IDS ",\"type\":\"answer\"}");
        cr_assert_eq(m.type, MESSAGE_ANSWER);

        m = parse("{\"type\":\"candidates\"," IDS SESSION ",\"sdp\":\"" FRAGMENT "\"}");
        cr_assert_eq(m.type, MESSAGE_CANDIDATES);
        cr_assert_eq(m.sdp.n_candidates, 1);

        cr_assert(!m.stranded);

        m = parse("{\"type\":\"hello\",\"stranded\":true," IDS "}");
        cr_assert(m.stranded);
        m = parse("{\"type\":\"hello\",\"stranded\":false," IDS "}");
        cr_assert(!m.stranded);
        refuse("{\"type\":\"hello\",\"stranded\":1," IDS "}", "stranded: not a boolean");

        cr_assert_eq(parse("{\"type\":\"bye\"," IDS "}").session, 0);
        cr_assert_eq(parse("{\"type\":\"bye\"," IDS SESSION "}").session, 0x89abcdef01234567);
}

#define HELLO "{\"type\":\"hello\"," IDS ",\"network\":"

Test(message, network)
{
        Message m = parse(HELLO "{\"ipv4\":\"varies\",\"ipv6\":\"absent\",\"policy\":\"direct\"}}");

        cr_assert_eq(m.network.ipv4, NETWORK_VARIES);
        cr_assert_eq(m.network.ipv6, NETWORK_ABSENT);
        cr_assert_eq(m.network.policy, POLICY_DIRECT);

        m = parse("{\"type\":\"hello\"," IDS "}");
        cr_assert_eq(m.network.ipv4, NETWORK_UNKNOWN);
        cr_assert_eq(m.network.ipv6, NETWORK_UNKNOWN);
        cr_assert_eq(m.network.policy, POLICY_AUTO);

        /* Any type may have it, and each of its members may be missing. */
        m = parse("{\"type\":\"bye\"," IDS ",\"network\":{\"policy\":\"off\"}}");
        cr_assert_eq(m.network.policy, POLICY_OFF);
        cr_assert_eq(m.network.ipv4, NETWORK_UNKNOWN);
        m = parse("{\"type\":\"answer\"," IDS SESSION ",\"sdp\":\"" DESCRIPTION
                  "\",\"network\":{\"ipv6\":\"blocked\"}}");
        cr_assert_eq(m.network.ipv6, NETWORK_BLOCKED);
        m = parse("{\"type\":\"candidates\"," IDS SESSION ",\"sdp\":\"" FRAGMENT "\",\"network\":{}}");
        cr_assert_eq(m.network.ipv4, NETWORK_UNKNOWN);
}

/* What a later version may say is as good as nothing. */
Test(message, network_of_a_later_version)
{
        Message m = parse(HELLO
                          "{\"ipv4\":\"tunnelled\",\"ipv6\":\"varies\",\"policy\":\"cheap\",\"ipv8\":[1]}}");

        cr_assert_eq(m.network.ipv4, NETWORK_UNKNOWN);
        cr_assert_eq(m.network.ipv6, NETWORK_VARIES);
        cr_assert_eq(m.network.policy, POLICY_AUTO);
}

Test(message, refuses_networks)
{
        refuse(HELLO "[]}", "network: not a JSON object");
        refuse(HELLO "\"varies\"}", "network: not a JSON object");
        refuse(HELLO "null}", "network: not a JSON object");
        refuse(HELLO "{\"ipv4\":1}}", "network: ipv4: not a string");
        refuse(HELLO "{\"ipv6\":null}}", "network: ipv6: not a string");
        refuse(HELLO "{\"policy\":{}}}", "network: policy: not a string");
        refuse(HELLO "{\"policy\":\"off\",\"policy\":\"auto\"}}",
               "network: member 2 has the name of an earlier one");
        refuse(HELLO "{},\"network\":{}}", "member 6 has the name of an earlier one");
}

Test(message, network_is_written_as_it_is_read)
{
        for (NetworkMapping i = 0; i < _NETWORK_MAX; i++)
                for (Policy p = 0; p < _POLICY_MAX; p++) {
                        _cleanup_free_ char *text = NULL;
                        Message m = { .type = MESSAGE_BYE,
                                      .instance = 1,
                                      .to = 2,
                                      .sequence = 3,
                                      .network = { i, _NETWORK_MAX - 1 - i, p } },
                                again;

                        cr_assert_eq(message_format(&m, &text), 0);
                        again = parse(text);
                        cr_assert_eq(again.network.ipv4, m.network.ipv4);
                        cr_assert_eq(again.network.ipv6, m.network.ipv6);
                        cr_assert_eq(again.network.policy, m.network.policy);
                }
}

Test(message, unknown_members_are_ignored)
{
        (void) parse("{\"type\":\"bye\"," IDS
                     ",\"later\":{\"a\":[1,2.5e300,null,true,\"{[\\\"[{\"],\"a\":-1}}");
        (void) parse("{\"type\":\"bye\"," IDS ",\"Type\":0,\"\":1,\"typ\\u0065x\":\"\\ud83d\\ude00\"}");
        (void) parse("{\"type\":\"bye\"," IDS ",\"later\":[[[[[[[]]]]]]]}");
}

Test(message, sequence_range)
{
        const char *out_of_range = "sequence: not an integer from 1 to 2^53";

        cr_assert_eq(
                parse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":9007199254740992}")
                        .sequence,
                MESSAGE_SEQUENCE_MAX);
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":9007199254740993}",
               out_of_range);
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":0}", out_of_range);
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":-1}", out_of_range);
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":1.5}", out_of_range);
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":1.0}", out_of_range);
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":1e3}", out_of_range);
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":1e999999999}",
               out_of_range);
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":"
               "99999999999999999999999999999999999999999999999999}",
               out_of_range);
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":\"1\"}", out_of_range);
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":null}", out_of_range);
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":true}", out_of_range);
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"sequence\":[1]}", out_of_range);
}

Test(message, refuses_members)
{
        refuse("{}", "type: missing");
        refuse("{\"type\":1}", "type: not a string");
        refuse("{\"type\":null}", "type: not a string");
        refuse("{\"type\":\"Hello\"}", "type: unknown");
        refuse("{\"type\":\"hello\"}", "instance: missing");
        refuse("{\"type\":\"hello\",\"instance\":5}", "instance: not a string");
        refuse("{\"type\":\"hello\",\"instance\":\"\"}", "instance: not 16 hexadecimal digits");
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcde\"}",
               "instance: not 16 hexadecimal digits");
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcd\"}",
               "instance: not 16 hexadecimal digits");
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef01\"}",
               "instance: not 16 hexadecimal digits");
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789ABCDEF\"}",
               "instance: not 16 hexadecimal digits");
        refuse("{\"type\":\"hello\",\"instance\":\"0x23456789abcdef\"}",
               "instance: not 16 hexadecimal digits");
        refuse("{\"type\":\"hello\",\"instance\":\"0000000000000000\"}", "instance: zero");
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"for\":\"0000000000000000\"}",
               "for: zero");
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\",\"for\":null}", "for: not a string");
        refuse("{\"type\":\"hello\",\"instance\":\"0123456789abcdef\"}", "sequence: missing");
        refuse("{\"type\":\"bye\",\"instance\":\"0123456789abcdef\",\"sequence\":1}", "for: missing");
        refuse("{\"type\":\"offer\"," IDS ",\"sdp\":\"x\"}", "session: missing");
        refuse("{\"type\":\"bye\"," IDS ",\"session\":\"8\"}", "session: not 16 hexadecimal digits");
        refuse("{\"type\":\"hello\"," IDS SESSION "}",
               "session: does not belong to a message of type hello");
        refuse("{\"type\":\"bye\"," IDS ",\"sdp\":\"" DESCRIPTION "\"}",
               "sdp: does not belong to a message of type bye");
        refuse("{\"type\":\"answer\"," IDS SESSION "}", "sdp: missing");
        refuse("{\"type\":\"answer\"," IDS SESSION ",\"sdp\":[]}", "sdp: not a string");
        refuse("{\"type\":\"answer\"," IDS SESSION ",\"sdp\":\"v=1\\r\\n\"}",
               "sdp: line 1: SDP of another version than 0");
        refuse("{\"type\":\"answer\"," IDS SESSION ",\"sdp\":\"" FRAGMENT "\"}",
               "sdp: line 1: there is no v= before this line");
        refuse("{\"type\":\"candidates\"," IDS SESSION ",\"sdp\":\"" DESCRIPTION "\"}",
               "sdp: line 1: lines of this type have no place here");
}

Test(message, refuses_duplicates)
{
        refuse("{\"type\":\"bye\"," IDS ",\"type\":\"bye\"}", "member 5 has the name of an earlier one");
        refuse("{\"type\":\"bye\"," IDS ",\"t\\u0079pe\":\"hello\"}",
               "member 5 has the name of an earlier one");
        refuse("{\"x\":1,\"x\":1,\"type\":\"bye\"," IDS "}", "member 2 has the name of an earlier one");
}

Test(message, refuses_what_is_not_one_object)
{
        static const char nul[] = "{\"type\":\"bye\"," IDS "}\0";
        static const char *const others[] = { "[]", "\"type\"", "1", "null", "true" };
        static const char *const malformed[] = {
                "{",
                "}",
                "x",
                "{}{}",
                "{\"type\":\"bye\"",
                "{\"type\" \"bye\"}",
                "{type:1}",
                "{\"a\":1,}",
                "{\"a\":\"\\u0000\"}",
                "{\"a\":\"\\ud800\"}",
                "{\"a\":\"\t\"}",
                "{\"a\":01}",
                "{\"a\":NaN}",
                "{\"a\":\"\xff\"}",
                "{\"a\":'x'}",
                "{\"a\":\"\\x\"}",
                "{\"a\":\"\\",
        };

        refuse("", "empty");
        refuse("  ", "malformed JSON at line 1, column 3");
        expect_refused(nul, sizeof(nul) - 1, "has a NUL byte in it");
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                refuse(others[i], "not a JSON object");
        for (size_t i = 0; i < ELEMENTSOF(malformed); i++) {
                _cleanup_free_ char *error = NULL;
                Message m;

                cr_assert_eq(message_parse(malformed[i], strlen(malformed[i]), &m, &error), -EBADMSG, "%s",
                             malformed[i]);
                cr_assert(startswith(error, "malformed JSON at line 1"), "%s: %s", malformed[i], error);
        }
}

static void add_text(char *s, size_t size, const char *text)
{
        cr_assert_lt(strlen(s) + strlen(text), size);
        strcpy(s + strlen(s), text);
}

Test(message, limits)
{
        char s[MESSAGE_SIZE_MAX + 2] = "";
        size_t n;

        refuse("{\"a\":[[[[[[[[[]]]]]]]]]}", "nested more than 8 deep");
        memset(s, '[', MESSAGE_SIZE_MAX);
        refuse(s, "nested more than 8 deep");
        memset(s, ' ', MESSAGE_SIZE_MAX + 1);
        refuse(s, "more than 12288 bytes");

        *s = '\0';
        add_text(s, sizeof(s), "{\"type\":\"bye\"," IDS "}");
        n = strlen(s);
        memset(s + n, ' ', MESSAGE_SIZE_MAX - n);
        s[MESSAGE_SIZE_MAX] = '\0';
        (void) parse(s);
}

Test(message, number_of_members)
{
        char s[MESSAGE_SIZE_MAX] = "{\"type\":\"bye\"," IDS;

        for (size_t i = 4; i < MESSAGE_MEMBERS_MAX; i++) {
                char member[32];

                snprintf(member, sizeof(member), ",\"%zu\":0", i);
                add_text(s, sizeof(s), member);
        }
        add_text(s, sizeof(s), "}");
        (void) parse(s);
        s[strlen(s) - 1] = '\0';
        add_text(s, sizeof(s), ",\"x\":0}");
        refuse(s, "more than 32 members");
}

/* The longest description that can be written fits into a message. */
static Message random_message(bool longest)
{
        Message m = {
                .type = (MessageType) random_below(_MESSAGE_TYPE_MAX),
                .instance = random_u64() | 1,
                .to = random_u64() | 1,
                .sequence = 1 + random_below(MESSAGE_SEQUENCE_MAX),
        };

        if (longest)
                m.type = MESSAGE_OFFER;
        m.stranded = random_below(2);
        if (m.type == MESSAGE_HELLO && random_below(2))
                m.to = 0;
        if (m.type != MESSAGE_HELLO && (m.type != MESSAGE_BYE || random_below(2)))
                m.session = random_u64() | 1;
        if (m.type == MESSAGE_HELLO || m.type == MESSAGE_BYE)
                return m;
        m.sdp.trickle = m.sdp.ice2 = true;
        memset(m.sdp.ufrag, '/', longest ? ICE_CREDENTIAL_MAX : ICE_UFRAG_MIN);
        memset(m.sdp.pwd, '/', longest ? ICE_CREDENTIAL_MAX : ICE_PWD_MIN);
        m.sdp.n_candidates = longest ? SDP_CANDIDATES_MAX : random_below(SDP_CANDIDATES_MAX);
        for (size_t i = 0; i < m.sdp.n_candidates; i++) {
                IceCandidate *c = m.sdp.candidates + i;

                memset(c->foundation, '/', longest ? ICE_FOUNDATION_MAX : 1);
                c->priority = 0x7fffffff;
                c->type = ICE_CANDIDATE_RELAY;
                c->transport = ICE_TRANSPORT_TCP_PASSIVE;
                cr_assert_eq(socket_address_from_string("[2001:1111:2222:3333:4444:5555:6666:7777]:65535",
                                                        &c->address),
                             0);
                c->related = c->address;
        }
        return m;
}

static void expect_round_trip(const Message *m)
{
        _cleanup_free_ char *s = NULL, *again = NULL;
        Message n;

        cr_assert_eq(message_format(m, &s), 0);
        n = parse(s);
        cr_assert_eq(n.type, m->type);
        cr_assert_eq(n.instance, m->instance);
        cr_assert_eq(n.to, m->to);
        cr_assert_eq(n.sequence, m->sequence);
        cr_assert_eq(n.session, m->session);
        cr_assert_str_eq(n.sdp.pwd, m->sdp.pwd);
        cr_assert_eq(n.sdp.n_candidates, m->sdp.n_candidates);
        cr_assert_eq(message_format(&n, &again), 0);
        cr_assert_str_eq(s, again);
}

Test(message, what_is_written_is_read_back)
{
        for (size_t i = 0; i < 500; i++) {
                Message m = random_message(/* longest= */ i == 0);

                expect_round_trip(&m);
        }
}

Test(message, text)
{
        _cleanup_free_ char *s = NULL;
        Message m = {
                .type = MESSAGE_BYE, .instance = 1, .to = UINT64_MAX, .sequence = 7, .session = 0xabc
        };

        cr_assert_eq(message_format(&m, &s), 0);
        cr_assert_str_eq(s,
                         "{\"type\":\"bye\",\"instance\":\"0000000000000001\",\"for\":\"ffffffffffffffff\","
                         "\"sequence\":7,\"session\":\"0000000000000abc\"}");
}

Test(message, format_refuses)
{
        Message good = { .type = MESSAGE_HELLO, .instance = 1, .sequence = 1 }, m;
        char *s = NULL;

        m = good;
        m.instance = 0;
        cr_assert_eq(message_format(&m, &s), -EINVAL);
        m = good;
        m.sequence = 0;
        cr_assert_eq(message_format(&m, &s), -EINVAL);
        m.sequence = MESSAGE_SEQUENCE_MAX + 1;
        cr_assert_eq(message_format(&m, &s), -EINVAL);
        m = good;
        m.session = 1;
        cr_assert_eq(message_format(&m, &s), -EINVAL);
        m = good;
        m.type = MESSAGE_BYE;
        cr_assert_eq(message_format(&m, &s), -EINVAL);
        m.type = _MESSAGE_TYPE_INVALID;
        cr_assert_eq(message_format(&m, &s), -EINVAL);
        m = (Message) { .type = MESSAGE_OFFER, .instance = 1, .to = 1, .sequence = 1, .session = 1 };
        cr_assert_eq(message_format(&m, &s), -EINVAL);
        cr_assert_null(s);
}
