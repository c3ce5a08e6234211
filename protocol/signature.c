/* SPDX-License-Identifier: Apache-2.0 */
/* Reading signatures.  They come from many hands: nulls and unknown members are
 * normal, absent members have defaults (celery-wire.md 6.1). */
#include "protocol/signature.h"

#include <string.h>

static const struct {
    const char *name;
    enum signature_type type;
} types[] = {
    {"chain", SIG_CHAIN},       {"group", SIG_GROUP},
    {"chord", SIG_CHORD},       {"xmap", SIG_XMAP},
    {"map", SIG_XMAP},          {"chunks", SIG_CHUNKS},
    {"xstarmap", SIG_XSTARMAP}, {"starmap", SIG_XSTARMAP},
};

/* False: a type that nobody knows. */
static bool
find_type(struct json_object *sig, enum signature_type *out)
{
    struct slice name = json_get_str(sig, "subtask_type");

    *out = SIG_TASK;
    if (name.len == 0)
        return true;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (slice_is(name, types[i].name)) {
            *out = types[i].type;
            return true;
        }
    return false;
}

static bool
is_or_absent(struct json_object *sig, const char *key, enum json_type type)
{
    struct json_object *v = json_get(sig, key);

    return v == NULL || json_object_is_type(v, type);
}

/* What a canvas must have in its kwargs. */
static const char *
missing_part(enum signature_type type, struct json_object *kwargs)
{
    struct json_object *header = json_get(kwargs, "header");

    switch (type) {
    case SIG_TASK:
        return NULL;
    case SIG_CHAIN:
    case SIG_GROUP:
        return json_object_is_type(json_get(kwargs, "tasks"), json_type_array)
                   ? NULL
                   : "tasks";
    case SIG_CHORD:
        if (!json_object_is_type(header, json_type_array) &&
            !json_object_is_type(header, json_type_object))
            return "header";
        return json_get(kwargs, "body") != NULL ? NULL : "body";
    case SIG_CHUNKS:
        if (json_get_int(kwargs, "n", 0) < 1)
            return "n";
        break;
    case SIG_XMAP:
    case SIG_XSTARMAP:
        break;
    }
    if (json_get(kwargs, "task") == NULL)
        return "task";
    return json_object_is_type(json_get(kwargs, "it"), json_type_array) ? NULL
                                                                        : "it";
}

enum status
signature_check(struct json_object *sig, struct error *err)
{
    struct slice task = json_get_str(sig, "task");
    enum signature_type type;
    const char *missing;

    if (!json_object_is_type(sig, json_type_object))
        return error_set(err, ST_PROTO, "signature: no object");
    if (task.len == 0 || task.len > TASK_NAME_MAX)
        return error_set(err, ST_PROTO, "signature: no task name");
    if (!find_type(sig, &type))
        return error_set(err, ST_PROTO, "signature: unknown subtask_type");
    if (!is_or_absent(sig, "args", json_type_array))
        return error_set(err, ST_PROTO, "signature of %.*s: args is no array",
                         (int)task.len, task.ptr);
    if (!is_or_absent(sig, "kwargs", json_type_object))
        return error_set(err, ST_PROTO,
                         "signature of %.*s: kwargs is no object",
                         (int)task.len, task.ptr);
    if (!is_or_absent(sig, "options", json_type_object))
        return error_set(err, ST_PROTO,
                         "signature of %.*s: options is no object",
                         (int)task.len, task.ptr);
    missing = missing_part(type, json_get(sig, "kwargs"));
    if (missing != NULL)
        return error_set(err, ST_PROTO, "signature of %.*s: no %s",
                         (int)task.len, task.ptr, missing);
    return ST_OK;
}

enum signature_type
signature_type(struct json_object *sig)
{
    enum signature_type type;

    find_type(sig, &type);
    return type;
}

struct slice
signature_task(struct json_object *sig)
{
    return json_get_str(sig, "task");
}

bool
signature_immutable(struct json_object *sig)
{
    return json_get_bool(sig, "immutable", false);
}

struct json_object *
signature_option(struct json_object *sig, const char *name)
{
    return json_get(json_get(sig, "options"), name);
}

struct json_object *
signature_new(struct slice task, struct json_object *args,
              struct json_object *kwargs, bool immutable)
{
    struct json_object *sig = json_object_new_object();
    enum status st = json_set(sig, "task", json_new_str(task));

    if (st == ST_OK)
        st = json_set(sig, "args",
                      args != NULL ? json_copy(args) : json_object_new_array());
    if (st == ST_OK)
        st = json_set(sig, "kwargs",
                      kwargs != NULL ? json_copy(kwargs)
                                     : json_object_new_object());
    if (st == ST_OK)
        st = json_set(sig, "options", json_object_new_object());
    if (st == ST_OK)
        st = json_set_null(sig, "subtask_type");
    if (st == ST_OK)
        st = json_set(sig, "immutable", json_object_new_boolean(immutable));
    if (st == ST_OK)
        return sig;
    json_object_put(sig);
    return NULL;
}
