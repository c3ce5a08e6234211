/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs what may run, and how that ends: inline tasks at once, async ones up
 * to a number (run_loop.c), blocking ones in executors (run_pool.c). */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/node.h"

static const double mean_weight = 0.2; /* of the newest run time */

/* ---- ends ---- */

static void
measure(struct request *rq)
{
    struct task_entry *e = registry_entry(rq->def);
    double us = (double)(clock_mono_us() - rq->started_us);

    e->mean_us =
        e->mean_us > 0 ? e->mean_us + mean_weight * (us - e->mean_us) : us + 1;
}

void
dispatch_finish(struct request *rq, struct outcome *o)
{
    measure(rq);
    outcome_fini(&rq->out);
    rq->out = *o;
    outcome_init(o);
    settle_start(rq);
}

void
dispatch_fail(struct request *rq, const char *type, const char *module,
              const char *text)
{
    struct slice name = rq->tm.name;
    char *copy = text ? NULL : strndup(name.ptr, name.len);

    /* Without a text, the exception's argument is the task's name. */
    outcome_raise(&rq->out, type, module, text ? text : copy ? copy : "");
    free(copy);
    settle_start(rq);
}

void
dispatch_revoke(struct request *rq, const char *reason)
{
    outcome_raise(&rq->out, "TaskRevokedError", "celery.exceptions", reason);
    rq->out.kind = OUTCOME_REVOKED;
    settle_start(rq);
}

static void
fail_with(struct request *rq, const char *type, struct json_object *args)
{
    outcome_raise_args(&rq->out, type, "billiard.exceptions", args);
    settle_start(rq);
}

/* TimeLimitExceeded(limit), a whole number where it is one, as Python has. */
void
dispatch_time_limit(struct request *rq)
{
    double limit = request_hard_limit(rq);
    struct json_object *args = json_object_new_array(), *v;

    v = limit == (double)(int64_t)limit ? json_object_new_int64((int64_t)limit)
                                        : json_new_double(limit);
    if (!args || json_append(args, v) != ST_OK) {
        json_object_put(args);
        args = NULL;
    }
    log_error("hard time limit passed", "task=%s id=%.*s limit=%g",
              rq->def->name, (int)rq->tm.id.len, rq->tm.id.ptr, limit);
    fail_with(rq, "TimeLimitExceeded", args);
}

/* ---- running ---- */

void
dispatch_more(struct node *n)
{
    size_t max = (size_t)n->config->worker_async_concurrency;

    while (!list_empty(&n->async) && n->async_running < max) {
        struct request *rq = list_entry(n->async.next, struct request, queue);

        if (claim_dropped(rq)) /* while it waited */
            continue;
        list_del(&rq->queue);
        run_loop_async(rq);
    }
    while (!list_empty(&n->blocking) && pool_free(n->pool))
        if (!run_pool_some(n))
            break;
}

void
dispatch_ready(struct request *rq)
{
    struct node *n = rq->n;

    if (n->phase != NODE_RUNNING) {
        consumer_hand_back(rq, VERDICT_REQUEUE);
        return;
    }
    request_move(rq, RQ_READY);
    if (rq->kind == LOVAGE_INLINE) {
        run_loop_inline(rq);
        return;
    }
    list_add_tail(rq->kind == LOVAGE_ASYNC ? &n->async : &n->blocking,
                  &rq->queue);
    flow_changed(n); /* runs what it can at the end of this turn */
}

/* ---- stopping ---- */

void
dispatch_terminate(struct request *rq, int signum)
{
    if (rq->state != RQ_RUNNING)
        return;
    rq->terminate = true;
    if (rq->kind == LOVAGE_BLOCKING) {
        pool_terminate(rq->n->pool, &rq->job, signum);
        return;
    }
    run_loop_stop(rq);
    dispatch_revoke(rq, "terminated");
}

/* What was acknowledged is not run again: its sender has not said that it may
 * be.  It is recorded as lost; the rest goes back. */
void
dispatch_interrupt(struct request *rq)
{
    if (rq->kind == LOVAGE_ASYNC)
        run_loop_stop(rq);
    if (rq->tag)
        consumer_hand_back(rq, VERDICT_REQUEUE);
    else
        dispatch_fail(rq, "WorkerLostError", "billiard.exceptions",
                      "Worker was shut down while the task ran.");
}
