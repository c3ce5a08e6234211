/* SPDX-License-Identifier: Apache-2.0 */
/* Celery's own tasks, which Python producers route to the default queue
 * (celery-wire.md 6.10). */
#include "worker/builtin.h"

#include "base/id.h"
#include "worker/cleanup.h"
#include "worker/map.h"
#include "worker/node.h"
#include "worker/unlock.h"
#include "worker/value.h"

/* celery.accumulate(*args, index=None): what a task that is replaced by a
 * group becomes. */
static lovage_status
accumulate(lovage_task *t)
{
    const lovage_value *index = lovage_member(lovage_kwargs(t), "index");
    const lovage_value *args = lovage_args(t), *v;
    int64_t i = index ? lovage_as_int(index) : 0;

    if (!index || lovage_typeof(index) != LOVAGE_INT)
        return lovage_return(t, lovage_copy(args));
    if (i < 0)
        i += (int64_t)lovage_length(args);
    v = i < 0 ? NULL : lovage_at(args, (size_t)i);
    if (!v)
        return lovage_raisef(t, "IndexError", "tuple index out of range");
    return lovage_return(t, lovage_copy(v));
}

/* ---- canvases that come as tasks ---- */

/* celery.chain: no more than a name, in Python too. */
static lovage_status
chain(lovage_task *t)
{
    return lovage_raisef(t, "NotImplementedError", "chain is not a real task");
}

/* A signature of that type with these kwargs, which are consumed. */
static struct json_object *
canvas_of(const char *task, const char *type, struct json_object *kwargs,
          const char *id)
{
    struct json_object *sig =
        signature_new(node_slice(task), NULL, NULL, false);
    struct json_object *options = json_object_new_object();
    enum status st = json_set(sig, "kwargs", kwargs);

    if (st == ST_OK)
        st = json_set(sig, "subtask_type", json_new_str(node_slice(type)));
    if (st == ST_OK && id)
        st = json_set(options, "task_id", json_new_str(node_slice(id)));
    if (st == ST_OK) {
        st = json_set(sig, "options", options);
        options = NULL;
    }
    if (st == ST_OK)
        return sig;
    json_object_put(options);
    json_object_put(sig);
    return NULL;
}

/* kwargs[name] = the argument.  ST_INVALID: it is missing. */
static enum status
pass_on(lovage_task *t, struct json_object *kwargs, size_t i, const char *name)
{
    struct json_object *v = value_json(lovage_arg(t, i, name));

    return v ? json_set(kwargs, name, json_object_get(v)) : ST_INVALID;
}

/* Sends sig, which is consumed, as a child, whose result tuple is returned. */
static lovage_status
send_and_return(lovage_task *t, struct json_object *sig)
{
    struct request *rq = t->host_arg; /* inline: it is on a node's loop */
    struct error err = {.text = "out of memory"};
    enum status st = ST_NOMEM;
    size_t n;

    if (sig)
        st = follow_apply(rq, sig, NULL, NULL, &err);
    json_object_put(sig);
    if (st != ST_OK)
        return lovage_raisef(t, "ValueError", "%s", err.text);
    n = rq->children ? json_object_array_length(rq->children) : 0;
    if (!n)
        return lovage_return(t, lovage_null());
    return lovage_return(
        t,
        lovage_copy(value_of(json_object_array_get_idx(rq->children, n - 1))));
}

static lovage_status
wrong_call(lovage_task *t, struct json_object *kwargs)
{
    json_object_put(kwargs);
    return lovage_raisef(t, "TypeError", "%s() is called in another way",
                         task_short_name(t->def));
}

/* celery.chunks(task, it, n): a group of starmaps of n items each. */
static lovage_status
chunks(lovage_task *t)
{
    struct json_object *kwargs = json_object_new_object();

    if (pass_on(t, kwargs, 0, "task") != ST_OK ||
        pass_on(t, kwargs, 1, "it") != ST_OK ||
        pass_on(t, kwargs, 2, "n") != ST_OK ||
        json_get_int(kwargs, "n", 0) < 1 ||
        !json_object_is_type(json_get(kwargs, "it"), json_type_array))
        return wrong_call(t, kwargs);
    return send_and_return(t,
                           canvas_of("celery.chunks", "chunks", kwargs, NULL));
}

/* celery.group(tasks, result, group_id, partial_args): what old producers sent.
 * The ids of all are in the signatures. */
static lovage_status
group(lovage_task *t)
{
    struct json_object *kwargs = json_object_new_object();
    struct json_object *partial = value_json(lovage_arg(t, 3, "partial_args"));
    const lovage_value *result = lovage_arg(t, 1, "result");
    const char *gid = lovage_as_string(lovage_arg(t, 2, "group_id"), NULL);
    struct json_object *sig;
    enum status st = pass_on(t, kwargs, 0, "tasks");

    if (st != ST_OK ||
        !json_object_is_type(json_get(kwargs, "tasks"), json_type_array))
        return wrong_call(t, kwargs);
    sig = canvas_of("celery.group", "group", kwargs, gid);
    st = sig ? follow_apply(t->host_arg, sig, partial, NULL, NULL) : ST_NOMEM;
    json_object_put(sig);
    if (st != ST_OK)
        return lovage_raisef(t, "ValueError", "a group that cannot be sent");
    return lovage_return(t, result ? lovage_copy(result) : lovage_null());
}

/* celery.chord(header, body, partial_args=(), ...) */
static lovage_status
chord(lovage_task *t)
{
    struct json_object *kwargs = json_object_new_object();
    struct json_object *partial = value_json(lovage_arg(t, 2, "partial_args"));
    struct json_object *sig;
    char id[ID_LEN + 1];
    enum status st = json_set(kwargs, "kwargs", json_object_new_object());
    lovage_value *tuple;

    if (pass_on(t, kwargs, 0, "header") != ST_OK ||
        pass_on(t, kwargs, 1, "body") != ST_OK || st != ST_OK)
        return wrong_call(t, kwargs);
    id_new(id);
    sig = canvas_of("celery.chord", "chord", kwargs, id);
    st = sig ? follow_apply(t->host_arg, sig, partial, NULL, NULL) : ST_NOMEM;
    json_object_put(sig);
    if (st != ST_OK)
        return lovage_raisef(t, "ValueError", "a chord that cannot be sent");
    /* [[id, null], null]: the body's */
    tuple = lovage_array();
    (void)lovage_push(tuple, lovage_string(id));
    (void)lovage_push(tuple, lovage_null());
    kwargs = json_object_new_array();
    (void)value_append(kwargs, value_json(tuple));
    (void)json_append_null(kwargs);
    return lovage_return(t, (lovage_value *)(uintptr_t)value_of(kwargs));
}

enum status
builtin_register(struct lovage_registry *r, struct error *err)
{
    static const char *const map_params[] = {"task", "it"};
    static const lovage_task_def defs[] = {
        {.name = "celery.accumulate",
         .kind = LOVAGE_INLINE,
         .run = accumulate,
         .params = -1},
        {.name = "celery.backend_cleanup",
         .kind = LOVAGE_ASYNC,
         .run = cleanup_run,
         .params = 0,
         .ignore_result = true},
        {.name = "celery.chain",
         .kind = LOVAGE_INLINE,
         .run = chain,
         .params = -1},
        {.name = "celery.chord",
         .kind = LOVAGE_INLINE,
         .run = chord,
         .params = -1},
        {.name = "celery.chord_unlock",
         .kind = LOVAGE_ASYNC,
         .run = unlock_run,
         .params = -1,
         .max_retries = -1,
         .ignore_result = true,
         .acks_late = 1},
        {.name = "celery.chunks",
         .kind = LOVAGE_INLINE,
         .run = chunks,
         .params = -1},
        {.name = "celery.group",
         .kind = LOVAGE_INLINE,
         .run = group,
         .params = -1},
        /* Blocking for blocking tasks: map_kind(). */
        {.name = "celery.map",
         .kind = LOVAGE_ASYNC,
         .run = map_run,
         .params = 2,
         .param_names = map_params,
         .required = 2},
        {.name = "celery.starmap",
         .kind = LOVAGE_ASYNC,
         .run = starmap_run,
         .params = 2,
         .param_names = map_params,
         .required = 2},
    };

    for (size_t i = 0; i < sizeof(defs) / sizeof(defs[0]); i++) {
        lovage_task_def def = defs[i];

        def.size = sizeof(def);
        if (lovage_register(r, &def) != 0)
            return error_set(err, ST_INVALID, "cannot register %s", def.name);
    }
    return ST_OK;
}
