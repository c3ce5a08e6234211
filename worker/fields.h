#ifndef WORKER_FIELDS_H
#define WORKER_FIELDS_H

#include "base/json.h"

/* Building an object of many members, of which each may go missing when there
 * is no memory: for what is shown, not for what is stored or sent on. */
void field_str(struct json_object *o, const char *key, struct slice s);
void field_text(struct json_object *o, const char *key, const char *s);
void field_int(struct json_object *o, const char *key, int64_t v);
void field_double(struct json_object *o, const char *key, double v);
void field_bool(struct json_object *o, const char *key, bool v);
void field_null(struct json_object *o, const char *key);
/* v is borrowed; NULL: null. */
void field_ref(struct json_object *o, const char *key, struct json_object *v);
/* v is consumed; NULL: null. */
void field_take(struct json_object *o, const char *key, struct json_object *v);

#endif
