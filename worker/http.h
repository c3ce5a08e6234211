/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORKER_HTTP_H
#define WORKER_HTTP_H

#include "base/buf.h"

#include <uv.h>

/* The node's HTTP client: libcurl's multi interface on the loop.  Connections
 * are kept and shared, HTTP/2 where the server speaks it; nothing blocks. */
struct http;
struct http_call;

struct http_request {
    const char *method;         /* "POST", ... */
    const char *url;            /* http or https */
    const char *const *headers; /* "name: value", NULL-terminated; or NULL */
    struct slice body;          /* copied */
    uint32_t connect_timeout_ms, first_byte_timeout_ms, total_timeout_ms;
    size_t max_response; /* bytes of body; more ends the call */
};

/* Why there is no answer. */
enum http_error {
    HTTP_ERR_NONE,
    HTTP_ERR_CONNECT, /* nothing was sent */
    HTTP_ERR_TIMEOUT,
    HTTP_ERR_LOST, /* sent, and no (whole) answer came */
    HTTP_ERR_TOO_LARGE,
    HTTP_ERR_URL /* a bad URL or scheme */
};

struct http_response {
    enum http_error error;
    const char *error_text; /* NULL with HTTP_ERR_NONE */
    int status;
    struct slice body, content_type, retry_after, retry_after_ms, request_id;
    uint64_t first_byte_us, total_us;
};

/* r is borrowed. */
typedef void http_fn(void *arg, const struct http_response *r);

enum status http_open(struct http **out, uv_loop_t *loop, size_t max_calls,
                      struct error *err);
/* Cancels what runs; closed(arg) once. */
void http_close(struct http *h, void (*closed)(void *arg), void *arg);

/* fn is called once, not before this returns; *out dies with that call. ST_LOST
 * after http_close().  Over max_calls at once the call
 * waits its turn and the waiting does not count against its timeouts. */
enum status http_call(struct http *h, const struct http_request *rq,
                      http_fn *fn, void *arg, struct http_call **out);
void http_cancel(struct http_call *c); /* fn is not called any more */
size_t http_active(const struct http *h);

#endif
