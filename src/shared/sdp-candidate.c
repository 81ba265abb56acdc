/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "sdp-text.h"
#include "sdp.h"
#include "string-util.h"

#define COMPONENT_MAX 256       /* RFC 8839 section 5.1 */
#define PRIORITY_MAX 0x7fffffff /* RFC 8445 section 5.1.2 */
#define DISCARD_PORT 9          /* where a port has no meaning: RFC 6544 section 4.5, RFC 8839 section 5.1 */

typedef struct CandidateParser {
        SdpText rest;
        IceCandidate c;
        bool ignored; /* well-formed so far, but not for us */
        bool tcp, tcptype;
        bool has_raddr, has_rport;
        SocketAddress raddr; /* unset: a name, or none */
        uint16_t rport;
} CandidateParser;

static int next_number(CandidateParser *p, uint64_t min, uint64_t max, uint64_t *ret)
{
        SdpText t;

        return sdp_text_cut(&p->rest, ' ', &t) && sdp_text_parse_number(t, min, max, ret) >= 0 ? 0
                                                                                               : -EBADMSG;
}

/* 1 a literal; 0 something that a later version may understand: names, also those of mDNS, and forms that do
 * not exist yet. IPv4-mapped addresses are no candidates (RFC 8445 section 5.1.1.1). */
static int parse_address(SdpText t, SocketAddress *ret)
{
        char ip[INET6_ADDRSTRLEN + 1];
        SocketAddress a;

        if (t.n == 0 || !sdp_text_is_visible(t))
                return -EBADMSG;
        if (t.n >= sizeof(ip) || memchr(t.s, '%', t.n))
                return 0;
        memcpy(ip, t.s, t.n);
        ip[t.n] = '\0';
        if (socket_address_from_ip(ip, 0, &a) < 0)
                return 0;
        /* An IPv4 address in IPv6 clothes is read as what it is, but is no candidate (RFC 8445
         * section 5.1.1.1). */
        if (a.sa.sa_family == AF_INET && strchr(ip, ':'))
                return 0;
        *ret = a;
        return 1;
}

static int parse_foundation(CandidateParser *p)
{
        SdpText t;

        if (!sdp_text_cut(&p->rest, ' ', &t) || !ice_foundation_is_valid(t.s, t.n))
                return -EBADMSG;
        memcpy(p->c.foundation, t.s, t.n);
        return 0;
}

static int parse_component(CandidateParser *p)
{
        uint64_t component;
        int r = next_number(p, 1, COMPONENT_MAX, &component);

        if (r >= 0 && component != ICE_COMPONENT)
                p->ignored = true;
        return r;
}

static int parse_transport(CandidateParser *p)
{
        SdpText t;

        if (!sdp_text_cut(&p->rest, ' ', &t) || !sdp_text_is_token(t))
                return -EBADMSG;
        if (sdp_text_equal_nocase(t, "tcp"))
                p->tcp = true;
        else if (!sdp_text_equal_nocase(t, "udp"))
                p->ignored = true;
        return 0;
}

static int parse_priority(CandidateParser *p)
{
        uint64_t priority;
        int r = next_number(p, 1, PRIORITY_MAX, &priority);

        if (r >= 0)
                p->c.priority = (uint32_t) priority;
        return r;
}

static int parse_address_and_port(CandidateParser *p)
{
        uint64_t port;
        SdpText t;
        int r;

        if (!sdp_text_cut(&p->rest, ' ', &t))
                return -EBADMSG;
        r = parse_address(t, &p->c.address);
        if (r < 0)
                return r;
        if (r == 0)
                p->ignored = true;
        r = next_number(p, 0, UINT16_MAX, &port);
        if (r >= 0 && socket_address_is_set(&p->c.address))
                socket_address_set_port(&p->c.address, (uint16_t) port);
        return r;
}

static int parse_type(CandidateParser *p)
{
        SdpText keyword, type;

        if (!sdp_text_cut(&p->rest, ' ', &keyword) || !sdp_text_equal_nocase(keyword, "typ") ||
            !sdp_text_cut(&p->rest, ' ', &type) || !sdp_text_is_token(type))
                return -EBADMSG;
        for (IceCandidateType i = 0; i < _ICE_CANDIDATE_TYPE_MAX; i++)
                if (sdp_text_equal_nocase(type, ice_candidate_type_to_string(i))) {
                        p->c.type = i;
                        return 0;
                }
        p->ignored = true;
        return 0;
}

static int parse_tcptype(CandidateParser *p, SdpText value)
{
        if (p->tcptype)
                return -EBADMSG;
        p->tcptype = true;
        for (IceTransport i = ICE_TRANSPORT_TCP_ACTIVE; i <= ICE_TRANSPORT_TCP_SO; i++)
                if (sdp_text_equal_nocase(value, startswith(ice_transport_to_string(i), "tcp-"))) {
                        p->c.transport = i;
                        return 0;
                }
        return -EBADMSG;
}

static int parse_raddr(CandidateParser *p, SdpText value)
{
        if (p->has_raddr)
                return -EBADMSG;
        p->has_raddr = true;
        return parse_address(value, &p->raddr);
}

static int parse_rport(CandidateParser *p, SdpText value)
{
        uint64_t port;

        if (p->has_rport || sdp_text_parse_number(value, 0, UINT16_MAX, &port) < 0)
                return -EBADMSG;
        p->has_rport = true;
        p->rport = (uint16_t) port;
        return 0;
}

/* raddr and rport are pairs of name and value as all that may follow them. */
static int parse_extension(CandidateParser *p)
{
        SdpText name, value;

        (void) sdp_text_cut(&p->rest, ' ', &name);
        if (!sdp_text_is_token(name) || !sdp_text_cut(&p->rest, ' ', &value) || !sdp_text_is_visible(value))
                return -EBADMSG;
        if (sdp_text_equal_nocase(name, "raddr"))
                return parse_raddr(p, value);
        if (sdp_text_equal_nocase(name, "rport"))
                return parse_rport(p, value);
        if (p->tcp && sdp_text_equal_nocase(name, "tcptype"))
                return parse_tcptype(p, value);
        return 0;
}

/* What only the whole line tells. */
static int check_candidate(CandidateParser *p)
{
        if (p->has_raddr != p->has_rport || p->tcp != p->tcptype)
                return -EBADMSG;
        if (!socket_address_is_set(&p->c.address))
                return 0;
        if (p->c.transport == ICE_TRANSPORT_TCP_ACTIVE && socket_address_port(&p->c.address) == 0)
                socket_address_set_port(&p->c.address, DISCARD_PORT);
        if (socket_address_port(&p->c.address) == 0)
                return -EBADMSG;
        if (p->c.type != ICE_CANDIDATE_HOST && !socket_address_is_unspecified(&p->raddr)) {
                p->c.related = p->raddr;
                socket_address_set_port(&p->c.related, p->rport);
        }
        return 0;
}

int sdp_parse_candidate(const char *s, size_t size, IceCandidate *ret)
{
        static int (*const steps[])(CandidateParser *p) = {
                parse_foundation, parse_component,        parse_transport,
                parse_priority,   parse_address_and_port, parse_type,
        };
        CandidateParser p = { .rest = { s, size } };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                r = steps[i](&p);
                if (r < 0)
                        return r;
        }
        while (p.rest.s) {
                r = parse_extension(&p);
                if (r < 0)
                        return r;
        }
        r = check_candidate(&p);
        if (r < 0)
                return r;
        if (p.ignored)
                return 0;
        *ret = p.c;
        return 1;
}

/* An address as others may see it: a scope is ours alone. */
static const char *format_address(const SocketAddress *a, char buf[static SOCKET_ADDRESS_STRLEN])
{
        SocketAddress copy = *a;

        if (copy.sa.sa_family == AF_INET6)
                copy.in6.sin6_scope_id = 0;
        return socket_address_format_ip(&copy, buf);
}

static bool address_is_writable(const SocketAddress *a)
{
        return a->sa.sa_family == AF_INET ||
               (a->sa.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr));
}

static bool candidate_is_writable(const IceCandidate *c)
{
        return ice_foundation_is_valid(c->foundation, strnlen(c->foundation, sizeof(c->foundation))) &&
               c->priority > 0 && c->priority <= PRIORITY_MAX && ice_transport_to_string(c->transport) &&
               ice_candidate_type_to_string(c->type) && address_is_writable(&c->address) &&
               (c->transport == ICE_TRANSPORT_TCP_ACTIVE || socket_address_port(&c->address) > 0) &&
               (!socket_address_is_set(&c->related) || address_is_writable(&c->related));
}

/* RFC 8839 section 5.1: always there but for a host candidate, "0.0.0.0" and the discard port if not known.
 */
static void format_related(const IceCandidate *c, char *buf, size_t size)
{
        const SocketAddress *a = &c->related;
        char ip[SOCKET_ADDRESS_STRLEN];

        *buf = '\0';
        if (c->type == ICE_CANDIDATE_HOST)
                return;
        if (!socket_address_is_unspecified(a))
                (void) snprintf(buf, size, " raddr %.45s rport %u", format_address(a, ip),
                                socket_address_port(a));
        else
                (void) snprintf(buf, size, " raddr %s rport %u",
                                c->address.sa.sa_family == AF_INET ? "0.0.0.0" : "::", DISCARD_PORT);
}

int sdp_format_candidate(const IceCandidate *c, char buf[static SDP_CANDIDATE_STRLEN])
{
        char ip[SOCKET_ADDRESS_STRLEN], related[80];
        const char *tcptype;
        uint16_t port;
        int n;

        if (!candidate_is_writable(c))
                return -EINVAL;
        tcptype = startswith(ice_transport_to_string(c->transport), "tcp-");
        port = socket_address_port(&c->address);
        format_related(c, related, sizeof(related));
        n = snprintf(buf, SDP_CANDIDATE_STRLEN, "%s %u %s %" PRIu32 " %s %u typ %s%s%s%s", c->foundation,
                     ICE_COMPONENT, tcptype ? "tcp" : "udp", c->priority, format_address(&c->address, ip),
                     port ?: DISCARD_PORT, ice_candidate_type_to_string(c->type), related,
                     tcptype ? " tcptype " : "", strempty(tcptype));
        assert(n > 0 && n < SDP_CANDIDATE_STRLEN);
        return 0;
}
