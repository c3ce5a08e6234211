/* SPDX-License-Identifier: Apache-2.0 */
/* Prints JSON as Python's json.dumps() does, or plain. */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum {
    MAX_DEPTH = 2 * JSON_DEPTH, /* bounds the recursion; parsed: JSON_DEPTH */
    REPR_SIZE = 48
};

struct style {
    struct slice comma, colon;
    bool ascii; /* all else as \uXXXX */
};

static const struct style python = {{", ", 2}, {": ", 2}, true};
static const struct style plain = {{",", 1}, {":", 1}, false};

static void
add_text(struct buf *b, const char *s)
{
    buf_add(b, (struct slice){s, strlen(s)});
}

static void
add_unicode(struct buf *b, uint32_t code)
{
    char out[16];
    int n;

    if (code < 0x10000)
        n = snprintf(out, sizeof(out), "\\u%04x", code);
    else
        n = snprintf(out, sizeof(out), "\\u%04x\\u%04x",
                     0xd800 + ((code - 0x10000) >> 10),
                     0xdc00 + ((code - 0x10000) & 0x3ff));
    buf_add(b, (struct slice){out, (size_t)n});
}

/* The character of n bytes at p (n 0: a byte that is no UTF-8), which cannot
 * stand as it is. */
static void
add_escape(struct buf *b, const char *p, int n)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *at = *p != '\0' ? strchr(from, *p) : NULL;

    if (at != NULL)
        buf_add(b, (struct slice){(char[]){'\\', to[at - from]}, 2});
    else
        add_unicode(b, n > 0 ? utf8_get(p, n) : 0xfffd);
}

static void
add_string(struct buf *b, struct slice s, bool ascii)
{
    const char *p = s.ptr, *end = p + s.len, *from = p;
    int n;

    buf_add(b, (struct slice){"\"", 1});
    for (; p<end; p += n> 0 ? n : 1) {
        n = 1;
        if (*p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\')
            continue;
        n = utf8_len(p, end);
        if (!ascii && (n > 1 || *p == 0x7f))
            continue;
        buf_add(b, (struct slice){from, (size_t)(p - from)});
        add_escape(b, p, n);
        from = p + (n > 0 ? n : 1);
    }
    buf_add(b, (struct slice){from, (size_t)(end - from)});
    buf_add(b, (struct slice){"\"", 1});
}

/* Is the text of prec digits, or a neighbour, read back as d?  Below a power of
 * two the doubles are closer together than above it, so there the digits
 * nearest to d may read back as another while the next ones do not. */
static bool
reads_back(char *text, double d)
{
    int exp;
    char *last;

    if (strtod(text, NULL) == d)
        return true;
    last = strchr(text, 'e') - 1;
    if (fabs(frexp(d, &exp)) > 0.5 || *last < '0' || *last >= '9')
        return false;
    ++*last;
    return strtod(text, NULL) == d;
}

/* The fewest digits, without point or sign, that read back as d, which is
 * finite and not 0; returns the exponent of the first one. */
static int
shortest(double d, char digits[REPR_SIZE])
{
    /* 15 digits are exact in the normal range, so most need no other try. */
    int prec = fabs(d) < 2.3e-308 ? 1 : 15;
    char text[REPR_SIZE];
    char *e;
    size_t n = 0;

    for (;; prec++) {
        snprintf(text, sizeof(text), "%.*e", prec - 1, d);
        if (prec == 17 || reads_back(text, d))
            break;
    }
    e = strchr(text, 'e');
    for (const char *p = text; p < e; p++)
        if (*p >= '0' && *p <= '9') /* not the locale's point */
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = '\0';
    return (int)strtol(e + 1, NULL, 10);
}

/* Python's repr(): an exponent below 1e-4 and from 1e16 on, else a point. */
static void
repr(double d, char out[REPR_SIZE])
{
    const char *sign = signbit(d) ? "-" : "";
    char digits[REPR_SIZE];
    int exp, n;

    if (!isfinite(d) || d == 0) {
        snprintf(out, REPR_SIZE, "%s",
                 isnan(d)          ? "NaN"
                 : d == 0 && *sign ? "-0.0"
                 : d == 0          ? "0.0"
                 : *sign           ? "-Infinity"
                                   : "Infinity");
        return;
    }
    exp = shortest(d, digits);
    n = (int)strlen(digits);
    if (exp < -4 || exp >= 16)
        snprintf(out, REPR_SIZE, "%s%c%s%.17se%c%02d", sign, digits[0],
                 n > 1 ? "." : "", digits + 1, exp < 0 ? '-' : '+', abs(exp));
    else if (exp < 0)
        snprintf(out, REPR_SIZE, "%s0.%.*s%.17s", sign, -exp - 1, "000",
                 digits);
    else if (n <= exp + 1)
        snprintf(out, REPR_SIZE, "%s%.17s%.*s.0", sign, digits, exp + 1 - n,
                 "000000000000000");
    else
        snprintf(out, REPR_SIZE, "%s%.*s.%.17s", sign, exp + 1, digits,
                 digits + exp + 1);
}

static void
add_number(struct buf *b, struct json_object *v)
{
    char out[REPR_SIZE];
    const char *text;

    if (json_object_is_type(v, json_type_int)) {
        if (json_object_get_int64(v) == INT64_MAX) /* that, or above */
            snprintf(out, sizeof(out), "%ju",
                     (uintmax_t)json_object_get_uint64(v));
        else
            snprintf(out, sizeof(out), "%jd",
                     (intmax_t)json_object_get_int64(v));
        add_text(b, out);
        return;
    }
    /* Set by json_object_new_double_s(): by the parser and json_new_double. */
    text = json_object_get_userdata(v);
    if (text == NULL) {
        repr(json_object_get_double(v), out);
        text = out;
    }
    add_text(b, text);
}

static void add_value(struct buf *b, struct json_object *v,
                      const struct style *style, int depth);

static void
add_array(struct buf *b, struct json_object *v, const struct style *style,
          int depth)
{
    size_t n = json_object_array_length(v);

    buf_add(b, (struct slice){"[", 1});
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add(b, style->comma);
        add_value(b, json_object_array_get_idx(v, i), style, depth);
    }
    buf_add(b, (struct slice){"]", 1});
}

static void
add_object(struct buf *b, struct json_object *v, const struct style *style,
           int depth)
{
    struct json_object_iter it;
    bool first = true;

    buf_add(b, (struct slice){"{", 1});
    json_object_object_foreachC(v, it)
    {
        if (!first)
            buf_add(b, style->comma);
        first = false;
        add_string(b, (struct slice){it.key, strlen(it.key)}, style->ascii);
        buf_add(b, style->colon);
        add_value(b, it.val, style, depth);
    }
    buf_add(b, (struct slice){"}", 1});
}

static void
add_value(struct buf *b, struct json_object *v, const struct style *style,
          int depth)
{
    if (depth > MAX_DEPTH)
        b->failed = true;
    if (b->failed)
        return;
    switch (json_object_get_type(v)) {
    case json_type_null:
        add_text(b, "null");
        break;
    case json_type_boolean:
        add_text(b, json_object_get_boolean(v) ? "true" : "false");
        break;
    case json_type_int:
    case json_type_double:
        add_number(b, v);
        break;
    case json_type_string:
        add_string(b, json_str(v), style->ascii);
        break;
    case json_type_array:
        add_array(b, v, style, depth + 1);
        break;
    case json_type_object:
        add_object(b, v, style, depth + 1);
        break;
    }
}

void
json_add(struct buf *b, struct json_object *v)
{
    add_value(b, v, &python, 0);
}

void
json_add_plain(struct buf *b, struct json_object *v)
{
    add_value(b, v, &plain, 0);
}

void
json_add_string(struct buf *b, struct slice s)
{
    add_string(b, s, true);
}

char *
json_text(struct json_object *v)
{
    struct buf b;
    char *text = NULL;

    buf_init(&b, INT32_MAX);
    json_add(&b, v);
    return buf_take(&b, &text, NULL) == ST_OK ? text : NULL;
}

struct json_object *
json_new_double(double d)
{
    char out[REPR_SIZE];

    repr(d, out);
    return json_object_new_double_s(d, out);
}
