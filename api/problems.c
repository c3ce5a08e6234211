/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of a 422 answer. */
#include "api/problems.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

enum {
    INPUT_MAX = 256,   /* bytes of an input that are told back */
    PROBLEMS_MAX = 100 /* entries of one answer */
};

/* s cut to INPUT_MAX at a character's end. */
static struct slice
cut(struct slice s)
{
    size_t n = 0;

    if (s.len <= INPUT_MAX)
        return s;
    while (n < INPUT_MAX) {
        int len = utf8_len(s.ptr + n, s.ptr + s.len);

        if (len == 0 || n + (size_t)len > INPUT_MAX)
            break;
        n += (size_t)len;
    }
    return (struct slice){s.ptr, n};
}

/* What the client sent, so that it can see what is meant; without making a
 * large answer of a large request. */
static struct json_object *
told_back(struct json_object *v)
{
    struct slice s = json_str(v);
    struct buf text;
    bool small;

    if (v == NULL)
        return NULL;
    if (s.ptr != NULL)
        return json_new_str(cut(s));
    buf_init(&text, INPUT_MAX);
    json_add(&text, v);
    small = !text.failed;
    buf_fini(&text);
    if (small)
        return json_copy(v);
    return json_object_is_type(v, json_type_array) ? json_object_new_array()
                                                   : json_object_new_object();
}

static void
set(struct json_object *o, const char *key, struct json_object *v)
{
    (void)!json_object_object_add(o, key, v);
}

static struct json_object *
loc_json(struct loc loc)
{
    struct json_object *a = json_object_new_array();

    json_object_array_add(a, json_object_new_string(loc.in));
    if (loc.field != NULL)
        json_object_array_add(a, json_object_new_string(loc.field));
    if (loc.index >= 0)
        json_object_array_add(a, json_object_new_int64(loc.index));
    if (loc.sub != NULL)
        json_object_array_add(a, json_object_new_string(loc.sub));
    return a;
}

void
problem_add(struct problems *p, struct loc loc, const struct problem *x)
{
    struct json_object *o, *ctx;

    if (p->list == NULL)
        p->list = json_object_new_array();
    if (++p->count > PROBLEMS_MAX || p->list == NULL) {
        json_object_put(x->ctx);
        return;
    }
    o = json_object_new_object();
    set(o, "type", json_object_new_string(x->type));
    set(o, "loc", loc_json(loc));
    set(o, "msg", json_object_new_string(x->msg));
    set(o, "input", told_back(x->input));
    if (x->ctx_name != NULL) {
        ctx = json_object_new_object();
        set(ctx, x->ctx_name, x->ctx);
        set(o, "ctx", ctx);
    }
    json_object_array_add(p->list, o);
}

void
problem_missing(struct problems *p, struct loc loc, struct json_object *whole)
{
    problem_add(p, loc,
                &(struct problem){.type = "missing",
                                  .msg = "Field required",
                                  .input = whole});
}

void
problem_value(struct problems *p, struct loc loc, const char *why,
              struct json_object *input)
{
    char msg[200];

    snprintf(msg, sizeof(msg), "Value error, %s", why);
    problem_add(
        p, loc,
        &(struct problem){.type = "value_error", .msg = msg, .input = input});
}

void
problem_json(struct problems *p, size_t at, const char *why)
{
    struct json_object *none = json_object_new_object();

    problem_add(p, (struct loc){"body", NULL, (int64_t)at, NULL},
                &(struct problem){.type = "json_invalid",
                                  .msg = "JSON decode error",
                                  .input = none,
                                  .ctx_name = "error",
                                  .ctx = json_object_new_string(why)});
    json_object_put(none);
}

bool
problems_answer(struct problems *p, struct response *rs)
{
    struct json_object *o;

    if (p->count == 0)
        return false;
    o = json_object_new_object();
    set(o, "detail", p->list);
    p->list = NULL;
    response_json(rs, 422, o);
    return true;
}
