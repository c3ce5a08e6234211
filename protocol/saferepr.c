/* SPDX-License-Identifier: Apache-2.0 */
/* The text that Flower, `celery events` and logs show for arguments and
 * results. Tools compare and cut it, so it follows Celery's function to the
 * character, its odd habits with truncation included. */
#include "protocol/saferepr.h"

#include <string.h>

enum {
    LEVELS = 3,
    NUMBER_MAX = 1 << 20 /* digits; a longer number is not shown */
};

/* The output is a stream of tokens.  The budget is looked at before each token
 * and charged after it, so that the last one may overdraw it. */
struct printer {
    struct buf *b;
    int64_t left; /* characters */
    bool cut;     /* over: only closing brackets are still written */
};

/* Bytes of the first n characters of s, or all of s. */
static size_t
prefix(struct slice s, int64_t n)
{
    size_t i = 0;

    while (i < s.len && n-- > 0)
        for (i++; i < s.len && (s.ptr[i] & 0xC0) == 0x80;)
            i++;
    return i;
}

static int64_t
characters(struct slice s)
{
    int64_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += (s.ptr[i] & 0xC0) != 0x80;
    return n;
}

/* Whether the next token may be printed; if not, says so in the output. */
static bool
may_print(struct printer *p)
{
    if (p->cut)
        return false;
    if (p->left > 0)
        return true;
    buf_add(p->b, slice_of(", ..."));
    p->cut = true;
    return false;
}

static void
put(struct printer *p, struct slice s)
{
    buf_add(p->b, s);
    p->left -= characters(s);
}

static void
literal(struct printer *p, const char *s)
{
    if (may_print(p))
        put(p, slice_of(s));
}

/* A closing bracket is written even after the cut, except the one at which the
 * cut happened. */
static void
closing(struct printer *p, const char *s)
{
    if (p->cut)
        buf_add(p->b, slice_of(s));
    else
        literal(p, s);
}

/* celery.utils.text.truncate: cuts to the budget, then back to the last blank.
 * Returns whether it was cut. */
static bool
truncate_to(struct slice *s, int64_t left)
{
    const char *blank;
    size_t n = s->len;

    if ((int64_t)s->len < left) /* enough bytes for any characters */
        return false;
    if (characters(*s) < left)
        return false;
    n = prefix(*s, left);
    blank = memrchr(s->ptr, ' ', n);
    s->len = blank != NULL ? (size_t)(blank - s->ptr) : n;
    return true;
}

static void
token(struct printer *p, struct slice s)
{
    bool cut;

    if (!may_print(p))
        return;
    cut = truncate_to(&s, p->left);
    put(p, s);
    if (cut)
        put(p, slice_of("..."));
}

static void
quoted(struct printer *p, struct slice s)
{
    const char *quote;
    bool cut;

    if (!may_print(p))
        return;
    cut = truncate_to(&s, p->left);
    put(p, slice_of("'"));
    while (s.len > 0 && (quote = memchr(s.ptr, '\'', s.len)) != NULL) {
        size_t n = (size_t)(quote - s.ptr);

        put(p, (struct slice){s.ptr, n});
        put(p, slice_of("\\'"));
        s.ptr += n + 1;
        s.len -= n + 1;
    }
    put(p, s);
    put(p, slice_of(cut ? "...'" : "'"));
}

/* Python's number: JSON's, but for the names of what JSON cannot say. */
static void
number(struct printer *p, struct json_object *v)
{
    struct buf b;
    struct slice s;

    buf_init(&b, NUMBER_MAX);
    json_add(&b, v);
    s = (struct slice){b.data, b.len};
    if (b.failed)
        token(p, slice_of("..."));
    else if (s.len > 0 && s.ptr[0] == 'N')
        token(p, slice_of("nan"));
    else if (s.len > 0 && s.ptr[0] == 'I')
        token(p, slice_of("inf"));
    else if (s.len > 1 && s.ptr[1] == 'I')
        token(p, slice_of("-inf"));
    else
        token(p, s);
    buf_fini(&b);
}

static void value(struct printer *p, struct json_object *v, int level);

static void
elements(struct printer *p, struct json_object *v, int level)
{
    size_t n = json_object_array_length(v);

    for (size_t i = 0; i < n && !p->cut; i++) {
        if (i > 0)
            literal(p, ", ");
        if (!p->cut)
            value(p, json_object_array_get_idx(v, i), level + 1);
    }
}

static void
members(struct printer *p, struct json_object *v, int level)
{
    bool first = true;

    json_object_object_foreach(v, key, val)
    {
        if (!first)
            literal(p, ", ");
        first = false;
        quoted(p, slice_of(key));
        literal(p, ": ");
        if (p->cut)
            break;
        value(p, val, level + 1);
        if (p->cut)
            break;
    }
}

static void
container(struct printer *p, struct json_object *v, int level)
{
    bool array = json_object_is_type(v, json_type_array);

    if (level >= LEVELS) {
        token(p, slice_of(array ? "[...]" : "{...}"));
        return;
    }
    literal(p, array ? "[" : "{");
    if (array)
        elements(p, v, level);
    else
        members(p, v, level);
    closing(p, array ? "]" : "}");
}

static void
value(struct printer *p, struct json_object *v, int level)
{
    switch (json_object_get_type(v)) {
    case json_type_null:
        token(p, slice_of("None"));
        break;
    case json_type_boolean:
        token(p, slice_of(json_object_get_boolean(v) ? "True" : "False"));
        break;
    case json_type_string:
        quoted(p, json_str(v));
        break;
    case json_type_array:
    case json_type_object:
        container(p, v, level);
        break;
    case json_type_int:
    case json_type_double:
        number(p, v);
        break;
    }
}

void
saferepr_add(struct buf *b, struct json_object *v, size_t max)
{
    struct printer p = {.b = b, .left = (int64_t)max};

    value(&p, v, 0);
}

void
saferepr_add_tuple(struct buf *b, struct json_object *args, size_t max)
{
    struct printer p = {.b = b, .left = (int64_t)max};

    literal(&p, "(");
    elements(&p, args, 0);
    closing(&p, json_object_array_length(args) == 1 ? ",)" : ")");
}
