/* SPDX-License-Identifier: Apache-2.0 */
/* From a delivery to a request that may run (celery-wire.md 1.8, 1.9). */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "worker/map.h"
#include "worker/node.h"

enum { AGAIN_MS = 20, RAW_MAX = 64 * 1024 };

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

void
consumer_done(struct request *rq)
{
    consumer_settle(rq, VERDICT_ACK);
    forget(rq);
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

/* ---- receiving ---- */

static void
enter(struct request *rq)
{
    if (map_put(&rq->n->by_id, rq->tm.id, rq) == ST_OK)
        claim_begin(rq);
    else
        consumer_hand_back(rq, VERDICT_BACK);
}

static void
look_again(struct timer *t)
{
    struct request *rq = request_of_timer(t);

    if (map_find(&rq->n->by_id, rq->tm.id))
        claim_put_off(rq, AGAIN_MS, look_again);
    else
        enter(rq);
}

/* What a task has sent in its own place: a retry, a replacement. */
static bool
is_later(const struct request *rq, const struct request *other)
{
    return rq->tm.retries > other->tm.retries ||
           rq->tm.replaced_task_nesting > other->tm.replaced_task_nesting;
}

/* If it is faster than the record of what sent it, the claim would find the
 * task still running; so would a copy that asks for the result.  True: it waits
 * for that. */
static bool
waits_for_record(struct request *rq)
{
    if (!rq->n->records && !rq->tm.redelivered)
        return false;
    claim_put_off(rq, AGAIN_MS, look_again);
    return true;
}

/* The same id is in hand already.  True: rq is dealt with. */
static bool
is_double(struct request *rq, struct request *other)
{
    if (is_later(rq, other))
        return waits_for_record(rq);
    if (other->tag && other->tag_void) {
        /* The connection was lost, the task was not: it only gets a new tag. */
        other->tag = rq->tag;
        other->tag_void = false;
        rq->tag = 0;
        forget(rq);
        return true;
    }
    if (rq->tm.redelivered && other->state != RQ_SETTLING) {
        consumer_done(rq);
        return true;
    }
    return waits_for_record(rq);
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
        consumer_done(rq);
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
    if (topology_is_no_ack(rq->n->topology, node_slice(rq->queue_name)))
        rq->late = false;
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
    if (rq->def)
        rq->kind = map_kind(rq->def, tm->args, tm->kwargs);
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

/* Without memory nobody knows what it is: it may be good. */
static const enum verdict refusals[] = {
    [TASK_FAULT_NONE] = VERDICT_BACK,
    [TASK_FAULT_UNKNOWN] = VERDICT_REJECT,
    [TASK_FAULT_INVALID] = VERDICT_REJECT,
    [TASK_FAULT_UNDECODED] = VERDICT_ACK,
};

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
        refuse(n, d, refusals[fault], id[0] ? node_slice(id) : none, err.text,
               raw);
}

/* ---- the connection ---- */

static void
ready(void *arg)
{
    struct node *n = arg;

    n->broker_up = true;
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

/* It only waits here: the broker gives it to somebody else, or to us again. */
static bool
is_replaceable(const struct request *rq)
{
    return (rq->state == RQ_PARKED || rq->state == RQ_READY) && !rq->claimed &&
           !rq->job.executor;
}

static void
void_tag(struct request *rq)
{
    if (!rq->tag)
        return;
    rq->tag_void = true;
    if (is_replaceable(rq))
        consumer_hand_back(rq, VERDICT_BACK); /* tells the broker nothing */
}

static void
void_tags(struct node *n)
{
    for (int s = 0; s < RQ_STATES; s++)
        list_for_each_safe (l, &n->states[s])
            void_tag(list_entry(l, struct request, link));
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
