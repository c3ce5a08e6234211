#ifndef API_GUARD_H
#define API_GUARD_H

#include "base/buf.h"

#include <stdint.h>

/* The strict reader of HTTP/1.x request heads: bytes in, a request or a refusal
 * out.  Pure: api/wire.c moves the bytes.  RFC 9112 with every leniency taken
 * out that two parsers could read differently (security.md 1.1). */
enum {
    GUARD_HEAD_MAX = 16384, /* request line and headers with their CRLFs */
    GUARD_HEADERS_MAX = 64
};

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS,
    HTTP_TRACE,
    HTTP_OTHER /* a well-formed token that is none of these */
};

struct http_header {
    struct slice name, value; /* value without blanks around it */
};

/* A request head.  Every slice points into the bytes that were read. */
struct http_request {
    enum http_method method;
    struct slice method_text;
    struct slice target;      /* as sent: path and query */
    struct slice path, query; /* still percent-encoded; query.ptr NULL: none */
    struct http_header headers[GUARD_HEADERS_MAX];
    size_t header_count;
    bool http_1_0;
    bool keep_alive; /* the client's wish */
    bool chunked, expect_continue;
    int64_t content_length; /* 0 when there is none */
};

/* Why a request is not taken: the answer to give before closing. */
struct guard_refusal {
    int status; /* 0: none */
    const char *detail;
};

/* Looks for the end of the head (an empty line) in the first n bytes.  Returns
 * its length, 0 when more bytes are needed, or -1 when no request can start
 * like this (control characters, bare LF or CR): then why is filled.  Call with
 * the number of bytes seen by the call before in *seen: they are not looked at
 * again. */
long guard_scan(const char *p, size_t n, size_t *seen,
                struct guard_refusal *why);

/* Reads the complete head.  max_body: Content-Length above it is 413. */
bool guard_read(struct slice head, int64_t max_body, struct http_request *out,
                struct guard_refusal *why);

/* The value of a header (name in any case); ptr NULL: absent. */
struct slice http_header(const struct http_request *rq, const char *name);

/* The size of a chunk from its line without the CRLF; -1: malformed (anything
 * but 1 to 8 hexadecimal digits: no sign, no 0x, no extension). */
int64_t guard_chunk_size(struct slice line);

#endif
