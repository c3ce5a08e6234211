/* SPDX-License-Identifier: Apache-2.0 */
/* Field tables and JSON objects. */
#include "store/amqp/table.h"

#include <stdint.h>
#include <string.h>

enum {
    DEPTH = 64,
    NAME_MAX_BYTES = 255, /* a short string */
    ENTRIES_MAX = 65536
};

static enum status encode_object(struct json_object *obj, int depth,
                                 amqp_pool_t *pool, amqp_table_t *out,
                                 struct error *err);

/* ---- writing ---- */

static void
encode_int(struct json_object *v, amqp_field_value_t *out)
{
    int64_t n = json_object_get_int64(v);

    if (n >= -INT32_MAX && n <= INT32_MAX) {
        out->kind = AMQP_FIELD_KIND_I32;
        out->value.i32 = (int32_t)n;
    } else if (n > 0 && json_object_get_uint64(v) <= INT64_MAX) {
        out->kind = AMQP_FIELD_KIND_I64;
        out->value.i64 = n;
    } else {
        /* py-amqp would read a negative one as positive, and more than 63 bits
         * as negative. */
        out->kind = AMQP_FIELD_KIND_F64;
        out->value.f64 = json_object_get_double(v);
    }
}

static enum status encode_value(struct json_object *v, int depth,
                                amqp_pool_t *pool, amqp_field_value_t *out,
                                struct error *err);

static enum status
encode_array(struct json_object *v, int depth, amqp_pool_t *pool,
             amqp_array_t *out, struct error *err)
{
    size_t n = json_object_array_length(v);
    enum status st = ST_OK;

    *out = (amqp_array_t){0};
    if (n == 0)
        return ST_OK;
    if (n > ENTRIES_MAX)
        return error_set(err, ST_TOOBIG, "a header's array of %zu elements", n);
    out->entries = amqp_pool_alloc(pool, n * sizeof *out->entries);
    if (out->entries == NULL)
        return error_set(err, ST_NOMEM, "no memory for headers");
    for (size_t i = 0; i < n && st == ST_OK; i++)
        st = encode_value(json_object_array_get_idx(v, i), depth, pool,
                          &out->entries[i], err);
    out->num_entries = (int)n;
    return st;
}

static enum status
encode_value(struct json_object *v, int depth, amqp_pool_t *pool,
             amqp_field_value_t *out, struct error *err)
{
    if (depth == 0)
        return error_set(err, ST_TOOBIG, "headers are nested too deep");
    switch (json_object_get_type(v)) {
    case json_type_boolean:
        out->kind = AMQP_FIELD_KIND_BOOLEAN;
        out->value.boolean = json_object_get_boolean(v);
        return ST_OK;
    case json_type_double:
        out->kind = AMQP_FIELD_KIND_F64;
        out->value.f64 = json_object_get_double(v);
        return ST_OK;
    case json_type_int:
        encode_int(v, out);
        return ST_OK;
    case json_type_string:
        out->kind = AMQP_FIELD_KIND_UTF8;
        out->value.bytes = amq_bytes_of(json_str(v));
        return ST_OK;
    case json_type_array:
        out->kind = AMQP_FIELD_KIND_ARRAY;
        return encode_array(v, depth - 1, pool, &out->value.array, err);
    case json_type_object:
        out->kind = AMQP_FIELD_KIND_TABLE;
        return encode_object(v, depth - 1, pool, &out->value.table, err);
    default:
        out->kind = AMQP_FIELD_KIND_VOID;
        return ST_OK;
    }
}

static enum status
encode_object(struct json_object *obj, int depth, amqp_pool_t *pool,
              amqp_table_t *out, struct error *err)
{
    size_t n = obj == NULL ? 0 : (size_t)json_object_object_length(obj);
    enum status st = ST_OK;

    *out = (amqp_table_t){0};
    if (n == 0)
        return ST_OK;
    if (n > ENTRIES_MAX)
        return error_set(err, ST_TOOBIG, "%zu headers", n);
    out->entries = amqp_pool_alloc(pool, n * sizeof *out->entries);
    if (out->entries == NULL)
        return error_set(err, ST_NOMEM, "no memory for headers");
    json_object_object_foreach(obj, key, v)
    {
        amqp_table_entry_t *e = &out->entries[out->num_entries];
        size_t len = strlen(key);

        if (depth == DEPTH && amq_table_is_death((struct slice){key, len}))
            continue;
        if (len > NAME_MAX_BYTES)
            return error_set(err, ST_TOOBIG,
                             "a header's name of %zu bytes, %d at most", len,
                             NAME_MAX_BYTES);
        e->key = amqp_cstring_bytes(key);
        st = encode_value(v, depth, pool, &e->value, err);
        if (st != ST_OK)
            return st;
        out->num_entries++;
    }
    return ST_OK;
}

/* ---- reading ---- */

static enum status decode_table(const amqp_table_t *table, int depth,
                                struct json_object **out, struct error *err);

static double
decimal(const amqp_decimal_t *d)
{
    double v = d->value;

    for (unsigned i = 0; i < d->decimals; i++)
        v /= 10;
    return v;
}

static struct json_object *
decode_number(const amqp_field_value_t *v)
{
    switch (v->kind) {
    case AMQP_FIELD_KIND_I8:
        return json_object_new_int64(v->value.i8);
    case AMQP_FIELD_KIND_U8:
        return json_object_new_int64(v->value.u8);
    case AMQP_FIELD_KIND_I16:
        return json_object_new_int64(v->value.i16);
    case AMQP_FIELD_KIND_U16:
        return json_object_new_int64(v->value.u16);
    case AMQP_FIELD_KIND_I32:
        return json_object_new_int64(v->value.i32);
    case AMQP_FIELD_KIND_U32:
        return json_object_new_int64(v->value.u32);
    case AMQP_FIELD_KIND_I64:
        return json_object_new_int64(v->value.i64);
    case AMQP_FIELD_KIND_U64: /* signed to RabbitMQ and py-amqp */
    case AMQP_FIELD_KIND_TIMESTAMP:
        return json_object_new_int64((int64_t)v->value.u64);
    case AMQP_FIELD_KIND_F32:
        return json_new_double((double)v->value.f32);
    case AMQP_FIELD_KIND_F64:
        return json_new_double(v->value.f64);
    case AMQP_FIELD_KIND_DECIMAL:
        return json_new_double(decimal(&v->value.decimal));
    case AMQP_FIELD_KIND_BOOLEAN:
        return json_object_new_boolean(v->value.boolean != 0);
    default:
        return NULL;
    }
}

static enum status
decode_value(const amqp_field_value_t *v, int depth, struct json_object **out,
             struct error *err)
{
    enum status st = ST_OK;

    *out = NULL;
    if (depth == 0)
        return error_set(err, ST_PROTO, "headers are nested too deep");
    switch (v->kind) {
    case AMQP_FIELD_KIND_VOID:
        return ST_OK;
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
        *out = json_new_str(amq_slice(v->value.bytes));
        break;
    case AMQP_FIELD_KIND_TABLE:
        return decode_table(&v->value.table, depth - 1, out, err);
    case AMQP_FIELD_KIND_ARRAY:
        *out = json_object_new_array();
        for (int i = 0; i < v->value.array.num_entries && st == ST_OK; i++) {
            struct json_object *e = NULL;
            st = decode_value(&v->value.array.entries[i], depth - 1, &e, err);
            if (st == ST_OK)
                st = e == NULL ? json_append_null(*out) : json_append(*out, e);
            else
                json_object_put(e);
        }
        break;
    default:
        *out = decode_number(v);
    }
    if (*out == NULL)
        return error_set(err, ST_NOMEM, "no memory for headers");
    return st;
}

static enum status
decode_table(const amqp_table_t *table, int depth, struct json_object **out,
             struct error *err)
{
    enum status st = ST_OK;
    char key[NAME_MAX_BYTES + 1];

    *out = json_object_new_object();
    if (*out == NULL)
        return error_set(err, ST_NOMEM, "no memory for headers");
    for (int i = 0; i < table->num_entries && st == ST_OK; i++) {
        const amqp_table_entry_t *e = &table->entries[i];
        struct json_object *v = NULL;
        size_t len = e->key.len < NAME_MAX_BYTES ? e->key.len : NAME_MAX_BYTES;

        if (memchr(e->key.bytes, '\0', len) != NULL)
            return error_set(err, ST_PROTO, "a header's name holds a zero");
        memcpy(key, e->key.bytes, len);
        key[len] = '\0';
        st = decode_value(&e->value, depth, &v, err);
        if (st == ST_OK)
            st = v == NULL ? json_set_null(*out, key) : json_set(*out, key, v);
        else
            json_object_put(v);
    }
    return st;
}

/* ---- exported ---- */

amqp_bytes_t
amq_bytes_of(struct slice s)
{
    amqp_bytes_t b = {.len = s.len};

    /* The library only reads; its type has no const. */
    memcpy(&b.bytes, &s.ptr, sizeof b.bytes);
    return b;
}

amqp_bytes_t
amq_bytes(const char *text)
{
    return text == NULL ? amqp_empty_bytes : amqp_cstring_bytes(text);
}

bool
amq_table_is_death(struct slice name)
{
    static const char *const prefixes[] = {"x-death", "x-first-death-",
                                           "x-last-death-"};

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t n = strlen(prefixes[i]);
        if (name.len >= n && memcmp(name.ptr, prefixes[i], n) == 0)
            return true;
    }
    return false;
}

enum status
amq_table_encode(struct json_object *obj, amqp_pool_t *pool, amqp_table_t *out,
                 struct error *err)
{
    return encode_object(obj, DEPTH, pool, out, err);
}

enum status
amq_table_decode(const amqp_table_t *table, struct json_object **out,
                 struct error *err)
{
    enum status st = decode_table(table, DEPTH, out, err);

    if (st != ST_OK) {
        json_object_put(*out);
        *out = NULL;
    }
    return st;
}
