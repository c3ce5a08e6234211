/* SPDX-License-Identifier: Apache-2.0 */
/* Settling: what follows from an outcome, step by step.
 *
 * The order is Celery's (celery-wire.md 6.7, 6.13), with two differences, both
 * stricter: messages that follow are confirmed by the broker before the outcome
 * is stored, and a late acknowledgement goes out only when the outcome is
 * stored.  A step that fails for a passing reason is tried again until it
 * works; what is taken from the broker ends long before that is much. */
#include "worker/node.h"

#include "base/clock.h"
#include "base/log.h"
#include "protocol/state.h"

enum { AGAIN_MS = 200 };

/* The outcome was dropped, and the message may be the last that says that the
 * task is to be run: its next claim finds out.  What takes its place has been
 * sent. */
static bool
fenced_out(const struct request *rq)
{
    return rq->drop && rq->out.kind != OUTCOME_RETRY &&
           rq->out.kind != OUTCOME_REPLACE;
}

/* It would have been acknowledged before, had its beginning been recorded by
 * now. */
static bool
acked_early(const struct request *rq)
{
    return !rq->late && rq->started_us;
}

static void
step_ack(struct request *rq)
{
    const struct config *c = rq->n->config;
    enum verdict v = VERDICT_ACK;

    if (fenced_out(rq))
        v = VERDICT_REQUEUE;
    else if (acked_early(rq))
        v = VERDICT_ACK;
    else if (rq->out.kind == OUTCOME_REJECT)
        v = rq->out.requeue ? VERDICT_REQUEUE : VERDICT_REJECT;
    else if (!rq->def || (rq->out.kind == OUTCOME_RAISE && rq->late &&
                          !c->task_acks_on_failure_or_timeout))
        v = VERDICT_REJECT;
    consumer_settle(rq, v);
}

static void (*const steps[])(struct request *rq) = {
    [STEP_FOLLOW] = follow_up, [STEP_RECORD] = step_record,
    [STEP_STORE] = step_store, [STEP_CHORD] = step_chord,
    [STEP_CHAIN] = step_chain, [STEP_ERRBACKS] = follow_errbacks,
    [STEP_ACK] = step_ack,
};

static const char *
metric_label(const struct request *rq)
{
    static const char *const labels[OUTCOME_KINDS] = {
        [OUTCOME_NONE] = "failure",     [OUTCOME_RETURN] = "success",
        [OUTCOME_RAISE] = "failure",    [OUTCOME_RETRY] = "retry",
        [OUTCOME_REJECT] = "rejected",  [OUTCOME_IGNORE] = "ignored",
        [OUTCOME_REPLACE] = "replaced", [OUTCOME_REVOKED] = "revoked",
    };

    return labels[rq->out.kind];
}

static void
log_failure(const struct request *rq)
{
    struct buf b;
    int len;

    buf_init(&b, 1024);
    if (rq->out.exc)
        state_exception_repr(rq->out.exc, &b);
    len = b.failed ? 0 : (int)b.len;
    log_error("task failed", "task=%.*s id=%.*s error=%.*s",
              (int)rq->tm.name.len, rq->tm.name.ptr, (int)rq->tm.id.len,
              rq->tm.id.ptr, len, len ? b.data : "");
    buf_fini(&b);
}

static void
log_outcome(const struct request *rq)
{
    uint64_t us = rq->started_us ? clock_mono_us() - rq->started_us : 0;

    if (rq->out.kind == OUTCOME_RAISE)
        log_failure(rq);
    else
        log_debug("task ended", "task=%.*s id=%.*s outcome=%s us=%llu",
                  (int)rq->tm.name.len, rq->tm.name.ptr, (int)rq->tm.id.len,
                  rq->tm.id.ptr, metric_label(rq), (unsigned long long)us);
}

static void
finished(struct request *rq)
{
    struct node *n = rq->n;

    metric_add(n->m_tasks,
               rq->drop      ? "fenced"
               : rq->resumed ? "resumed"
                             : metric_label(rq),
               1);
    log_outcome(rq);
    request_end(rq);
    flow_changed(n);
}

static void
again(struct timer *t)
{
    settle_go(request_of_timer(t));
}

static void
advance(struct request *rq)
{
    if (rq->step == STEP_FOLLOW)
        follow_refused(rq); /* then it has failed, which is stored now */
    rq->step++;
}

void
settle_go(struct request *rq)
{
    while (!rq->waits) {
        if (rq->redo) {
            rq->redo = false;
            if (timer_set(&rq->n->timers, &rq->timer, AGAIN_MS, again) == ST_OK)
                return;
            /* Without memory for a timer it is tried again at once. */
        } else if (rq->begun) {
            advance(rq);
        }
        if (rq->drop && rq->step < STEP_ACK)
            rq->step = STEP_ACK;
        if (rq->step == STEP_END) {
            finished(rq);
            return;
        }
        rq->begun = true;
        steps[rq->step](rq);
    }
}

static void
start_at(struct request *rq, enum settle_step step)
{
    list_del(&rq->queue);
    flow_left(rq);
    timer_unset(&rq->n->timers, &rq->timer);
    request_move(rq, RQ_SETTLING);
    rq->step = step;
    rq->begun = rq->redo = false;
    settle_go(rq);
}

void
settle_start(struct request *rq)
{
    start_at(rq, STEP_FOLLOW);
}

void
settle_rest(struct request *rq)
{
    rq->resumed = true;
    start_at(rq, STEP_STORE);
}

void
settle_answer(struct request *rq, enum status st)
{
    rq->waits--;
    if (st != ST_OK)
        rq->redo = true;
    if (rq->waits || rq->n->phase == NODE_CLOSING)
        return;
    if (rq->state == RQ_SETTLING)
        settle_go(rq);
    else if (rq->state == RQ_SETTLED)
        request_answered(rq); /* it was handed back while it waited */
    else
        rq->redo = false; /* a state that it reported while it runs */
}
