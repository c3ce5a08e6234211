/* SPDX-License-Identifier: Apache-2.0 */
/* The task API: reading the call. */
#include <string.h>

#include "worker/task.h"
#include "worker/value.h"

void *
lovage_data(lovage_task *t)
{
    return t->def->data;
}

const lovage_value *
lovage_args(lovage_task *t)
{
    return value_of(t->args);
}

const lovage_value *
lovage_kwargs(lovage_task *t)
{
    return value_of(t->kwargs);
}

const lovage_value *
lovage_arg(lovage_task *t, size_t i, const char *name)
{
    if (i < json_object_array_length(t->args))
        return value_of(json_object_array_get_idx(t->args, i));
    return name ? lovage_member(value_of(t->kwargs), name) : NULL;
}

static lovage_status
wrong_type(lovage_task *t, size_t i, const char *name, const char *want)
{
    const lovage_value *v = lovage_arg(t, i, name);
    const char *fn = task_short_name(t->def);

    if (!v && name)
        return lovage_raisef(
            t, "TypeError", "%s() missing 1 required positional argument: '%s'",
            fn, name);
    if (!v)
        return lovage_raisef(t, "TypeError", "%s() missing argument %zu", fn,
                             i + 1);
    if (name)
        return lovage_raisef(t, "TypeError",
                             "%s() argument '%s' must be %s, not %s", fn, name,
                             want, value_python_type(v));
    return lovage_raisef(t, "TypeError", "%s() argument %zu must be %s, not %s",
                         fn, i + 1, want, value_python_type(v));
}

/* Python's bool is an int. */
static bool
int_of(const lovage_value *v, int64_t *out)
{
    lovage_type type = v ? lovage_typeof(v) : LOVAGE_NULL;

    if (type == LOVAGE_BOOL)
        *out = lovage_as_bool(v);
    else if (type == LOVAGE_INT)
        *out = lovage_as_int(v);
    return type == LOVAGE_BOOL || type == LOVAGE_INT;
}

lovage_status
lovage_arg_int(lovage_task *t, size_t i, const char *name, int64_t *out)
{
    if (int_of(lovage_arg(t, i, name), out))
        return LOVAGE_OK;
    return wrong_type(t, i, name, "int");
}

lovage_status
lovage_arg_int_or(lovage_task *t, size_t i, const char *name, int64_t dflt,
                  int64_t *out)
{
    const lovage_value *v = lovage_arg(t, i, name);

    if (!v || lovage_typeof(v) == LOVAGE_NULL) {
        *out = dflt;
        return LOVAGE_OK;
    }
    return lovage_arg_int(t, i, name, out);
}

lovage_status
lovage_arg_double(lovage_task *t, size_t i, const char *name, double *out)
{
    const lovage_value *v = lovage_arg(t, i, name);
    int64_t n;

    if (v && lovage_typeof(v) == LOVAGE_DOUBLE)
        *out = lovage_as_double(v);
    else if (int_of(v, &n))
        *out = (double)n;
    else
        return wrong_type(t, i, name, "float");
    return LOVAGE_OK;
}

lovage_status
lovage_arg_string(lovage_task *t, size_t i, const char *name, const char **out)
{
    const lovage_value *v = lovage_arg(t, i, name);
    const char *s = v ? lovage_as_string(v, NULL) : NULL;

    if (!s)
        return wrong_type(t, i, name, "str");
    *out = s;
    return LOVAGE_OK;
}

const lovage_value *
lovage_request(lovage_task *t, const char *field)
{
    struct json_object *v;

    if (!t->fields)
        t->fields = t->host->fields(t);
    v = json_get(t->fields, field);
    return v ? value_of(v) : NULL;
}

const char *
lovage_id(lovage_task *t)
{
    return t->id;
}

int64_t
lovage_retries(lovage_task *t)
{
    return t->retries;
}
