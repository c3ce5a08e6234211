/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP call: its options, its callbacks and what comes of it. */
#include "worker/http_call.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

enum { RESPONSE_MAX = 1 << 20 /* when the caller names none */ };

struct http_call *
http_call_new(const struct http_request *rq)
{
    struct http_call *c = calloc(1, sizeof(*c));
    struct curl_slist *more;

    if (c == NULL)
        return NULL;
    list_init(&c->node);
    buf_init(&c->body, rq->max_response > 0 ? rq->max_response : RESPONSE_MAX);
    c->connect_timeout_ms = rq->connect_timeout_ms;
    c->first_byte_timeout_ms = rq->first_byte_timeout_ms;
    c->total_timeout_ms = rq->total_timeout_ms;
    c->method = strdup(rq->method);
    c->url = strdup(rq->url);
    c->sent_len = rq->body.len;
    c->sent = malloc(rq->body.len + 1);
    if (c->method == NULL || c->url == NULL || c->sent == NULL)
        goto fail;
    if (rq->body.len > 0)
        memcpy(c->sent, rq->body.ptr, rq->body.len);
    for (size_t i = 0; rq->headers != NULL && rq->headers[i] != NULL; i++) {
        more = curl_slist_append(c->headers, rq->headers[i]);
        if (more == NULL)
            goto fail;
        c->headers = more;
    }
    /* Curl asks "Expect: 100-continue" for large bodies and waits a second for
     * servers that ignore it. */
    more = curl_slist_append(c->headers, "Expect:");
    if (more == NULL)
        goto fail;
    c->headers = more;
    return c;
fail:
    http_call_free(c);
    return NULL;
}

void
http_call_free(struct http_call *c)
{
    if (c == NULL)
        return;
    curl_slist_free_all(c->headers);
    buf_fini(&c->body);
    free(c->method);
    free(c->url);
    free(c->sent);
    free(c);
}

/* ---- callbacks ---- */

static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
    struct http_call *c = arg;

    buf_add(&c->body, (struct slice){data, size * n});
    c->too_large = c->body.failed;
    return c->too_large ? 0 : size * n; /* 0: curl ends the call */
}

static void
keep_value(char *out, const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);

    if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
        return;
    line += n + 1;
    len -= n + 1;
    while (len > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    while (len > 0 && (unsigned char)line[len - 1] <= ' ')
        len--;
    if (len >= HEADER_VALUE_MAX)
        len = HEADER_VALUE_MAX - 1;
    memcpy(out, line, len);
    out[len] = '\0';
}

static size_t
on_header(char *data, size_t size, size_t n, void *arg)
{
    struct http_call *c = arg;
    size_t len = size * n;

    if (c->first_byte_us == 0)
        c->first_byte_us = clock_mono_us();
    c->header_bytes += len;
    if (c->header_bytes > HEADER_BYTES_MAX ||
        ++c->header_lines > HEADER_LINES_MAX) {
        c->too_large = true;
        return 0;
    }
    keep_value(c->content_type, data, len, "content-type");
    keep_value(c->retry_after, data, len, "retry-after");
    keep_value(c->retry_after_ms, data, len, "retry-after-ms");
    keep_value(c->request_id, data, len, "x-request-id");
    keep_value(c->request_id, data, len, "request-id");
    return len;
}

/* ---- options ---- */

#define SET(option, value)                                     \
    do {                                                       \
        if (curl_easy_setopt(easy, option, value) != CURLE_OK) \
            return ST_INVALID;                                 \
    } while (0)

/* What a call may not do, whatever it asks for. */
static enum status
set_safety(CURL *easy)
{
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_MAXREDIRS, 0L);
    SET(CURLOPT_UNRESTRICTED_AUTH, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_PROXY, ""); /* not even from the environment */
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_NOSIGNAL, 1L);
    /* Without it a dead name server blocks the loop while curl joins its
     * resolver thread: 9 s were measured. */
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    return ST_OK;
}

static enum status
set_method(struct http_call *c, CURL *easy)
{
    if (strcmp(c->method, "GET") == 0) {
        SET(CURLOPT_HTTPGET, 1L);
        return ST_OK;
    }
    if (strcmp(c->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
        return ST_OK;
    }
    if (strcmp(c->method, "POST") != 0)
        SET(CURLOPT_CUSTOMREQUEST, c->method);
    if (strcmp(c->method, "POST") == 0 || c->sent_len > 0) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDS, c->sent);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->sent_len);
    }
    return ST_OK;
}

enum status
http_call_prepare(struct http_call *c, CURL *easy)
{
    enum status st = set_safety(easy);

    if (st == ST_OK)
        st = set_method(c, easy);
    if (st != ST_OK)
        return st;
    SET(CURLOPT_URL, c->url);
    SET(CURLOPT_HTTPHEADER, c->headers);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, c);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, c);
    SET(CURLOPT_ERRORBUFFER, c->error);
    SET(CURLOPT_PRIVATE, c);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)c->connect_timeout_ms);
    SET(CURLOPT_TIMEOUT_MS, (long)c->total_timeout_ms);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    /* Wait for a connection that may carry many calls.  Not over plain HTTP:
     * there it would wait for the first whole answer. */
    SET(CURLOPT_PIPEWAIT, strncasecmp(c->url, "https:", 6) == 0 ? 1L : 0L);
    return ST_OK;
}

/* ---- the end ---- */

static bool
was_sent(CURL *easy)
{
    curl_off_t ready = 0;

    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
    return ready > 0;
}

static enum http_error
what_failed(const struct http_call *c, CURLcode code)
{
    if (c->too_large)
        return HTTP_ERR_TOO_LARGE;
    switch (code) {
    case CURLE_OK:
        return HTTP_ERR_NONE;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return HTTP_ERR_URL;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_FAILED_INIT:
    case CURLE_OUT_OF_MEMORY:
        return HTTP_ERR_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return c->easy != NULL && was_sent(c->easy) ? HTTP_ERR_TIMEOUT
                                                    : HTTP_ERR_CONNECT;
    default:
        return c->easy != NULL && was_sent(c->easy) ? HTTP_ERR_LOST
                                                    : HTTP_ERR_CONNECT;
    }
}

static struct slice
kept(const char *value)
{
    return (struct slice){*value == '\0' ? NULL : value, strlen(value)};
}

void
http_call_result(struct http_call *c, CURLcode code, struct http_response *out)
{
    uint64_t now = clock_mono_us();
    long status = 0;

    *out = (struct http_response){.error = what_failed(c, code)};
    if (out->error == HTTP_ERR_TOO_LARGE)
        out->error_text = "the answer is over the size limit";
    else if (out->error != HTTP_ERR_NONE)
        out->error_text =
            c->error[0] != '\0' ? c->error : curl_easy_strerror(code);
    if (c->easy != NULL)
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    out->status = (int)status;
    out->body = (struct slice){c->body.data, c->body.len};
    out->content_type = kept(c->content_type);
    out->retry_after = kept(c->retry_after);
    out->retry_after_ms = kept(c->retry_after_ms);
    out->request_id = kept(c->request_id);
    if (c->started_us != 0)
        out->total_us = now - c->started_us;
    if (c->first_byte_us != 0)
        out->first_byte_us = c->first_byte_us - c->started_us;
}
