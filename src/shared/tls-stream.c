/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tls-stream.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>

#include "alloc-util.h"
#include "fd-util.h"

struct TlsStream {
        TlsContext *context;
        SSL *ssl;
        bool established;
        bool broken;       /* nothing may be said any more, not even goodbye */
        const char *error; /* a constant */
};

TlsStream *tls_stream_free(TlsStream *stream)
{
        if (!stream)
                return NULL;
        if (stream->ssl && stream->established && !stream->broken)
                (void) SSL_shutdown(stream->ssl);
        SSL_free(stream->ssl);
        ERR_clear_error();
        return mfree(stream);
}

int tls_stream_new(TlsContext *context, int fd, TlsStream **ret)
{
        _cleanup_(tls_stream_freep) TlsStream *stream = new0(TlsStream, 1);

        if (!stream)
                return -ENOMEM;
        ignore_sigpipe();
        stream->context = context;
        stream->ssl = SSL_new(tls_context_get(context));
        if (!stream->ssl || !SSL_set_fd(stream->ssl, fd)) {
                ERR_clear_error();
                return -ENOMEM;
        }
        SSL_set_connect_state(stream->ssl);
        SSL_set_mode(stream->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        *ret = TAKE_PTR(stream);
        return 0;
}

static int fail(TlsStream *stream, int error, const char *reason)
{
        stream->broken = true;
        stream->error = reason;
        return error;
}

static int fail_protocol(TlsStream *stream)
{
        const char *refusal = tls_context_refusal(stream->context), *reason;

        if (refusal && !stream->established)
                return fail(stream, -EKEYREJECTED, refusal);
        reason = ERR_reason_error_string(ERR_peek_error());
        return fail(stream, -EPROTO, reason ?: "TLS failed");
}

static int fail_socket(TlsStream *stream, int error)
{
        if (error == 0)
                return fail(stream, -ECONNRESET, "the server closed the connection");
        return fail(stream, -error, strerror(error));
}

/* What a call that returned `n` (not positive) means; 0: the other side has ended. */
static int explain(TlsStream *stream, int n, uint32_t *ret_events)
{
        int error = errno, r;

        switch (SSL_get_error(stream->ssl, n)) {
        case SSL_ERROR_WANT_READ:
                *ret_events = EPOLLIN;
                return -EAGAIN;
        case SSL_ERROR_WANT_WRITE:
                *ret_events = EPOLLOUT;
                return -EAGAIN;
        case SSL_ERROR_ZERO_RETURN:
                return 0;
        case SSL_ERROR_SYSCALL:
                r = fail_socket(stream, error);
                break;
        default:
                r = fail_protocol(stream);
                break;
        }
        ERR_clear_error();
        return r;
}

int tls_stream_handshake(TlsStream *stream, uint32_t *ret_events)
{
        int n, r;

        if (stream->established)
                return 0;
        ERR_clear_error();
        errno = 0;
        n = SSL_do_handshake(stream->ssl);
        if (n == 1) {
                stream->established = true;
                return 0;
        }
        r = explain(stream, n, ret_events);
        return r != 0 ? r : fail_socket(stream, /* error= */ 0);
}

/* A server that ends TCP without TLS's own goodbye has ended nevertheless: what it sends says by itself how
 * long it is. */
static bool is_bare_end(const TlsStream *stream, int n)
{
        return SSL_get_error(stream->ssl, n) == SSL_ERROR_SSL &&
               ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}

/* What a reading or writing begins with. */
static int begin(TlsStream *stream, uint32_t *ret_events)
{
        int r = tls_stream_handshake(stream, ret_events);

        ERR_clear_error();
        errno = 0;
        return r;
}

ssize_t tls_stream_read(TlsStream *stream, void *data, size_t size, uint32_t *ret_events)
{
        int n, r;

        r = begin(stream, ret_events);
        if (r < 0)
                return r;
        n = SSL_read(stream->ssl, data, (int) MIN(size, (size_t) INT_MAX));
        if (n > 0)
                return n;
        if (is_bare_end(stream, n)) {
                stream->broken = true;
                ERR_clear_error();
                return 0;
        }
        return explain(stream, n, ret_events);
}

ssize_t tls_stream_write(TlsStream *stream, const void *data, size_t size, uint32_t *ret_events)
{
        int n, r;

        r = begin(stream, ret_events);
        if (r < 0)
                return r;
        n = SSL_write(stream->ssl, data, (int) MIN(size, (size_t) INT_MAX));
        if (n > 0)
                return n;
        r = explain(stream, n, ret_events);
        return r != 0 ? r : fail_socket(stream, EPIPE);
}

const char *tls_stream_error(const TlsStream *stream)
{
        return stream->error ?: "TLS failed";
}
