/* SPDX-License-Identifier: Apache-2.0 */
/* msgpack to JSON's values and back, by msgpack-c.  Its unpacker proper nests
 * 32 deep and reserves what an array announces: five bytes made it ask for
 * 4 GB.  So its template is filled in with callbacks that make json-c's values
 * as the elements come, with a stack as deep as JSON may nest. */
#include "protocol/msgpack.h"

#include <msgpack/pack.h>
#include <msgpack/unpack.h>
#include <string.h>

#include "base/utf8.h"
#include "protocol/base64.h"

#define MSGPACK_EMBED_STACK_SIZE JSON_DEPTH
#include <msgpack/unpack_define.h>

struct reader {
    enum status st; /* of the callback that failed */
    struct error *err;
};

/* ---- writing ---- */

static int
write_bytes(void *data, const char *bytes, size_t n)
{
    buf_add(data, (struct slice){bytes, n});
    return 0; /* a buf keeps its failure */
}

static enum status
pack_string(msgpack_packer *pk, struct slice s, struct error *err)
{
    if (s.len > UINT32_MAX)
        return error_set(err, ST_TOOBIG, "msgpack: a string of %zu bytes",
                         s.len);
    (void)msgpack_pack_str_with_body(pk, s.ptr, s.len);
    return ST_OK;
}

static enum status
pack_double(msgpack_packer *pk, struct json_object *v, struct error *err)
{
    const char *text = json_object_get_userdata(v);

    /* To json-c an integer beyond 64 bits is a double with its source text. */
    if (text != NULL && *text != '\0' &&
        strspn(text, "-0123456789") == strlen(text))
        return error_set(err, ST_INVALID,
                         "msgpack: an integer of more than 64 bits");
    (void)msgpack_pack_double(pk, json_object_get_double(v));
    return ST_OK;
}

static enum status pack_value(msgpack_packer *pk, struct json_object *v,
                              int depth, struct error *err);

static enum status
pack_object(msgpack_packer *pk, struct json_object *v, int depth,
            struct error *err)
{
    enum status st = ST_OK;

    (void)msgpack_pack_map(pk, (size_t)json_object_object_length(v));
    json_object_object_foreach(v, key, member)
    {
        st = pack_string(pk, slice_of(key), err);
        if (st == ST_OK)
            st = pack_value(pk, member, depth, err);
        if (st != ST_OK)
            break;
    }
    return st;
}

static enum status
pack_array(msgpack_packer *pk, struct json_object *v, int depth,
           struct error *err)
{
    size_t n = json_object_array_length(v);
    enum status st = ST_OK;

    (void)msgpack_pack_array(pk, n);
    for (size_t i = 0; i < n && st == ST_OK; i++)
        st = pack_value(pk, json_object_array_get_idx(v, i), depth, err);
    return st;
}

static enum status
pack_value(msgpack_packer *pk, struct json_object *v, int depth,
           struct error *err)
{
    enum json_type type = json_object_get_type(v);

    if (depth == 0 && (type == json_type_array || type == json_type_object))
        return error_set(err, ST_TOOBIG, "msgpack: nested too deep");
    switch (type) {
    case json_type_null:
        (void)msgpack_pack_nil(pk);
        return ST_OK;
    case json_type_boolean:
        (void)(json_object_get_boolean(v) ? msgpack_pack_true(pk)
                                          : msgpack_pack_false(pk));
        return ST_OK;
    case json_type_int:
        (void)(json_object_get_int64(v) < 0
                   ? msgpack_pack_int64(pk, json_object_get_int64(v))
                   : msgpack_pack_uint64(pk, json_object_get_uint64(v)));
        return ST_OK;
    case json_type_double:
        return pack_double(pk, v, err);
    case json_type_string:
        return pack_string(pk, json_str(v), err);
    case json_type_array:
        return pack_array(pk, v, depth - 1, err);
    default:
        return pack_object(pk, v, depth - 1, err);
    }
}

/* ---- reading: what the template calls; negative stops it ---- */

/* The template widens the argument of what is written as a smaller type. */
#define on_uint8  on_uint64
#define on_uint16 on_uint64
#define on_uint32 on_uint64
#define on_int8   on_int64
#define on_int16  on_int64
#define on_int32  on_int64
#define on_float  on_double

static int
fail(struct reader *r, const char *what)
{
    r->st = error_set(r->err, ST_PROTO, "msgpack: %s", what);
    return MSGPACK_UNPACK_PARSE_ERROR;
}

static int
no_memory(struct reader *r)
{
    r->st = error_set(r->err, ST_NOMEM, "no memory for a value");
    return MSGPACK_UNPACK_NOMEM_ERROR;
}

static int
made(struct reader *r, struct json_object *v, struct json_object **out)
{
    *out = v;
    return v != NULL ? 0 : no_memory(r);
}

static struct json_object *
on_root(struct reader *r)
{
    (void)r;
    return NULL;
}

static int
on_nil(struct reader *r, struct json_object **out)
{
    (void)r;
    *out = NULL;
    return 0;
}

static int
on_true(struct reader *r, struct json_object **out)
{
    return made(r, json_object_new_boolean(1), out);
}

static int
on_false(struct reader *r, struct json_object **out)
{
    return made(r, json_object_new_boolean(0), out);
}

static int
on_uint64(struct reader *r, uint64_t v, struct json_object **out)
{
    return made(r, json_object_new_uint64(v), out);
}

static int
on_int64(struct reader *r, int64_t v, struct json_object **out)
{
    return made(r, json_object_new_int64(v), out);
}

static int
on_double(struct reader *r, double v, struct json_object **out)
{
    return made(r, json_new_double(v), out);
}

static int
on_str(struct reader *r, const char *base, const char *p, unsigned n,
       struct json_object **out)
{
    struct slice s = {n > 0 ? p : "", n}; /* an empty one's p says nothing */

    (void)base;
    if (!utf8_valid(s))
        return fail(r, "a string that is no UTF-8");
    return made(r, json_new_str(s), out);
}

static int
on_bin(struct reader *r, const char *base, const char *p, unsigned n,
       struct json_object **out)
{
    struct json_object *o = json_object_new_object();
    struct buf b;
    enum status st;

    (void)base;
    buf_init(&b, (size_t)n * 2 + 8);
    base64_add(&b, (struct slice){n > 0 ? p : "", n});
    st = b.failed || o == NULL ? ST_NOMEM : ST_OK;
    if (st == ST_OK)
        st = json_set(o, "__type__", json_new_str(slice_of("base64")));
    if (st == ST_OK)
        st = json_set(
            o, "__value__",
            json_new_str((struct slice){b.len > 0 ? b.data : "", b.len}));
    buf_fini(&b);
    if (st != ST_OK) {
        json_object_put(o);
        o = NULL;
    }
    return made(r, o, out);
}

static int
on_ext(struct reader *r, const char *base, const char *p, unsigned n,
       struct json_object **out)
{
    (void)base, (void)p, (void)n, (void)out;
    return fail(r, "a type that JSON does not have");
}

static int
on_array(struct reader *r, unsigned n, struct json_object **out)
{
    (void)n; /* the peer's word: nothing is reserved for it */
    return made(r, json_object_new_array(), out);
}

static int
on_array_item(struct reader *r, struct json_object **a, struct json_object *v)
{
    enum status st = v == NULL ? json_append_null(*a) : json_append(*a, v);

    return st == ST_OK ? 0 : no_memory(r);
}

static int
on_map(struct reader *r, unsigned n, struct json_object **out)
{
    (void)n;
    return made(r, json_object_new_object(), out);
}

/* The key stays the template's when this fails: release() puts it. */
static int
on_map_item(struct reader *r, struct json_object **o, struct json_object *key,
            struct json_object *v)
{
    struct slice name = json_str(key);
    enum status st;

    if (name.ptr == NULL || memchr(name.ptr, '\0', name.len) != NULL) {
        json_object_put(v);
        return fail(r, name.ptr == NULL ? "a key that is no string"
                                        : "a key with U+0000");
    }
    st = v == NULL ? json_set_null(*o, name.ptr) : json_set(*o, name.ptr, v);
    if (st != ST_OK)
        return no_memory(r);
    json_object_put(key);
    return 0;
}

#define msgpack_unpack_struct(name)     struct unpack##name
#define msgpack_unpack_func(type, name) static type unpack##name
#define msgpack_unpack_callback(name)   on##name
#define msgpack_unpack_object           struct json_object *
#define msgpack_unpack_user             struct reader
#include <msgpack/unpack_template.h>

/* Puts what is open where the template stopped. */
static void
release(struct unpack_context *ctx)
{
    for (unsigned i = 0; i < ctx->top; i++) {
        json_object_put(ctx->stack[i].obj);
        if (ctx->stack[i].ct == MSGPACK_CT_MAP_VALUE)
            json_object_put(ctx->stack[i].map_key);
    }
}

/* Why the template stopped with ret; r->st says it if it was a callback. */
static enum status
stopped(struct reader *r, int ret)
{
    if (r->st == ST_OK)
        (void)fail(r, ret == 0 ? "cut short"
                      : ret == MSGPACK_UNPACK_NOMEM_ERROR
                          ? "nested too deep"
                          : "a type that there is not");
    return r->st;
}

/* ---- ---- */

enum status
msgpack_encode(struct json_object *v, struct buf *out, struct error *err)
{
    msgpack_packer pk;
    enum status st;

    msgpack_packer_init(&pk, out, write_bytes);
    st = pack_value(&pk, v, JSON_DEPTH, err);
    if (st == ST_OK && out->failed)
        st = error_set(err, ST_TOOBIG, "msgpack is too large");
    return st;
}

enum status
msgpack_decode(struct slice bytes, struct json_object **out, struct error *err)
{
    struct unpack_context ctx;
    size_t used = 0;
    int ret = 0;

    ctx.user = (struct reader){.err = err};
    unpack_init(&ctx);
    if (bytes.len > 0)
        ret = unpack_execute(&ctx, bytes.ptr, bytes.len, &used);
    if (ret <= 0) {
        release(&ctx);
        return stopped(&ctx.user, ret);
    }
    if (used < bytes.len) {
        json_object_put(unpack_data(&ctx));
        return error_set(err, ST_PROTO, "msgpack: bytes after its end");
    }
    *out = unpack_data(&ctx);
    return ST_OK;
}
