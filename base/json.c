/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and building json-c's values. */
#include "base/json.h"

#include <limits.h>
#include <math.h>
#include <string.h>

struct json_object *
json_get(struct json_object *obj, const char *key)
{
    struct json_object *v = NULL;

    if (json_object_is_type(obj, json_type_object))
        json_object_object_get_ex(obj, key, &v);
    return v;
}

struct slice
json_str(struct json_object *v)
{
    if (!json_object_is_type(v, json_type_string))
        return (struct slice){NULL, 0};
    return (struct slice){json_object_get_string(v),
                          (size_t)json_object_get_string_len(v)};
}

struct slice
json_get_str(struct json_object *obj, const char *key)
{
    return json_str(json_get(obj, key));
}

int64_t
json_get_int(struct json_object *obj, const char *key, int64_t dflt)
{
    struct json_object *v = json_get(obj, key);
    double d;

    if (json_object_is_type(v, json_type_int))
        return json_object_get_int64(v);
    if (!json_object_is_type(v, json_type_double))
        return dflt;
    d = json_object_get_double(v);
    if (isnan(d))
        return dflt;
    /* -2^63 is a double; 2^63 - 1 is not, and the next one is too large. */
    if (d >= 0x1p63)
        return INT64_MAX;
    return d < -0x1p63 ? INT64_MIN : (int64_t)d;
}

double
json_get_double(struct json_object *obj, const char *key, double dflt)
{
    struct json_object *v = json_get(obj, key);

    if (json_object_is_type(v, json_type_double) ||
        json_object_is_type(v, json_type_int))
        return json_object_get_double(v);
    return dflt;
}

bool
json_get_bool(struct json_object *obj, const char *key, bool dflt)
{
    struct json_object *v = json_get(obj, key);

    return json_object_is_type(v, json_type_boolean)
               ? json_object_get_boolean(v) != 0
               : dflt;
}

struct json_object *
json_new_str(struct slice s)
{
    return s.len < INT_MAX ? json_object_new_string_len(s.ptr, (int)s.len)
                           : NULL;
}

enum status
json_set(struct json_object *obj, const char *key, struct json_object *v)
{
    if (v != NULL && obj != NULL && json_object_object_add(obj, key, v) == 0)
        return ST_OK;
    json_object_put(v);
    return ST_NOMEM;
}

enum status
json_set_null(struct json_object *obj, const char *key)
{
    if (obj != NULL && json_object_object_add(obj, key, NULL) == 0)
        return ST_OK;
    return ST_NOMEM;
}

enum status
json_append(struct json_object *arr, struct json_object *v)
{
    if (v != NULL && arr != NULL && json_object_array_add(arr, v) == 0)
        return ST_OK;
    json_object_put(v);
    return ST_NOMEM;
}

enum status
json_append_null(struct json_object *arr)
{
    if (arr != NULL && json_object_array_add(arr, NULL) == 0)
        return ST_OK;
    return ST_NOMEM;
}

static struct json_object *copy_array(struct json_object *v);
static struct json_object *copy_object(struct json_object *v);

/* json_object_deep_copy() would cut strings at U+0000. */
struct json_object *
json_copy(struct json_object *v)
{
    const char *text;

    switch (json_object_get_type(v)) {
    case json_type_boolean:
        return json_object_new_boolean(json_object_get_boolean(v));
    case json_type_int:
        if (json_object_get_int64(v) == INT64_MAX)
            return json_object_new_uint64(json_object_get_uint64(v));
        return json_object_new_int64(json_object_get_int64(v));
    case json_type_double:
        text = json_object_get_userdata(v);
        return text != NULL
                   ? json_object_new_double_s(json_object_get_double(v), text)
                   : json_object_new_double(json_object_get_double(v));
    case json_type_string:
        return json_new_str(json_str(v));
    case json_type_array:
        return copy_array(v);
    case json_type_object:
        return copy_object(v);
    case json_type_null:
        break;
    }
    return NULL;
}

static struct json_object *
copy_array(struct json_object *v)
{
    struct json_object *arr = json_object_new_array_ext(4), *from;
    size_t n = json_object_array_length(v);
    enum status st = ST_OK;

    for (size_t i = 0; i < n && st == ST_OK; i++) {
        from = json_object_array_get_idx(v, i);
        st = from != NULL ? json_append(arr, json_copy(from))
                          : json_append_null(arr);
    }
    if (st != ST_OK) {
        json_object_put(arr);
        return NULL;
    }
    return arr;
}

static struct json_object *
copy_object(struct json_object *v)
{
    struct json_object *obj = json_object_new_object();
    struct json_object_iter it;
    enum status st;

    json_object_object_foreachC(v, it)
    {
        st = it.val != NULL ? json_set(obj, it.key, json_copy(it.val))
                            : json_set_null(obj, it.key);
        if (st != ST_OK) {
            json_object_put(obj);
            return NULL;
        }
    }
    return obj;
}

bool
json_has_nul(struct json_object *v)
{
    struct json_object_iter it;
    struct slice s;
    size_t n;

    switch (json_object_get_type(v)) {
    case json_type_string:
        s = json_str(v);
        return memchr(s.ptr, '\0', s.len) != NULL;
    case json_type_array:
        n = json_object_array_length(v);
        for (size_t i = 0; i < n; i++)
            if (json_has_nul(json_object_array_get_idx(v, i)))
                return true;
        return false;
    case json_type_object:
        json_object_object_foreachC(v, it)
        {
            if (json_has_nul(it.val)) /* a key cannot: json_parse */
                return true;
        }
        return false;
    default:
        return false;
    }
}
