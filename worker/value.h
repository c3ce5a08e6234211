#ifndef WORKER_VALUE_H
#define WORKER_VALUE_H

#include "base/json.h"
#include "lovage/task.h"

/* A lovage_value is a json-c object under another name; JSON null, which
 * json-c has no object for, is one address of our own.  So NULL stays free to
 * mean "no memory" or "no such element". */

/* Consumes v.  ST_NOMEM if v is NULL; *out is NULL for JSON null. */
enum status value_take(lovage_value *v, struct json_object **out);
/* Borrowed both ways; json NULL gives the null value. */
const lovage_value *value_of(struct json_object *json);
struct json_object *value_json(const lovage_value *v);

/* Appends v, which is consumed; NULL is JSON null. */
enum status value_append(struct json_object *array, struct json_object *v);

/* How Python calls the type of v: "int", "str", "NoneType", ... */
const char *value_python_type(const lovage_value *v);

#endif
