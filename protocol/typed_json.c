/* SPDX-License-Identifier: Apache-2.0 */
/* kombu's tagged values: dates, decimals, UUIDs and bytes in JSON. */
#include "protocol/typed_json.h"

#include <ctype.h>
#include <string.h>

#include "base/utf8.h"
#include "protocol/base64.h"
#include "protocol/iso8601.h"

enum {
    UUID_HEX = 32,
    UUID_TEXT = 36,
    DECIMAL_MAX = 4096,
    SHOWN = 64 /* bytes of a bad value that an error shows */
};

static const struct {
    const char *name;
    enum typed_json_kind kind;
} tags[] = {
    {"datetime", TYPED_DATETIME}, {"date", TYPED_DATE}, {"time", TYPED_TIME},
    {"decimal", TYPED_DECIMAL},   {"uuid", TYPED_UUID}, {"bytes", TYPED_BYTES},
    {"base64", TYPED_BASE64},
};

static const char *
tag_of(enum typed_json_kind kind)
{
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
        if (tags[i].kind == kind)
            return tags[i].name;
    return "";
}

/* Exactly the two keys, as kombu looks for them. */
enum typed_json_kind
typed_json_kind(struct json_object *v)
{
    struct slice tag = json_get_str(v, "__type__");

    if (tag.ptr == NULL || json_object_object_length(v) != 2 ||
        !json_object_object_get_ex(v, "__value__", NULL))
        return TYPED_NONE;
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
        if (slice_is(tag, tags[i].name))
            return tags[i].kind;
    return TYPED_NONE;
}

static bool
all_hex(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!isxdigit((unsigned char)s.ptr[i]))
            return false;
    return true;
}

/* {"hex": "0123..."} */
static enum status
decode_uuid(struct json_object *value, struct buf *out, struct error *err)
{
    static const size_t parts[] = {8, 4, 4, 4, 12};
    struct slice hex = json_get_str(value, "hex");

    if (hex.len != UUID_HEX || !all_hex(hex))
        return error_set(err, ST_PROTO, "typed value: no UUID");
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        buf_add(out, slice_of(i > 0 ? "-" : ""));
        buf_add(out, (struct slice){hex.ptr, parts[i]});
        hex.ptr += parts[i];
    }
    return ST_OK;
}

enum status
typed_json_decode(struct json_object *v, struct buf *out, struct error *err)
{
    enum typed_json_kind kind = typed_json_kind(v);
    struct slice value = json_get_str(v, "__value__");

    if (kind == TYPED_NONE)
        return error_set(err, ST_PROTO, "typed value: no tag that we know");
    if (kind == TYPED_UUID)
        return decode_uuid(json_get(v, "__value__"), out, err);
    if (value.ptr == NULL)
        return error_set(err, ST_PROTO, "typed value: a %s that is no string",
                         tag_of(kind));
    if (kind == TYPED_BASE64)
        return base64_decode(value, out, err);
    buf_add(out, value);
    return ST_OK;
}

/* HH:MM:SS with what may follow: a time is right if it is one on a day. */
static bool
is_time(struct slice s)
{
    struct buf b;
    int64_t us;
    bool ok;

    if (s.len < 5 || s.ptr[2] != ':')
        return false;
    buf_init(&b, 128);
    buf_add(&b, slice_of("2000-01-01T"));
    buf_add(&b, s);
    ok = !b.failed &&
         iso8601_parse((struct slice){b.data, b.len}, &us, NULL) == ST_OK;
    buf_fini(&b);
    return ok;
}

/* Sign, digits with at most one point, exponent. */
static bool
is_decimal(struct slice s)
{
    size_t i = 0, n = 0;
    bool point = false;

    if (s.len > DECIMAL_MAX)
        return false;
    i += s.len > 0 && (s.ptr[0] == '-' || s.ptr[0] == '+');
    for (; i < s.len && (isdigit((unsigned char)s.ptr[i]) || s.ptr[i] == '.');
         i++) {
        if (s.ptr[i] == '.' && point)
            return false;
        point = point || s.ptr[i] == '.';
        n += s.ptr[i] != '.';
    }
    if (n == 0)
        return false;
    if (i == s.len)
        return true;
    if (s.ptr[i] != 'E' && s.ptr[i] != 'e')
        return false;
    i++;
    i += i < s.len && (s.ptr[i] == '-' || s.ptr[i] == '+');
    for (n = 0; i < s.len && isdigit((unsigned char)s.ptr[i]); i++)
        n++;
    return n > 0 && i == s.len;
}

static bool
is_uuid(struct slice s)
{
    if (s.len != UUID_TEXT)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? s.ptr[i] != '-' : !isxdigit((unsigned char)s.ptr[i]))
            return false;
    }
    return true;
}

static bool
is_of_kind(enum typed_json_kind kind, struct slice s)
{
    int64_t us;

    switch (kind) {
    case TYPED_DATETIME:
        return s.len > 10 && iso8601_parse(s, &us, NULL) == ST_OK;
    case TYPED_DATE:
        return s.len == 10 && iso8601_parse(s, &us, NULL) == ST_OK;
    case TYPED_TIME:
        return is_time(s);
    case TYPED_DECIMAL:
        return is_decimal(s);
    case TYPED_UUID:
        return is_uuid(s);
    case TYPED_NONE:
    case TYPED_BYTES:
    case TYPED_BASE64:
        break;
    }
    return false;
}

/* {"__type__": tag, "__value__": value}; value is consumed. */
static enum status
tagged(enum typed_json_kind kind, struct json_object *value,
       struct json_object **out, struct error *err)
{
    struct json_object *v = json_object_new_object();
    enum status st =
        json_set(v, "__type__", json_new_str(slice_of(tag_of(kind))));

    if (st != ST_OK)
        json_object_put(value);
    else
        st = json_set(v, "__value__", value);
    if (st != ST_OK) {
        json_object_put(v);
        return error_set(err, st, "typed value: out of memory");
    }
    *out = v;
    return ST_OK;
}

/* 5.2: a date is a datetime at midnight, UTC is "Z". */
static enum status
encode_plain(enum typed_json_kind kind, struct slice text,
             struct json_object **out, struct error *err)
{
    struct buf b;

    buf_init(&b, DECIMAL_MAX + 16);
    if (kind == TYPED_DATETIME && text.len > 6 &&
        memcmp(text.ptr + text.len - 6, "+00:00", 6) == 0) {
        buf_add(&b, (struct slice){text.ptr, text.len - 6});
        buf_add(&b, slice_of("Z"));
    } else {
        buf_add(&b, text);
        if (kind == TYPED_DATE)
            buf_add(&b, slice_of("T00:00:00"));
    }
    *out = b.failed ? NULL : json_new_str((struct slice){b.data, b.len});
    buf_fini(&b);
    return *out != NULL ? ST_OK
                        : error_set(err, ST_NOMEM, "typed value: no memory");
}

static enum status
encode_uuid(struct slice text, struct json_object **out, struct error *err)
{
    struct json_object *value = json_object_new_object();
    char hex[UUID_HEX];
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '-')
            hex[n++] = (char)tolower((unsigned char)text.ptr[i]);
    if (json_set(value, "hex", json_new_str((struct slice){hex, n})) != ST_OK) {
        json_object_put(value);
        return error_set(err, ST_NOMEM, "typed value: out of memory");
    }
    return tagged(TYPED_UUID, value, out, err);
}

enum status
typed_json_encode(enum typed_json_kind kind, enum typed_json_dialect dialect,
                  struct slice text, struct json_object **out,
                  struct error *err)
{
    if (!is_of_kind(kind, text))
        return error_set(err, ST_INVALID, "typed value: no %s: '%.*s'",
                         tag_of(kind),
                         (int)(text.len < SHOWN ? text.len : SHOWN), text.ptr);
    if (dialect == TYPED_PLAIN)
        return encode_plain(kind, text, out, err);
    if (kind == TYPED_UUID)
        return encode_uuid(text, out, err);
    return tagged(kind, json_new_str(text), out, err);
}

enum status
typed_json_encode_bytes(enum typed_json_dialect dialect, struct slice bytes,
                        struct json_object **out, struct error *err)
{
    struct json_object *value;
    struct buf b;

    if (dialect == TYPED_PLAIN)
        return error_set(err, ST_INVALID, "typed value: bytes need Celery 5.3");
    if (utf8_valid(bytes))
        return tagged(TYPED_BYTES, json_new_str(bytes), out, err);
    buf_init(&b, bytes.len / 3 * 4 + 8);
    base64_add(&b, bytes);
    value = b.failed ? NULL : json_new_str((struct slice){b.data, b.len});
    buf_fini(&b);
    return tagged(TYPED_BASE64, value, out, err);
}
