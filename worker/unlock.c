/* SPDX-License-Identifier: Apache-2.0 */
/* celery.chord_unlock: waits for the members of a chord whose result backend
 * does not count them, by looking again and again (celery-wire.md 6.6). */
#include "worker/unlock.h"

#include <stdlib.h>

#include "worker/join.h"
#include "worker/node.h"
#include "worker/value.h"

enum { ERROR_LINE_MAX = 4096 };

struct unlock {
    lovage_task *task;
    struct request *rq;
    struct join *join;
    struct json_object *body; /* borrowed from the arguments */
};

/* Such a task is async: it always runs on a node's loop. */
static struct request *
request_of(lovage_task *t)
{
    return t->host_arg;
}

static lovage_status
look_again(lovage_task *t)
{
    const lovage_value *interval = lovage_arg(t, 2, "interval");
    const lovage_value *max = lovage_arg(t, 3, "max_retries");
    lovage_retry_opts o = {.size = sizeof(o)};

    o.countdown = request_of(t)->n->config->result_chord_retry_interval;
    if (interval && lovage_typeof(interval) != LOVAGE_NULL)
        o.countdown = lovage_as_double(interval);
    if (max && lovage_typeof(max) == LOVAGE_INT)
        o.max_retries = (int)lovage_as_int(max);
    return lovage_retry(t, &o);
}

static lovage_status
conclude(struct unlock *u, const struct join_answer *a)
{
    struct buf reason;

    switch (a->state) {
    case JOIN_DONE:
        chord_apply(u->rq, u->body, a->values);
        break;
    case JOIN_FAILED:
        buf_init(&reason, ERROR_LINE_MAX);
        chord_reason(a->id, a->exc, &reason);
        chord_fail(u->rq, u->body, (struct slice){reason.data, reason.len});
        buf_fini(&reason);
        break;
    case JOIN_WAITS:
    case JOIN_LOST:
        return look_again(u->task);
    }
    return lovage_return(u->task, lovage_null());
}

static void
joined(void *arg, const struct join_answer *a)
{
    struct unlock *u = arg;
    lovage_task *t = u->task;

    if (u->rq->n->phase != NODE_CLOSING)
        lovage_finish(t, conclude(u, a));
    free(u);
}

static void
cancelled(lovage_task *t, void *arg)
{
    struct unlock *u = arg;

    (void)t;
    join_cancel(u->join);
    free(u);
}

/* chord_unlock(group_id, callback, interval=None, max_retries=None,
 * result=None, ...) */
lovage_status
unlock_run(lovage_task *t)
{
    struct request *rq = request_of(t);
    struct json_object *body = value_json(lovage_arg(t, 1, "callback"));
    struct json_object *results = value_json(lovage_arg(t, 4, "result"));
    struct error err = {.text = "out of memory"};
    struct unlock *u;
    enum status st;

    if (!(result_can(rq->n->result) & RESULT_KEEPS))
        return lovage_raisef(t, "NotImplementedError",
                             "a chord needs a result backend");
    if (signature_check(body, &err) != ST_OK)
        return lovage_raisef(t, "TypeError", "chord_unlock: %s", err.text);
    if (json_object_is_type(results, json_type_array) &&
        !json_object_array_length(results)) {
        chord_apply(rq, body, results);
        return lovage_return(t, lovage_null());
    }
    u = calloc(1, sizeof(*u));
    if (!u)
        return lovage_raise(t, "MemoryError", "builtins", NULL);
    *u = (struct unlock){.task = t, .rq = rq, .body = body};
    st = join_start(&u->join, rq->n->result, results, joined, u, &err);
    if (st != ST_OK) {
        free(u);
        return lovage_raisef(t, "TypeError", "chord_unlock: %s", err.text);
    }
    lovage_on_cancel(t, cancelled, u);
    return LOVAGE_PENDING;
}
