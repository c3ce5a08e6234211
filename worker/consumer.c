/* SPDX-License-Identifier: Apache-2.0 */
/* From a delivery to a request that may run (celery-wire.md 1.8, 1.9). */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "protocol/envelope.h"
#include "worker/node.h"

enum {
    FAR_ETA_S = 300,      /* further away it is parked in PostgreSQL */
    CHECK_MS = 60 * 1000, /* a wall clock that jumps is seen this soon */
    AGAIN_MS = 20,
    BUSY_MS = 200,
    ELSEWHERE_MS = 1000,
    RAW_MAX = 64 * 1024,
    ENVELOPE_MAX = 64 * 1024 * 1024
};

static const char deadly[] = "The task ended its worker each time it was run.";

static void eta_passed(struct timer *t);

static struct request *
request_of(struct timer *t)
{
    return (struct request *)(void *)((char *)t -
                                      offsetof(struct request, timer));
}

/* ---- settling a delivery ---- */

void
consumer_settle(struct request *rq, enum verdict v)
{
    struct node *n = rq->n;

    if (!rq->tag || n->phase == NODE_CLOSING)
        return; /* what is held while all is closed was handed back: shutdown.c
                 */
    if (!rq->tag_void) {
        n->broker->ops->settle(n->broker, rq->tag, v);
        n->unsettled--;
    }
    rq->tag = 0;
    flow_changed(n);
}

static void
forget(struct request *rq)
{
    struct node *n = rq->n;

    flow_left(rq);
    request_end(rq);
    flow_changed(n);
}

/* A claim that came before the release would find a live lease: only now the
 * message goes back. */
static void
released(void *arg, enum status st)
{
    struct request *rq = arg;
    struct node *n = rq->n;

    if (st != ST_OK && st != ST_DENIED)
        log_warning("a claim was not handed back", "id=%.*s reason=%s",
                    (int)rq->tm.id.len, rq->tm.id.ptr, status_text(st));
    consumer_settle(rq, rq->back);
    forget(rq);
    shutdown_check(n);
}

void
consumer_hand_back(struct request *rq, enum verdict v)
{
    struct node *n = rq->n;

    list_del(&rq->queue);
    timer_unset(&n->timers, &rq->timer);
    flow_left(rq);
    if (!rq->claimed) {
        consumer_settle(rq, v);
        forget(rq);
        return;
    }
    rq->back = v;
    rq->claimed = false;
    if (rq->state != RQ_CLAIMING)
        request_move(rq, RQ_CLAIMING);
    records_release(n->records, node_who(n), rq->tm.id, rq->attempt, released,
                    rq);
}

/* ---- messages that are no tasks ---- */

static void
settle_raw(struct node *n, uint64_t tag, enum verdict v)
{
    n->unsettled--;
    n->broker->ops->settle(n->broker, tag, v);
    flow_changed(n);
}

static void
refuse(struct node *n, const struct delivery *d, enum verdict v,
       struct slice id, const char *reason, struct slice raw)
{
    log_error("message refused", "queue=%.*s id=%.*s reason=%s",
              (int)d->queue.len, d->queue.ptr, (int)id.len,
              id.ptr ? id.ptr : "", reason);
    metric_add(n->m_tasks, "refused", 1);
    if (n->records)
        records_reject(n->records, d->queue, id, node_slice(reason), raw);
    settle_raw(n, d->tag, v);
}

/* ---- expired, revoked ---- */

static bool
expired(const struct request *rq)
{
    return rq->tm.has_expires && clock_unix_us() > rq->tm.expires_us;
}

bool
consumer_dropped(struct request *rq)
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
    struct request *rq = request_of(t);

    consumer_claim(rq);
}

static void
put_off(struct request *rq, uint64_t ms, void (*fn)(struct timer *))
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
consumer_claim_later(struct request *rq)
{
    put_off(rq, BUSY_MS, claim_again);
}

void
consumer_done(struct request *rq)
{
    consumer_settle(rq, VERDICT_ACK);
    forget(rq);
}

static void
claimed(void *arg, enum status st, enum claim c, int64_t attempt)
{
    struct request *rq = arg;
    struct node *n = rq->n;

    if (st != ST_OK) {
        consumer_claim_later(rq);
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
        if (!consumer_dropped(rq))
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
        if (rq->tm.redelivered) {
            /* Whoever runs it may be dead, and its lease not over yet: the
             * message is kept until that is known. */
            put_off(rq, ELSEWHERE_MS, claim_again);
            break;
        }
        consumer_done(rq);
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
consumer_claim(struct request *rq)
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
        .begun = rq->def->kind == LOVAGE_INLINE,
    };

    flow_took(rq);
    if (!n->records) {
        dispatch_ready(rq);
        return;
    }
    /* A row is made from it if the task came from a Python producer. */
    request_raw_call(rq, &c.args, &c.kwargs);
    if (rq->state != RQ_CLAIMING)
        request_move(rq, RQ_CLAIMING);
    records_claim(n->records, node_who(n), &c, claimed, rq);
}

void
consumer_due(struct request *rq)
{
    if (!consumer_dropped(rq))
        consumer_claim(rq);
}

/* ---- eta ---- */

static void
wait_for_eta(struct request *rq)
{
    int64_t left_ms = (rq->tm.eta_us - clock_unix_us() + 999) / 1000;

    if (left_ms <= 0) {
        consumer_due(rq);
        return;
    }
    put_off(rq, (uint64_t)(left_ms < CHECK_MS ? left_ms : CHECK_MS),
            eta_passed);
}

static void
eta_passed(struct timer *t)
{
    wait_for_eta(request_of(t));
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
    consumer_settle(rq, VERDICT_ACK);
    forget(rq);
}

/* A far eta: the message moves to the outbox, and comes back when it is due. */
static void
park_far(struct request *rq)
{
    struct node *n = rq->n;
    struct buf b;
    struct slice text;

    buf_init(&b, ENVELOPE_MAX);
    envelope_encode(rq->tm.msg, &b);
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

/* ---- receiving ---- */

/* Counted here where the records do not. */
static bool
is_deadly(const struct request *rq)
{
    const struct node *n = rq->n;

    return (!n->records || rq->def->kind == LOVAGE_INLINE) && rq->deaths &&
           rq->deaths >= n->config->worker_max_attempts;
}

static void
enter(struct request *rq)
{
    struct node *n = rq->n;

    if (map_put(&n->by_id, rq->tm.id, rq) != ST_OK) {
        consumer_hand_back(rq, VERDICT_BACK);
        return;
    }
    if (consumer_dropped(rq))
        return;
    if (is_deadly(rq))
        dispatch_fail(rq, "WorkerLostError", "billiard.exceptions", deadly);
    else if (!rq->tm.has_eta && flow_surplus(rq))
        consumer_hand_back(rq, VERDICT_REQUEUE);
    else if (!rq->tm.has_eta)
        consumer_claim(rq);
    else if (n->records &&
             rq->tm.eta_us - clock_unix_us() > FAR_ETA_S * INT64_C(1000000))
        park_far(rq);
    else
        wait_for_eta(rq);
}

static void
look_again(struct timer *t)
{
    struct request *rq = request_of(t);

    if (map_find(&rq->n->by_id, rq->tm.id))
        put_off(rq, AGAIN_MS, look_again);
    else
        enter(rq);
}

/* The same id is in hand already.  True: rq is dealt with. */
static bool
is_double(struct request *rq, struct request *other)
{
    struct node *n = rq->n;

    if (other->tag && other->tag_void) {
        /* The connection was lost, the task was not: it only gets a new tag. */
        other->tag = rq->tag;
        other->tag_void = false;
        rq->tag = 0;
        forget(rq);
        return true;
    }
    if (rq->tm.redelivered && other->state != RQ_SETTLING) {
        consumer_settle(rq, VERDICT_ACK);
        forget(rq);
        return true;
    }
    /* A retry or a replacement that is faster than the record of what sent
     * it: the claim would find the task still running. */
    if (n->records) {
        put_off(rq, AGAIN_MS, look_again);
        return true;
    }
    return false;
}

static void
accept_request(struct request *rq)
{
    struct node *n = rq->n;
    struct request *other = map_find(&n->by_id, rq->tm.id);
    bool early = false;

    rq->deaths = lost_deaths(n, rq->tm.id, &early);
    if (early && rq->tm.redelivered && !n->records) {
        /* It ended its node and has been told as lost.  (The records know
         * whether it has.) */
        consumer_settle(rq, VERDICT_ACK);
        forget(rq);
        return;
    }
    if (!other || !is_double(rq, other))
        enter(rq);
}

static void
read_options(struct request *rq)
{
    const struct config *c = rq->n->config;
    const struct lovage_task_def *d = rq->def;

    rq->late = d->acks_late ? d->acks_late > 0 : c->task_acks_late;
    /* Producers always send the header, false unless they were told: it can
     * only add to what the task says. */
    rq->ignore_result =
        d->ignore_result || c->task_ignore_result || rq->tm.ignore_result > 0;
}

static void
received(struct node *n, const struct delivery *d, struct task_message *tm)
{
    struct request *rq = request_new(n);

    if (!rq) {
        settle_raw(n, d->tag, VERDICT_BACK);
        task_fini(tm);
        return;
    }
    rq->tm = *tm;
    rq->tag = d->tag;
    rq->queue_name = strndup(d->queue.ptr, d->queue.len);
    rq->def = registry_find(tm->name);
    log_debug("task received", "task=%.*s id=%.*s", (int)tm->name.len,
              tm->name.ptr, (int)tm->id.len, tm->id.ptr);
    if (!rq->queue_name) {
        consumer_hand_back(rq, VERDICT_BACK);
    } else if (!rq->def) {
        log_error("unknown task", "task=%.*s id=%.*s", (int)tm->name.len,
                  tm->name.ptr, (int)tm->id.len, tm->id.ptr);
        dispatch_fail(rq, "NotRegistered", "celery.exceptions", NULL);
    } else {
        read_options(rq);
        accept_request(rq);
    }
}

static void
delivered(void *arg, const struct delivery *d)
{
    struct node *n = arg;
    struct message *m = d->msg;
    struct task_message tm;
    enum task_fault fault = TASK_FAULT_NONE;
    char id[TASK_ID_MAX + 1] = "";
    struct slice none = {NULL, 0}, raw = {n->raw, 0};
    struct error err = {.text = ""};

    n->unsettled++;
    if (!m) {
        refuse(n, d, VERDICT_REJECT, none, "not a Celery message", d->raw);
        return;
    }
    if (n->phase != NODE_RUNNING) {
        message_free(m);
        settle_raw(n, d->tag, VERDICT_REQUEUE);
        return;
    }
    if (n->records && m->body) {
        /* Kept for the case that it is refused: decoding consumes it. */
        raw.len = m->body_len < RAW_MAX ? m->body_len : RAW_MAX;
        memcpy(n->raw, m->body, raw.len);
    }
    if (task_decode(&m, n->config->accept_content, &tm, &fault, id, &err) ==
        ST_OK)
        received(n, d, &tm);
    else
        refuse(n, d,
               fault == TASK_FAULT_UNDECODED ? VERDICT_ACK : VERDICT_REJECT,
               id[0] ? node_slice(id) : none, err.text, raw);
}

/* ---- the connection ---- */

static void
ready(void *arg)
{
    struct node *n = arg;

    n->broker_up = true;
    n->fetch_since_us = 0;
    n->page->dead[0] = '\0'; /* adopted */
    atomic_store(&n->page->ready, 1);
    if (n->relay)
        relay_ready(n->relay);
    if (n->phase == NODE_STARTING) {
        n->phase = NODE_RUNNING;
        lost_report(n);
        log_info("worker ready", "node=%s", n->name);
    } else {
        log_info("connected again", "node=%s", n->name);
    }
    flow_changed(n);
}

static void
void_tags(struct node *n)
{
    for (int s = 0; s < RQ_STATES; s++)
        list_for_each (l, &n->states[s]) {
            struct request *rq = list_entry(l, struct request, link);

            if (rq->tag)
                rq->tag_void = true;
        }
    n->unsettled = 0;
}

static void
lost(void *arg, const struct error *why, bool tags_void)
{
    struct node *n = arg;

    n->broker_up = false;
    log_warning("broker connection lost", "reason=%s", why->text);
    if (tags_void)
        void_tags(n);
    if (n->relay)
        relay_lost(n->relay);
}

static void
failed(void *arg, const struct error *why)
{
    struct node *n = arg;

    log_critical("broker given up", "reason=%s", why->text);
    /* What runs may finish; the supervisor starts a node that tries anew. */
    n->exit_code = EXIT_FAILURE;
    shutdown_warm(n);
}

static void
published(void *arg, void *cookie, enum status st)
{
    node_published(arg, cookie, st);
}

static void
fanout(void *arg, struct slice exchange, struct message *msg)
{
    (void)exchange; /* one is subscribed */
    control_received(arg, msg);
}

const struct broker_events consumer_events = {
    .ready = ready,
    .delivered = delivered,
    .published = published,
    .fanout = fanout,
    .lost = lost,
    .failed = failed,
};
