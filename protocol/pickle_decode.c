/* SPDX-License-Identifier: Apache-2.0 */
/* The reader: pickle's stack machine, over JSON values. */
#include "base/utf8.h"
#include "protocol/pickle_call.h"
#include "protocol/pickle_stack.h"
#include "protocol/typed_json.h"

enum { LONG_MAX_BYTES = 1 << 16, NAME_MAX_BYTES = 64 * 1024 };

struct reader {
    const unsigned char *p, *end;
    struct pickle_stack s;
};

static enum status
bad(struct reader *r, const char *what)
{
    return pickle_bad(&r->s, what);
}

/* ---- reading bytes ---- */

static enum status
take(struct reader *r, size_t n, const unsigned char **out)
{
    if ((size_t)(r->end - r->p) < n)
        return bad(r, "it is cut off");
    *out = r->p;
    r->p += n;
    return ST_OK;
}

/* An unsigned little-endian number of n bytes. */
static enum status
take_number(struct reader *r, size_t n, uint64_t *out)
{
    const unsigned char *p = NULL;
    enum status st = take(r, n, &p);

    *out = 0;
    for (size_t i = n; st == ST_OK && i-- > 0;)
        *out = *out << 8 | p[i];
    return st;
}

/* Bytes that come after their length, of size bytes. */
static enum status
take_counted(struct reader *r, size_t size, struct slice *out)
{
    const unsigned char *p = NULL;
    uint64_t n;
    enum status st = take_number(r, size, &n);

    if (st == ST_OK && n > (size_t)(r->end - r->p))
        return bad(r, "it is cut off");
    if (st == ST_OK)
        st = take(r, (size_t)n, &p);
    if (st == ST_OK)
        *out = (struct slice){(const char *)p, (size_t)n};
    return st;
}

static enum status
take_line(struct reader *r, struct slice *out)
{
    const unsigned char *nl = memchr(r->p, '\n', (size_t)(r->end - r->p));

    if (nl == NULL)
        return bad(r, "it is cut off");
    *out = (struct slice){(const char *)r->p, (size_t)(nl - r->p)};
    r->p = nl + 1;
    return ST_OK;
}

/* ---- simple values ---- */

static enum status
push_int(struct reader *r, size_t bytes, bool is_signed)
{
    uint64_t n;
    enum status st = take_number(r, bytes, &n);
    int64_t v = is_signed ? (int32_t)(uint32_t)n : (int64_t)n;

    return st == ST_OK ? pickle_push_new(&r->s, json_object_new_int64(v), 0)
                       : st;
}

static enum status
push_long(struct reader *r, size_t size)
{
    struct json_object *v = NULL;
    struct slice s;
    enum status st = take_counted(r, size, &s);

    if (st == ST_OK && s.len > 8) /* its digits take time */
        st = pickle_spend(&r->s, s.len > LONG_MAX_BYTES ? SIZE_MAX
                                                        : s.len * s.len * 2);
    if (st == ST_OK)
        st = pickle_integer((const unsigned char *)s.ptr, s.len, &v, r->s.err);
    return st == ST_OK ? pickle_push(&r->s, v, 0) : st;
}

static enum status
push_float(struct reader *r)
{
    const unsigned char *p = NULL;
    enum status st = take(r, 8, &p);
    uint64_t bits = 0;
    double d;

    if (st != ST_OK)
        return st;
    for (size_t i = 0; i < 8; i++)
        bits = bits << 8 | p[i];
    memcpy(&d, &bits, sizeof(d));
    return pickle_push_new(&r->s, json_new_double(d), 0);
}

static enum status
push_text(struct reader *r, size_t size)
{
    struct json_object *v;
    struct slice s;
    struct buf mended;
    enum status st = take_counted(r, size, &s);

    if (st != ST_OK)
        return st;
    if (utf8_valid(s)) /* else lone surrogates, or bytes of Python 2 */
        return pickle_push_new(&r->s, json_new_str(s), 0);
    buf_init(&mended, PICKLE_MAX);
    utf8_mend(s, &mended);
    v = json_new_str((struct slice){mended.data, mended.len});
    if (mended.failed) {
        json_object_put(v);
        v = NULL;
    }
    buf_fini(&mended);
    return pickle_push_new(&r->s, v, 0);
}

static enum status
push_bytes(struct reader *r, size_t size)
{
    struct json_object *v = NULL;
    struct slice s;
    enum status st = take_counted(r, size, &s);

    if (st == ST_OK)
        st = typed_json_encode_bytes(TYPED_TAGGED, s, &v, r->s.err);
    return st == ST_OK ? pickle_push(&r->s, v, 1) : st;
}

/* ---- names, and what is made by calling them ---- */

static enum status
push_global(struct reader *r, struct slice module, struct slice name)
{
    struct json_object *mark = json_object_new_object();
    struct buf b;

    if (slice_is(module, "__builtin__")) /* Python 2's */
        module = slice_of("builtins");
    buf_init(&b, NAME_MAX_BYTES);
    buf_add(&b, module);
    buf_add(&b, slice_of("."));
    buf_add(&b, name);
    if (b.failed ||
        json_set(mark, PICKLE_GLOBAL,
                 json_new_str((struct slice){b.data, b.len})) != ST_OK) {
        json_object_put(mark);
        mark = NULL;
    }
    buf_fini(&b);
    return pickle_push_new(&r->s, mark, 1);
}

static enum status
global_of_lines(struct reader *r)
{
    struct slice module, name;
    enum status st = take_line(r, &module);

    if (st == ST_OK)
        st = take_line(r, &name);
    return st == ST_OK ? push_global(r, module, name) : st;
}

static enum status
global_of_stack(struct reader *r)
{
    struct pickle_item *name = pickle_peek(&r->s, 0);
    struct pickle_item *module = pickle_peek(&r->s, 1);
    struct json_object *m, *n;
    enum status st = bad(r, "a global that makes no sense");

    if (name == NULL || module == NULL)
        return st;
    m = json_object_get(module->v);
    n = json_object_get(name->v);
    pickle_drop(&r->s);
    pickle_drop(&r->s);
    if (json_object_is_type(m, json_type_string) &&
        json_object_is_type(n, json_type_string))
        st = push_global(r, json_str(m), json_str(n));
    json_object_put(m);
    json_object_put(n);
    return st;
}

typedef enum status call_fn(struct slice global, struct json_object *args,
                            struct json_object **out, struct error *err);

static enum status
call(struct reader *r, call_fn *fn)
{
    struct json_object *v = NULL;
    struct pickle_item *args = pickle_peek(&r->s, 0);
    struct pickle_item *callee = pickle_peek(&r->s, 1);
    struct slice name = {0};
    enum status st;

    if (callee != NULL)
        name = json_get_str(callee->v, PICKLE_GLOBAL);
    if (args == NULL || name.ptr == NULL ||
        !json_object_is_type(args->v, json_type_array))
        return bad(r, "a call of what is no global");
    st = fn(name, args->v, &v, r->s.err);
    if (st != ST_OK)
        return st;
    pickle_drop(&r->s);
    pickle_drop(&r->s);
    return pickle_push_any(&r->s, v);
}

static enum status
set_state(struct reader *r)
{
    struct pickle_item *state = pickle_peek(&r->s, 0);
    struct pickle_item *obj = pickle_peek(&r->s, 1);
    enum status st;

    if (state == NULL || obj == NULL)
        return bad(r, "a state of nothing");
    st = pickle_set_state(obj->v, state->v, r->s.err);
    if (st == ST_OK)
        pickle_drop(&r->s);
    return st;
}

/* ---- the machine ---- */

static enum status
step_value(struct reader *r, unsigned op)
{
    switch (op) {
    case 'N':
        return pickle_push(&r->s, NULL, 0);
    case 0x88:
        return pickle_push_new(&r->s, json_object_new_boolean(1), 0);
    case 0x89:
        return pickle_push_new(&r->s, json_object_new_boolean(0), 0);
    case 'J':
        return push_int(r, 4, true);
    case 'K':
        return push_int(r, 1, false);
    case 'M':
        return push_int(r, 2, false);
    case 0x8a: /* LONG1 */
        return push_long(r, 1);
    case 0x8b: /* LONG4 */
        return push_long(r, 4);
    case 'G':
        return push_float(r);
    case 0x8c: /* SHORT_BINUNICODE */
    case 'U':  /* SHORT_BINSTRING: Python 2's */
        return push_text(r, 1);
    case 'X':
    case 'T':
        return push_text(r, 4);
    case 0x8d: /* BINUNICODE8 */
        return push_text(r, 8);
    case 'C':
        return push_bytes(r, 1);
    case 'B':
        return push_bytes(r, 4);
    case 0x8e: /* BINBYTES8 */
    case 0x96: /* BYTEARRAY8 */
        return push_bytes(r, 8);
    default:
        return error_set(r->s.err, ST_PROTO, "pickle: opcode 0x%02x is refused",
                         op);
    }
}

static enum status
step_container(struct reader *r, unsigned op)
{
    switch (op) {
    case ']':
    case ')':
    case 0x8f: /* EMPTY_SET */
        return pickle_push_new(&r->s, json_object_new_array(), 1);
    case '}':
        return pickle_push_new(&r->s, json_object_new_object(), 1);
    case 'a':
        return pickle_fill_list(&r->s, false);
    case 'e':
    case 0x90: /* ADDITEMS */
        return pickle_fill_list(&r->s, true);
    case 's':
        return pickle_fill_dict(&r->s, false);
    case 'u':
        return pickle_fill_dict(&r->s, true);
    case 0x85: /* TUPLE1, TUPLE2, TUPLE3 */
    case 0x86:
    case 0x87:
        return pickle_pack(&r->s, op - 0x84);
    case 't':
    case 'l':
    case 0x91: /* FROZENSET */
        return pickle_pack_marked(&r->s);
    case 'd':
        return pickle_dict_of_marked(&r->s);
    default:
        return step_value(r, op);
    }
}

typedef enum status memo_fn(struct pickle_stack *s, uint64_t at);

static enum status
memo_at(struct reader *r, size_t size, memo_fn *fn)
{
    uint64_t at;
    enum status st = take_number(r, size, &at);

    return st == ST_OK ? fn(&r->s, at) : st;
}

static enum status
step(struct reader *r, unsigned op)
{
    struct slice rest;
    uint64_t n;

    switch (op) {
    case 0x80: /* PROTO */
        if (take_number(r, 1, &n) != ST_OK || n > 5)
            return bad(r, "an unknown protocol");
        return ST_OK;
    case 0x95: /* FRAME: what is in it comes as if there were none */
        return take_number(r, 8, &n);
    case '(':
        return pickle_push_mark(&r->s);
    case 'q':
        return memo_at(r, 1, pickle_keep);
    case 'r':
        return memo_at(r, 4, pickle_keep);
    case 0x94: /* MEMOIZE */
        return pickle_keep(&r->s, r->s.memo_n);
    case 'h':
        return memo_at(r, 1, pickle_recall);
    case 'j':
        return memo_at(r, 4, pickle_recall);
    case 'c':
        return global_of_lines(r);
    case 0x93: /* STACK_GLOBAL */
        return global_of_stack(r);
    case 'R':
        return call(r, pickle_call);
    case 0x81: /* NEWOBJ */
        return call(r, pickle_new);
    case 'b':
        return set_state(r);
    case 'P': /* PERSID */
        if (take_line(r, &rest) != ST_OK)
            return ST_PROTO;
        return bad(r, "a persistent id is refused");
    default:
        return step_container(r, op);
    }
}

/* A mark that is left over is something that JSON cannot say. */
static enum status
check_result(struct reader *r, struct json_object *v)
{
    struct slice name = json_get_str(v, PICKLE_GLOBAL);
    struct json_object_iter it;
    enum status st = ST_OK;

    if (name.ptr != NULL)
        return error_set(r->s.err, ST_PROTO, "pickle: %.100s is refused",
                         name.ptr);
    if (json_get(v, PICKLE_TIMEZONE) != NULL)
        return bad(r, "datetime.timezone is refused");
    if (json_object_is_type(v, json_type_array))
        for (size_t i = 0; i < json_object_array_length(v) && st == ST_OK; i++)
            st = check_result(r, json_object_array_get_idx(v, i));
    if (json_object_is_type(v, json_type_object)) {
        json_object_object_foreachC(v, it)
        {
            st = check_result(r, it.val);
            if (st != ST_OK)
                break;
        }
    }
    return st;
}

static enum status
finish(struct reader *r, struct json_object **out)
{
    enum status st;

    if (r->s.n != 1 || pickle_peek(&r->s, 0) == NULL)
        return bad(r, "it ends with too much or too little");
    st = check_result(r, r->s.items[0].v);
    if (st != ST_OK)
        return st;
    *out = json_object_get(r->s.items[0].v);
    return ST_OK;
}

enum status
pickle_decode(struct slice bytes, struct json_object **out, struct error *err)
{
    struct reader r = {.p = (const unsigned char *)bytes.ptr};
    enum status st = ST_OK;

    if (bytes.len > PICKLE_MAX)
        return error_set(err, ST_TOOBIG, "pickle: %zu bytes", bytes.len);
    if (bytes.len == 0)
        return error_set(err, ST_PROTO, "pickle: it is empty");
    r.end = r.p + bytes.len;
    pickle_stack_init(&r.s, bytes.len, err);
    while (st == ST_OK && r.p < r.end && *r.p != '.')
        st = step(&r, *r.p++);
    if (st == ST_OK)
        st = r.p < r.end ? finish(&r, out) : bad(&r, "it is cut off");
    pickle_stack_fini(&r.s);
    return st;
}
