/* SPDX-License-Identifier: Apache-2.0 */
/* Running what may run: inline tasks at once, async ones up to a number,
 * blocking ones in executors. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/node.h"

enum {
    SHORT_US = 1000, /* shorter tasks travel a few at a time: */
    BATCH_US = 4000, /* this long together */
    SHORT_BYTES = 16 * 1024,
    CALL_MAX = 64 * 1024 * 1024
};

static const double mean_weight = 0.2; /* of the newest run time */

static struct request *
request_of_job(struct job *j)
{
    return list_entry(&j->link, struct request, job.link);
}

/* ---- every kind ---- */

static void
measure(struct request *rq)
{
    struct task_entry *e = registry_entry(rq->def);
    double us = (double)(clock_mono_us() - rq->started_us);

    e->mean_us =
        e->mean_us > 0 ? e->mean_us + mean_weight * (us - e->mean_us) : us + 1;
}

/* The outcome moves from where it was made to the request. */
static void
finish(struct request *rq, struct outcome *o)
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
static void
fail_time_limit(struct request *rq)
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

/* ---- on the loop ---- */

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
    finish(rq, &t->out);
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
}

static void
run_inline(struct request *rq)
{
    begin_run(rq, getpid());
    make_task(rq);
    task_run(&rq->task);
    /* Only now: a crash in it leaves the message with the broker, and the slot
     * in the shared page tells what to do with it.  What is recorded as not
     * acknowledged keeps its message until its outcome is recorded. */
    if (!rq->late && !rq->claimed)
        consumer_settle(rq, VERDICT_ACK);
    finish(rq, &rq->task.out);
}

static void
stop_async(struct request *rq)
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
    struct request *rq =
        (struct request *)(void *)((char *)timer -
                                   offsetof(struct request, timer));
    double ran = (double)(clock_mono_us() - rq->started_us) / 1e6;
    double hard = request_hard_limit(rq);
    const double slack = 0.002; /* timers count whole milliseconds */

    if (hard > 0 && ran + slack >= hard) {
        stop_async(rq);
        fail_time_limit(rq);
        return;
    }
    rq->soft_passed = true;
    set_async_limit(rq);
}

static void
run_async(struct request *rq)
{
    begin_run(rq, getpid());
    make_task(rq);
    rq->n->async_running++;
    if (task_run(&rq->task)) {
        rq->n->async_running--;
        finish(rq, &rq->task.out);
    } else {
        set_async_limit(rq);
    }
}

/* ---- in executors ---- */

/* Prints args and kwargs into b where the sender's text will not do. */
static enum status
make_call(struct request *rq, struct buf *b, struct pool_call *call)
{
    struct frame_run *run = &call->run;
    size_t args_len;

    call->job = &rq->job;
    rq->job.soft_ms = (uint64_t)(request_soft_limit(rq) * 1000);
    rq->job.hard_ms = (uint64_t)(request_hard_limit(rq) * 1000);
    run->retries = rq->tm.retries;
    run->id = rq->tm.id;
    run->name = rq->tm.name;
    buf_init(b, CALL_MAX);
    if (request_raw_call(rq, &run->args, &run->kwargs))
        return ST_OK;
    json_add(b, rq->tm.args);
    args_len = b->len;
    json_add(b, rq->tm.kwargs);
    run->args = (struct slice){b->data, args_len};
    run->kwargs = (struct slice){b->data + args_len, b->len - args_len};
    return b->failed ? ST_TOOBIG : ST_OK;
}

bool
dispatch_is_short(const struct request *rq)
{
    double mean = registry_entry(rq->def)->mean_us;

    return rq->def->kind == LOVAGE_BLOCKING && mean > 0 && mean < SHORT_US &&
           request_soft_limit(rq) <= 0 && request_hard_limit(rq) <= 0 &&
           !rq->deaths && rq->tm.msg->body_len < SHORT_BYTES;
}

static size_t
batch_size(const struct node *n)
{
    size_t fair = n->blocking_waiting / pool_size(n->pool);

    /* An executor that may have to go after any task gets one at a time. */
    if (fair < 1 || n->config->worker_max_tasks_per_child > 0 ||
        n->config->worker_max_memory_per_child > 0)
        return 1;
    return fair < POOL_BATCH_MAX ? fair : POOL_BATCH_MAX;
}

/* Takes up to max requests that may share an executor, BATCH_US of them. */
static size_t
gather(struct node *n, struct request **out, size_t max)
{
    double us = 0;
    size_t k = 0;

    while (k < max && !list_empty(&n->blocking)) {
        struct request *rq =
            list_entry(n->blocking.next, struct request, queue);

        us += registry_entry(rq->def)->mean_us;
        if (k && (us > BATCH_US || !dispatch_is_short(rq) ||
                  !dispatch_is_short(out[0])))
            break;
        list_del(&rq->queue);
        out[k++] = rq;
    }
    return k;
}

static void
wait_again(struct node *n, struct request *rq)
{
    list_add_head(&n->blocking, &rq->queue);
}

/* False: no executor can take it now. */
static bool
run_some(struct node *n)
{
    struct request *rqs[POOL_BATCH_MAX];
    struct buf texts[POOL_BATCH_MAX];
    struct pool_call calls[POOL_BATCH_MAX];
    size_t k = gather(n, rqs, batch_size(n)), made = 0;
    enum status st = ST_OK;

    while (made < k && st == ST_OK) {
        st = make_call(rqs[made], &texts[made], &calls[made]);
        made++;
    }
    if (st == ST_OK)
        st = pool_run(n->pool, calls, k);
    for (size_t i = 0; i < made; i++)
        buf_fini(&texts[i]);
    if (st == ST_TOOBIG) {
        dispatch_fail(rqs[made - 1], "DecodeError", "kombu.exceptions",
                      "the arguments are too large for an executor");
        rqs[made - 1] = NULL;
    }
    for (size_t i = k; st != ST_OK && i-- > 0;)
        if (rqs[i])
            wait_again(n, rqs[i]);
    return st == ST_OK || st == ST_TOOBIG || st == ST_LOST;
}

void
dispatch_more(struct node *n)
{
    size_t max = (size_t)n->config->worker_async_concurrency;

    while (!list_empty(&n->async) && n->async_running < max) {
        struct request *rq = list_entry(n->async.next, struct request, queue);

        list_del(&rq->queue);
        run_async(rq);
    }
    while (!list_empty(&n->blocking) && pool_free(n->pool))
        if (!run_some(n))
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
    if (rq->def->kind == LOVAGE_INLINE) {
        run_inline(rq);
        return;
    }
    list_add_tail(rq->def->kind == LOVAGE_ASYNC ? &n->async : &n->blocking,
                  &rq->queue);
    flow_changed(n); /* runs what it can at the end of this turn */
}

/* ---- what the pool tells ---- */

static void
pool_started(void *arg, struct job *j, pid_t pid)
{
    (void)arg;
    begin_run(request_of_job(j), pid);
}

static void
pool_state(void *arg, struct job *j, struct slice state,
           struct json_object *meta)
{
    (void)arg;
    node_store_state(request_of_job(j), state, meta);
}

static void
pool_send(void *arg, struct job *j, struct json_object *sig)
{
    struct request *rq = request_of_job(j);
    struct error err;

    (void)arg;
    if (follow_apply(rq, sig, NULL, NULL, &err) != ST_OK)
        log_error("a task could not be sent", "by=%.*s reason=%s",
                  (int)rq->tm.id.len, rq->tm.id.ptr, err.text);
}

static struct json_object *
pool_fields(void *arg, struct job *j)
{
    (void)arg;
    return request_fields(request_of_job(j));
}

static void
pool_ended(void *arg, struct job *j, struct outcome *o)
{
    (void)arg;
    finish(request_of_job(j), o);
}

static void
death_counted(void *arg, enum status st)
{
    struct request *rq = arg;

    if (st != ST_OK)
        log_warning("a death was not counted", "id=%.*s reason=%s",
                    (int)rq->tm.id.len, rq->tm.id.ptr, status_text(st));
    rq->claimed = false;
    if (rq->n->phase == NODE_CLOSING)
        return;
    consumer_claim(rq); /* runs it again, or says that it is enough */
}

static void
crashed(struct request *rq, const char *how)
{
    struct node *n = rq->n;

    rq->deaths++;
    log_error("executor lost", "task=%s id=%.*s how=%s deaths=%u",
              rq->def->name, (int)rq->tm.id.len, rq->tm.id.ptr, how,
              rq->deaths);
    snprintf(rq->how, sizeof(rq->how), "Worker exited prematurely: %s Job: %u.",
             how, rq->job.number);
    if (rq->late && rq->claimed) {
        request_move(rq, RQ_CLAIMING);
        shm_leave(&n->slots, rq->slot);
        rq->slot = -1;
        rq->started_us = 0;
        records_died(n->records, node_who(n), rq->tm.id, rq->attempt,
                     death_counted, rq);
        return;
    }
    if (rq->late && (n->config->task_reject_on_worker_lost ||
                     rq->def->reject_on_worker_lost)) {
        consumer_hand_back(rq, VERDICT_REQUEUE);
        return;
    }
    outcome_raise(&rq->out, "WorkerLostError", "billiard.exceptions", rq->how);
    settle_start(rq);
}

static void
pool_died(void *arg, struct job *j, enum pool_death why, const char *how)
{
    static const char *const causes[] = {
        [POOL_CRASHED] = "crash",
        [POOL_HARD_LIMIT] = "time_limit",
        [POOL_TERMINATED] = "terminated",
    };
    struct request *rq = request_of_job(j);

    metric_add(rq->n->m_executors, causes[why], 1);
    if (rq->terminate)
        dispatch_revoke(rq, "terminated");
    else if (rq->n->cold)
        dispatch_interrupt(rq);
    else if (why == POOL_HARD_LIMIT)
        fail_time_limit(rq);
    else
        crashed(rq, how);
    flow_changed(arg);
}

static void
pool_returned(void *arg, struct job *j)
{
    struct node *n = arg;

    if (n->phase == NODE_RUNNING)
        wait_again(n, request_of_job(j));
    else
        consumer_hand_back(request_of_job(j), VERDICT_REQUEUE);
}

static void
pool_room(void *arg)
{
    dispatch_more(arg);
}

const struct pool_events dispatch_pool_events = {
    .started = pool_started,
    .state = pool_state,
    .send = pool_send,
    .fields = pool_fields,
    .ended = pool_ended,
    .died = pool_died,
    .returned = pool_returned,
    .room = pool_room,
};

/* ---- stopping ---- */

void
dispatch_terminate(struct request *rq, int signum)
{
    if (rq->state != RQ_RUNNING)
        return;
    rq->terminate = true;
    if (rq->def->kind == LOVAGE_BLOCKING) {
        pool_terminate(rq->n->pool, &rq->job, signum);
        return;
    }
    stop_async(rq);
    dispatch_revoke(rq, "terminated");
}

/* What was acknowledged is not run again: its sender has not said that it may
 * be.  It is recorded as lost; the rest goes back. */
void
dispatch_interrupt(struct request *rq)
{
    if (rq->def->kind == LOVAGE_ASYNC)
        stop_async(rq);
    if (rq->tag)
        consumer_hand_back(rq, VERDICT_REQUEUE);
    else
        dispatch_fail(rq, "WorkerLostError", "billiard.exceptions",
                      "Worker was shut down while the task ran.");
}
