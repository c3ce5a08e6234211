/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORKER_HTTP_CALL_H
#define WORKER_HTTP_CALL_H

#include <curl/curl.h>

#include "base/list.h"
#include "worker/http.h"

/* One HTTP call: for worker/http*.c only. */

enum {
    HEADER_BYTES_MAX = 64 << 10,
    HEADER_LINES_MAX = 100,
    HEADER_VALUE_MAX = 128 /* of the few values that we keep */
};

struct http_call {
    struct list node; /* in http's waiting or running list */
    struct http *http;
    http_fn *fn;
    void *arg;
    CURL *easy; /* NULL while it waits */

    /* the request, owned */
    char *method, *url, *sent;
    size_t sent_len;
    struct curl_slist *headers;
    uint32_t connect_timeout_ms, first_byte_timeout_ms, total_timeout_ms;

    /* the answer so far */
    struct buf body;
    size_t header_bytes, header_lines;
    char content_type[HEADER_VALUE_MAX], retry_after[HEADER_VALUE_MAX];
    char retry_after_ms[HEADER_VALUE_MAX], request_id[HEADER_VALUE_MAX];
    uint64_t started_us, first_byte_us; /* monotonic; 0: not yet */
    bool too_large;
    char error[CURL_ERROR_SIZE];
};

struct http_call *http_call_new(const struct http_request *rq);
void http_call_free(struct http_call *c); /* the easy handle is http's */

/* Prepares easy, which is as new, for c. */
enum status http_call_prepare(struct http_call *c, CURL *easy);

/* The answer as the caller sees it; borrowed from c. */
void http_call_result(struct http_call *c, CURLcode code,
                      struct http_response *out);

#endif
