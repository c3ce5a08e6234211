/* SPDX-License-Identifier: Apache-2.0 */
/* msgpack to JSON's values and back.  By hand: it is as short as the glue to a
 * library would be, and bounded where a peer chooses the sizes. */
#include "protocol/msgpack.h"

#include <string.h>

#include "base/utf8.h"
#include "protocol/base64.h"

/* The first bytes of values whose size follows; also of the two next larger. */
enum {
    NIL = 0xc0,
    FALSE_ = 0xc2,
    TRUE_ = 0xc3,
    BIN8 = 0xc4,
    FLOAT32 = 0xca,
    FLOAT64 = 0xcb,
    UINT8 = 0xcc,
    INT8 = 0xd0,
    STR8 = 0xd9,
    ARRAY16 = 0xdc,
    MAP16 = 0xde,
    FIXMAP = 0x80,
    FIXARRAY = 0x90,
    FIXSTR = 0xa0,
    NEGATIVE = 0xe0
};

/* ---- writing ---- */

static void
add_byte(struct buf *out, unsigned byte)
{
    char c = (char)byte;

    buf_add(out, (struct slice){&c, 1});
}

/* A byte, then the n lowest bytes of v, most significant first. */
static void
add_number(struct buf *out, unsigned first, uint64_t v, int n)
{
    char bytes[9] = {(char)first};

    for (int i = 0; i < n; i++)
        bytes[1 + i] = (char)(v >> (8 * (n - 1 - i)));
    buf_add(out, (struct slice){bytes, (size_t)n + 1});
}

static void
add_unsigned(struct buf *out, uint64_t v)
{
    if (v < 0x80)
        add_byte(out, (unsigned)v);
    else if (v <= UINT8_MAX)
        add_number(out, UINT8, v, 1);
    else if (v <= UINT16_MAX)
        add_number(out, UINT8 + 1, v, 2);
    else if (v <= UINT32_MAX)
        add_number(out, UINT8 + 2, v, 4);
    else
        add_number(out, UINT8 + 3, v, 8);
}

static void
add_negative(struct buf *out, int64_t v)
{
    if (v >= -32)
        add_byte(out, (unsigned)v & 0xff);
    else if (v >= INT8_MIN)
        add_number(out, INT8, (uint64_t)v, 1);
    else if (v >= INT16_MIN)
        add_number(out, INT8 + 1, (uint64_t)v, 2);
    else if (v >= INT32_MIN)
        add_number(out, INT8 + 2, (uint64_t)v, 4);
    else
        add_number(out, INT8 + 3, (uint64_t)v, 8);
}

/* The head of what has n bytes or elements.  small: the first byte of those
 * with less than limit; first: of those with a size of 16 bits. */
static void
add_size(struct buf *out, size_t n, unsigned small, size_t limit,
         unsigned first)
{
    if (n < limit)
        add_byte(out, small | (unsigned)n);
    else if (n <= UINT16_MAX)
        add_number(out, first, n, 2);
    else
        add_number(out, first + 1, n, 4);
}

static enum status
add_string(struct buf *out, struct slice s, struct error *err)
{
    if (s.len > UINT32_MAX)
        return error_set(err, ST_TOOBIG, "msgpack: a string of %zu bytes",
                         s.len);
    if (s.len >= 32 && s.len <= UINT8_MAX)
        add_number(out, STR8, s.len, 1);
    else
        add_size(out, s.len, FIXSTR, 32, STR8 + 1);
    buf_add(out, s);
    return ST_OK;
}

static enum status
add_double(struct buf *out, struct json_object *v, struct error *err)
{
    const char *text = json_object_get_userdata(v);
    double d = json_object_get_double(v);
    uint64_t bits;

    /* To json-c an integer beyond 64 bits is a double with its source text. */
    if (text != NULL && *text != '\0' &&
        strspn(text, "-0123456789") == strlen(text))
        return error_set(err, ST_INVALID,
                         "msgpack: an integer of more than 64 bits");
    memcpy(&bits, &d, sizeof bits);
    add_number(out, FLOAT64, bits, 8);
    return ST_OK;
}

static enum status add_value(struct buf *out, struct json_object *v, int depth,
                             struct error *err);

static enum status
add_object(struct buf *out, struct json_object *v, int depth, struct error *err)
{
    enum status st = ST_OK;

    add_size(out, (size_t)json_object_object_length(v), FIXMAP, 16, MAP16);
    json_object_object_foreach(v, key, member)
    {
        st = add_string(out, slice_of(key), err);
        if (st == ST_OK)
            st = add_value(out, member, depth, err);
        if (st != ST_OK)
            break;
    }
    return st;
}

static enum status
add_array(struct buf *out, struct json_object *v, int depth, struct error *err)
{
    size_t n = json_object_array_length(v);
    enum status st = ST_OK;

    add_size(out, n, FIXARRAY, 16, ARRAY16);
    for (size_t i = 0; i < n && st == ST_OK; i++)
        st = add_value(out, json_object_array_get_idx(v, i), depth, err);
    return st;
}

static enum status
add_value(struct buf *out, struct json_object *v, int depth, struct error *err)
{
    if (depth == 0)
        return error_set(err, ST_TOOBIG, "msgpack: nested too deep");
    switch (json_object_get_type(v)) {
    case json_type_null:
        add_byte(out, NIL);
        return ST_OK;
    case json_type_boolean:
        add_byte(out, json_object_get_boolean(v) ? TRUE_ : FALSE_);
        return ST_OK;
    case json_type_int:
        if (json_object_get_int64(v) < 0)
            add_negative(out, json_object_get_int64(v));
        else
            add_unsigned(out, json_object_get_uint64(v));
        return ST_OK;
    case json_type_double:
        return add_double(out, v, err);
    case json_type_string:
        return add_string(out, json_str(v), err);
    case json_type_array:
        return add_array(out, v, depth - 1, err);
    default:
        return add_object(out, v, depth - 1, err);
    }
}

enum status
msgpack_encode(struct json_object *v, struct buf *out, struct error *err)
{
    enum status st = add_value(out, v, JSON_DEPTH + 1, err);

    if (st == ST_OK && out->failed)
        st = error_set(err, ST_TOOBIG, "msgpack is too large");
    return st;
}

/* ---- reading ---- */

struct reader {
    const unsigned char *p, *end;
    struct error *err;
};

static enum status
broken(struct reader *r, const char *what)
{
    return error_set(r->err, ST_PROTO, "msgpack: %s", what);
}

/* A number of n bytes, most significant first. */
static enum status
read_number(struct reader *r, size_t n, uint64_t *out)
{
    if ((size_t)(r->end - r->p) < n)
        return broken(r, "cut short");
    *out = 0;
    while (n-- > 0)
        *out = *out << 8 | *r->p++;
    return ST_OK;
}

static enum status
made(struct json_object *v, struct json_object **out)
{
    *out = v;
    return v != NULL ? ST_OK : ST_NOMEM;
}

static enum status
read_bytes(struct reader *r, uint64_t n, struct slice *out)
{
    if ((uint64_t)(r->end - r->p) < n)
        return broken(r, "cut short");
    *out = (struct slice){(const char *)r->p, (size_t)n};
    r->p += n;
    return ST_OK;
}

static enum status
read_string(struct reader *r, uint64_t n, struct slice *out)
{
    enum status st = read_bytes(r, n, out);

    if (st == ST_OK && !utf8_valid(*out))
        st = broken(r, "a string that is no UTF-8");
    return st;
}

static enum status
read_text(struct reader *r, uint64_t n, struct json_object **out)
{
    struct slice s;
    enum status st = read_string(r, n, &s);

    return st == ST_OK ? made(json_new_str(s), out) : st;
}

static enum status
read_binary(struct reader *r, uint64_t n, struct json_object **out)
{
    struct json_object *o = NULL;
    struct slice s;
    struct buf b;
    enum status st = read_bytes(r, n, &s);

    buf_init(&b, s.len * 2 + 8);
    if (st != ST_OK)
        goto out;
    base64_add(&b, s);
    o = json_object_new_object();
    st = b.failed || o == NULL ? ST_NOMEM : ST_OK;
    if (st == ST_OK)
        st = json_set(o, "__type__", json_new_str(slice_of("base64")));
    if (st == ST_OK)
        st = json_set(o, "__value__",
                      json_new_str((struct slice){b.data, b.len}));
    if (st == ST_OK) {
        *out = o;
        o = NULL;
    }
out:
    json_object_put(o);
    buf_fini(&b);
    return st;
}

static enum status
read_float(struct reader *r, unsigned first, struct json_object **out)
{
    uint64_t bits;
    enum status st = read_number(r, first == FLOAT32 ? 4 : 8, &bits);
    uint32_t bits32 = (uint32_t)bits;
    double d;
    float f;

    if (st != ST_OK)
        return st;
    memcpy(&d, &bits, sizeof d);
    memcpy(&f, &bits32, sizeof f);
    return made(json_new_double(first == FLOAT32 ? (double)f : d), out);
}

static enum status
read_int(struct reader *r, unsigned first, struct json_object **out)
{
    bool is_signed = first >= INT8;
    unsigned log = is_signed ? first - INT8 : first - UINT8;
    unsigned spare = 64 - (8u << log);
    uint64_t v;
    enum status st = read_number(r, (size_t)1 << log, &v);

    if (st != ST_OK)
        return st;
    if (!is_signed)
        return made(json_object_new_uint64(v), out);
    v <<= spare; /* the sign comes to the top, and down again */
    return made(json_object_new_int64((int64_t)v / ((int64_t)1 << spare)), out);
}

static enum status read_value(struct reader *r, int depth,
                              struct json_object **out);

static enum status
read_array(struct reader *r, uint64_t n, int depth, struct json_object **out)
{
    struct json_object *a, *v;
    enum status st = ST_OK;

    if (n > (uint64_t)(r->end - r->p))
        return broken(r, "cut short");
    a = json_object_new_array();
    if (a == NULL)
        return ST_NOMEM;
    for (uint64_t i = 0; i < n && st == ST_OK; i++) {
        st = read_value(r, depth, &v);
        if (st == ST_OK)
            st = v == NULL ? json_append_null(a) : json_append(a, v);
    }
    if (st == ST_OK)
        *out = a;
    else
        json_object_put(a);
    return st;
}

static enum status
read_key(struct reader *r, char **out)
{
    unsigned first = r->p < r->end ? *r->p++ : NIL;
    struct slice s;
    uint64_t n = first & 0x1f;
    enum status st = ST_OK;

    if (first >= STR8 && first <= STR8 + 2)
        st = read_number(r, (size_t)1 << (first - STR8), &n);
    else if ((first & 0xe0) != FIXSTR)
        return broken(r, "a key that is no string");
    if (st == ST_OK)
        st = read_string(r, n, &s);
    if (st != ST_OK)
        return st;
    if (memchr(s.ptr, '\0', s.len) != NULL)
        return broken(r, "a key with U+0000");
    *out = strndup(s.ptr, s.len);
    return *out != NULL ? ST_OK : ST_NOMEM;
}

static enum status
read_map(struct reader *r, uint64_t n, int depth, struct json_object **out)
{
    struct json_object *o, *v;
    enum status st = ST_OK;
    char *key = NULL;

    if (n > (uint64_t)(r->end - r->p))
        return broken(r, "cut short");
    o = json_object_new_object();
    if (o == NULL)
        return ST_NOMEM;
    for (uint64_t i = 0; i < n && st == ST_OK; i++) {
        st = read_key(r, &key);
        if (st == ST_OK)
            st = read_value(r, depth, &v);
        if (st == ST_OK)
            st = v == NULL ? json_set_null(o, key) : json_set(o, key, v);
        free(key);
        key = NULL;
    }
    if (st == ST_OK)
        *out = o;
    else
        json_object_put(o);
    return st;
}

/* What has its size in the bytes after the first. */
static enum status
read_sized(struct reader *r, unsigned first, int depth,
           struct json_object **out)
{
    uint64_t n = 0;
    enum status st;

    if (first >= ARRAY16) {
        st = read_number(r, (first & 1) != 0 ? 4 : 2, &n);
        if (st != ST_OK)
            return st;
        return first < MAP16 ? read_array(r, n, depth, out)
                             : read_map(r, n, depth, out);
    }
    if (first >= STR8) {
        st = read_number(r, (size_t)1 << (first - STR8), &n);
        return st == ST_OK ? read_text(r, n, out) : st;
    }
    st = read_number(r, (size_t)1 << (first - BIN8), &n);
    return st == ST_OK ? read_binary(r, n, out) : st;
}

static enum status
read_value(struct reader *r, int depth, struct json_object **out)
{
    unsigned first;

    *out = NULL;
    if (depth == 0)
        return broken(r, "nested too deep");
    if (r->p == r->end)
        return broken(r, "cut short");
    first = *r->p++;
    if (first < FIXMAP)
        return made(json_object_new_int64(first), out);
    if (first < FIXARRAY)
        return read_map(r, first & 0x0f, depth - 1, out);
    if (first < FIXSTR)
        return read_array(r, first & 0x0f, depth - 1, out);
    if (first < NIL)
        return read_text(r, first & 0x1f, out);
    if (first >= NEGATIVE)
        return made(json_object_new_int64((int64_t)first - 256), out);
    if (first == NIL)
        return ST_OK;
    if (first == FALSE_ || first == TRUE_)
        return made(json_object_new_boolean(first == TRUE_), out);
    if (first == FLOAT32 || first == FLOAT64)
        return read_float(r, first, out);
    if (first >= UINT8 && first <= INT8 + 3)
        return read_int(r, first, out);
    if ((first >= BIN8 && first <= BIN8 + 2) || first >= STR8)
        return read_sized(r, first, depth - 1, out);
    return broken(r, "a type that JSON does not have");
}

enum status
msgpack_decode(struct slice bytes, struct json_object **out, struct error *err)
{
    struct reader r = {.p = (const unsigned char *)bytes.ptr, .err = err};
    struct json_object *v = NULL;
    enum status st;

    r.end = r.p + bytes.len;
    st = read_value(&r, JSON_DEPTH + 1, &v);
    if (st == ST_OK && r.p != r.end)
        st = broken(&r, "bytes after its end");
    if (st == ST_NOMEM)
        st = error_set(err, st, "no memory for a value");
    if (st == ST_OK)
        *out = v;
    else
        json_object_put(v);
    return st;
}
