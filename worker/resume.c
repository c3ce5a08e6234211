/* SPDX-License-Identifier: Apache-2.0 */
/* A message comes again although its task's outcome is known: the worker that
 * had it died before it acknowledged the message, and maybe before it told the
 * result backend, the chord and the errbacks.  Or the broker died before it had
 * written down the acknowledgement: RabbitMQ then delivers thousands again.  So
 * they are told (again: all of it may be repeated), from the record, or without
 * records from the result. */
#include <string.h>

#include "base/log.h"
#include "worker/node.h"

static char *
copy_text(struct slice s)
{
    return s.ptr ? strndup(s.ptr, s.len) : NULL;
}

static bool
is(struct slice s, const char *word)
{
    return s.len == strlen(word) && memcmp(s.ptr, word, s.len) == 0;
}

static void
found(void *arg, enum status st, const struct records_row *rows, size_t n,
      int64_t total)
{
    struct request *rq = arg;

    (void)total;
    if (st != ST_OK && st != ST_NOTFOUND) {
        claim_later(rq);
        return;
    }
    outcome_fini(&rq->out);
    if (st != ST_OK || n == 0 || !resume_read(&rows[0], &rq->out)) {
        consumer_done(rq);
        return;
    }
    log_info("telling a recorded outcome again", "id=%.*s status=%.*s",
             (int)rq->tm.id.len, rq->tm.id.ptr, (int)rows[0].status.len,
             rows[0].status.ptr);
    settle_rest(rq);
}

bool
resume_read(const struct records_row *row, struct outcome *o)
{
    struct error err;

    if (is(row->status, "SUCCESS")) {
        o->kind = OUTCOME_RETURN;
        o->text = copy_text(row->result);
        o->text_len = o->text ? row->result.len : 0;
        return o->text || !row->result.ptr;
    }
    if (is(row->status, "FAILURE"))
        o->kind = OUTCOME_RAISE;
    else if (is(row->status, "REVOKED"))
        o->kind = OUTCOME_REVOKED;
    else
        return false;
    o->traceback = copy_text(row->traceback);
    return json_parse(row->result, JSON_DEPTH, &o->exc, &err) == ST_OK;
}

static void
stored(void *arg, enum status st, const struct task_state *ts)
{
    struct request *rq = arg;

    if (st != ST_OK && status_is_transient(st)) {
        claim_later(rq);
    } else if (st == ST_OK && ts && is(ts->status, "SUCCESS")) {
        outcome_fini(&rq->out);
        rq->out.kind = OUTCOME_RETURN;
        rq->out.result = json_object_get(ts->result);
        log_info("a task is done already", "id=%.*s", (int)rq->tm.id.len,
                 rq->tm.id.ptr);
        settle_rest(rq);
    } else if (rq->n->phase != NODE_RUNNING) {
        consumer_hand_back(rq, VERDICT_REQUEUE);
    } else {
        dispatch_ready(rq);
    }
}

bool
resume_ask(struct request *rq)
{
    struct result *r = rq->n->result;

    if (!rq->tm.redelivered || rq->ignore_result ||
        !(result_can(r) & RESULT_KEEPS))
        return false;
    if (rq->state != RQ_CLAIMING)
        request_move(rq, RQ_CLAIMING);
    r->ops->get(r, rq->tm.id, stored, rq);
    return true;
}

void
resume_start(struct request *rq)
{
    if (!rq->n->result && !rq->tm.errbacks) {
        consumer_done(rq);
        return;
    }
    records_get(rq->n->records, (struct records_key){rq->tm.id, 0}, found, rq);
}
