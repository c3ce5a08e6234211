/* SPDX-License-Identifier: Apache-2.0 */
/* The writer: JSON values as a pickle of protocol 2. */
#include <stdlib.h>

#include "base/utf8.h"
#include "protocol/pickle.h"

enum {
    DEPTH_MAX = 2 * JSON_DEPTH, /* as json_add() */
    DIGITS_MAX = 4300           /* of an integer: what Python itself reads */
};

static void
byte(struct buf *out, unsigned c)
{
    char one = (char)c;

    buf_add(out, (struct slice){&one, 1});
}

static void
little(struct buf *out, uint64_t n, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++, n >>= 8)
        byte(out, n & 0xff);
}

/* ---- numbers ---- */

static void
add_int(struct buf *out, int64_t n)
{
    if (n >= 0 && n <= 0xff) {
        byte(out, 'K');
        little(out, (uint64_t)n, 1);
    } else if (n >= INT32_MIN && n <= INT32_MAX) {
        byte(out, 'J');
        little(out, (uint64_t)n, 4);
    } else {
        byte(out, 0x8a); /* LONG1 */
        byte(out, 8);
        little(out, (uint64_t)n, 8);
    }
}

/* Decimal text as LONG1 or LONG4: little-endian, two's complement. */
static void
add_big(struct buf *out, struct slice digits, bool negative)
{
    unsigned char p[DIGITS_MAX / 2 + 2] = {0};
    size_t n = 1;

    for (size_t i = 0; i < digits.len; i++) {
        unsigned carry = (unsigned)digits.ptr[i] - '0';

        for (size_t k = 0; k < n; k++) {
            carry += p[k] * 10u;
            p[k] = (unsigned char)carry;
            carry >>= 8;
        }
        if (carry > 0)
            p[n++] = (unsigned char)carry;
    }
    if (p[n - 1] & 0x80)
        n++; /* room for the sign */
    for (size_t k = 0, carry = 1; negative && k < n; k++) {
        carry += (unsigned char)~p[k];
        p[k] = (unsigned char)carry;
        carry >>= 8;
    }
    byte(out, n < 256 ? 0x8a : 0x8b);
    little(out, n, n < 256 ? 1 : 4);
    buf_add(out, (struct slice){(const char *)p, n});
}

static void
add_float(struct buf *out, double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof(bits));
    byte(out, 'G');
    for (int shift = 56; shift >= 0; shift -= 8)
        byte(out, bits >> shift & 0xff);
}

/* The digits of a double that is an integer too large for 64 bits. */
static bool
is_integer(struct slice text, struct slice *digits, bool *negative)
{
    *negative = text.len > 0 && text.ptr[0] == '-';
    *digits = (struct slice){text.ptr + *negative, text.len - *negative};
    for (size_t i = 0; i < digits->len; i++)
        if (digits->ptr[i] < '0' || digits->ptr[i] > '9')
            return false;
    return digits->len > 0 && digits->len <= DIGITS_MAX;
}

static void
add_double(struct buf *out, struct json_object *v)
{
    const char *text = json_object_get_userdata(v);
    struct slice digits;
    bool negative;

    if (text != NULL && is_integer(slice_of(text), &digits, &negative))
        add_big(out, digits, negative);
    else
        add_float(out, json_object_get_double(v));
}

static void
add_integer(struct buf *out, struct json_object *v)
{
    int64_t n = json_object_get_int64(v);
    uint64_t u = json_object_get_uint64(v);

    if (n != INT64_MAX || u == INT64_MAX) {
        add_int(out, n);
        return;
    }
    byte(out, 0x8a);
    byte(out, 9);
    little(out, u, 8);
    byte(out, 0);
}

/* ---- text ---- */

/* Bytes that are no UTF-8 become U+FFFD, as in JSON. */
static void
add_text(struct buf *out, struct slice s)
{
    struct buf clean;

    buf_init(&clean, PICKLE_MAX);
    if (!utf8_valid(s)) {
        utf8_mend(s, &clean);
        s = (struct slice){clean.data, clean.len};
    }
    byte(out, 'X');
    little(out, s.len, 4);
    buf_add(out, s);
    if (clean.failed)
        out->failed = true;
    buf_fini(&clean);
}

/* ---- containers ---- */

static void add_value(struct buf *out, struct json_object *v, int depth);

static void
add_array(struct buf *out, struct json_object *v, int depth)
{
    size_t n = json_object_array_length(v);

    byte(out, ']');
    if (n == 0)
        return;
    byte(out, '(');
    for (size_t i = 0; i < n; i++)
        add_value(out, json_object_array_get_idx(v, i), depth);
    byte(out, 'e');
}

static void
add_object(struct buf *out, struct json_object *v, int depth)
{
    struct json_object_iter it;

    byte(out, '}');
    if (json_object_object_length(v) == 0)
        return;
    byte(out, '(');
    json_object_object_foreachC(v, it)
    {
        add_text(out, slice_of(it.key));
        add_value(out, it.val, depth);
    }
    byte(out, 'u');
}

static void
add_value(struct buf *out, struct json_object *v, int depth)
{
    if (depth > DEPTH_MAX) {
        out->failed = true;
        return;
    }
    switch (json_object_get_type(v)) {
    case json_type_null:
        byte(out, 'N');
        break;
    case json_type_boolean:
        byte(out, json_object_get_boolean(v) ? 0x88 : 0x89);
        break;
    case json_type_int:
        add_integer(out, v);
        break;
    case json_type_double:
        add_double(out, v);
        break;
    case json_type_string:
        add_text(out, json_str(v));
        break;
    case json_type_array:
        add_array(out, v, depth + 1);
        break;
    case json_type_object:
        add_object(out, v, depth + 1);
        break;
    }
}

void
pickle_encode(struct json_object *v, struct buf *out)
{
    byte(out, 0x80);
    byte(out, 2);
    add_value(out, v, 0);
    byte(out, '.');
}

/* ---- results ---- */

static enum status
add_result(struct buf *out, struct json_object *tuple, int depth)
{
    struct json_object *pair, *children, *parent;
    struct slice id;
    enum status st = ST_OK;

    if (depth > JSON_DEPTH || !json_object_is_type(tuple, json_type_array))
        return ST_PROTO;
    pair = json_object_array_get_idx(tuple, 0);
    children = json_object_array_get_idx(tuple, 1);
    if (!json_object_is_type(pair, json_type_array))
        return ST_PROTO;
    id = json_str(json_object_array_get_idx(pair, 0));
    parent = json_object_array_get_idx(pair, 1);
    if (id.ptr == NULL ||
        (children != NULL && !json_object_is_type(children, json_type_array)))
        return ST_PROTO;
    if (children != NULL) { /* GroupResult(id, results) */
        buf_add(out, slice_of("ccelery.result\nGroupResult\n"));
        add_text(out, id);
        buf_add(out, slice_of("](")); /* a list, filled below */
        for (size_t i = 0;
             i < json_object_array_length(children) && st == ST_OK; i++)
            st = add_result(out, json_object_array_get_idx(children, i),
                            depth + 1);
        buf_add(out, slice_of("e\x86R"));
        return st;
    }
    /* AsyncResult(id, backend, task_name, app, parent) */
    buf_add(out, slice_of("ccelery.result\nAsyncResult\n("));
    add_text(out, id);
    buf_add(out, slice_of("NNN"));
    if (parent != NULL)
        st = add_result(out, parent, depth + 1);
    else
        byte(out, 'N');
    buf_add(out, slice_of("tR"));
    return st;
}

enum status
pickle_encode_group(struct json_object *tuple, struct buf *out,
                    struct error *err)
{
    enum status st = ST_PROTO;

    byte(out, 0x80);
    byte(out, 2);
    if (json_object_is_type(tuple, json_type_array) &&
        json_object_is_type(json_object_array_get_idx(tuple, 1),
                            json_type_array))
        st = add_result(out, tuple, 0);
    byte(out, '.');
    return st == ST_OK ? st
                       : error_set(err, st,
                                   "pickle: no result tuple of a "
                                   "group");
}
