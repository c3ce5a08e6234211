/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks that run on the node's loop: inline ones at once, async ones until they
 * call back. */
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/node.h"

/* ---- what such a task may ask for ---- */

static struct json_object *
host_fields(lovage_task *t)
{
    return request_fields(t->host_arg);
}

static enum status
host_state(lovage_task *t, const char *state, struct json_object *meta)
{
    node_store_state(t->host_arg, node_slice(state), meta);
    return ST_OK;
}

static enum status
host_send(lovage_task *t, struct json_object *sig)
{
    struct request *rq = t->host_arg;

    return follow_apply(rq, sig, NULL, NULL, NULL);
}

static bool
host_soft_limit(lovage_task *t)
{
    const struct request *rq = t->host_arg;

    return rq->soft_passed;
}

static void
host_finish(lovage_task *t)
{
    struct request *rq = t->host_arg;

    timer_unset(&rq->n->timers, &rq->timer);
    rq->n->async_running--;
    flow_changed(rq->n);
    dispatch_finish(rq, &t->out);
}

static const struct services *
host_services(lovage_task *t)
{
    const struct request *rq = t->host_arg;

    return &rq->n->services;
}

static struct timers *
host_timers(lovage_task *t)
{
    const struct request *rq = t->host_arg;

    return &rq->n->timers;
}

static const struct task_host loop_host = {
    .fields = host_fields,
    .state = host_state,
    .send = host_send,
    .soft_limit = host_soft_limit,
    .finish = host_finish,
    .services = host_services,
    .timers = host_timers,
};

/* ---- running ---- */

static void
make_task(struct request *rq)
{
    lovage_task *t = &rq->task;

    task_init(t, rq->def, &loop_host, rq);
    rq->in_task = true;
    t->args = rq->tm.args;
    t->kwargs = rq->tm.kwargs;
    t->id = rq->tm.id.ptr;
    t->retries = rq->tm.retries;
    t->hard_limit = rq->tm.hard_limit;
    t->soft_limit = rq->tm.soft_limit;
}

void
run_loop_inline(struct request *rq)
{
    begin_run(rq, getpid());
    make_task(rq);
    task_run(&rq->task);
    /* Only now: a crash in it leaves the message with the broker, and the slot
     * in the shared page tells what to do with it.  What is recorded as not
     * acknowledged keeps its message until its outcome is recorded. */
    if (!rq->late && !rq->claimed)
        consumer_settle(rq, VERDICT_ACK);
    dispatch_finish(rq, &rq->task.out);
}

void
run_loop_stop(struct request *rq)
{
    timer_unset(&rq->n->timers, &rq->timer);
    task_cancel(&rq->task);
    rq->n->async_running--;
    flow_changed(rq->n);
}

static void async_limit(struct timer *timer);

static void
set_async_limit(struct request *rq)
{
    double soft = rq->soft_passed ? 0 : request_soft_limit(rq);
    double hard = request_hard_limit(rq), next = hard, ran;

    if (soft > 0 && (hard <= 0 || soft < hard))
        next = soft;
    if (next <= 0)
        return;
    ran = (double)(clock_mono_us() - rq->started_us) / 1e6;
    if (timer_set(&rq->n->timers, &rq->timer,
                  next > ran ? (uint64_t)((next - ran) * 1000) : 0,
                  async_limit) != ST_OK)
        log_warning("no memory for a time limit", "task=%s", rq->def->name);
}

static void
async_limit(struct timer *timer)
{
    struct request *rq = request_of_timer(timer);
    double ran = (double)(clock_mono_us() - rq->started_us) / 1e6;
    double hard = request_hard_limit(rq);
    const double slack = 0.002; /* timers count whole milliseconds */

    if (hard > 0 && ran + slack >= hard) {
        run_loop_stop(rq);
        dispatch_time_limit(rq);
        return;
    }
    rq->soft_passed = true;
    set_async_limit(rq);
}

void
run_loop_async(struct request *rq)
{
    begin_run(rq, getpid());
    make_task(rq);
    rq->n->async_running++;
    if (task_run(&rq->task)) {
        rq->n->async_running--;
        dispatch_finish(rq, &rq->task.out);
    } else {
        set_async_limit(rq);
    }
}
