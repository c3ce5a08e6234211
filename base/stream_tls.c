/* SPDX-License-Identifier: Apache-2.0 */
/* TLS with OpenSSL over two memory BIOs. */
#include "base/stream_tls.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdlib.h>

struct tls {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
};

static const char *
reason(void)
{
    const char *text = ERR_reason_error_string(ERR_get_error());

    return text != NULL ? text : "unknown error";
}

static enum status
load_files(SSL_CTX *ctx, const struct stream_tls *o, struct error *err)
{
    if (o->verify && o->ca_file == NULL &&
        SSL_CTX_set_default_verify_paths(ctx) != 1)
        return error_set(err, ST_INVALID, "TLS: system CAs: %s", reason());
    if (o->verify && o->ca_file != NULL &&
        SSL_CTX_load_verify_file(ctx, o->ca_file) != 1)
        return error_set(err, ST_INVALID, "TLS: CA file %s: %s", o->ca_file,
                         reason());
    if (o->cert_file != NULL &&
        SSL_CTX_use_certificate_chain_file(ctx, o->cert_file) != 1)
        return error_set(err, ST_INVALID, "TLS: certificate %s: %s",
                         o->cert_file, reason());
    if (o->key_file != NULL &&
        SSL_CTX_use_PrivateKey_file(ctx, o->key_file, SSL_FILETYPE_PEM) != 1)
        return error_set(err, ST_INVALID, "TLS: key %s: %s", o->key_file,
                         reason());
    return ST_OK;
}

static bool
is_address(const char *host)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, host, bytes) == 1 ||
           inet_pton(AF_INET6, host, bytes) == 1;
}

/* Whom we expect, for the certificate and for the server's choice of one. */
static bool
expect(SSL *ssl, const char *host, bool any_host)
{
    if (is_address(host))
        return any_host ||
               X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return (any_host || SSL_set1_host(ssl, host) == 1) &&
           /* The macro casts const away, which clang would warn of. */
           SSL_set_tlsext_host_name(ssl, (char *)(uintptr_t)host) == 1;
}

enum status
stream_tls_new(struct tls **out, const struct stream_tls *opts,
               const char *host, struct error *err)
{
    struct tls *t = calloc(1, sizeof(*t));
    enum status st = ST_NOMEM;

    if (t == NULL)
        goto fail;
    ERR_clear_error();
    t->ctx = SSL_CTX_new(TLS_client_method());
    if (t->ctx == NULL ||
        SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) != 1)
        goto fail;
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_verify(t->ctx, opts->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       NULL);
    st = load_files(t->ctx, opts, err);
    if (st != ST_OK) {
        stream_tls_free(t);
        return st;
    }
    st = ST_NOMEM;
    t->ssl = SSL_new(t->ctx);
    if (t->ssl == NULL || !expect(t->ssl, host, opts->any_host))
        goto fail;
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (t->in == NULL || t->out == NULL) {
        BIO_free(t->in);
        BIO_free(t->out);
        goto fail;
    }
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_connect_state(t->ssl);
    *out = t;
    return ST_OK;
fail:
    stream_tls_free(t);
    return error_set(err, st, "TLS: %s", status_text(st));
}

void
stream_tls_free(struct tls *t)
{
    if (t == NULL)
        return;
    SSL_free(t->ssl);
    SSL_CTX_free(t->ctx);
    free(t);
}

enum status
stream_tls_put(struct tls *t, struct slice bytes)
{
    if (bytes.len > INT_MAX)
        return ST_TOOBIG;
    return BIO_write(t->in, bytes.ptr, (int)bytes.len) == (int)bytes.len
               ? ST_OK
               : ST_NOMEM;
}

enum status
stream_tls_handshake(struct tls *t, struct error *err)
{
    int r;
    long verdict;

    ERR_clear_error();
    r = SSL_do_handshake(t->ssl);
    if (r == 1)
        return ST_OK;
    r = SSL_get_error(t->ssl, r);
    if (r == SSL_ERROR_WANT_READ || r == SSL_ERROR_WANT_WRITE)
        return ST_AGAIN;
    verdict = SSL_get_verify_result(t->ssl);
    if (verdict != X509_V_OK)
        return error_set(err, ST_DENIED, "certificate refused: %s",
                         X509_verify_cert_error_string(verdict));
    return error_set(err, ST_LOST, "TLS handshake: %s", reason());
}

enum status
stream_tls_read(struct tls *t, char *p, size_t size, size_t *n,
                struct error *err)
{
    int r;

    ERR_clear_error();
    if (SSL_read_ex(t->ssl, p, size, n) == 1)
        return ST_OK;
    r = SSL_get_error(t->ssl, 0);
    if (r == SSL_ERROR_WANT_READ || r == SSL_ERROR_WANT_WRITE)
        return ST_AGAIN;
    if (r == SSL_ERROR_ZERO_RETURN)
        return error_set(err, ST_LOST, "closed by the peer");
    return error_set(err, ST_LOST, "TLS: %s", reason());
}

enum status
stream_tls_write(struct tls *t, struct slice bytes)
{
    size_t n;

    if (bytes.len == 0)
        return ST_OK;
    ERR_clear_error();
    /* A memory BIO takes everything, so nothing is ever written in part. */
    return SSL_write_ex(t->ssl, bytes.ptr, bytes.len, &n) == 1 ? ST_OK
                                                               : ST_LOST;
}

void
stream_tls_end(struct tls *t)
{
    ERR_clear_error();
    SSL_shutdown(t->ssl);
}

void
stream_tls_take(struct tls *t, struct buf *wire)
{
    char *p;
    long n = BIO_get_mem_data(t->out, &p);

    if (n <= 0)
        return;
    buf_add(wire, (struct slice){p, (size_t)n});
    (void)BIO_reset(t->out);
}
