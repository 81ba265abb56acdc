/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "socket-address.h"

#include <fcntl.h>

struct TlsContext {
        SSL_CTX *ctx;
        char *name;   /* without a final dot */
        bool literal; /* name is an IP address */
        long refusal; /* X509_V_ERR_*; X509_V_OK: none */
};

TlsContext *tls_context_free(TlsContext *context)
{
        if (!context)
                return NULL;
        SSL_CTX_free(context->ctx);
        free(context->name);
        return mfree(context);
}

/* The connection is freed by its library before anyone can ask it why it failed. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
        SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
        TlsContext *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

        if (!ok && context->refusal == X509_V_OK)
                context->refusal = X509_STORE_CTX_get_error(store);
        return ok;
}

/* Whoever made the connection named the server by the address it connects to; RFC 6066 section 3 wants the
 * name, and nothing in place of a literal. */
static void on_info(const SSL *ssl, int where, int value)
{
        TlsContext *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

        if (!(where & SSL_CB_HANDSHAKE_START))
                return;
        context->refusal = X509_V_OK;
        (void) SSL_set_tlsext_host_name((SSL *) ssl, context->literal ? NULL : context->name);
}

static int tls_context_set_name(TlsContext *context, const char *name)
{
        X509_VERIFY_PARAM *parameters = SSL_CTX_get0_param(context->ctx);
        SocketAddress address;
        size_t n = strlen(name);
        int ok;

        if (n > 1 && name[n - 1] == '.')
                n--;
        context->name = strndup(name, n);
        if (!context->name)
                return -ENOMEM;
        context->literal = socket_address_from_ip(name, 0, &address) >= 0;
        if (context->literal)
                ok = X509_VERIFY_PARAM_set1_ip_asc(parameters, context->name);
        else
                ok = n > 0 && X509_VERIFY_PARAM_set1_host(parameters, context->name, n);
        if (!ok)
                return -EINVAL;
        X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        return 0;
}

static int tls_context_set_ca(TlsContext *context, const char *ca_file)
{
        _cleanup_close_ int fd = -EBADF;

        if (!ca_file)
                return SSL_CTX_set_default_verify_paths(context->ctx) ? 0 : -EIO;
        /* OpenSSL does not tell why it could not read a file. */
        fd = open(ca_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return -errno;
        return SSL_CTX_load_verify_file(context->ctx, ca_file) ? 0 : -EBADMSG;
}

int tls_context_new(const char *name, const char *ca_file, TlsContext **ret)
{
        _cleanup_(tls_context_freep) TlsContext *context = new0(TlsContext, 1);
        int r;

        if (!context)
                return -ENOMEM;
        context->ctx = SSL_CTX_new(TLS_client_method());
        if (!context->ctx)
                return -ENOMEM;
        SSL_CTX_set_app_data(context->ctx, context);
        SSL_CTX_set_mode(context->ctx, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_verify(context->ctx, SSL_VERIFY_PEER, on_verify);
        SSL_CTX_set_info_callback(context->ctx, on_info);
        r = SSL_CTX_set_min_proto_version(context->ctx, TLS1_2_VERSION) ? 0 : -EIO;
        if (r >= 0)
                r = tls_context_set_name(context, name);
        if (r >= 0)
                r = tls_context_set_ca(context, ca_file);
        ERR_clear_error();
        if (r < 0)
                return r;
        *ret = TAKE_PTR(context);
        return 0;
}

/* Nobody is there who could type one. */
static int on_passphrase(char *buf, int size, int writing, void *userdata)
{
        return -1;
}

static int use_certificates(SSL_CTX *ctx, const char *pem)
{
        BIO *bio = BIO_new_mem_buf(pem, -1);
        size_t n = 0;
        bool good = true;
        X509 *certificate;

        if (!bio)
                return -ENOMEM;
        while (good && (certificate = PEM_read_bio_X509(bio, NULL, on_passphrase, NULL))) {
                good = n++ == 0 ? SSL_CTX_use_certificate(ctx, certificate)
                                : SSL_CTX_add1_chain_cert(ctx, certificate);
                X509_free(certificate);
        }
        BIO_free(bio);
        return good && n > 0 ? 0 : -EBADMSG;
}

static int use_key(SSL_CTX *ctx, const char *pem)
{
        BIO *bio = BIO_new_mem_buf(pem, -1);
        EVP_PKEY *key;
        bool good;

        if (!bio)
                return -ENOMEM;
        key = PEM_read_bio_PrivateKey(bio, NULL, on_passphrase, NULL);
        BIO_free(bio);
        if (!key)
                return -EBADMSG;
        good = SSL_CTX_use_PrivateKey(ctx, key) && SSL_CTX_check_private_key(ctx);
        EVP_PKEY_free(key);
        return good ? 0 : -EINVAL;
}

int tls_context_set_identity(TlsContext *context, const char *pem)
{
        int r;

        r = use_certificates(context->ctx, pem);
        if (r >= 0)
                r = use_key(context->ctx, pem);
        ERR_clear_error();
        return r;
}

struct ssl_ctx_st *tls_context_get(TlsContext *context)
{
        return context->ctx;
}

const char *tls_context_refusal(const TlsContext *context)
{
        return context->refusal != X509_V_OK ? X509_verify_cert_error_string(context->refusal) : NULL;
}

bool tls_is_established(const struct ssl_st *ssl)
{
        return SSL_is_init_finished(ssl);
}

bool tls_wants_write(const struct ssl_st *ssl)
{
        return SSL_want_write(ssl);
}

size_t tls_pending(const struct ssl_st *ssl)
{
        return (size_t) SSL_pending(ssl);
}
