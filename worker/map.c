/* SPDX-License-Identifier: Apache-2.0 */
/* celery.map and celery.starmap: one task around many calls of another.
 *
 * In an executor all calls are made in a row.  On the loop an async call may
 * take its time, and many inline ones make room for others now and then. */
#include "worker/map.h"

#include <stdlib.h>

#include "base/clock.h"
#include "protocol/signature.h"
#include "worker/registry.h"
#include "worker/task.h"
#include "worker/value.h"

enum { SLICE_US = 2000 /* of calls on the loop, at a time */ };

struct mapping {
    lovage_task inner; /* first: host functions get its address */
    lovage_task *outer;
    struct task_host host; /* the outer one's, but for finish */
    const struct lovage_task_def *def;
    bool star;
    struct json_object *it; /* borrowed from the outer's arguments */
    size_t next;
    struct json_object *args, *kwargs; /* owned; of the call that is made */
    struct json_object *results;       /* owned */
};

static void
mapping_free(struct mapping *m)
{
    json_object_put(m->args);
    json_object_put(m->kwargs);
    json_object_put(m->results);
    free(m);
}

static lovage_status
no_memory(lovage_task *t)
{
    return lovage_raise(t, "MemoryError", "builtins", NULL);
}

/* ---- one call ---- */

/* False: no memory, or an item that is no list of arguments. */
static bool
set_args(struct mapping *m)
{
    struct json_object *item = json_object_array_get_idx(m->it, m->next);

    json_object_put(m->args);
    if (m->star) {
        m->args = json_object_is_type(item, json_type_array)
                      ? json_object_get(item)
                      : NULL;
        return m->args != NULL;
    }
    m->args = json_object_new_array();
    return m->args && value_append(m->args, json_object_get(item)) == ST_OK;
}

/* A call that was made directly, as Python says, does not retry. */
static lovage_status
fail_as_inner(struct mapping *m)
{
    struct outcome *o = &m->outer->out;

    outcome_fini(o);
    *o = m->inner.out;
    outcome_init(&m->inner.out);
    switch (o->kind) {
    case OUTCOME_RETRY:
        o->kind = OUTCOME_RAISE;
        if (!o->exc)
            outcome_raise(o, "Retry", "celery.exceptions", "Retry");
        return LOVAGE_FAILED;
    case OUTCOME_RAISE:
        return LOVAGE_FAILED;
    case OUTCOME_REJECT:
    case OUTCOME_IGNORE:
        return LOVAGE_ENDED;
    default:
        return lovage_raisef(m->outer, "NotImplementedError",
                             "a task in a map cannot replace itself");
    }
}

/* Takes the value of the call that has ended. */
static lovage_status
take(struct mapping *m)
{
    struct json_object *v = NULL;
    lovage_status st = LOVAGE_OK;

    if (m->inner.out.kind != OUTCOME_RETURN)
        st = fail_as_inner(m);
    else if (outcome_value(&m->inner.out, &v, NULL) != ST_OK ||
             value_append(m->results, json_object_get(v)) != ST_OK)
        st = no_memory(m->outer);
    task_clear(&m->inner);
    m->next++;
    return st;
}

/* LOVAGE_PENDING: it ends later. */
static lovage_status
call(struct mapping *m)
{
    if (!set_args(m))
        return lovage_raisef(m->outer, "TypeError",
                             "starmap: item %zu is no list of arguments",
                             m->next);
    task_init(&m->inner, m->def, &m->host, m->outer->host_arg);
    m->inner.args = m->args;
    m->inner.kwargs = m->kwargs;
    m->inner.id = m->outer->id;
    m->inner.retries = m->outer->retries;
    return task_run(&m->inner) ? take(m) : LOVAGE_PENDING;
}

/* ---- all calls ---- */

static lovage_status proceed(struct mapping *m);

static void
end(struct mapping *m, lovage_status st)
{
    lovage_task *outer = m->outer;

    if (st == LOVAGE_PENDING)
        return;
    mapping_free(m);
    lovage_finish(outer, st);
}

static void
on_turn(lovage_task *outer, void *arg)
{
    (void)outer;
    end(arg, proceed(arg));
}

/* An async call has ended, in a turn of its own. */
static void
inner_finished(lovage_task *inner)
{
    struct mapping *m = (struct mapping *)(void *)inner;
    lovage_status st = take(m);

    end(m, st == LOVAGE_OK ? proceed(m) : st);
}

static void
cancelled(lovage_task *outer, void *arg)
{
    struct mapping *m = arg;

    (void)outer;
    if (m->inner.pending)
        task_cancel(&m->inner);
    task_clear(&m->inner);
    mapping_free(m);
}

static lovage_status
proceed(struct mapping *m)
{
    uint64_t until = clock_mono_us() + SLICE_US;
    bool on_loop = m->outer->host->finish != NULL;
    lovage_status st = LOVAGE_OK;
    struct json_object *results;

    while (st == LOVAGE_OK && m->next < json_object_array_length(m->it)) {
        if (on_loop && clock_mono_us() >= until) {
            st = lovage_timer(m->outer, 0, on_turn, m);
            return st == LOVAGE_OK ? LOVAGE_PENDING : st;
        }
        if (lovage_soft_limit(m->outer))
            return lovage_raise_soft_limit(m->outer);
        st = call(m);
    }
    if (st != LOVAGE_OK)
        return st;
    results = m->results;
    m->results = NULL;
    return lovage_return(m->outer,
                         (lovage_value *)(uintptr_t)value_of(results));
}

static const struct lovage_task_def *
inner_def(struct json_object *sig)
{
    struct slice name = signature_task(sig);

    return name.ptr ? registry_find(name) : NULL;
}

static lovage_status
start(lovage_task *t, const struct lovage_task_def *def, struct json_object *it,
      bool star)
{
    struct mapping *m = calloc(1, sizeof(*m));
    lovage_status st;

    if (!m)
        return no_memory(t);
    m->outer = t;
    m->host = *t->host;
    if (m->host.finish)
        m->host.finish = inner_finished;
    m->def = def;
    m->star = star;
    m->it = it;
    task_init(&m->inner, def, &m->host, t->host_arg);
    m->kwargs = json_object_new_object();
    m->results = json_object_new_array();
    st = m->kwargs && m->results ? proceed(m) : no_memory(t);
    if (st == LOVAGE_PENDING)
        lovage_on_cancel(t, cancelled, m);
    else
        mapping_free(m);
    return st;
}

static lovage_status
run(lovage_task *t, bool star)
{
    struct json_object *sig = value_json(lovage_arg(t, 0, "task"));
    struct json_object *it = value_json(lovage_arg(t, 1, "it"));
    const struct lovage_task_def *def = inner_def(sig);
    struct slice name = signature_task(sig);
    bool on_loop = t->host->finish != NULL;

    if (!name.ptr || !json_object_is_type(it, json_type_array))
        return lovage_raisef(t, "TypeError",
                             "%s() needs a signature and a list of items",
                             task_short_name(t->def));
    if (!def) {
        lovage_value *args = lovage_array();

        (void)lovage_push(args, lovage_string_n(name.ptr, name.len));
        return lovage_raise(t, "NotRegistered", "celery.exceptions", args);
    }
    /* Maps of maps: map_kind() looks at the task of the outer one alone. */
    if ((on_loop && def->kind == LOVAGE_BLOCKING) ||
        (!on_loop && def->kind == LOVAGE_ASYNC))
        return lovage_raisef(t, "NotImplementedError",
                             "%s cannot be mapped from here", def->name);
    return start(t, def, it, star);
}

lovage_status
map_run(lovage_task *t)
{
    return run(t, false);
}

lovage_status
starmap_run(lovage_task *t)
{
    return run(t, true);
}

lovage_kind
map_kind(const struct lovage_task_def *def, struct json_object *args,
         struct json_object *kwargs)
{
    struct json_object *sig;
    const struct lovage_task_def *inner;

    if (def->run != map_run && def->run != starmap_run)
        return def->kind;
    sig = json_object_is_type(args, json_type_array)
              ? json_object_array_get_idx(args, 0)
              : NULL;
    if (!sig)
        sig = json_get(kwargs, "task");
    inner = inner_def(sig);
    return inner && inner->kind == LOVAGE_BLOCKING ? LOVAGE_BLOCKING
                                                   : LOVAGE_ASYNC;
}
