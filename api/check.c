/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of one value each, in the words of pydantic 2. */
#include "api/check.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/iso8601.h"

static bool
wrong(struct problems *p, struct loc loc, const char *type, const char *msg,
      struct json_object *input)
{
    problem_add(p, loc,
                &(struct problem){.type = type, .msg = msg, .input = input});
    return false;
}

/* A bound was missed: the message and the context name it. */
static bool
out_of_bound(struct problems *p, struct loc loc, bool below, double bound,
             struct json_object *input)
{
    bool whole = bound == floor(bound) && fabs(bound) < 1e15;
    char msg[80];

    snprintf(msg, sizeof(msg), "Input should be %s than or equal to %.15g",
             below ? "greater" : "less", bound);
    problem_add(p, loc,
                &(struct problem){
                    .type = below ? "greater_than_equal" : "less_than_equal",
                    .msg = msg,
                    .input = input,
                    .ctx_name = below ? "ge" : "le",
                    .ctx = whole ? json_object_new_int64((int64_t)bound)
                                 : json_object_new_double(bound)});
    return false;
}

/* ---- strings ---- */

static size_t
characters(struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static bool
wrong_length(struct problems *p, struct loc loc, bool too_short, size_t bound,
             struct json_object *input)
{
    char msg[80];

    snprintf(msg, sizeof(msg), "String should have at %s %zu character%s",
             too_short ? "least" : "most", bound, bound == 1 ? "" : "s");
    problem_add(p, loc,
                &(struct problem){
                    .type = too_short ? "string_too_short" : "string_too_long",
                    .msg = msg,
                    .input = input,
                    .ctx_name = too_short ? "min_length" : "max_length",
                    .ctx = json_object_new_int64((int64_t)bound)});
    return false;
}

bool
check_string(struct problems *p, struct loc loc, struct json_object *v,
             size_t min_chars, size_t max_chars, struct slice *out)
{
    struct slice s = json_str(v);
    size_t n;

    if (s.ptr == NULL)
        return wrong(p, loc, "string_type", "Input should be a valid string",
                     v);
    n = characters(s);
    if (n < min_chars)
        return wrong_length(p, loc, true, min_chars, v);
    if (n > max_chars)
        return wrong_length(p, loc, false, max_chars, v);
    *out = s;
    return true;
}

bool
check_name(struct problems *p, struct loc loc, struct json_object *v,
           size_t max_chars, struct slice *out)
{
    struct slice s;

    if (!check_string(p, loc, v, 1, max_chars, &s))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f) {
            problem_value(p, loc, "control characters are not allowed", v);
            return false;
        }
    *out = s;
    return true;
}

bool
check_word(struct problems *p, struct loc loc, struct json_object *v,
           const char *const *words, struct slice *out)
{
    struct slice s = json_str(v);
    struct buf list, msg;
    char *text = NULL;

    for (size_t i = 0; s.ptr != NULL && words[i] != NULL; i++)
        if (s.len == strlen(words[i]) && memcmp(s.ptr, words[i], s.len) == 0) {
            *out = s;
            return true;
        }
    buf_init(&list, 1024);
    buf_init(&msg, 1024);
    for (size_t i = 0; words[i] != NULL; i++)
        buf_addf(&list, "%s'%s'",
                 i == 0                 ? ""
                 : words[i + 1] == NULL ? " or "
                                        : ", ",
                 words[i]);
    buf_addf(&msg, "Input should be %.*s", (int)list.len, list.data);
    if (buf_take(&msg, &text, NULL) == ST_OK)
        problem_add(p, loc,
                    &(struct problem){.type = "enum",
                                      .msg = text,
                                      .input = v,
                                      .ctx_name = "expected",
                                      .ctx = json_new_str((struct slice){
                                          list.data, list.len})});
    else
        p->count++;
    free(text);
    buf_fini(&list);
    return false;
}

/* ---- numbers ---- */

/* "-12": what is allowed as an integer in text. */
static bool
is_int_text(struct slice s)
{
    size_t i = s.len > 0 && s.ptr[0] == '-' ? 1 : 0;

    if (i == s.len)
        return false;
    for (; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return true;
}

static bool
text_to_int(struct problems *p, struct loc loc, struct json_object *v,
            int64_t *out)
{
    struct slice s = json_str(v);

    if (!is_int_text(s))
        return wrong(p, loc, "int_parsing",
                     "Input should be a valid integer, unable to parse string "
                     "as an integer",
                     v);
    errno = 0;
    *out = strtoll(s.ptr, NULL, 10); /* json-c's strings end with a NUL */
    if (errno != 0)
        return wrong(p, loc, "int_parsing_size",
                     "Unable to parse input string as an integer, exceeded "
                     "maximum size",
                     v);
    return true;
}

static bool
double_to_int(struct problems *p, struct loc loc, struct json_object *v,
              int64_t *out)
{
    double d = json_object_get_double(v);

    if (!isfinite(d))
        return wrong(p, loc, "finite_number", "Input should be a finite number",
                     v);
    if (d != floor(d))
        return wrong(p, loc, "int_from_float",
                     "Input should be a valid integer, got a number with a "
                     "fractional part",
                     v);
    /* Beyond 2^63 any bound is missed: the nearest int64 does. */
    *out = d >= 9.2e18 ? INT64_MAX : d <= -9.2e18 ? INT64_MIN : (int64_t)d;
    return true;
}

static bool
value_to_int(struct problems *p, struct loc loc, struct json_object *v,
             int64_t *out)
{
    switch (json_object_get_type(v)) {
    case json_type_int:
        *out = json_object_get_int64(v); /* clamps an uint64 */
        return true;
    case json_type_double:
        return double_to_int(p, loc, v, out);
    case json_type_string:
        return text_to_int(p, loc, v, out);
    default:
        return wrong(p, loc, "int_type", "Input should be a valid integer", v);
    }
}

bool
check_int(struct problems *p, struct loc loc, struct json_object *v,
          int64_t min, int64_t max, int64_t *out)
{
    int64_t n;

    if (!value_to_int(p, loc, v, &n))
        return false;
    if (n < min)
        return out_of_bound(p, loc, true, (double)min, v);
    if (n > max || (n == INT64_MAX && json_object_is_type(v, json_type_double)))
        return out_of_bound(p, loc, false, (double)max, v);
    *out = n;
    return true;
}

bool
check_number(struct problems *p, struct loc loc, struct json_object *v,
             double min, double max, double *out)
{
    struct slice s = json_str(v);
    double d;
    char *end;

    if (s.ptr != NULL) {
        /* strtod() alone would take blanks, "0x1p3" and "nan". */
        d = strtod(s.ptr, &end);
        if (s.len == 0 || end != s.ptr + s.len ||
            strspn(s.ptr, "0123456789+-.eE") != s.len)
            return wrong(p, loc, "float_parsing",
                         "Input should be a valid number, unable to parse "
                         "string as a number",
                         v);
    } else if (json_object_is_type(v, json_type_int) ||
               json_object_is_type(v, json_type_double)) {
        d = json_object_get_double(v);
    } else {
        return wrong(p, loc, "float_type", "Input should be a valid number", v);
    }
    if (!isfinite(d))
        return wrong(p, loc, "finite_number", "Input should be a finite number",
                     v);
    if (d < min)
        return out_of_bound(p, loc, true, min, v);
    if (d > max)
        return out_of_bound(p, loc, false, max, v);
    *out = d;
    return true;
}

bool
check_bool(struct problems *p, struct loc loc, struct json_object *v, bool *out)
{
    if (!json_object_is_type(v, json_type_boolean))
        return wrong(p, loc, "bool_type", "Input should be a valid boolean", v);
    *out = json_object_get_boolean(v);
    return true;
}

/* ---- containers ---- */

static bool
wrong_count(struct problems *p, struct loc loc, bool too_few, size_t bound,
            struct json_object *v)
{
    char msg[100];

    snprintf(msg, sizeof(msg),
             "List should have at %s %zu item%s after validation, not %zu",
             too_few ? "least" : "most", bound, bound == 1 ? "" : "s",
             json_object_array_length(v));
    problem_add(
        p, loc,
        &(struct problem){.type = too_few ? "too_short" : "too_long",
                          .msg = msg,
                          .input = v,
                          .ctx_name = too_few ? "min_length" : "max_length",
                          .ctx = json_object_new_int64((int64_t)bound)});
    return false;
}

bool
check_list(struct problems *p, struct loc loc, struct json_object *v,
           size_t min, size_t max)
{
    if (!json_object_is_type(v, json_type_array))
        return wrong(p, loc, "list_type", "Input should be a valid list", v);
    if (json_object_array_length(v) < min)
        return wrong_count(p, loc, true, min, v);
    if (json_object_array_length(v) > max)
        return wrong_count(p, loc, false, max, v);
    return true;
}

bool
check_dict(struct problems *p, struct loc loc, struct json_object *v)
{
    if (!json_object_is_type(v, json_type_object))
        return wrong(p, loc, "dict_type", "Input should be a valid dictionary",
                     v);
    return true;
}

/* ---- times ---- */

bool
check_time(struct problems *p, struct loc loc, struct json_object *v,
           int64_t *out)
{
    static const double last_s = 253402300799.0; /* the end of the year 9999 */
    struct slice s = json_str(v);
    double seconds;

    if (s.ptr == NULL) {
        if (!check_number(p, loc, v, 0, last_s, &seconds))
            return false;
        *out = (int64_t)(seconds * 1e6);
        return true;
    }
    if (iso8601_parse(s, out, NULL) != ST_OK)
        return wrong(p, loc, "datetime_from_date_parsing",
                     "Input should be a valid datetime or date, it is not ISO "
                     "8601",
                     v);
    return true;
}

bool
check_member(struct problems *p, struct json_object *body, const char *field,
             bool required, struct json_object **out)
{
    struct json_object *v = NULL;
    bool there = json_object_object_get_ex(body, field, &v);

    *out = v;
    if (v != NULL)
        return true;
    if (required && !there)
        problem_missing(p, (struct loc){"body", field, -1, NULL}, body);
    else if (required)
        wrong(p, (struct loc){"body", field, -1, NULL}, "string_type",
              "Input should be a valid string", NULL);
    return false;
}
