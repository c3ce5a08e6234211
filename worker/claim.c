/* SPDX-License-Identifier: Apache-2.0 */
/* May it run, and when?  Its eta, its claim, and whether it has been revoked or
 * has expired in the meantime. */
#include "base/clock.h"
#include "base/log.h"
#include "protocol/envelope.h"
#include "worker/node.h"

enum {
    FAR_ETA_S = 300,      /* further away it is parked in PostgreSQL */
    CHECK_MS = 60 * 1000, /* a wall clock that jumps is seen this soon */
    BUSY_MS = 200,
    ELSEWHERE_MS = 1000,
    ENVELOPE_MAX = 64 * 1024 * 1024
};

static const char deadly[] = "The task ended its worker each time it was run.";

static void eta_passed(struct timer *t);

/* ---- expired, revoked ---- */

static bool
expired(const struct request *rq)
{
    return rq->tm.has_expires && clock_unix_us() > rq->tm.expires_us;
}

bool
claim_dropped(struct request *rq)
{
    struct node *n = rq->n;

    if (revoked_has(&n->revoked, rq->tm.id, clock_mono_us())) {
        log_info("discarding revoked task", "task=%s id=%.*s", rq->def->name,
                 (int)rq->tm.id.len, rq->tm.id.ptr);
        dispatch_revoke(rq, "revoked");
        return true;
    }
    if (expired(rq)) {
        dispatch_revoke(rq, "expired");
        return true;
    }
    return false;
}

/* ---- claiming ---- */

static void
claim_again(struct timer *t)
{
    struct request *rq = request_of_timer(t);

    claim_start(rq);
}

void
claim_put_off(struct request *rq, uint64_t ms, void (*fn)(struct timer *))
{
    if (rq->n->phase == NODE_CLOSING)
        return; /* its call was broken off */
    flow_left(rq);
    flow_changed(rq->n); /* another may come in its place */
    if (rq->state != RQ_PARKED)
        request_move(rq, RQ_PARKED);
    if (timer_set(&rq->n->timers, &rq->timer, ms, fn) != ST_OK)
        consumer_hand_back(rq, VERDICT_BACK);
}

void
claim_later(struct request *rq)
{
    claim_put_off(rq, BUSY_MS, claim_again);
}

/* Whoever runs it may be dead, and its lease not over yet: a message that comes
 * again is kept until that is known.  What takes a task's place may be faster
 * than the record of what it replaces. */
static void
found_elsewhere(struct request *rq)
{
    if (rq->tm.redelivered)
        claim_put_off(rq, ELSEWHERE_MS, claim_again);
    else if (rq->tm.replaced_task_nesting > 0)
        claim_put_off(rq, BUSY_MS, claim_again);
    else
        consumer_done(rq);
}

static void
claimed(void *arg, enum status st, enum claim c, int64_t attempt)
{
    struct request *rq = arg;
    struct node *n = rq->n;

    if (st != ST_OK) {
        claim_later(rq);
        return;
    }
    if (n->phase != NODE_RUNNING && c == CLAIM_RUN) {
        rq->claimed = true;
        rq->attempt = attempt;
        consumer_hand_back(rq, VERDICT_REQUEUE);
        return;
    }
    switch (c) {
    case CLAIM_RUN:
        rq->claimed = true;
        rq->attempt = attempt;
        if (!claim_dropped(rq))
            dispatch_ready(rq);
        break;
    case CLAIM_REVOKED:
        dispatch_revoke(rq, "revoked");
        break;
    case CLAIM_POISON:
        dispatch_fail(rq, "WorkerLostError", "billiard.exceptions",
                      rq->how[0] ? rq->how : deadly);
        break;
    case CLAIM_ELSEWHERE:
        found_elsewhere(rq);
        break;
    case CLAIM_DONE:
        if (rq->tm.redelivered)
            resume_start(rq);
        else
            consumer_done(rq);
        break;
    }
}

void
claim_start(struct request *rq)
{
    struct node *n = rq->n;
    const struct task_message *tm = &rq->tm;
    struct records_claim c = {
        .id = tm->id,
        .task = tm->name,
        .queue = node_slice(rq->queue_name),
        .root_id = tm->root_id,
        .parent_id = tm->parent_id,
        .group_id = tm->group,
        .retries = tm->retries,
        .begun = rq->kind == LOVAGE_INLINE,
    };

    flow_took(rq);
    if (!n->records) {
        if (!resume_ask(rq))
            dispatch_ready(rq);
        return;
    }
    /* A row is made from it if the task came from a Python producer. */
    request_raw_call(rq, &c.args, &c.kwargs);
    if (rq->state != RQ_CLAIMING)
        request_move(rq, RQ_CLAIMING);
    records_claim(n->records, node_who(n), &c, claimed, rq);
}

static void
due(struct request *rq)
{
    if (!claim_dropped(rq))
        claim_start(rq);
}

/* ---- eta ---- */

static void
wait_for_eta(struct request *rq)
{
    int64_t left_ms = (rq->tm.eta_us - clock_unix_us() + 999) / 1000;

    if (left_ms <= 0) {
        due(rq);
        return;
    }
    claim_put_off(rq, (uint64_t)(left_ms < CHECK_MS ? left_ms : CHECK_MS),
                  eta_passed);
}

static void
eta_passed(struct timer *t)
{
    wait_for_eta(request_of_timer(t));
}

static void
parked(void *arg, enum status st)
{
    struct request *rq = arg;

    if (st != ST_OK) {
        log_warning("an eta task is held in memory", "id=%.*s reason=%s",
                    (int)rq->tm.id.len, rq->tm.id.ptr, status_text(st));
        wait_for_eta(rq);
        return;
    }
    consumer_done(rq);
}

/* A far eta: the message moves to the outbox, and comes back when it is due. */
static void
park_far(struct request *rq)
{
    static char none[] = "";
    struct node *n = rq->n;
    struct message m = *rq->tm.msg; /* borrows all it has */
    struct buf b;
    struct slice text;

    buf_init(&b, ENVELOPE_MAX);
    /* To this queue alone: through its exchange others would have it again. */
    m.exchange = none;
    m.routing_key = rq->queue_name;
    envelope_encode(&m, &b);
    if (b.failed) {
        buf_fini(&b);
        wait_for_eta(rq);
        return;
    }
    text.ptr = b.data;
    text.len = b.len;
    request_move(rq, RQ_CLAIMING);
    outbox_park(n->records, rq->tm.id, node_slice(rq->queue_name), text,
                rq->tm.eta_us, parked, rq);
    buf_fini(&b);
}

/* ---- the first look ---- */

/* Counted here where the records do not. */
static bool
is_deadly(const struct request *rq)
{
    const struct node *n = rq->n;

    return (!n->records || rq->kind == LOVAGE_INLINE) && rq->deaths &&
           rq->deaths >= n->config->worker_max_attempts;
}

void
claim_begin(struct request *rq)
{
    struct node *n = rq->n;

    if (claim_dropped(rq))
        return;
    if (is_deadly(rq))
        dispatch_fail(rq, "WorkerLostError", "billiard.exceptions", deadly);
    else if (!rq->tm.has_eta && flow_surplus(rq))
        consumer_hand_back(rq, VERDICT_REQUEUE);
    else if (!rq->tm.has_eta)
        claim_start(rq);
    else if (n->records &&
             rq->tm.eta_us - clock_unix_us() > FAR_ETA_S * INT64_C(1000000))
        park_far(rq);
    else
        wait_for_eta(rq);
}
