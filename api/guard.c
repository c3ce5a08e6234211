/* SPDX-License-Identifier: Apache-2.0 */
/* The strict reader of request heads.
 *
 * Smuggling lives from two parsers that disagree about where a request ends.
 * So whatever RFC 9112 allows a server to repair (bare LF, folded lines, blanks
 * before a colon, repeated or decorated Content-Length) is refused here, and
 * what this file has accepted is the only head that anything behind it sees:
 * civetweb is handed a head that we wrote (api/wire.c).  See
 * docs/adr/0101-request-guard.md. */
#include "api/guard.h"

#include <string.h>
#include <strings.h>

static bool
refuse(struct guard_refusal *why, int status, const char *detail)
{
    why->status = status;
    why->detail = detail;
    return false;
}

/* RFC 9110 "tchar". */
static bool
is_token_char(unsigned char c)
{
    static const char extra[] = "!#$%&'*+-.^_`|~";

    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || (c != '\0' && strchr(extra, c) != NULL);
}

static bool
is_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_token_char((unsigned char)s.ptr[i]))
            return false;
    return s.len > 0;
}

static bool
is_ci(struct slice s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.ptr, word, s.len) == 0;
}

/* ---- the end of the head ---- */

static long
broken(struct guard_refusal *why)
{
    refuse(why, 400, "Malformed request");
    return -1;
}

/* Position i is a CR: it must be followed by LF, as far as can be seen. */
static bool
is_bare_cr(const char *p, size_t n, size_t i)
{
    return i + 1 < n && p[i + 1] != '\n';
}

long
guard_scan(const char *p, size_t n, size_t *seen, struct guard_refusal *why)
{
    /* One empty line before the request line is allowed (RFC 9112 2.2). */
    size_t skip = n >= 2 && p[0] == '\r' && p[1] == '\n' ? 2 : 0;
    size_t i = *seen > skip ? *seen : skip;

    for (; i < n; i++) {
        unsigned char c = (unsigned char)p[i];

        if (c == '\n' && (i == 0 || p[i - 1] != '\r'))
            return broken(why);
        if (c == '\r' && is_bare_cr(p, n, i))
            return broken(why);
        if ((c < 0x20 && c != '\r' && c != '\n' && c != '\t') || c == 0x7f)
            return broken(why);
        if (i == skip && c != '\r' && !is_token_char(c))
            return broken(why);
        if (i == skip + 1 && c == '\n' && skip == 2)
            return broken(why); /* a second empty line */
        if (c == '\n' && i >= skip + 3 && p[i - 2] == '\n')
            return (long)(i + 1);
    }
    /* The last byte is seen again if it is a CR whose LF is still to come. */
    *seen = n > 0 && p[n - 1] == '\r' ? n - 1 : n;
    if (n >= GUARD_HEAD_MAX) {
        refuse(why, 400, "Request head too large");
        return -1;
    }
    return 0;
}

/* ---- the request line ---- */

static enum http_method
method_of(struct slice s)
{
    static const char *const names[] = {"GET",    "HEAD",  "POST",    "PUT",
                                        "DELETE", "PATCH", "OPTIONS", "TRACE"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (s.len == strlen(names[i]) && memcmp(s.ptr, names[i], s.len) == 0)
            return (enum http_method)i;
    return HTTP_OTHER;
}

/* Only the origin form: "/path?query", printable ASCII, no fragment. */
static bool
is_target(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f || s.ptr[i] == '#' ||
            s.ptr[i] == '\\')
            return false;
    return s.len > 0 && s.ptr[0] == '/';
}

static bool
read_version(struct slice s, struct http_request *out,
             struct guard_refusal *why)
{
    if (s.len != 8 || memcmp(s.ptr, "HTTP/", 5) != 0 || s.ptr[5] < '0' ||
        s.ptr[5] > '9' || s.ptr[6] != '.' || s.ptr[7] < '0' || s.ptr[7] > '9')
        return refuse(why, 400, "Malformed request line");
    if (s.ptr[5] != '1' || s.ptr[7] > '1')
        return refuse(why, 505, "HTTP version not supported");
    out->http_1_0 = s.ptr[7] == '0';
    return true;
}

static struct slice
until(struct slice *rest, char sep)
{
    const char *end = memchr(rest->ptr, sep, rest->len);
    struct slice word = *rest;

    if (end == NULL) {
        *rest = (struct slice){rest->ptr + rest->len, 0};
        return word;
    }
    word.len = (size_t)(end - rest->ptr);
    *rest = (struct slice){end + 1, rest->len - word.len - 1};
    return word;
}

static bool
read_request_line(struct slice line, struct http_request *out,
                  struct guard_refusal *why)
{
    const char *mark;

    out->method_text = until(&line, ' ');
    out->target = until(&line, ' ');
    if (!is_token(out->method_text) || !is_target(out->target))
        return refuse(why, 400, "Malformed request line");
    if (!read_version(line, out, why))
        return false;
    out->method = method_of(out->method_text);
    out->path = out->target;
    mark = memchr(out->target.ptr, '?', out->target.len);
    if (mark != NULL) {
        out->path.len = (size_t)(mark - out->target.ptr);
        out->query =
            (struct slice){mark + 1, out->target.len - out->path.len - 1};
    }
    return true;
}

/* ---- the headers ---- */

static struct slice
trim(struct slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s.ptr++, s.len--;
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* A folded line begins with a blank and so has no token for a name; the same
 * check refuses a blank before the colon and an empty name. */
static bool
read_header(struct slice line, struct http_request *out,
            struct guard_refusal *why)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    struct http_header *h;

    if (out->header_count == GUARD_HEADERS_MAX)
        return refuse(why, 431, "Too many request headers");
    if (colon == NULL)
        return refuse(why, 400, "Malformed request header");
    h = &out->headers[out->header_count++];
    h->name = (struct slice){line.ptr, (size_t)(colon - line.ptr)};
    h->value = trim(
        (struct slice){colon + 1, line.len - (size_t)(colon - line.ptr) - 1});
    if (!is_token(h->name))
        return refuse(why, 400, "Malformed request header");
    return true;
}

static size_t
count(const struct http_request *rq, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < rq->header_count; i++)
        n += is_ci(rq->headers[i].name, name);
    return n;
}

struct slice
http_header(const struct http_request *rq, const char *name)
{
    for (size_t i = 0; i < rq->header_count; i++)
        if (is_ci(rq->headers[i].name, name))
            return rq->headers[i].value;
    return (struct slice){NULL, 0};
}

static bool
is_host(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (!is_token_char(c) && c != ':' && c != '[' && c != ']')
            return false;
    }
    return s.len > 0 && s.len <= 255;
}

static bool
check_singles(const struct http_request *rq, struct guard_refusal *why)
{
    static const char *const singles[] = {
        "host",          "content-length", "transfer-encoding",
        "authorization", "content-type",   "content-encoding",
        "expect",        "origin"};
    struct slice host = http_header(rq, "host");

    for (size_t i = 0; i < sizeof(singles) / sizeof(singles[0]); i++)
        if (count(rq, singles[i]) > 1)
            return refuse(why, 400, "Repeated request header");
    if (host.ptr == NULL && rq->http_1_0)
        return true;
    if (host.ptr == NULL || !is_host(host))
        return refuse(why, 400, "Missing or malformed Host header");
    return true;
}

static bool
read_length(struct slice s, int64_t max_body, struct http_request *out,
            struct guard_refusal *why)
{
    int64_t n = 0;

    if (s.len == 0 || s.len > 18)
        return refuse(why, 400, "Malformed Content-Length");
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return refuse(why, 400, "Malformed Content-Length");
        n = n * 10 + (s.ptr[i] - '0');
    }
    if (n > max_body)
        return refuse(why, 413, "Request body too large");
    out->content_length = n;
    return true;
}

/* Where the body ends: by Content-Length or by chunks, never by both. */
static bool
read_framing(int64_t max_body, struct http_request *out,
             struct guard_refusal *why)
{
    struct slice te = http_header(out, "transfer-encoding");
    struct slice cl = http_header(out, "content-length");

    if (te.ptr == NULL)
        return cl.ptr == NULL || read_length(cl, max_body, out, why);
    if (cl.ptr != NULL)
        return refuse(why, 400,
                      "Content-Length and Transfer-Encoding in one request");
    if (out->http_1_0 || te.len == 0)
        return refuse(why, 400, "Malformed Transfer-Encoding");
    if (!is_ci(te, "chunked"))
        return refuse(why, 501, "Transfer-Encoding not supported");
    out->chunked = true;
    return true;
}

/* Whether the comma list in a Connection header holds word. */
static bool
has_option(const struct http_request *rq, const char *word)
{
    for (size_t i = 0; i < rq->header_count; i++) {
        struct slice rest = rq->headers[i].value;

        if (!is_ci(rq->headers[i].name, "connection"))
            continue;
        while (rest.len > 0)
            if (is_ci(trim(until(&rest, ',')), word))
                return true;
    }
    return false;
}

static bool
read_wishes(struct http_request *out, struct guard_refusal *why)
{
    struct slice expect = http_header(out, "expect");

    out->keep_alive = out->http_1_0 ? has_option(out, "keep-alive")
                                    : !has_option(out, "close");
    if (expect.ptr == NULL)
        return true;
    if (!is_ci(expect, "100-continue"))
        return refuse(why, 417, "Expectation failed");
    out->expect_continue = !out->http_1_0;
    return true;
}

bool
guard_read(struct slice head, int64_t max_body, struct http_request *out,
           struct guard_refusal *why)
{
    struct slice rest = head;

    memset(out, 0, sizeof(*out));
    if (rest.len >= 2 && rest.ptr[0] == '\r')
        rest.ptr += 2, rest.len -= 2;
    rest.len -= 2; /* the empty line */
    for (bool first = true; rest.len > 0; first = false) {
        struct slice line = until(&rest, '\n');

        line.len--; /* guard_scan has seen that each LF follows a CR */
        if (first ? !read_request_line(line, out, why)
                  : !read_header(line, out, why))
            return false;
    }
    return check_singles(out, why) && read_framing(max_body, out, why) &&
           read_wishes(out, why);
}

int64_t
guard_chunk_size(struct slice line)
{
    int64_t n = 0;

    if (line.len == 0 || line.len > 8)
        return -1;
    for (size_t i = 0; i < line.len; i++) {
        char c = line.ptr[i];

        if (c >= '0' && c <= '9')
            n = n * 16 + (c - '0');
        else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
            n = n * 16 + ((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return n;
}
