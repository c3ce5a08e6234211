#ifndef API_CHECK_H
#define API_CHECK_H

#include "api/problems.h"

/* Checks of one value each.  v is the value found (NULL: JSON null).  False:
 * it is not what it should be, and problems says so.  Converted like pydantic 2
 * in its lax mode, except that a boolean is no number. */
bool check_string(struct problems *p, struct loc loc, struct json_object *v,
                  size_t min_chars, size_t max_chars, struct slice *out);
bool check_int(struct problems *p, struct loc loc, struct json_object *v,
               int64_t min, int64_t max, int64_t *out);
bool check_number(struct problems *p, struct loc loc, struct json_object *v,
                  double min, double max, double *out);
bool check_bool(struct problems *p, struct loc loc, struct json_object *v,
                bool *out);
bool check_list(struct problems *p, struct loc loc, struct json_object *v,
                size_t min, size_t max);
bool check_dict(struct problems *p, struct loc loc, struct json_object *v);
/* One of the words, NULL at the end. */
bool check_word(struct problems *p, struct loc loc, struct json_object *v,
                const char *const *words, struct slice *out);
/* ISO 8601, or unix seconds; out in microseconds. */
bool check_time(struct problems *p, struct loc loc, struct json_object *v,
                int64_t *out);
/* As check_string, without control characters: what becomes part of a key or
 * of a line. */
bool check_name(struct problems *p, struct loc loc, struct json_object *v,
                size_t max_chars, struct slice *out);

/* Looks a member up.  True if it is there and not null; otherwise a problem is
 * added if it is required. */
bool check_member(struct problems *p, struct json_object *body,
                  const char *field, bool required, struct json_object **out);

#endif
