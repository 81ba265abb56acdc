/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <criterion/criterion.h>
#include <nice/agent.h>
#include <stdio.h>

#include "alloc-util.h"
#include "random-util.h"
#include "sdp.h"
#include "string-util.h"

#define UFRAG "a=ice-ufrag:8hhY\r\n"
#define PWD "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\n"
#define SESSION "v=0\r\no=- 42 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
#define MEDIA "m=application 9 UDP wireguard\r\nc=IN IP4 0.0.0.0\r\n"
#define HOST "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\n"

static SdpDescription parse_description(const char *s)
{
        _cleanup_free_ char *error = NULL;
        SdpDescription d;

        cr_assert_eq(sdp_parse_description(s, strlen(s), &d, &error), 0, "%s", error);
        return d;
}

static SdpDescription parse_fragment(const char *s)
{
        _cleanup_free_ char *error = NULL;
        SdpDescription d;

        cr_assert_eq(sdp_parse_fragment(s, strlen(s), &d, &error), 0, "%s", error);
        return d;
}

/* Refused for this very reason, with nothing written. */
static void expect_refused(bool fragment, const char *s, size_t size, const char *reason)
{
        _cleanup_free_ char *error = NULL;
        SdpDescription d, untouched;
        int r;

        memset(&d, 0xa5, sizeof(d));
        untouched = d;
        r = (fragment ? sdp_parse_fragment : sdp_parse_description)(s, size, &d, &error);
        cr_assert_eq(r, -EBADMSG, "taken, but for: %s", reason);
        cr_assert_str_eq(error, reason);
        cr_assert_eq(memcmp(&d, &untouched, sizeof(d)), 0);
        cr_assert_eq((fragment ? sdp_parse_fragment : sdp_parse_description)(s, size, &d, NULL), -EBADMSG);
}

static void refuse_description(const char *s, const char *reason)
{
        expect_refused(/* fragment= */ false, s, strlen(s), reason);
}

static void refuse_fragment(const char *s, const char *reason)
{
        expect_refused(/* fragment= */ true, s, strlen(s), reason);
}

static int parse_candidate(const char *s, IceCandidate *ret)
{
        return sdp_parse_candidate(s, strlen(s), ret);
}

static void expect_candidate(const char *s, const char *formatted, const char *related)
{
        IceCandidate c;

        cr_assert_eq(parse_candidate(s, &c), 1, "%s", s);
        cr_assert_str_eq(ICE_CANDIDATE_STR(&c), formatted);
        cr_assert_str_eq(SOCKET_ADDRESS_STR(&c.related), related);
}

Test(candidate, forms)
{
        expect_candidate("1 1 udp 2130706431 192.0.2.1 5000 typ host", "host udp 192.0.2.1:5000", "n/a");
        expect_candidate("1 1 UDP 1 2001:db8::1 65535 typ host", "host udp [2001:db8::1]:65535", "n/a");
        expect_candidate("+/aZ09 001 uDp 0002147483 192.0.2.1 00080 TYP hOsT", "host udp 192.0.2.1:80",
                         "n/a");
        expect_candidate("2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998",
                         "srflx udp 192.0.2.3:45664", "203.0.113.141:8998");
        expect_candidate("2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 0.0.0.0 rport 9",
                         "srflx udp 192.0.2.3:45664", "n/a");
        expect_candidate("2 1 UDP 1694498815 192.0.2.3 45664 typ relay raddr :: rport 0",
                         "relay udp 192.0.2.3:45664", "n/a");
        expect_candidate("2 1 UDP 7 192.0.2.3 4566 typ prflx raddr abc.local rport 1",
                         "prflx udp 192.0.2.3:4566", "n/a");
        expect_candidate("2 1 UDP 7 192.0.2.3 4566 typ srflx", "srflx udp 192.0.2.3:4566", "n/a");
        expect_candidate("2 1 UDP 7 192.0.2.3 4566 typ host raddr 192.0.2.9 rport 1",
                         "host udp 192.0.2.3:4566", "n/a");
        expect_candidate("10 1 tcp 1671430143 192.0.2.3 9 typ host tcptype active",
                         "host tcp-active 192.0.2.3:9", "n/a");
        expect_candidate("10 1 tcp 1671430143 192.0.2.3 0 typ host tcptype active",
                         "host tcp-active 192.0.2.3:9", "n/a");
        expect_candidate(
                "10 1 TCP 1671430143 192.0.2.3 4 typ srflx raddr 198.51.100.1 rport 5 x y tcptype PASSIVE",
                "srflx tcp-passive 192.0.2.3:4", "198.51.100.1:5");
        expect_candidate("10 1 TCP 1671430143 192.0.2.3 4 typ host tcptype so", "host tcp-so 192.0.2.3:4",
                         "n/a");
        /* As browsers write it, and an extension with an empty value. */
        expect_candidate(
                "842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 10.0.17.1 rport 46154 "
                "generation 0 ufrag EEtu network-id 3 network-cost 10",
                "srflx udp 203.0.113.7:46154", "10.0.17.1:46154");
        expect_candidate("1 1 udp 9 192.0.2.1 5000 typ host tcptype weird generation ",
                         "host udp 192.0.2.1:5000", "n/a");
}

Test(candidate, ignored)
{
        static const char *const lines[] = {
                "1 2 udp 2130706431 192.0.2.1 5000 typ host",
                "1 256 udp 2130706431 192.0.2.1 5000 typ host",
                "1 1 sctp 2130706431 192.0.2.1 5000 typ host",
                "1 1 TCP-ACT 2130706431 192.0.2.1 5000 typ host",
                "1 1 udp 2130706431 4f1d2a1c-0c0c-4b3e-9f7d-b4e2dc1b1f1d.local 5000 typ host",
                "1 1 udp 2130706431 host.example.net 5000 typ host",
                "1 1 udp 2130706431 fe80::1%eth0 5000 typ host",
                "1 1 udp 2130706431 ::ffff:192.0.2.1 5000 typ host",
                "1 1 udp 2130706431 192.0.2.999 5000 typ host",
                "1 1 udp 2130706431 192.0.2.1 5000 typ carrier-pigeon",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                IceCandidate c = { .priority = 7 };

                cr_assert_eq(parse_candidate(lines[i], &c), 0, "%s", lines[i]);
                cr_assert_eq(c.priority, 7);
        }
}

Test(candidate, malformed)
{
        static const char *const lines[] = {
                "",
                "1",
                "1 1 udp 2130706431 192.0.2.1 5000",
                "1 1 udp 2130706431 192.0.2.1 5000 typ",
                "1 1 udp 2130706431 192.0.2.1 5000 typ ",
                "1 1 udp 2130706431 192.0.2.1 5000 host",
                " 1 1 udp 2130706431 192.0.2.1 5000 typ host",
                "1  1 udp 2130706431 192.0.2.1 5000 typ host",
                "1 1 udp 2130706431 192.0.2.1 5000 typ host ",
                "1 1 udp 2130706431 192.0.2.1 5000 typ host generation",
                "1 1 udp 2130706431 192.0.2.1 5000 typ host gener@tion 0",
                "1 1 udp 2130706431 192.0.2.1 5000 typ host generation \xc3\xa4",
                "1 1 udp 2130706431 192.0.2.1 5000 typ host generation\t0",
                "a-b 1 udp 2130706431 192.0.2.1 5000 typ host",
                "123456789012345678901234567890123 1 udp 2130706431 192.0.2.1 5000 typ host",
                "1 0 udp 2130706431 192.0.2.1 5000 typ host",
                "1 257 udp 2130706431 192.0.2.1 5000 typ host",
                "1 99999999999999999999999999 udp 2130706431 192.0.2.1 5000 typ host",
                "1 -1 udp 2130706431 192.0.2.1 5000 typ host",
                "1 1 u/p 2130706431 192.0.2.1 5000 typ host",
                "1 1 udp 0 192.0.2.1 5000 typ host",
                "1 1 udp 2147483648 192.0.2.1 5000 typ host",
                "1 1 udp 18446744073709551617 192.0.2.1 5000 typ host",
                "1 1 udp +1 192.0.2.1 5000 typ host",
                "1 1 udp 2130706431 192.0.2.1 0 typ host",
                "1 1 udp 2130706431 192.0.2.1 65536 typ host",
                "1 1 udp 2130706431 192.0.2.1 5000x typ host",
                "1 1 udp 2130706431 192.0.2.1 0x50 typ host",
                "1 1 udp 2130706431  5000 typ host",
                "1 1 udp 2130706431 192.0.2.\x01 5000 typ host",
                "1 1 tcp 2130706431 192.0.2.1 5000 typ host",
                "1 1 tcp 2130706431 192.0.2.1 5000 typ host tcptype",
                "1 1 tcp 2130706431 192.0.2.1 5000 typ host tcptype sideways",
                "1 1 tcp 2130706431 192.0.2.1 5000 typ host tcptype so tcptype so",
                "1 1 tcp 2130706431 192.0.2.1 0 typ host tcptype passive",
                "1 1 udp 2130706431 192.0.2.1 5000 typ srflx raddr 192.0.2.2",
                "1 1 udp 2130706431 192.0.2.1 5000 typ srflx rport 2",
                "1 1 udp 2130706431 192.0.2.1 5000 typ srflx raddr 192.0.2.2 rport 65536",
                "1 1 udp 2130706431 192.0.2.1 5000 typ srflx raddr  rport 1",
                "1 1 udp 2130706431 192.0.2.1 5000 typ srflx raddr 192.0.2.2 raddr 192.0.2.2 rport 1",
                "1 1 udp 2130706431 192.0.2.1 5000 typ srflx raddr 192.0.2.2 rport 1 rport 1",
                /* Even where the candidate would be ignored. */
                "1 2 udp 0 192.0.2.1 5000 typ host",
                "1 1 sctp 1 192.0.2.1 99999 typ host",
        };
        static const char nul[] = "1 1 udp 2130706431 192.0.2.1\0 5000 typ host";
        IceCandidate c;

        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                cr_assert_eq(parse_candidate(lines[i], &c), -EBADMSG, "%s", lines[i]);
        cr_assert_eq(sdp_parse_candidate(nul, sizeof(nul) - 1, &c), -EBADMSG);
}

static IceCandidate candidate(const char *address, IceCandidateType type, IceTransport transport)
{
        IceCandidate c = { .foundation = "1", .priority = 1, .type = type, .transport = transport };

        cr_assert_eq(socket_address_from_string(address, &c.address), 0);
        return c;
}

static void expect_formatted(const IceCandidate *c, const char *s)
{
        char buf[SDP_CANDIDATE_STRLEN];

        cr_assert_eq(sdp_format_candidate(c, buf), 0);
        cr_assert_str_eq(buf, s);
}

Test(candidate, format)
{
        IceCandidate c = candidate("192.0.2.1:5000", ICE_CANDIDATE_HOST, ICE_TRANSPORT_UDP);

        expect_formatted(&c, "1 1 udp 1 192.0.2.1 5000 typ host");
        c = candidate("[fe80::1%7]:5", ICE_CANDIDATE_HOST, ICE_TRANSPORT_UDP);
        expect_formatted(&c, "1 1 udp 1 fe80::1 5 typ host");
        c = candidate("[2001:db8::1]:5", ICE_CANDIDATE_RELAY, ICE_TRANSPORT_UDP);
        expect_formatted(&c, "1 1 udp 1 2001:db8::1 5 typ relay raddr :: rport 9");
        cr_assert_eq(socket_address_from_string("[fe80::2%7]:8", &c.related), 0);
        expect_formatted(&c, "1 1 udp 1 2001:db8::1 5 typ relay raddr fe80::2 rport 8");
        c = candidate("192.0.2.1:0", ICE_CANDIDATE_SRFLX, ICE_TRANSPORT_TCP_ACTIVE);
        expect_formatted(&c, "1 1 tcp 1 192.0.2.1 9 typ srflx raddr 0.0.0.0 rport 9 tcptype active");
}

Test(candidate, format_refuses)
{
        IceCandidate good = candidate("192.0.2.1:5000", ICE_CANDIDATE_HOST, ICE_TRANSPORT_UDP), c;
        char buf[SDP_CANDIDATE_STRLEN];

        cr_assert_eq(sdp_format_candidate(&good, buf), 0);
        c = good;
        c.foundation[0] = '\0';
        cr_assert_eq(sdp_format_candidate(&c, buf), -EINVAL);
        memset(c.foundation, 'x', sizeof(c.foundation)); /* no end */
        cr_assert_eq(sdp_format_candidate(&c, buf), -EINVAL);
        c = good;
        strcpy(c.foundation, "a\r\nb");
        cr_assert_eq(sdp_format_candidate(&c, buf), -EINVAL);
        c = good;
        c.priority = 0;
        cr_assert_eq(sdp_format_candidate(&c, buf), -EINVAL);
        c.priority = 0x80000000;
        cr_assert_eq(sdp_format_candidate(&c, buf), -EINVAL);
        c = good;
        c.address = (SocketAddress) {};
        cr_assert_eq(sdp_format_candidate(&c, buf), -EINVAL);
        c = good;
        socket_address_set_port(&c.address, 0);
        cr_assert_eq(sdp_format_candidate(&c, buf), -EINVAL);
        c = good;
        c.type = _ICE_CANDIDATE_TYPE_MAX;
        cr_assert_eq(sdp_format_candidate(&c, buf), -EINVAL);
        c = good;
        c.transport = _ICE_TRANSPORT_INVALID;
        cr_assert_eq(sdp_format_candidate(&c, buf), -EINVAL);
}

Test(candidate, equality_is_address_and_transport)
{
        IceCandidate a = candidate("192.0.2.1:5000", ICE_CANDIDATE_HOST, ICE_TRANSPORT_UDP), b = a;

        b.priority = 2;
        b.type = ICE_CANDIDATE_SRFLX;
        cr_assert(ice_candidate_equal(&a, &b));
        b.transport = ICE_TRANSPORT_TCP_SO;
        cr_assert_not(ice_candidate_equal(&a, &b));
        b = a;
        socket_address_set_port(&b.address, 5001);
        cr_assert_not(ice_candidate_equal(&a, &b));
}

Test(description, minimal)
{
        SdpDescription d = parse_description(SESSION MEDIA UFRAG PWD);

        cr_assert_str_eq(d.ufrag, "8hhY");
        cr_assert_str_eq(d.pwd, "asd88fgpdd777uzjYhagZg");
        cr_assert_eq(d.session_id, 42);
        cr_assert_eq(d.session_version, 1);
        cr_assert_eq(d.n_candidates, 0);
        cr_assert_eq(d.pacing, 0);
        cr_assert_not(d.trickle);
        cr_assert_not(d.ice2);
        cr_assert_not(d.end_of_candidates);
}

Test(description, full)
{
        SdpDescription d = parse_description(
                "v=0\no=jdoe 2890844526 9223372036854775807 IN IP6 2001:db8::1\n"
                "s=caf\xc3\xa9\ni=x\nu=http://example.net/\ne=a@example.net\ne=b@example.net\np=+1\n"
                "c=IN IP4 198.51.100.1/127\nb=CT:128\nb=X-YZ:0\n"
                "t=3724394400 3724398000\nr=604800 3600 0 90000\nt=0 0\nz=2882844526 -1h\nk=prompt\n"
                "a=ice-options:rtp+ecn trickle\na=ice-pacing:4294967295\na=unknown\na=unknown2:\xff "
                "x\n" UFRAG "m=application 65535 UDP wireguard\ni=media\nb=AS:1\nk=clear:x\n"
                "a=ice-options:ice2\na=mid:foo\na=sendrecv\n" HOST HOST
                "a=candidate:2 2 udp 1 192.0.2.1 5000 typ host\n"
                "a=candidate:2 1 udp 1 192.0.2.1 5000 typ relay\na=end-of-candidates\n" PWD);

        cr_assert(d.trickle && d.ice2 && d.end_of_candidates);
        cr_assert_eq(d.pacing, UINT32_MAX);
        cr_assert_eq(d.session_version, SDP_SESSION_ID_MAX);
        cr_assert_eq(d.n_candidates, 3);
        cr_assert_str_eq(ICE_CANDIDATE_STR(d.candidates + 2), "relay udp 192.0.2.1:5000");
}

Test(description, media_level_credentials_win)
{
        SdpDescription d = parse_description(SESSION UFRAG PWD MEDIA "a=ice-ufrag:other\r\n");

        cr_assert_str_eq(d.ufrag, "other");
        cr_assert_str_eq(d.pwd, "asd88fgpdd777uzjYhagZg");
}

Test(description, further_candidates_are_ignored)
{
        char s[SDP_SIZE_MAX] = SESSION MEDIA UFRAG PWD;
        SdpDescription d;

        for (size_t i = 0; i < SDP_CANDIDATES_MAX + 5; i++) {
                size_t n = strlen(s);

                snprintf(s + n, sizeof(s) - n, "a=candidate:1 1 udp 1 192.0.2.1 %zu typ host\r\n", i + 1);
        }
        d = parse_description(s);
        cr_assert_eq(d.n_candidates, SDP_CANDIDATES_MAX);
        cr_assert_eq(socket_address_port(&d.candidates[SDP_CANDIDATES_MAX - 1].address), SDP_CANDIDATES_MAX);
}

Test(description, refuses_what_is_missing)
{
        refuse_description("", "line 1: ends without m=");
        refuse_description("o=- 42 1 IN IP4 0.0.0.0\r\n", "line 1: there is no v= before this line");
        refuse_description("v=0\r\ns=-\r\n", "line 2: there is no o= before this line");
        refuse_description("v=0\r\no=- 1 1 IN IP4 h\r\nt=0 0\r\n",
                           "line 3: there is no s= before this line");
        refuse_description("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\n" MEDIA,
                           "line 4: there is no t= before this line");
        refuse_description("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\n" UFRAG,
                           "line 4: there is no t= before this line");
        refuse_description(MEDIA, "line 1: there is no v= before this line");
        refuse_description(SESSION UFRAG PWD, "line 6: ends without m=");
        refuse_description(SESSION "m=application 9 UDP wireguard\r\n" UFRAG PWD, "line 7: ends without c=");
        refuse_description(SESSION MEDIA PWD, "line 7: ends without a=ice-ufrag");
        refuse_description(SESSION MEDIA UFRAG, "line 7: ends without a=ice-pwd");
}

Test(description, refuses_what_is_out_of_order)
{
        refuse_description("v=0\r\nv=0\r\n", "line 2: a second v=");
        refuse_description(SESSION "s=-\r\n", "line 5: s= after t=");
        refuse_description(SESSION UFRAG "t=0 0\r\n", "line 6: t= after a=");
        refuse_description(SESSION "z=0 0\r\nr=1 1 0\r\n", "line 6: r= after z=");
        refuse_description("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nr=7d 1h 0\r\n",
                           "line 4: there is no t= before this line");
        refuse_description("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 h\r\nc=IN IP4 h\r\n",
                           "line 5: a second c=");
        refuse_description(SESSION MEDIA UFRAG "c=IN IP4 h\r\n", "line 8: c= after a=");
        refuse_description(SESSION MEDIA MEDIA, "line 7: a second m=");
        refuse_description(SESSION MEDIA "v=0\r\n", "line 7: lines of this type have no place here");
        refuse_description(SESSION "x=0\r\n", "line 5: lines of this type have no place here");
        refuse_description(SESSION MEDIA UFRAG UFRAG, "line 8: a second a=ice-ufrag");
        refuse_description(SESSION MEDIA UFRAG PWD PWD, "line 9: a second a=ice-pwd");
        refuse_description(SESSION "a=ice-options:trickle\r\na=ice-options:ice2\r\n",
                           "line 6: a second a=ice-options");
        refuse_description(SESSION MEDIA "a=mid:0\r\na=mid:0\r\n", "line 8: a second a=mid");
        refuse_description(SESSION MEDIA "a=end-of-candidates\r\na=end-of-candidates\r\n",
                           "line 8: a second a=end-of-candidates");
        refuse_description(SESSION HOST, "line 5: a=candidate at the session level");
        refuse_description(SESSION "a=mid:0\r\n", "line 5: a=mid at the session level");
        refuse_description(SESSION MEDIA "a=ice-pacing:50\r\n", "line 7: a=ice-pacing at the media level");
        refuse_description(SESSION MEDIA "a=ice-lite\r\n", "line 7: a=ice-lite at the media level");
}

Test(description, refuses_malformed_lines)
{
        static const char nul[] = "v=0\r\no=- 1 1 IN IP4 \0\r\n";
        _cleanup_free_ char *s = NULL;

        expect_refused(/* fragment= */ false, nul, sizeof(nul) - 1, "line 2: has a NUL or a CR in it");
        refuse_description("v=0", "line 1: has no end");
        refuse_description("v=0\r\no=- 1 1 IN IP4 h\r", "line 2: has no end");
        refuse_description("v=0\r\r\n", "line 1: has a NUL or a CR in it");
        refuse_description("\r\n", "line 1: is not TYPE=VALUE");
        refuse_description("v=0\r\n\r\n", "line 2: is not TYPE=VALUE");
        refuse_description("v=\r\n", "line 1: is not TYPE=VALUE");
        refuse_description(" v=0\r\n", "line 1: is not TYPE=VALUE");
        refuse_description("v =0\r\n", "line 1: is not TYPE=VALUE");
        refuse_description("V=0\r\n", "line 1: is not TYPE=VALUE");
        refuse_description("v=0 \r\n", "line 1: SDP of another version than 0");
        refuse_description("v=00\r\n", "line 1: SDP of another version than 0");

        s = malloc(SDP_LINE_MAX + 3);
        cr_assert(s);
        memset(s, 'x', SDP_LINE_MAX + 1);
        strcpy(s + SDP_LINE_MAX + 1, "\n");
        refuse_description(s, "line 1: longer than 1024 bytes");
        free_and_replace(s, *(char *[]) { calloc(1, SDP_SIZE_MAX + 2) });
        cr_assert(s);
        memset(s, 'x', SDP_SIZE_MAX + 1);
        refuse_description(s, "line 1: more than 8192 bytes in all");
}

Test(description, refuses_malformed_values)
{
        static const char *const origin = "line 2: o= has not six fields";
        static const char *const media = "line 5: m= is not for \"application\", \"UDP\", \"wireguard\"";

        refuse_description("v=0\r\no=- 42 1 IN IP4\r\n", origin);
        refuse_description("v=0\r\no=- 42 1 IN IP4 h h\r\n", origin);
        refuse_description("v=0\r\no= 42 1 IN IP4 h\r\n", origin);
        refuse_description("v=0\r\no=- 42 1 IN  h\r\n", origin);
        refuse_description("v=0\r\no=- 42 1 IN IP4 \xc3\xa4\r\n", origin);
        refuse_description("v=0\r\no=- 9223372036854775808 1 IN IP4 h\r\n",
                           "line 2: the session ID in o= is no number up to 2^63 - 1");
        refuse_description("v=0\r\no=- 1 99999999999999999999 IN IP4 h\r\n",
                           "line 2: the session version in o= is no number up to 2^63 - 1");
        refuse_description("v=0\r\no=- 1 -1 IN IP4 h\r\n",
                           "line 2: the session version in o= is no number up to 2^63 - 1");
        refuse_description("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0\r\n", "line 4: t= is not START STOP");
        refuse_description("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0 1\r\n", "line 4: t= is not START STOP");
        refuse_description("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nt=0 0 0\r\n", "line 4: t= is not START STOP");
        refuse_description("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4\r\n",
                           "line 4: c= has not three fields");
        refuse_description("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nb=CT\r\n", "line 4: b= is not TYPE:NUMBER");
        refuse_description("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nb=CT:x\r\n", "line 4: b= is not TYPE:NUMBER");
        refuse_description(SESSION "m=application 9 UDP\r\n", "line 5: m= has not four fields");
        refuse_description(SESSION "m=application 65536 UDP wireguard\r\n",
                           "line 5: the port in m= is no number up to 65535");
        refuse_description(SESSION "m=application 9/2 UDP wireguard\r\n",
                           "line 5: the port in m= is no number up to 65535");
        refuse_description(SESSION "m=application 0 UDP wireguard\r\n",
                           "line 5: the port in m= is 0: the stream is refused");
        refuse_description(SESSION "m=audio 9 UDP wireguard\r\n", media);
        refuse_description(SESSION "m=application 9 RTP/AVP wireguard\r\n", media);
        refuse_description(SESSION "m=application 9 UDP wireguard 0\r\n", media);
        refuse_description(SESSION "a=:x\r\n", "line 5: malformed attribute name");
        refuse_description(SESSION "a=\xc3\xa4\r\n", "line 5: malformed attribute name");
        refuse_description(SESSION "a=foo bar\r\n", "line 5: malformed attribute name");
        refuse_description(SESSION "a=foo:\r\n", "line 5: attribute with an empty value");
        refuse_description(SESSION "a=ice-lite\r\n", "line 5: a=ice-lite: the peer has no full ICE");
        refuse_description(SESSION MEDIA "a=ice-mismatch\r\n",
                           "line 7: a=ice-mismatch: the peer has given ICE up");
        refuse_description(SESSION "a=ice-options: trickle\r\n", "line 5: malformed tag in a=ice-options");
        refuse_description(SESSION "a=ice-options\r\n", "line 5: a=ice-options needs a value");
        refuse_description(SESSION "a=ice-pacing:0\r\n",
                           "line 5: a=ice-pacing is no number from 1 to 2^32 - 1");
        refuse_description(SESSION "a=ice-pacing:4294967296\r\n",
                           "line 5: a=ice-pacing is no number from 1 to 2^32 - 1");
        refuse_description(SESSION "a=ice-ufrag:abc\r\n", "line 5: a=ice-ufrag is not 4 to 256 ice-chars");
        refuse_description(SESSION "a=ice-ufrag:abcd-\r\n", "line 5: a=ice-ufrag is not 4 to 256 ice-chars");
        refuse_description(SESSION "a=ice-pwd:asd88fgpdd777uzjYhagZ\r\n",
                           "line 5: a=ice-pwd is not 22 to 256 ice-chars");
        refuse_description(SESSION MEDIA "a=mid:a b\r\n", "line 7: malformed a=mid");
        refuse_description(SESSION MEDIA "a=candidate:1 1 udp 0 192.0.2.1 1 typ host\r\n",
                           "line 7: malformed a=candidate");
        refuse_description(SESSION MEDIA "a=end-of-candidates:1\r\n",
                           "line 7: a=end-of-candidates takes no value");
}

Test(description, limits_of_credentials)
{
        char s[1024], ufrag[ICE_CREDENTIAL_MAX + 2];

        memset(ufrag, 'x', sizeof(ufrag));
        ufrag[ICE_CREDENTIAL_MAX] = '\0';
        snprintf(s, sizeof(s), SESSION MEDIA PWD "a=ice-ufrag:%s\r\n", ufrag);
        cr_assert_str_eq(parse_description(s).ufrag, ufrag);
        snprintf(s, sizeof(s), SESSION MEDIA UFRAG "a=ice-pwd:%s\r\n", ufrag);
        cr_assert_str_eq(parse_description(s).pwd, ufrag);
        snprintf(s, sizeof(s), SESSION MEDIA PWD "a=ice-ufrag:%sx\r\n", ufrag);
        refuse_description(s, "line 8: a=ice-ufrag is not 4 to 256 ice-chars");
}

Test(fragment, forms)
{
        SdpDescription d = parse_fragment(UFRAG PWD "m=application 9 UDP wireguard\r\na=mid:0\r\n" HOST
                                                    "a=end-of-candidates\r\n");

        cr_assert_eq(d.n_candidates, 1);
        cr_assert(d.end_of_candidates);
        cr_assert_str_eq(d.ufrag, "8hhY");
        d = parse_fragment("a=group:BUNDLE 0\nm=application 9 UDP wireguard\na=mid:0\n" UFRAG PWD);
        cr_assert_eq(d.n_candidates, 0);
        cr_assert_not(d.end_of_candidates);
        d = parse_fragment("a=end-of-candidates\nm=application 9 UDP wireguard\n" UFRAG PWD "a=mid:0\n");
        cr_assert(d.end_of_candidates);
}

Test(fragment, refuses)
{
        refuse_fragment("", "line 1: ends without m=");
        refuse_fragment(SESSION MEDIA, "line 1: lines of this type have no place here");
        refuse_fragment(UFRAG PWD MEDIA, "line 4: lines of this type have no place here");
        refuse_fragment(UFRAG PWD "m=application 9 UDP wireguard\r\n", "line 3: ends without a=mid");
        refuse_fragment(UFRAG PWD HOST, "line 3: a=candidate at the session level");
        refuse_fragment(PWD "m=application 9 UDP wireguard\r\na=mid:0\r\n",
                        "line 3: ends without a=ice-ufrag");
        refuse_fragment(UFRAG "m=application 9 UDP wireguard\r\na=mid:0\r\n",
                        "line 3: ends without a=ice-pwd");
        refuse_fragment("m=application 9 UDP wireguard\nm=application 9 UDP wireguard\n",
                        "line 2: a second m=");
}

/* Anything that the limits allow. */
static void random_text(char *buf, size_t min, size_t max)
{
        static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        size_t n = min + random_below(max - min + 1);

        for (size_t i = 0; i < n; i++)
                buf[i] = chars[random_below(sizeof(chars) - 1)];
        buf[n] = '\0';
}

static SocketAddress random_address(void)
{
        uint8_t bytes[16];
        SocketAddress a;

        random_bytes(bytes, sizeof(bytes));
        bytes[0] |= 1; /* neither unspecified nor mapped */
        socket_address_from_bytes(random_below(2) ? AF_INET : AF_INET6, bytes,
                                  (uint16_t) (1 + random_below(65535)), &a);
        return a;
}

static SdpDescription random_description(void)
{
        SdpDescription d = {
                .trickle = random_below(2),
                .ice2 = random_below(2),
                .end_of_candidates = random_below(2),
                .pacing = random_below(2) ? (uint32_t) random_u64() : 0,
                .session_id = random_u64() >> 1,
                .session_version = random_u64() >> (1 + random_below(63)),
                .n_candidates = random_below(SDP_CANDIDATES_MAX + 1),
        };

        random_text(d.ufrag, ICE_UFRAG_MIN, ICE_CREDENTIAL_MAX);
        random_text(d.pwd, ICE_PWD_MIN, ICE_CREDENTIAL_MAX);
        for (size_t i = 0; i < d.n_candidates; i++) {
                IceCandidate *c = d.candidates + i;

                random_text(c->foundation, 1, ICE_FOUNDATION_MAX);
                c->transport = (IceTransport) random_below(_ICE_TRANSPORT_MAX);
                c->priority = (uint32_t) (1 + random_below(0x7fffffff));
                c->address = random_address();
                c->type = (IceCandidateType) random_below(_ICE_CANDIDATE_TYPE_MAX);
                if (c->type != ICE_CANDIDATE_HOST && random_below(2))
                        c->related = random_address();
        }
        return d;
}

static void expect_equal(const SdpDescription *a, const SdpDescription *b, bool fragment)
{
        cr_assert_str_eq(a->ufrag, b->ufrag);
        cr_assert_str_eq(a->pwd, b->pwd);
        cr_assert_eq(a->trickle, b->trickle);
        cr_assert_eq(a->ice2, b->ice2);
        cr_assert_eq(a->end_of_candidates, b->end_of_candidates);
        cr_assert_eq(a->pacing, b->pacing);
        cr_assert_eq(fragment ? 0 : a->session_id, b->session_id);
        cr_assert_eq(fragment ? 0 : a->session_version, b->session_version);
        cr_assert_eq(a->n_candidates, b->n_candidates);
        for (size_t i = 0; i < a->n_candidates; i++) {
                const IceCandidate *c = a->candidates + i, *d = b->candidates + i;

                cr_assert_str_eq(c->foundation, d->foundation);
                cr_assert_eq(c->priority, d->priority);
                cr_assert_eq(c->type, d->type);
                cr_assert(ice_candidate_equal(c, d));
                cr_assert(socket_address_ip_equal(&c->related, &d->related));
                cr_assert(!socket_address_is_set(&c->related) ||
                          socket_address_equal(&c->related, &d->related));
        }
}

Test(format, what_is_written_is_read_back)
{
        for (size_t i = 0; i < 2000; i++) {
                _cleanup_free_ char *description = NULL, *fragment = NULL;
                SdpDescription d = random_description(), e;

                cr_assert_eq(sdp_format_description(&d, &description), 0);
                e = parse_description(description);
                expect_equal(&d, &e, /* fragment= */ false);
                cr_assert_eq(sdp_format_fragment(&d, &fragment), 0);
                e = parse_fragment(fragment);
                expect_equal(&d, &e, /* fragment= */ true);
        }
}

Test(format, the_longest_fits)
{
        _cleanup_free_ char *s = NULL;
        SdpDescription d = {
                .trickle = true,
                .ice2 = true,
                .end_of_candidates = true,
                .pacing = UINT32_MAX,
                .session_id = SDP_SESSION_ID_MAX,
                .session_version = SDP_SESSION_ID_MAX,
                .n_candidates = SDP_CANDIDATES_MAX,
        }, e;

        memset(d.ufrag, 'u', ICE_CREDENTIAL_MAX);
        memset(d.pwd, 'p', ICE_CREDENTIAL_MAX);
        for (size_t i = 0; i < d.n_candidates; i++) {
                IceCandidate *c = d.candidates + i;

                *c = candidate("[2001:1111:2222:3333:4444:5555:6666:7777]:65535", ICE_CANDIDATE_SRFLX,
                               ICE_TRANSPORT_TCP_PASSIVE);
                memset(c->foundation, 'f', ICE_FOUNDATION_MAX);
                c->priority = 0x7fffffff;
                c->related = c->address;
        }
        cr_assert_eq(sdp_format_description(&d, &s), 0);
        e = parse_description(s);
        expect_equal(&d, &e, /* fragment= */ false);
}

Test(format, text)
{
        _cleanup_free_ char *description = NULL, *fragment = NULL;
        SdpDescription d = {
                .ufrag = "abcd1234",
                .pwd = "asd88fgpdd777uzjYhagZg",
                .trickle = true,
                .ice2 = true,
                .end_of_candidates = true,
                .session_id = 7,
                .session_version = 8,
                .n_candidates = 2,
                .candidates = { candidate("192.0.2.1:5000", ICE_CANDIDATE_HOST, ICE_TRANSPORT_UDP),
                                candidate("198.51.100.1:6000", ICE_CANDIDATE_SRFLX, ICE_TRANSPORT_UDP) },
        };

        cr_assert_eq(sdp_format_description(&d, &description), 0);
        cr_assert_str_eq(description,
                         "v=0\r\no=- 7 8 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-options:ice2 trickle\r\n"
                         "m=application 6000 UDP wireguard\r\nc=IN IP4 198.51.100.1\r\na=mid:0\r\n"
                         "a=ice-ufrag:abcd1234\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\n"
                         "a=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\n"
                         "a=candidate:1 1 udp 1 198.51.100.1 6000 typ srflx raddr 0.0.0.0 rport 9\r\n"
                         "a=end-of-candidates\r\n");
        d.n_candidates = 0;
        cr_assert_eq(sdp_format_fragment(&d, &fragment), 0);
        cr_assert_str_eq(fragment, "a=ice-options:ice2 trickle\r\na=ice-ufrag:abcd1234\r\n"
                                   "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\nm=application 9 UDP wireguard\r\n"
                                   "a=mid:0\r\na=end-of-candidates\r\n");
}

Test(format, refuses)
{
        SdpDescription good = { .ufrag = "abcd", .pwd = "asd88fgpdd777uzjYhagZg" }, d;
        char *s = NULL;

        d = good;
        d.ufrag[3] = '\0';
        cr_assert_eq(sdp_format_description(&d, &s), -EINVAL);
        d = good;
        d.pwd[4] = '\n';
        cr_assert_eq(sdp_format_fragment(&d, &s), -EINVAL);
        d = good;
        memset(d.pwd, 'x', sizeof(d.pwd));
        cr_assert_eq(sdp_format_fragment(&d, &s), -EINVAL);
        d = good;
        d.n_candidates = SDP_CANDIDATES_MAX + 1;
        cr_assert_eq(sdp_format_description(&d, &s), -EINVAL);
        d = good;
        d.n_candidates = 1;
        cr_assert_eq(sdp_format_description(&d, &s), -EINVAL);
        cr_assert_eq(sdp_format_fragment(&d, &s), -EINVAL);
        d = good;
        d.session_id = SDP_SESSION_ID_MAX + 1;
        cr_assert_eq(sdp_format_description(&d, &s), -EINVAL);
        cr_assert_null(s);
        cr_assert_eq(sdp_format_description(&good, &s), 0);
        free(s);
}

/* libnice reads what we write … */
static void expect_libnice_reads(NiceAgent *agent, unsigned stream, const IceCandidate *c)
{
        static const NiceCandidateTransport transports[_ICE_TRANSPORT_MAX] = {
                [ICE_TRANSPORT_UDP] = NICE_CANDIDATE_TRANSPORT_UDP,
                [ICE_TRANSPORT_TCP_ACTIVE] = NICE_CANDIDATE_TRANSPORT_TCP_ACTIVE,
                [ICE_TRANSPORT_TCP_PASSIVE] = NICE_CANDIDATE_TRANSPORT_TCP_PASSIVE,
                [ICE_TRANSPORT_TCP_SO] = NICE_CANDIDATE_TRANSPORT_TCP_SO,
        };
        char buf[SDP_CANDIDATE_STRLEN], line[SDP_CANDIDATE_STRLEN + 16], ip[INET6_ADDRSTRLEN];
        NiceCandidate *n;

        cr_assert_eq(sdp_format_candidate(c, buf), 0);
        snprintf(line, sizeof(line), "a=candidate:%s", buf);
        n = nice_agent_parse_remote_candidate_sdp(agent, stream, line);
        cr_assert(n, "libnice refuses %s", line);
        cr_assert_eq(n->transport, transports[c->transport]);
        cr_assert_eq((int) n->type, (int) c->type);
        cr_assert_eq(n->priority, c->priority);
        cr_assert_eq(n->component_id, 1);
        cr_assert_str_eq(n->foundation, c->foundation);
        nice_address_to_string(&n->addr, ip);
        cr_assert_str_eq(ip, SOCKET_ADDRESS_IP_STR(&c->address));
        cr_assert_eq(nice_address_get_port(&n->addr), socket_address_port(&c->address));
        nice_candidate_free(n);
}

Test(libnice, reads_what_we_write)
{
        NiceAgent *agent = nice_agent_new(NULL, NICE_COMPATIBILITY_RFC5245);
        unsigned stream = nice_agent_add_stream(agent, 1);

        for (size_t i = 0; i < 200; i++) {
                SdpDescription d = random_description();

                for (size_t k = 0; k < d.n_candidates; k++)
                        expect_libnice_reads(agent, stream, d.candidates + k);
        }
        g_object_unref(agent);
}

/* … and we read what libnice writes. */
Test(libnice, writes_what_we_read)
{
        static const IceTransport transports[] = {
                [NICE_CANDIDATE_TRANSPORT_UDP] = ICE_TRANSPORT_UDP,
                [NICE_CANDIDATE_TRANSPORT_TCP_ACTIVE] = ICE_TRANSPORT_TCP_ACTIVE,
                [NICE_CANDIDATE_TRANSPORT_TCP_PASSIVE] = ICE_TRANSPORT_TCP_PASSIVE,
                [NICE_CANDIDATE_TRANSPORT_TCP_SO] = ICE_TRANSPORT_TCP_SO,
        };
        NiceAgent *agent = nice_agent_new(NULL, NICE_COMPATIBILITY_RFC5245);
        GSList *candidates;
        NiceAddress a;
        unsigned stream, n_tcp = 0;

        g_object_set(agent, "upnp", FALSE, "ice-tcp", TRUE, NULL);
        nice_address_init(&a);
        cr_assert(nice_address_set_from_string(&a, "127.0.0.1"));
        cr_assert(nice_agent_add_local_address(agent, &a));
        stream = nice_agent_add_stream(agent, 1);
        cr_assert(nice_agent_gather_candidates(agent, stream));
        candidates = nice_agent_get_local_candidates(agent, stream, 1);
        cr_assert(candidates);
        for (GSList *l = candidates; l; l = l->next) {
                NiceCandidate *n = l->data;
                char *line = nice_agent_generate_local_candidate_sdp(agent, n);
                IceCandidate c;

                cr_assert(startswith(line, "a=candidate:"));
                cr_assert_eq(parse_candidate(line + strlen("a=candidate:"), &c), 1, "%s", line);
                cr_assert_eq(c.transport, transports[n->transport]);
                cr_assert_eq(c.priority, n->priority);
                cr_assert_str_eq(c.foundation, n->foundation);
                cr_assert_str_eq(SOCKET_ADDRESS_IP_STR(&c.address), "127.0.0.1");
                n_tcp += c.transport != ICE_TRANSPORT_UDP;
                g_free(line);
        }
        cr_assert_gt(n_tcp, 0);
        g_slist_free_full(candidates, (GDestroyNotify) nice_candidate_free);
        g_object_unref(agent);
}
