/* SPDX-License-Identifier: Apache-2.0 */
/* A member of a chord is done: its part is stored, and the last one sends the
 * body (celery-wire.md 6.5, 6.8). */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/join.h"
#include "worker/node.h"
#include "worker/value.h"

enum { ERROR_LINE_MAX = 4096 };

/* body and group are borrowed from the request's message, which lives on. */
struct part_op {
    struct request *rq;
    struct json_object *body;
    struct slice group;
    struct json_object *parts; /* owned; of the last member */
};

static bool
part_failed(struct json_object *part)
{
    struct slice s = json_str(json_object_array_get_idx(part, 2));

    return s.ptr && (!strcmp(s.ptr, "FAILURE") || !strcmp(s.ptr, "REVOKED"));
}

static struct json_object *
first_failed(struct json_object *parts)
{
    size_t n = json_object_array_length(parts);

    for (size_t i = 0; i < n; i++)
        if (part_failed(json_object_array_get_idx(parts, i)))
            return json_object_array_get_idx(parts, i);
    return NULL;
}

static struct json_object *
chord_error(struct slice reason)
{
    struct json_object *args = json_object_new_array(), *exc;

    if (args && json_append(args, json_new_str(reason)) != ST_OK) {
        json_object_put(args);
        args = NULL;
    }
    exc = state_exception("ChordError", "celery.exceptions", args);
    json_object_put(args);
    return exc;
}

void
chord_reason(struct slice id, struct json_object *exc, struct buf *out)
{
    buf_addf(out, "Dependency %.*s raised ", (int)id.len, id.ptr ? id.ptr : "");
    state_exception_repr(exc, out);
}

void
chord_fail(struct request *rq, struct json_object *body, struct slice reason)
{
    struct json_object *exc = chord_error(reason);
    struct json_object *options = json_get(body, "options");
    struct json_object *outer = json_get(options, "chord");
    struct task_state ts = {
        .id = json_get_str(options, "task_id"),
        .status = node_slice("FAILURE"),
        .result = exc,
        .done_us = clock_unix_us(),
        .group_id = json_get_str(options, "group_id"),
        .parent_id = rq->tm.id,
    };

    if (exc && ts.id.ptr) {
        settle_put(rq, &ts);
        /* Else the chord around it would wait for ever. */
        if (outer && ts.group_id.ptr)
            chord_return(rq, outer, ts.group_id,
                         json_get_int(options, "group_index", -1), &ts);
        follow_chord_errbacks(rq, body, exc);
    }
    json_object_put(exc);
}

static void
fail_for(struct request *rq, struct json_object *body, struct slice id,
         struct json_object *exc)
{
    struct buf b;

    buf_init(&b, ERROR_LINE_MAX);
    chord_reason(id, exc, &b);
    chord_fail(rq, body, (struct slice){b.data, b.len});
    buf_fini(&b);
}

/* [r1, r2, ...] of the parts. */
static struct json_object *
values_of(struct json_object *parts)
{
    struct json_object *list = json_object_new_array();
    size_t n = json_object_array_length(parts);

    for (size_t i = 0; list && i < n; i++) {
        struct json_object *p = json_object_array_get_idx(parts, i);

        if (value_append(list, json_object_get(
                                   json_object_array_get_idx(p, 3))) != ST_OK) {
            json_object_put(list);
            list = NULL;
        }
    }
    return list;
}

void
chord_apply(struct request *rq, struct json_object *body,
            struct json_object *list)
{
    struct json_object *args = json_object_new_array();
    struct error err = {.text = "out of memory"};
    enum status st = json_append(args, json_object_get(list));
    struct buf reason;

    if (st == ST_OK)
        st = follow_apply(rq, body, args, NULL, &err);
    json_object_put(args);
    if (st == ST_OK)
        return;
    log_error("a chord's body could not be sent", "id=%.*s reason=%s",
              (int)rq->tm.id.len, rq->tm.id.ptr, err.text);
    buf_init(&reason, ERROR_LINE_MAX);
    buf_addf(&reason, "Callback error: %s", err.text);
    chord_fail(rq, body, (struct slice){reason.data, reason.len});
    buf_fini(&reason);
}

/* ---- the last member ---- */

static void
op_end(struct part_op *op, enum status st)
{
    struct request *rq = op->rq;

    json_object_put(op->parts);
    free(op);
    settle_answer(rq, st);
}

/* The parts as they are told, each with its member's result. */
static void
apply_parts(struct part_op *op)
{
    struct result *r = op->rq->n->result;
    struct json_object *list = values_of(op->parts);

    if (!list) {
        op_end(op, ST_AGAIN);
        return;
    }
    chord_apply(op->rq, op->body, list);
    json_object_put(list);
    r->ops->chord_done(r, op->group);
    op_end(op, ST_OK);
}

static void
joined(void *arg, const struct join_answer *a)
{
    struct part_op *op = arg;
    struct result *r = op->rq->n->result;

    switch (a->state) {
    case JOIN_DONE:
        chord_apply(op->rq, op->body, a->values);
        r->ops->chord_done(r, op->group);
        op_end(op, ST_OK);
        break;
    case JOIN_FAILED:
        fail_for(op->rq, op->body, a->id, a->exc);
        op_end(op, ST_OK);
        break;
    case JOIN_WAITS: /* members that keep no result */
        apply_parts(op);
        break;
    case JOIN_LOST:
        op_end(op, ST_AGAIN);
        break;
    }
}

/* A group is only saved if the values are not just a list. */
static void
group_got(void *arg, enum status st, struct json_object *tuple)
{
    struct part_op *op = arg;
    struct error err;
    struct join *j;

    if (status_is_transient(st))
        op_end(op, st);
    else if (!tuple || join_start(&j, op->rq->n->result,
                                  json_object_array_get_idx(tuple, 1), joined,
                                  op, &err) != ST_OK)
        apply_parts(op);
}

static void
all_done(struct part_op *op)
{
    struct request *rq = op->rq;
    struct result *r = rq->n->result;
    struct json_object *failed = first_failed(op->parts);

    if (failed) {
        fail_for(rq, op->body, json_str(json_object_array_get_idx(failed, 1)),
                 json_object_array_get_idx(failed, 3));
        op_end(op, ST_OK);
    } else if (result_can(r) & RESULT_SAVES_GROUPS) {
        r->ops->group_get(r, op->group, group_got, op);
    } else {
        apply_parts(op);
    }
}

static void
part_stored(void *arg, enum status st, bool ready, struct json_object *parts)
{
    struct part_op *op = arg;
    struct request *rq = op->rq;

    if (st == ST_OK && ready) {
        op->parts = json_object_get(parts);
        all_done(op);
        return;
    }
    if (st != ST_OK && !status_is_transient(st)) {
        log_error("a part of a chord was refused", "id=%.*s reason=%s",
                  (int)rq->tm.id.len, rq->tm.id.ptr, status_text(st));
        st = ST_OK;
    }
    op_end(op, st);
}

void
chord_return(struct request *rq, struct json_object *body, struct slice group,
             int64_t index, const struct task_state *ts)
{
    struct result *r = rq->n->result;
    struct part_op *op = NULL;

    if (!(result_can(r) & RESULT_COUNTS_CHORDS)) {
        /* Where results are kept, celery.chord_unlock looks for them. */
        if (!(result_can(r) & RESULT_KEEPS))
            log_error("no result backend that supports chords",
                      "id=%.*s backend=%s", (int)rq->tm.id.len, rq->tm.id.ptr,
                      r ? r->ops->scheme : "disabled");
        return;
    }
    op = calloc(1, sizeof(*op));
    if (!op) {
        rq->redo = true;
        return;
    }
    op->rq = rq;
    op->body = body;
    op->group = group;
    rq->waits++;
    r->ops->chord_part(r, group, index, ts, part_stored, op);
}
