/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON values of the task API. */
#include "worker/value.h"

#include <string.h>

static const char null_value = 0;

static lovage_value *
the_null(void)
{
    /* Only its address is used, never what is there. */
    return (lovage_value *)(uintptr_t)&null_value;
}

static lovage_value *
wrap(struct json_object *json)
{
    return (lovage_value *)(void *)json;
}

struct json_object *
value_json(const lovage_value *v)
{
    if (v == the_null())
        return NULL;
    return (struct json_object *)(uintptr_t)v;
}

const lovage_value *
value_of(struct json_object *json)
{
    return json ? wrap(json) : the_null();
}

enum status
value_take(lovage_value *v, struct json_object **out)
{
    if (!v)
        return ST_NOMEM;
    *out = value_json(v);
    return ST_OK;
}

enum status
value_append(struct json_object *array, struct json_object *v)
{
    return v ? json_append(array, v) : json_append_null(array);
}

const char *
value_python_type(const lovage_value *v)
{
    static const char *const names[] = {
        [LOVAGE_NULL] = "NoneType", [LOVAGE_BOOL] = "bool",
        [LOVAGE_INT] = "int",       [LOVAGE_DOUBLE] = "float",
        [LOVAGE_STRING] = "str",    [LOVAGE_ARRAY] = "list",
        [LOVAGE_OBJECT] = "dict",
    };

    return names[lovage_typeof(v)];
}

/* ---- making ---- */

lovage_value *
lovage_null(void)
{
    return the_null();
}

lovage_value *
lovage_bool(bool b)
{
    return wrap(json_object_new_boolean(b));
}

lovage_value *
lovage_int(int64_t i)
{
    return wrap(json_object_new_int64(i));
}

lovage_value *
lovage_double(double d)
{
    return wrap(json_new_double(d));
}

lovage_value *
lovage_string(const char *s)
{
    return lovage_string_n(s, strlen(s));
}

lovage_value *
lovage_string_n(const char *s, size_t n)
{
    struct slice text = {s, n};

    return wrap(json_new_str(text));
}

lovage_value *
lovage_array(void)
{
    return wrap(json_object_new_array());
}

lovage_value *
lovage_object(void)
{
    return wrap(json_object_new_object());
}

lovage_value *
lovage_parse(const char *json)
{
    struct slice text = {json, strlen(json)};
    struct json_object *v = NULL;

    if (json_parse(text, JSON_DEPTH, &v, NULL) != ST_OK)
        return NULL;
    return v ? wrap(v) : the_null();
}

lovage_value *
lovage_copy(const lovage_value *v)
{
    struct json_object *json = value_json(v);

    if (!v || !json)
        return v ? the_null() : NULL;
    return wrap(json_copy(json));
}

void
lovage_free(lovage_value *v)
{
    json_object_put(value_json(v));
}

lovage_status
lovage_push(lovage_value *array, lovage_value *v)
{
    struct json_object *json = NULL;
    enum status st = value_take(v, &json);

    if (st == ST_OK && lovage_typeof(array) == LOVAGE_ARRAY)
        return value_append(value_json(array), json) == ST_OK ? LOVAGE_OK
                                                              : LOVAGE_FAILED;
    json_object_put(json);
    return LOVAGE_FAILED;
}

lovage_status
lovage_put(lovage_value *object, const char *key, lovage_value *v)
{
    struct json_object *json = NULL, *o = value_json(object);
    enum status st = value_take(v, &json);

    if (st != ST_OK || lovage_typeof(object) != LOVAGE_OBJECT) {
        json_object_put(json);
        return LOVAGE_FAILED;
    }
    st = json ? json_set(o, key, json) : json_set_null(o, key);
    return st == ST_OK ? LOVAGE_OK : LOVAGE_FAILED;
}

/* ---- reading ---- */

lovage_type
lovage_typeof(const lovage_value *v)
{
    switch (json_object_get_type(value_json(v))) {
    case json_type_boolean:
        return LOVAGE_BOOL;
    case json_type_int:
        return LOVAGE_INT;
    case json_type_double:
        return LOVAGE_DOUBLE;
    case json_type_string:
        return LOVAGE_STRING;
    case json_type_array:
        return LOVAGE_ARRAY;
    case json_type_object:
        return LOVAGE_OBJECT;
    case json_type_null:
    default:
        return LOVAGE_NULL;
    }
}

bool
lovage_as_bool(const lovage_value *v)
{
    return lovage_typeof(v) == LOVAGE_BOOL &&
           json_object_get_boolean(value_json(v));
}

int64_t
lovage_as_int(const lovage_value *v)
{
    return lovage_typeof(v) == LOVAGE_INT ? json_object_get_int64(value_json(v))
                                          : 0;
}

double
lovage_as_double(const lovage_value *v)
{
    lovage_type t = lovage_typeof(v);

    return t == LOVAGE_INT || t == LOVAGE_DOUBLE
               ? json_object_get_double(value_json(v))
               : 0;
}

const char *
lovage_as_string(const lovage_value *v, size_t *len)
{
    struct json_object *json = value_json(v);

    if (lovage_typeof(v) != LOVAGE_STRING)
        return NULL;
    if (len)
        *len = (size_t)json_object_get_string_len(json);
    return json_object_get_string(json);
}

size_t
lovage_length(const lovage_value *v)
{
    struct json_object *json = value_json(v);

    switch (lovage_typeof(v)) {
    case LOVAGE_ARRAY:
        return json_object_array_length(json);
    case LOVAGE_OBJECT:
        return (size_t)json_object_object_length(json);
    case LOVAGE_STRING:
        return (size_t)json_object_get_string_len(json);
    default:
        return 0;
    }
}

const lovage_value *
lovage_at(const lovage_value *array, size_t i)
{
    if (lovage_typeof(array) != LOVAGE_ARRAY || i >= lovage_length(array))
        return NULL;
    return value_of(json_object_array_get_idx(value_json(array), i));
}

const lovage_value *
lovage_member(const lovage_value *object, const char *key)
{
    struct json_object *v;

    if (lovage_typeof(object) != LOVAGE_OBJECT ||
        !json_object_object_get_ex(value_json(object), key, &v))
        return NULL;
    return value_of(v);
}

const char *
lovage_key(const lovage_value *object, size_t i)
{
    struct lh_entry *e;

    if (lovage_typeof(object) != LOVAGE_OBJECT)
        return NULL;
    e = json_object_get_object(value_json(object))->head;
    while (e && i--)
        e = e->next;
    return e ? (const char *)lh_entry_k(e) : NULL;
}

char *
lovage_text(const lovage_value *v)
{
    return v ? json_text(value_json(v)) : NULL;
}
