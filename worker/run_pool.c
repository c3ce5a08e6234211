/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks that run in executors: what is handed to one, and what comes back. */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/node.h"

enum {
    SHORT_US = 1000, /* shorter tasks travel a few at a time: */
    BATCH_US = 4000, /* this long together */
    SHORT_BYTES = 16 * 1024,
    CALL_MAX = 64 * 1024 * 1024
};

static struct request *
request_of_job(struct job *j)
{
    return list_entry(&j->link, struct request, job.link);
}

/* ---- there ---- */

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
run_pool_is_short(const struct request *rq)
{
    double mean = registry_entry(rq->def)->mean_us;

    return rq->kind == LOVAGE_BLOCKING && mean > 0 && mean < SHORT_US &&
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

        if (claim_dropped(rq)) /* while it waited */
            continue;
        us += registry_entry(rq->def)->mean_us;
        if (k && (us > BATCH_US || !run_pool_is_short(rq) ||
                  !run_pool_is_short(out[0])))
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

bool
run_pool_some(struct node *n)
{
    struct request *rqs[POOL_BATCH_MAX];
    struct buf texts[POOL_BATCH_MAX];
    struct pool_call calls[POOL_BATCH_MAX];
    size_t k = gather(n, rqs, batch_size(n)), made = 0;
    enum status st = ST_OK;

    if (!k)
        return true;
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

/* ---- and back ---- */

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
    struct error err = {.text = ""};
    enum status st = follow_apply(rq, sig, NULL, NULL, &err);

    (void)arg;
    if (st == ST_OK)
        return;
    log_error("a task could not be sent", "by=%.*s reason=%s",
              (int)rq->tm.id.len, rq->tm.id.ptr, err.text);
    rq->refused = st; /* the task believes that it is: it has failed */
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
    dispatch_finish(request_of_job(j), o);
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
    claim_start(rq); /* runs it again, or says that it is enough */
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
        dispatch_time_limit(rq);
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

const struct pool_events run_pool_events = {
    .started = pool_started,
    .state = pool_state,
    .send = pool_send,
    .fields = pool_fields,
    .ended = pool_ended,
    .died = pool_died,
    .returned = pool_returned,
    .room = pool_room,
};
