/* SPDX-License-Identifier: Apache-2.0 */
/* The names that a pickle may use, and what they make.  Whatever is not in the
 * tables here is refused by its name. */
#include "protocol/pickle_call.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/typed_json.h"

enum {
    NAME_SHOWN = 120,
    INT_BYTES_MAX = 2048, /* Python itself prints no more than 4300 digits */
    UUID_BYTES = 16,
    TEXT_MAX = 64
};

static enum status
refuse(struct slice global, struct error *err)
{
    return error_set(err, ST_PROTO, "pickle: %.*s is refused",
                     (int)(global.len < NAME_SHOWN ? global.len : NAME_SHOWN),
                     global.ptr);
}

static enum status
misused(const char *what, struct error *err)
{
    return error_set(err, ST_PROTO, "pickle: %s with other arguments", what);
}

static enum status
made(struct json_object *v, struct json_object **out, struct error *err)
{
    *out = v;
    return v != NULL ? ST_OK : error_set(err, ST_NOMEM, "pickle: no memory");
}

static struct json_object *
arg(struct json_object *args, size_t i)
{
    return i < json_object_array_length(args)
               ? json_object_array_get_idx(args, i)
               : NULL;
}

/* ---- bytes ---- */

static enum status
new_bytes(struct slice s, struct json_object **out, struct error *err)
{
    return typed_json_encode_bytes(TYPED_TAGGED, s, out, err);
}

/* The bytes of a value that new_bytes() has made. */
static enum status
raw_bytes(struct json_object *v, struct buf *out, struct error *err)
{
    enum typed_json_kind kind = typed_json_kind(v);

    if (kind != TYPED_BYTES && kind != TYPED_BASE64)
        return error_set(err, ST_PROTO, "pickle: no bytes where they must be");
    return typed_json_decode(v, out, err);
}

/* _codecs.encode(text, "latin1"): how protocol 2 has bytes. */
static enum status
call_encode(struct json_object *args, struct json_object **out,
            struct error *err)
{
    struct slice text = json_str(arg(args, 0));
    struct slice codec = json_str(arg(args, 1));
    struct buf b;
    enum status st;

    if (text.ptr == NULL || codec.ptr == NULL ||
        (!slice_is(codec, "latin1") && !slice_is(codec, "latin-1")))
        return misused("_codecs.encode", err);
    buf_init(&b, PICKLE_MAX);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        char one = (char)c;

        /* U+0080 to U+00FF are C2 or C3 and one more byte. */
        if (c >= 0xc2 && c <= 0xc3 && i + 1 < text.len)
            one = (char)((c & 3) << 6 | (text.ptr[++i] & 0x3f));
        else if (c >= 0x80)
            b.failed = true;
        buf_add(&b, (struct slice){&one, 1});
    }
    st = b.failed ? misused("_codecs.encode", err)
                  : new_bytes((struct slice){b.data, b.len}, out, err);
    buf_fini(&b);
    return st;
}

static enum status
call_bytes(struct json_object *args, struct json_object **out,
           struct error *err)
{
    struct json_object *v = arg(args, 0);
    enum typed_json_kind kind = typed_json_kind(v);

    if (json_object_array_length(args) == 0)
        return new_bytes((struct slice){"", 0}, out, err);
    if (kind != TYPED_BYTES && kind != TYPED_BASE64)
        return misused("bytearray", err);
    return made(json_object_get(v), out, err);
}

/* ---- dates ---- */

/* The bytes that a date's pickle has in place of its parts. */
static enum status
date_bytes(struct json_object *v, unsigned char *to, size_t n,
           struct error *err)
{
    struct buf b;
    enum status st;

    buf_init(&b, TEXT_MAX);
    st = raw_bytes(v, &b, err);
    if (st == ST_OK && b.len != n)
        st = error_set(err, ST_PROTO, "pickle: a date of %zu bytes", b.len);
    if (st == ST_OK)
        memcpy(to, b.data, n);
    buf_fini(&b);
    return st;
}

/* "+01:00", or "" for a naive one. */
static enum status
offset_text(struct json_object *zone, char *out, size_t size, struct error *err)
{
    int64_t s = json_get_int(zone, PICKLE_TIMEZONE, 0);
    long long minutes = (long long)(s < 0 ? -s : s) / 60;

    *out = '\0';
    if (zone == NULL)
        return ST_OK;
    if (json_get(zone, PICKLE_TIMEZONE) == NULL || s % 60 != 0 ||
        minutes >= 24 * 60LL)
        return misused("datetime.datetime", err);
    (void)snprintf(out, size, "%c%02lld:%02lld", s < 0 ? '-' : '+',
                   minutes / 60, minutes % 60);
    return ST_OK;
}

/* p: hour, minute, second, microseconds. */
static void
time_text(const unsigned char *p, char *out, size_t size)
{
    unsigned us = (unsigned)p[3] << 16 | (unsigned)p[4] << 8 | p[5];

    if (us != 0)
        (void)snprintf(out, size, "%02u:%02u:%02u.%06u", p[0] & 0x7fu, p[1],
                       p[2], us);
    else
        (void)snprintf(out, size, "%02u:%02u:%02u", p[0] & 0x7fu, p[1], p[2]);
}

static enum status
call_datetime(struct json_object *args, struct json_object **out,
              struct error *err)
{
    unsigned char p[10] = {0};
    char time[32], zone[32], text[TEXT_MAX + 32];
    enum status st = date_bytes(arg(args, 0), p, sizeof(p), err);

    if (st == ST_OK)
        st = offset_text(arg(args, 1), zone, sizeof(zone), err);
    if (st != ST_OK)
        return st;
    time_text(p + 4, time, sizeof(time));
    (void)snprintf(text, sizeof(text), "%04u-%02u-%02uT%s%s",
                   (unsigned)p[0] << 8 | p[1], p[2] & 0x7fu, p[3], time, zone);
    return typed_json_encode(TYPED_DATETIME, TYPED_TAGGED, slice_of(text), out,
                             err);
}

static enum status
call_date(struct json_object *args, struct json_object **out, struct error *err)
{
    unsigned char p[4] = {0};
    char text[TEXT_MAX];
    enum status st = date_bytes(arg(args, 0), p, sizeof(p), err);

    if (st != ST_OK)
        return st;
    (void)snprintf(text, sizeof(text), "%04u-%02u-%02u",
                   (unsigned)p[0] << 8 | p[1], p[2], p[3]);
    return typed_json_encode(TYPED_DATE, TYPED_TAGGED, slice_of(text), out,
                             err);
}

static enum status
call_time(struct json_object *args, struct json_object **out, struct error *err)
{
    unsigned char p[6] = {0};
    char text[TEXT_MAX];
    enum status st = date_bytes(arg(args, 0), p, sizeof(p), err);

    if (st == ST_OK && arg(args, 1) != NULL)
        st = misused("datetime.time", err);
    if (st != ST_OK)
        return st;
    time_text(p, text, sizeof(text));
    return typed_json_encode(TYPED_TIME, TYPED_TAGGED, slice_of(text), out,
                             err);
}

/* Seconds, as a whole number where it is one. */
static enum status
call_timedelta(struct json_object *args, struct json_object **out,
               struct error *err)
{
    int64_t part[3] = {0};

    for (size_t i = 0; i < 3 && i < json_object_array_length(args); i++) {
        struct json_object *v = arg(args, i);

        part[i] = json_object_get_int64(v);
        if (!json_object_is_type(v, json_type_int) || part[i] > 1000000000 ||
            part[i] < -1000000000)
            return misused("datetime.timedelta", err);
    }
    part[1] += part[0] * 86400;
    if (part[2] != 0)
        return made(
            json_new_double((double)part[1] + (double)part[2] / 1000000), out,
            err);
    return made(json_object_new_int64(part[1]), out, err);
}

static enum status
new_zone(int64_t seconds, struct json_object **out, struct error *err)
{
    struct json_object *zone = json_object_new_object();

    if (json_set(zone, PICKLE_TIMEZONE, json_object_new_int64(seconds)) !=
        ST_OK) {
        json_object_put(zone);
        zone = NULL;
    }
    return made(zone, out, err);
}

static enum status
call_timezone(struct json_object *args, struct json_object **out,
              struct error *err)
{
    if (!json_object_is_type(arg(args, 0), json_type_int))
        return misused("datetime.timezone", err);
    return new_zone(json_object_get_int64(arg(args, 0)), out, err);
}

static enum status
call_utc(struct json_object *args, struct json_object **out, struct error *err)
{
    (void)args;
    return new_zone(0, out, err);
}

static enum status
call_decimal(struct json_object *args, struct json_object **out,
             struct error *err)
{
    struct slice text = json_str(arg(args, 0));

    if (text.ptr == NULL)
        return misused("decimal.Decimal", err);
    return typed_json_encode(TYPED_DECIMAL, TYPED_TAGGED, text, out, err);
}

/* ---- containers ---- */

/* set([...]), frozenset([...]), list(...), tuple(...) */
static enum status
call_sequence(struct json_object *args, struct json_object **out,
              struct error *err)
{
    if (json_object_array_length(args) == 0)
        return made(json_object_new_array(), out, err);
    if (!json_object_is_type(arg(args, 0), json_type_array))
        return misused("a sequence", err);
    return made(json_object_get(arg(args, 0)), out, err);
}

/* OrderedDict(), defaultdict(factory): their items are set afterwards. */
static enum status
call_dict(struct json_object *args, struct json_object **out, struct error *err)
{
    (void)args;
    return made(json_object_new_object(), out, err);
}

/* ---- Celery's results ---- */

/* [[id, parent], children]; children is consumed, NULL: null. */
static enum status
new_result(struct json_object *id, struct json_object *parent,
           struct json_object *children, struct json_object **out,
           struct error *err)
{
    struct json_object *pair = json_object_new_array();
    struct json_object *tuple = json_object_new_array();
    enum status st = json_append(pair, json_object_get(id));

    if (st == ST_OK)
        st = parent != NULL ? json_append(pair, json_object_get(parent))
                            : json_append_null(pair);
    if (st == ST_OK) {
        st = json_append(tuple, pair);
        pair = NULL;
    }
    if (st == ST_OK && children != NULL) {
        st = json_append(tuple, children);
        children = NULL;
    } else if (st == ST_OK) {
        st = json_append_null(tuple);
    }
    if (st != ST_OK) {
        json_object_put(tuple);
        tuple = NULL;
    }
    json_object_put(pair);
    json_object_put(children);
    return made(tuple, out, err);
}

/* AsyncResult(id, backend, task_name, app, parent) */
static enum status
call_async_result(struct json_object *args, struct json_object **out,
                  struct error *err)
{
    struct json_object *id = arg(args, 0), *parent = arg(args, 4);

    if (!json_object_is_type(id, json_type_string) ||
        (parent != NULL && !json_object_is_type(parent, json_type_array)))
        return misused("celery.result.AsyncResult", err);
    return new_result(id, parent, NULL, out, err);
}

/* GroupResult(id, results) */
static enum status
call_group_result(struct json_object *args, struct json_object **out,
                  struct error *err)
{
    struct json_object *id = arg(args, 0), *results = arg(args, 1);

    if (!json_object_is_type(id, json_type_string) ||
        !json_object_is_type(results, json_type_array))
        return misused("celery.result.GroupResult", err);
    return new_result(id, NULL, json_object_get(results), out, err);
}

/* How an app's own classes are pickled: the name of its member, its arguments.
 */
static enum status
call_appattr(struct json_object *args, struct json_object **out,
             struct error *err)
{
    struct slice name = json_str(arg(args, 0));
    struct json_object *more = arg(args, 1);

    if (!json_object_is_type(more, json_type_array) || name.ptr == NULL)
        return misused("celery.app.base._unpickle_appattr", err);
    if (slice_is(name, "GroupResult"))
        return call_group_result(more, out, err);
    if (slice_is(name, "AsyncResult"))
        return call_async_result(more, out, err);
    return refuse(name, err);
}

/* The backend of a result (which has a password in it) is not needed. */
static enum status
call_backend(struct json_object *args, struct json_object **out,
             struct error *err)
{
    (void)args;
    (void)err;
    *out = NULL;
    return ST_OK;
}

static const struct {
    const char *name;
    enum status (*fn)(struct json_object *args, struct json_object **out,
                      struct error *err);
} calls[] = {
    {"_codecs.encode", call_encode},
    {"builtins.bytearray", call_bytes},
    {"builtins.bytes", call_bytes},
    {"builtins.frozenset", call_sequence},
    {"builtins.list", call_sequence},
    {"builtins.set", call_sequence},
    {"builtins.tuple", call_sequence},
    {"celery.app.base._unpickle_appattr", call_appattr},
    {"celery.backends.base.unpickle_backend", call_backend},
    {"celery.result.AsyncResult", call_async_result},
    {"celery.result.GroupResult", call_group_result},
    {"collections.OrderedDict", call_dict},
    {"collections.defaultdict", call_dict},
    {"datetime.date", call_date},
    {"datetime.datetime", call_datetime},
    {"datetime.time", call_time},
    {"datetime.timedelta", call_timedelta},
    {"datetime.timezone", call_timezone},
    {"decimal.Decimal", call_decimal},
    {"pytz._UTC", call_utc},
};

enum status
pickle_call(struct slice global, struct json_object *args,
            struct json_object **out, struct error *err)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
        if (slice_is(global, calls[i].name))
            return calls[i].fn(args, out, err);
    return refuse(global, err);
}

/* ---- integers ---- */

/* Decimal digits of an unsigned big-endian number, which is destroyed. */
static void
digits_of(unsigned char *p, size_t n, struct buf *out)
{
    char digits[INT_BYTES_MAX * 5 / 2 + 2];
    size_t at = sizeof(digits), from = 0;

    while (from < n) {
        unsigned rest = 0;

        for (size_t i = from; i < n; i++) {
            rest = rest << 8 | p[i];
            p[i] = (unsigned char)(rest / 10);
            rest %= 10;
        }
        digits[--at] = (char)('0' + rest);
        while (from < n && p[from] == 0)
            from++;
    }
    buf_add(out, (struct slice){digits + at, sizeof(digits) - at});
}

static enum status
big_integer(const unsigned char *p, size_t n, struct json_object **out,
            struct error *err)
{
    unsigned char big[INT_BYTES_MAX];
    bool negative = p[n - 1] & 0x80;
    unsigned carry = 1;
    struct buf b;
    enum status st;

    for (size_t i = 0; i < n; i++) { /* negate: invert and add one */
        unsigned c = p[i];

        if (negative) {
            c = (~c & 0xff) + carry;
            carry = c >> 8;
        }
        big[n - 1 - i] = (unsigned char)c;
    }
    buf_init(&b, INT_BYTES_MAX * 3);
    buf_addf(&b, negative ? "-" : "");
    digits_of(big, n, &b);
    st = b.failed ? ST_NOMEM : ST_OK;
    if (st == ST_OK)
        st = json_parse((struct slice){b.data, b.len}, 1, out, err);
    buf_fini(&b);
    return st;
}

enum status
pickle_integer(const unsigned char *p, size_t n, struct json_object **out,
               struct error *err)
{
    uint64_t u = n > 0 && p[n - 1] & 0x80 ? UINT64_MAX : 0;

    if (n > INT_BYTES_MAX)
        return error_set(err, ST_TOOBIG, "pickle: an integer of %zu bytes", n);
    if (n > 8)
        return big_integer(p, n, out, err);
    for (size_t i = n; i-- > 0;)
        u = u << 8 | p[i];
    return made(json_object_new_int64((int64_t)u), out, err);
}

/* ---- UUIDs, which get their number afterwards ---- */

enum status
pickle_new(struct slice global, struct json_object *args,
           struct json_object **out, struct error *err)
{
    static const char none[] = "00000000-0000-0000-0000-000000000000";

    if (!slice_is(global, "uuid.UUID") || json_object_array_length(args) != 0)
        return refuse(global, err);
    return typed_json_encode(TYPED_UUID, TYPED_TAGGED, slice_of(none), out,
                             err);
}

/* Decimal text to 128 bits. */
static bool
uuid_number(struct slice text, unsigned char out[UUID_BYTES])
{
    memset(out, 0, UUID_BYTES);
    for (size_t i = 0; i < text.len; i++) {
        unsigned carry = (unsigned)text.ptr[i] - '0';

        if (!isdigit((unsigned char)text.ptr[i]))
            return false;
        for (size_t k = UUID_BYTES; k-- > 0;) {
            carry += out[k] * 10u;
            out[k] = (unsigned char)carry;
            carry >>= 8;
        }
        if (carry != 0)
            return false;
    }
    return text.len > 0;
}

enum status
pickle_set_state(struct json_object *obj, struct json_object *state,
                 struct error *err)
{
    struct json_object *number = json_get(state, "int");
    struct json_object *value = json_get(obj, "__value__");
    unsigned char bytes[UUID_BYTES];
    char hex[UUID_BYTES * 2 + 1], *text;
    bool ok;

    if (typed_json_kind(obj) != TYPED_UUID || number == NULL ||
        !json_object_is_type(value, json_type_object))
        return error_set(err, ST_PROTO, "pickle: a state for no UUID");
    text = json_text(number);
    if (text == NULL)
        return error_set(err, ST_NOMEM, "pickle: no memory");
    ok = uuid_number(slice_of(text), bytes);
    free(text);
    if (!ok)
        return misused("uuid.UUID", err);
    for (size_t i = 0; i < UUID_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    if (json_set(value, "hex", json_new_str(slice_of(hex))) != ST_OK)
        return error_set(err, ST_NOMEM, "pickle: no memory");
    return ST_OK;
}
