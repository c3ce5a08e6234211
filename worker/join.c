/* SPDX-License-Identifier: Apache-2.0 */
/* Collecting the results of a group, all in one batch. */
#include "worker/join.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "worker/value.h"

enum { LEAVES_MAX = 1000000 };

struct leaf {
    struct join *join;
    struct slice id; /* in results */
    bool ready, failed;
    struct json_object *value; /* owned */
};

struct join {
    struct json_object *results; /* owned */
    struct leaf *leaves;
    size_t count, asked;
    enum status st;
    join_fn *fn; /* NULL: cancelled */
    void *arg;
};

static void
join_free(struct join *j)
{
    for (size_t i = 0; i < j->count; i++)
        json_object_put(j->leaves[i].value);
    free(j->leaves);
    json_object_put(j->results);
    free(j);
}

/* [[id, parent], members]: id, and members if they are a group's. */
static struct slice
read_tuple(struct json_object *tuple, struct json_object **members)
{
    struct json_object *pair;

    *members = NULL;
    if (!json_object_is_type(tuple, json_type_array))
        return (struct slice){NULL, 0};
    pair = json_object_array_get_idx(tuple, 0);
    *members = json_object_array_get_idx(tuple, 1);
    if (json_object_is_type(pair, json_type_string)) /* Celery reads it, too */
        return json_str(pair);
    if (!json_object_is_type(pair, json_type_array))
        return (struct slice){NULL, 0};
    return json_str(json_object_array_get_idx(pair, 0));
}

/* Counts the leaves; with j->leaves it fills them in. */
static enum status
walk(struct join *j, struct json_object *results, int depth)
{
    size_t n;

    if (!json_object_is_type(results, json_type_array) || depth > JSON_DEPTH)
        return ST_PROTO;
    n = json_object_array_length(results);
    for (size_t i = 0; i < n; i++) {
        struct json_object *members;
        struct slice id =
            read_tuple(json_object_array_get_idx(results, i), &members);

        if (!id.ptr)
            return ST_PROTO;
        if (members) {
            if (walk(j, members, depth + 1) != ST_OK)
                return ST_PROTO;
            continue;
        }
        if (j->leaves)
            j->leaves[j->count] = (struct leaf){.join = j, .id = id};
        if (++j->count > LEAVES_MAX)
            return ST_PROTO;
    }
    return ST_OK;
}

/* The values in the shape of the results; *next counts the leaves used. */
static struct json_object *
shape(struct join *j, struct json_object *results, size_t *next)
{
    struct json_object *out = json_object_new_array();
    size_t n = json_object_array_length(results);

    for (size_t i = 0; out && i < n; i++) {
        struct json_object *members, *v;
        enum status st;

        (void)read_tuple(json_object_array_get_idx(results, i), &members);
        if (members) {
            v = shape(j, members, next);
            st = json_append(out, v);
        } else {
            v = json_object_get(j->leaves[(*next)++].value);
            st = value_append(out, v);
        }
        if (st != ST_OK) {
            json_object_put(out);
            out = NULL;
        }
    }
    return out;
}

static void
judge(struct join *j, struct join_answer *a)
{
    size_t next = 0;

    a->state = JOIN_LOST;
    if (j->st != ST_OK)
        return;
    for (size_t i = 0; i < j->count; i++)
        if (!j->leaves[i].ready) {
            a->state = JOIN_WAITS;
            return;
        }
    for (size_t i = 0; i < j->count; i++)
        if (j->leaves[i].failed) {
            a->state = JOIN_FAILED;
            a->id = j->leaves[i].id;
            a->exc = j->leaves[i].value;
            return;
        }
    a->values = shape(j, j->results, &next);
    if (a->values)
        a->state = JOIN_DONE;
}

static void
finish(struct join *j)
{
    struct join_answer a = {.state = JOIN_LOST};

    if (j->fn) {
        judge(j, &a);
        j->fn(j->arg, &a);
        json_object_put(a.values);
    }
    join_free(j);
}

static void
got(void *arg, enum status st, const struct task_state *ts)
{
    struct leaf *l = arg;
    struct join *j = l->join;

    if (st != ST_OK)
        j->st = st;
    if (ts && state_is_ready(ts->status)) {
        l->ready = true;
        l->failed = !slice_is(ts->status, "SUCCESS");
        l->value = json_object_get(ts->result);
    }
    if (--j->asked == 0)
        finish(j);
}

enum status
join_start(struct join **out, struct result *r, struct json_object *results,
           join_fn *fn, void *arg, struct error *err)
{
    struct join *j = calloc(1, sizeof(*j));

    if (!j)
        return error_set(err, ST_NOMEM, "out of memory");
    *j = (struct join){.fn = fn, .arg = arg};
    j->results = json_object_get(results);
    if (walk(j, results, 0) != ST_OK || !j->count) {
        j->count = 0;
        join_free(j);
        return error_set(err, ST_PROTO, "no results that can be waited for");
    }
    j->leaves = calloc(j->count, sizeof(*j->leaves));
    if (!j->leaves) {
        j->count = 0;
        join_free(j);
        return error_set(err, ST_NOMEM, "out of memory");
    }
    j->count = 0;
    (void)walk(j, results, 0);
    j->asked = j->count;
    *out = j;
    for (size_t i = 0; i < j->count; i++)
        r->ops->get(r, j->leaves[i].id, got, &j->leaves[i]);
    return ST_OK;
}

void
join_cancel(struct join *j)
{
    j->fn = NULL;
}
