/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of settling that store something: the record, the result, and what
 * a failure means for the rest of a chain. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "protocol/state.h"
#include "worker/node.h"

enum { ERROR_LINE_MAX = 4096, RESULT_MAX = 512 * 1024 * 1024 };

static const char *
status_of(const struct outcome *o)
{
    static const char *const names[OUTCOME_KINDS] = {
        [OUTCOME_NONE] = "FAILURE",    [OUTCOME_RETURN] = "SUCCESS",
        [OUTCOME_RAISE] = "FAILURE",   [OUTCOME_RETRY] = "RETRY",
        [OUTCOME_REJECT] = "REJECTED", [OUTCOME_IGNORE] = "IGNORED",
        [OUTCOME_REPLACE] = "RETRY", /* the id lives on in another message */
        [OUTCOME_REVOKED] = "REVOKED",
    };

    return names[o->kind];
}

static bool
is_error(const struct request *rq)
{
    return rq->out.kind == OUTCOME_RAISE || rq->out.kind == OUTCOME_REVOKED;
}

static struct slice
text_of(const char *s)
{
    struct slice r = {s, s ? strlen(s) : 0};

    return r;
}

/* ---- the record ---- */

static void
recorded(void *arg, enum status st)
{
    struct request *rq = arg;

    if (st == ST_DENIED) {
        log_warning("a late outcome was dropped", "id=%.*s attempt=%lld",
                    (int)rq->tm.id.len, rq->tm.id.ptr, (long long)rq->attempt);
        rq->drop = true;
        st = ST_OK;
    } else if (st != ST_OK && !status_is_transient(st)) {
        log_error("an outcome was not recorded", "id=%.*s reason=%s",
                  (int)rq->tm.id.len, rq->tm.id.ptr, status_text(st));
        st = ST_OK;
    }
    settle_answer(rq, st);
}

static void
fill_texts(struct request *rq, struct buf *result, struct buf *error,
           struct records_outcome *r)
{
    if (rq->out.kind == OUTCOME_RETURN && rq->out.text) {
        r->result.ptr = rq->out.text;
        r->result.len = rq->out.text_len;
    } else if (rq->out.kind == OUTCOME_RETURN) {
        json_add(result, rq->out.result);
        r->result.ptr = result->data;
        r->result.len = result->len;
    }
    if (rq->out.exc) {
        json_add(result, rq->out.exc); /* as the result backend has it */
        r->result.ptr = result->data;
        r->result.len = result->len;
        state_exception_repr(rq->out.exc, error);
        r->error.ptr = error->failed ? NULL : error->data;
        r->error.len = error->len;
    }
}

static int64_t
ran_us(const struct request *rq)
{
    return rq->started_us ? (int64_t)(clock_mono_us() - rq->started_us) + 1 : 0;
}

/* Rejected to its queue: the next claim is to find it free, not ended. */
static bool
goes_back(const struct request *rq)
{
    return rq->out.kind == OUTCOME_REJECT && rq->out.requeue && rq->claimed &&
           rq->late;
}

void
step_record(struct request *rq)
{
    struct node *n = rq->n;
    const struct outcome *o = &rq->out;
    struct buf result, error;
    struct records_outcome r = {
        .id = rq->tm.id,
        .task = rq->tm.name,
        .attempt = rq->attempt,
        .status = text_of(status_of(o)),
        .traceback = text_of(o->traceback),
        .worker = text_of(n->name),
        .model = text_of(o->model),
        .retries = rq->tm.retries,
        .prompt_tokens = o->prompt_tokens,
        .completion_tokens = o->completion_tokens,
        .total_tokens = o->total_tokens,
        .ran_us = ran_us(rq),
    };

    if (!n->records)
        return;
    if (goes_back(rq)) {
        rq->waits++;
        records_release(n->records, node_who(n), rq->tm.id, rq->attempt,
                        recorded, rq);
        return;
    }
    buf_init(&result, RESULT_MAX);
    buf_init(&error, ERROR_LINE_MAX);
    fill_texts(rq, &result, &error, &r);
    rq->waits++;
    if (rq->claimed)
        records_settle(n->records, node_who(n), &r, recorded, rq);
    else
        records_note(n->records, &r, recorded, rq);
    buf_fini(&result);
    buf_fini(&error);
}

/* ---- the result ---- */

static void
fill_state(struct request *rq, struct task_state *ts)
{
    const struct outcome *o = &rq->out;
    const struct task_message *tm = &rq->tm;

    memset(ts, 0, sizeof(*ts));
    ts->id = tm->id;
    ts->status = text_of(status_of(o));
    ts->result = o->kind == OUTCOME_RETURN ? o->result : o->exc;
    if (o->kind == OUTCOME_RETURN && o->text)
        ts->result_text.ptr = o->text;
    ts->result_text.len = o->text_len;
    ts->traceback = text_of(o->traceback);
    ts->children = rq->children;
    ts->done_us = clock_unix_us();
    ts->group_id = tm->group;
    ts->parent_id = tm->parent_id;
    ts->reply_to = tm->reply_to;
    ts->correlation_id = tm->correlation_id;
    if (!rq->n->config->result_extended)
        return;
    ts->name = tm->name;
    ts->worker = text_of(rq->n->name);
    ts->queue = text_of(tm->msg->routing_key);
    ts->args = tm->args;
    ts->kwargs = tm->kwargs;
    ts->retries = tm->retries;
}

/* What is stored: with results ignored only errors, if they are wanted.  That
 * a task is unknown is always told. */
static bool
is_stored(const struct request *rq)
{
    switch (rq->out.kind) {
    case OUTCOME_REJECT:
    case OUTCOME_IGNORE:
    case OUTCOME_REPLACE:
        return false;
    default:
        break;
    }
    if (!rq->ignore_result || !rq->def)
        return true;
    return rq->out.kind != OUTCOME_RETURN &&
           rq->n->config->task_store_errors_even_if_ignored;
}

static void
too_large(struct request *rq)
{
    log_error("a result was refused by the backend", "task=%.*s id=%.*s",
              (int)rq->tm.name.len, rq->tm.name.ptr, (int)rq->tm.id.len,
              rq->tm.id.ptr);
    if (rq->out.kind != OUTCOME_RETURN)
        return;
    outcome_raise(&rq->out, "EncodeError", "kombu.exceptions",
                  "the result is too large to be stored");
    rq->redo = true;
}

static void
stored(struct request *rq, enum status st)
{
    if (st != ST_OK && !status_is_transient(st) && st != ST_NOMEM) {
        too_large(rq);
        st = ST_OK;
    }
    settle_answer(rq, st);
}

void
settle_put(struct request *rq, const struct task_state *ts)
{
    node_store(rq, ts, stored);
}

void
step_store(struct request *rq)
{
    struct task_state ts;

    if (!rq->n->result || !is_stored(rq))
        return;
    fill_state(rq, &ts);
    settle_put(rq, &ts);
}

/* ---- the part of a chord ---- */

void
step_chord(struct request *rq)
{
    const struct task_message *tm = &rq->tm;
    struct task_state ts;

    if (!tm->chord || !tm->group.ptr ||
        (rq->out.kind != OUTCOME_RETURN && !is_error(rq)))
        return;
    fill_state(rq, &ts);
    chord_return(rq, tm->chord, tm->group, tm->group_index, &ts);
}

/* ---- the rest of a chain ---- */

static void
fail_element(struct request *rq, struct json_object *el)
{
    struct json_object *options = json_get(el, "options");
    struct task_state ts = {
        .id = json_get_str(options, "task_id"),
        .status = text_of("FAILURE"),
        .result = rq->out.exc,
        .traceback = text_of(rq->out.traceback),
        .done_us = clock_unix_us(),
        .group_id = json_get_str(options, "group_id"),
        .parent_id = rq->tm.id,
        .reply_to = json_get_str(options, "reply_to"),
    };
    struct json_object *body = json_get(options, "chord");

    if (!ts.id.ptr)
        return;
    settle_put(rq, &ts);
    if (body && ts.group_id.ptr)
        chord_return(rq, body, ts.group_id,
                     json_get_int(options, "group_index", -1), &ts);
}

void
step_chain(struct request *rq)
{
    struct json_object *chain = rq->tm.chain;
    size_t n = chain ? json_object_array_length(chain) : 0;

    if (rq->out.kind != OUTCOME_RAISE || !rq->n->result || !rq->def)
        return;
    for (size_t i = 0; i < n; i++)
        fail_element(rq, json_object_array_get_idx(chain, i));
}
