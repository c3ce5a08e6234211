/* SPDX-License-Identifier: Apache-2.0 */
/* Writing requests: what the provider codecs share. */
#include "protocol/llm_codec.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
add_char(struct buf *b, char c)
{
    buf_add(b, (struct slice){&c, 1});
}

/* A comma unless this is the first thing in its container or follows its key.
 */
static void
add_key(struct buf *b, const char *key)
{
    char last = b->len > 0 ? b->data[b->len - 1] : '{';

    if (last != '{' && last != '[' && last != ':')
        add_char(b, ',');
    if (key != NULL) {
        json_add_string(b, slice_of(key));
        add_char(b, ':');
    }
}

void
llm_open(struct buf *b, const char *key, char bracket)
{
    if (b->len > 0)
        add_key(b, key);
    add_char(b, bracket);
}

void
llm_shut(struct buf *b, char bracket)
{
    add_char(b, bracket);
}

void
llm_add_str(struct buf *b, const char *key, struct slice s)
{
    add_key(b, key);
    json_add_string(b, s);
}

void
llm_add_int(struct buf *b, const char *key, int64_t v)
{
    add_key(b, key);
    buf_addf(b, "%" PRId64, v);
}

void
llm_add_num(struct buf *b, const char *key, double v)
{
    char text[32];

    if (!isfinite(v))
        return;
    add_key(b, key);
    /* The shorter form if it reads back as the same number. */
    snprintf(text, sizeof(text), "%.15g", v);
    if (strtod(text, NULL) != v)
        snprintf(text, sizeof(text), "%.17g", v);
    buf_add(b, slice_of(text));
}

void
llm_add_bool(struct buf *b, const char *key, bool v)
{
    add_key(b, key);
    buf_add(b, slice_of(v ? "true" : "false"));
}

void
llm_add_json(struct buf *b, const char *key, struct json_object *v)
{
    add_key(b, key);
    json_add(b, v);
}

const struct llm_turn *
llm_turns(const struct llm_query *q, struct llm_turn *one, size_t *n)
{
    *n = 1;
    *one = (struct llm_turn){LLM_USER, q->prompt};
    if (q->turn_count == 0)
        return one;
    *n = q->turn_count;
    return q->turns;
}

static void
add_paragraph(struct buf *out, size_t start, struct slice s)
{
    if (out->len > start)
        buf_add(out, slice_of("\n\n"));
    buf_add(out, s);
}

bool
llm_add_system(struct buf *out, const struct llm_query *q)
{
    size_t start = out->len;

    if (q->system.ptr != NULL)
        add_paragraph(out, start, q->system);
    for (size_t i = 0; i < q->turn_count; i++)
        if (q->turns[i].role == LLM_SYSTEM)
            add_paragraph(out, start, q->turns[i].text);
    return out->len > start;
}

void
llm_add_flat_prompt(struct buf *out, const struct llm_query *q)
{
    size_t start = out->len, n;
    struct llm_turn one;
    const struct llm_turn *turn = llm_turns(q, &one, &n);

    llm_add_system(out, q);
    for (size_t i = 0; i < n; i++)
        if (turn[i].role != LLM_SYSTEM)
            add_paragraph(out, start, turn[i].text);
}

int64_t
llm_wire_cap(const struct llm_query *q, const struct llm_deployment *d)
{
    if (q->max_tokens <= 0)
        return -1;
    if (!d->reasons || d->reasoning_allowance <= 0)
        return q->max_tokens;
    /* Neither comes near the limits of int64_t: both are checked settings or
     * arguments; still, no overflow may follow from a wild one. */
    if (d->reasoning_allowance > INT64_MAX - q->max_tokens)
        return INT64_MAX;
    return q->max_tokens + d->reasoning_allowance;
}

double
llm_clamp(double v, double lo, double hi)
{
    if (isnan(v))
        return v;
    return v < lo ? lo : v > hi ? hi : v;
}

static enum status
take_line(struct buf *b, char **out, const char *what, struct error *err)
{
    enum status st;

    for (size_t i = 0; i < b->len; i++)
        if ((unsigned char)b->data[i] < ' ' || b->data[i] == 0x7f) {
            buf_fini(b);
            return error_set(err, ST_INVALID,
                             "control character in the %s of an LLM request",
                             what);
        }
    st = buf_take(b, out, NULL);
    return st == ST_OK ? ST_OK : error_set(err, st, "%s too long", what);
}

static void
add_formatted(struct buf *b, const char *fmt, va_list ap)
{
    char text[2048];
    int n = vsnprintf(text, sizeof(text), fmt, ap);

    if (n < 0 || (size_t)n >= sizeof(text))
        b->failed = true;
    else
        buf_add(b, (struct slice){text, (size_t)n});
}

enum status
llm_http_url(struct llm_http *h, const char *base, struct error *err,
             const char *fmt, ...)
{
    struct slice s = slice_of(base);
    struct buf b;
    va_list ap;

    if (s.len == 0)
        return error_set(err, ST_INVALID, "the provider has no base URL");
    while (s.len > 0 && s.ptr[s.len - 1] == '/')
        s.len--;
    buf_init(&b, 4096);
    buf_add(&b, s);
    va_start(ap, fmt);
    add_formatted(&b, fmt, ap);
    va_end(ap);
    return take_line(&b, &h->url, "URL", err);
}

enum status
llm_http_header(struct llm_http *h, struct error *err, const char *fmt, ...)
{
    struct buf b;
    va_list ap;
    size_t i = 0;

    while (i < LLM_HEADERS_MAX - 1 && h->headers[i] != NULL)
        i++;
    if (h->headers[i] != NULL || i == LLM_HEADERS_MAX - 1)
        return error_set(err, ST_TOOBIG, "too many headers");
    buf_init(&b, 4096);
    va_start(ap, fmt);
    add_formatted(&b, fmt, ap);
    va_end(ap);
    return take_line(&b, &h->headers[i], "headers", err);
}

enum status
llm_http_body(struct llm_http *h, struct buf *b, struct error *err)
{
    enum status st = buf_take(b, &h->body, &h->body_len);

    return st == ST_OK ? ST_OK : error_set(err, st, "LLM request body");
}

void
llm_add_escaped(struct buf *b, struct slice s, bool keep_slash)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = c < 0x80 && (isalnum(c) || strchr("-._~", c) != NULL ||
                                  (keep_slash && c == '/'));

        if (plain && c != '\0')
            buf_add(b, (struct slice){s.ptr + i, 1});
        else
            buf_addf(b, "%%%02X", c);
    }
}
