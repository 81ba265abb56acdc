/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "alloc-util.h"
#include "sdp.h"

typedef struct Writer {
        char *buf; /* SDP_SIZE_MAX + 1 bytes */
        size_t n;
} Writer;

static void writer_done(Writer *w)
{
        erase_and_free_string(w->buf);
}

/* One line. Nothing that passed the checks is longer than the buffer: 32 candidates of at most 190 bytes,
 * two credentials of 256 and some 300 of frame. */
static void _printf_(2, 3) writer_line(Writer *w, const char *format, ...)
{
        size_t left = SDP_SIZE_MAX + 1 - w->n;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(w->buf + w->n, left, format, ap);
        va_end(ap);
        assert(n >= 0 && (size_t) n + 2 < left);
        w->n += (size_t) n;
        memcpy(w->buf + w->n, "\r\n", 3);
        w->n += 2;
}

static bool description_is_writable(const SdpDescription *d)
{
        return ice_ufrag_is_valid(d->ufrag, strnlen(d->ufrag, sizeof(d->ufrag))) &&
               ice_pwd_is_valid(d->pwd, strnlen(d->pwd, sizeof(d->pwd))) &&
               d->n_candidates <= SDP_CANDIDATES_MAX && d->session_id <= SDP_SESSION_ID_MAX &&
               d->session_version <= SDP_SESSION_ID_MAX;
}

static void write_options(Writer *w, const SdpDescription *d)
{
        if (d->ice2 || d->trickle)
                writer_line(w, "a=ice-options:%s%s%s", d->ice2 ? "ice2" : "",
                            d->ice2 && d->trickle ? " " : "", d->trickle ? "trickle" : "");
        if (d->pacing > 0)
                writer_line(w, "a=ice-pacing:%" PRIu32, d->pacing);
}

static void write_credentials(Writer *w, const SdpDescription *d)
{
        writer_line(w, "a=ice-ufrag:%s", d->ufrag);
        writer_line(w, "a=ice-pwd:%s", d->pwd);
}

static int write_candidates(Writer *w, const SdpDescription *d)
{
        char buf[SDP_CANDIDATE_STRLEN];
        int r;

        for (size_t i = 0; i < d->n_candidates; i++) {
                r = sdp_format_candidate(d->candidates + i, buf);
                if (r < 0)
                        return r;
                writer_line(w, "a=candidate:%s", buf);
        }
        if (d->end_of_candidates)
                writer_line(w, "a=end-of-candidates");
        return 0;
}

/* The default destination (RFC 8839 section 4.2.1.2): the UDP candidate that is most likely to work for a
 * peer without ICE; NULL while there is none. */
static const IceCandidate *default_candidate(const SdpDescription *d)
{
        const IceCandidate *best = NULL;

        for (size_t i = 0; i < d->n_candidates; i++) {
                const IceCandidate *c = d->candidates + i;

                if (c->transport == ICE_TRANSPORT_UDP && (!best || c->type > best->type))
                        best = c;
        }
        return best;
}

/* RFC 8840 section 4.1.1: without a candidate the port is 9 and the address unspecified. */
static void write_media(Writer *w, const SdpDescription *d)
{
        const IceCandidate *c = default_candidate(d);
        SocketAddress a = {};

        if (!c) {
                writer_line(w, "m=application 9 UDP wireguard");
                writer_line(w, "c=IN IP4 0.0.0.0");
                return;
        }
        a = c->address;
        if (a.sa.sa_family == AF_INET6)
                a.in6.sin6_scope_id = 0;
        writer_line(w, "m=application %u UDP wireguard", socket_address_port(&a));
        writer_line(w, "c=IN %s %s", a.sa.sa_family == AF_INET ? "IP4" : "IP6", SOCKET_ADDRESS_IP_STR(&a));
}

static int format(const SdpDescription *d, int (*write)(Writer *w, const SdpDescription *d), char **ret)
{
        _cleanup_(writer_done) Writer w = {};
        int r;

        if (!description_is_writable(d))
                return -EINVAL;
        w.buf = malloc(SDP_SIZE_MAX + 1);
        if (!w.buf)
                return -ENOMEM;
        *w.buf = '\0';
        r = write(&w, d);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w.buf);
        return 0;
}

static int write_description(Writer *w, const SdpDescription *d)
{
        char buf[SDP_CANDIDATE_STRLEN];

        /* Before anything of them is written: the default candidate is one of them. */
        for (size_t i = 0; i < d->n_candidates; i++)
                if (sdp_format_candidate(d->candidates + i, buf) < 0)
                        return -EINVAL;

        writer_line(w, "v=0");
        writer_line(w, "o=- %" PRIu64 " %" PRIu64 " IN IP4 0.0.0.0", d->session_id, d->session_version);
        writer_line(w, "s=-");
        writer_line(w, "t=0 0");
        write_options(w, d);
        write_media(w, d);
        writer_line(w, "a=mid:0");
        write_credentials(w, d);
        return write_candidates(w, d);
}

static int write_fragment(Writer *w, const SdpDescription *d)
{
        write_options(w, d);
        write_credentials(w, d);
        writer_line(w, "m=application 9 UDP wireguard");
        writer_line(w, "a=mid:0");
        return write_candidates(w, d);
}

int sdp_format_description(const SdpDescription *d, char **ret)
{
        return format(d, write_description, ret);
}

int sdp_format_fragment(const SdpDescription *d, char **ret)
{
        return format(d, write_fragment, ret);
}
