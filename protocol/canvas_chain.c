/* SPDX-License-Identifier: Apache-2.0 */
/* Chains.  The steps are walked from the last to the first, which gives the
 * reversed list that travels in messages: whoever finishes a step takes its
 * last element and passes on the rest. */
#include <string.h>

#include "protocol/canvas.h"

struct chain {
    struct canvas *c;
    struct json_object *steps; /* owned: a stack of what is still to do */
    struct json_object
        *reversed;            /* owned: the prepared steps, last one first */
    struct canvas_place last; /* where the chain stands */
    struct json_object *errbacks; /* borrowed; the chain's */
};

static struct json_object *
tasks_of(struct json_object *sig)
{
    return json_get(json_get(sig, "kwargs"), "tasks");
}

/* Takes the last element; NULL when it is null. */
static struct json_object *
pop(struct json_object *array)
{
    size_t last = json_object_array_length(array) - 1;
    struct json_object *v =
        json_object_get(json_object_array_get_idx(array, last));

    json_object_array_del_idx(array, last, 1);
    return v;
}

/* A chain among the steps: its tasks take its place, with its errbacks, and its
 * last one with its callbacks. */
static enum status
splice(struct chain *ch, struct json_object *sig)
{
    struct json_object *tasks = tasks_of(sig);
    struct json_object *errbacks = signature_option(sig, "link_error");
    size_t n = json_object_array_length(tasks);
    enum status st = ST_OK;

    for (size_t i = 0; i < n && st == ST_OK; i++) {
        struct json_object *t = json_object_array_get_idx(tasks, i);

        st = signature_check(t, ch->c->err);
        if (st == ST_OK)
            st = canvas_link_all(ch->c, t, "link_error", errbacks);
        if (st == ST_OK && i + 1 == n)
            st = canvas_link_all(ch->c, t, "link",
                                 signature_option(sig, "link"));
        if (st == ST_OK && json_append(ch->steps, json_object_get(t)) != ST_OK)
            st = canvas_nomem(ch->c);
    }
    return st;
}

/* A group before another step is the header of a chord with that step as its
 * body.  *group is consumed; *out is the caller's. */
static enum status
upgrade(struct chain *ch, struct json_object *group, struct json_object **out)
{
    struct json_object *body = pop(ch->reversed);
    struct json_object *chord =
        signature_new((struct slice){"celery.chord", 12}, NULL, NULL, false);
    struct json_object *kwargs = json_get(chord, "kwargs");
    enum status st;

    st = json_set(kwargs, "kwargs", json_object_new_object());
    if (st == ST_OK)
        st = canvas_share(kwargs, "header", group);
    if (st == ST_OK)
        st = canvas_share(kwargs, "body", body);
    if (st == ST_OK)
        st = json_set(chord, "subtask_type",
                      json_new_str((struct slice){"chord", 5}));
    json_object_put(body);
    if (st == ST_OK) {
        *out = chord;
        return ST_OK;
    }
    json_object_put(chord);
    return canvas_nomem(ch->c);
}

/* A step that is no chain: frozen and put on the list.  t is borrowed. */
static enum status
add_step(struct chain *ch, struct json_object *t)
{
    struct canvas_place inner = CANVAS_PLACE_INIT;
    bool last = json_object_array_length(ch->reversed) == 0;
    struct json_object *step = NULL;
    enum status st = ST_OK;

    inner.root_id = ch->last.root_id;
    if (!last && signature_type(t) == SIG_GROUP)
        st = upgrade(ch, t, &step);
    else
        step = json_object_get(t);
    if (st == ST_OK)
        st = canvas_freeze(ch->c, step, last ? &ch->last : &inner);
    if (st == ST_OK)
        st = canvas_link_all(ch->c, step, "link_error", ch->errbacks);
    if (st != ST_OK) {
        json_object_put(step);
        return st;
    }
    return json_append(ch->reversed, step) == ST_OK ? ST_OK
                                                    : canvas_nomem(ch->c);
}

static enum status
prepare(struct chain *ch)
{
    enum status st = ST_OK;

    while (st == ST_OK && json_object_array_length(ch->steps) > 0) {
        struct json_object *t = pop(ch->steps), *step = t;

        st = signature_check(step, ch->c->err);
        /* A group of one is its member. */
        if (st == ST_OK && signature_type(step) == SIG_GROUP &&
            json_object_array_length(tasks_of(step)) == 1) {
            step = json_object_array_get_idx(tasks_of(step), 0);
            st = signature_check(step, ch->c->err);
        }
        if (st == ST_OK)
            st = signature_type(step) == SIG_CHAIN ? splice(ch, step)
                                                   : add_step(ch, step);
        json_object_put(t);
    }
    return st;
}

/* The chain's options that go to its first step, with the rest of the chain. */
static struct json_object *
first_options(struct json_object *options, struct json_object *rest)
{
    static const char *const not_first[] = {
        "task_id",  "link",        "link_error", "chord",
        "group_id", "group_index", "chain",      NULL};
    struct json_object *over = canvas_without(options, not_first);

    if (json_set(over, "chain",
                 canvas_concat(json_get(options, "chain"), rest)) == ST_OK)
        return over;
    json_object_put(over);
    return NULL;
}

static enum status
apply_first(struct chain *ch, struct json_object *sig,
            struct json_object *partial, struct canvas_result *out)
{
    struct json_object *options = canvas_options(sig);
    struct slice id =
        canvas_final_id(json_object_array_get_idx(ch->reversed, 0));
    struct canvas_result result = {0};
    struct json_object *first = pop(ch->reversed);
    struct json_object *over = first_options(options, ch->reversed);
    struct json_object *args = canvas_concat(
        signature_immutable(sig) ? NULL : partial, json_get(sig, "args"));
    enum status st;

    if (over == NULL || args == NULL)
        st = canvas_nomem(ch->c);
    else
        st = canvas_apply(ch->c, first, args, over, &result);
    out->tuple = result.tuple;
    if (st == ST_OK && id.len > TASK_ID_MAX)
        st = error_set(ch->c->err, ST_INVALID, "canvas: an id of %zu bytes",
                       id.len);
    else if (st == ST_OK && id.len > 0)
        memcpy(out->id, id.ptr, id.len);
    json_object_put(args);
    json_object_put(over);
    json_object_put(first);
    return st;
}

enum status
canvas_apply_chain(struct canvas *c, struct json_object *sig,
                   struct json_object *partial, struct canvas_result *out)
{
    struct json_object *options = canvas_options(sig);
    struct chain ch = {
        .c = c,
        .steps = canvas_concat(tasks_of(sig), NULL),
        .reversed = json_object_new_array(),
        .errbacks = json_get(options, "link_error"),
        .last = {.id = json_get_str(options, "task_id"),
                 .root_id = json_get_str(options, "root_id"),
                 .group_id = json_get_str(options, "group_id"),
                 .chord = json_get(options, "chord"),
                 .group_index = json_get_int(options, "group_index", -1)},
    };
    enum status st = ch.steps != NULL && ch.reversed != NULL ? prepare(&ch)
                                                             : canvas_nomem(c);

    if (st == ST_OK && json_object_array_length(ch.reversed) > 0) {
        st = canvas_link_all(c, json_object_array_get_idx(ch.reversed, 0),
                             "link", json_get(options, "link"));
        if (st == ST_OK)
            st = apply_first(&ch, sig, partial, out);
    }
    json_object_put(ch.steps);
    json_object_put(ch.reversed);
    return st;
}
