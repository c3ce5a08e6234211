/* SPDX-License-Identifier: Apache-2.0 */
/* Members of objects that are shown. */
#include "worker/fields.h"

#include <string.h>

#include "base/log.h"

void
field_take(struct json_object *o, const char *key, struct json_object *v)
{
    enum status st;

    if (!o) {
        json_object_put(v);
        return;
    }
    st = v ? json_set(o, key, v) : json_set_null(o, key);
    if (st != ST_OK)
        log_debug("no memory for a field", "field=%s", key);
}

void
field_str(struct json_object *o, const char *key, struct slice s)
{
    field_take(o, key, s.ptr ? json_new_str(s) : NULL);
}

void
field_text(struct json_object *o, const char *key, const char *s)
{
    struct slice text = {s, s ? strlen(s) : 0};

    field_str(o, key, text);
}

void
field_int(struct json_object *o, const char *key, int64_t v)
{
    field_take(o, key, json_object_new_int64(v));
}

void
field_double(struct json_object *o, const char *key, double v)
{
    field_take(o, key, json_new_double(v));
}

void
field_bool(struct json_object *o, const char *key, bool v)
{
    field_take(o, key, json_object_new_boolean(v));
}

void
field_null(struct json_object *o, const char *key)
{
    field_take(o, key, NULL);
}

void
field_ref(struct json_object *o, const char *key, struct json_object *v)
{
    field_take(o, key, json_object_get(v));
}
