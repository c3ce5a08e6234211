/* SPDX-License-Identifier: Apache-2.0 */
/* A member of a chord is done: its part is stored, and the last one sends the
 * body (celery-wire.md 6.5, 6.8). */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "worker/node.h"
#include "worker/value.h"

enum { ERROR_LINE_MAX = 4096 };

/* body and group are borrowed from the request's message, which lives on. */
struct part_op {
    struct request *rq;
    struct json_object *body;
    struct slice group;
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

/* "Dependency <id> raised ValueError('boom', 42)" */
static struct json_object *
chord_error(struct json_object *part)
{
    struct json_object *args = json_object_new_array(), *exc;
    struct slice id = json_str(json_object_array_get_idx(part, 1)), text;
    struct buf b;

    buf_init(&b, ERROR_LINE_MAX);
    buf_addf(&b, "Dependency %.*s raised ", (int)id.len, id.ptr ? id.ptr : "");
    state_exception_repr(json_object_array_get_idx(part, 3), &b);
    text.ptr = b.data;
    text.len = b.len;
    if (args && !b.failed && json_append(args, json_new_str(text)) != ST_OK) {
        json_object_put(args);
        args = NULL;
    }
    exc = state_exception("ChordError", "celery.exceptions", args);
    json_object_put(args);
    buf_fini(&b);
    return exc;
}

/* "Callback error: ..." */
static struct json_object *
callback_error(const char *text)
{
    struct outcome o;
    struct json_object *exc;
    struct buf b;
    char *line = NULL;

    outcome_init(&o);
    buf_init(&b, ERROR_LINE_MAX);
    buf_addf(&b, "Callback error: %s", text);
    if (buf_take(&b, &line, NULL) == ST_OK)
        outcome_raise(&o, "ChordError", "celery.exceptions", line);
    exc = json_object_get(o.exc);
    outcome_fini(&o);
    free(line);
    buf_fini(&b);
    return exc;
}

/* Its body does not run.  Consumes exc. */
static void
chord_failed(struct request *rq, struct json_object *body,
             struct json_object *exc)
{
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

/* [[r1, r2, ...]] */
static struct json_object *
joined(struct json_object *parts)
{
    struct json_object *list = json_object_new_array();
    struct json_object *args = json_object_new_array();
    size_t n = json_object_array_length(parts);
    enum status st = list && args ? ST_OK : ST_NOMEM;

    for (size_t i = 0; i < n && st == ST_OK; i++) {
        struct json_object *p = json_object_array_get_idx(parts, i);

        st = value_append(list,
                          json_object_get(json_object_array_get_idx(p, 3)));
    }
    if (st == ST_OK) {
        st = json_append(args, list);
        list = NULL;
    }
    json_object_put(list);
    if (st == ST_OK)
        return args;
    json_object_put(args);
    return NULL;
}

static void
not_sent(struct request *rq, struct json_object *body, const char *why)
{
    log_error("a chord's body could not be sent", "id=%.*s reason=%s",
              (int)rq->tm.id.len, rq->tm.id.ptr, why);
    chord_failed(rq, body, callback_error(why));
}

static void
all_done(struct part_op *op, struct json_object *parts)
{
    struct request *rq = op->rq;
    struct result *r = rq->n->result;
    struct json_object *failed = first_failed(parts), *args;
    struct error err = {.text = "out of memory"};

    if (failed) {
        chord_failed(rq, op->body, chord_error(failed));
        return;
    }
    args = joined(parts);
    if (!args || follow_apply(rq, op->body, args, NULL, &err) != ST_OK)
        not_sent(rq, op->body, err.text);
    r->ops->chord_done(r, op->group);
    json_object_put(args);
}

static void
part_stored(void *arg, enum status st, bool ready, struct json_object *parts)
{
    struct part_op *op = arg;
    struct request *rq = op->rq;

    if (st == ST_OK && ready) {
        all_done(op, parts);
    } else if (st != ST_OK && !status_is_transient(st)) {
        log_error("a part of a chord was refused", "id=%.*s reason=%s",
                  (int)rq->tm.id.len, rq->tm.id.ptr, status_text(st));
        st = ST_OK;
    }
    free(op);
    settle_answer(rq, st);
}

void
chord_return(struct request *rq, struct json_object *body, struct slice group,
             int64_t index, const struct task_state *ts)
{
    struct result *r = rq->n->result;
    struct part_op *op = NULL;

    if (!(result_can(r) & RESULT_COUNTS_CHORDS)) {
        log_error("no result backend that supports chords",
                  "id=%.*s backend=%s", (int)rq->tm.id.len, rq->tm.id.ptr,
                  r ? r->ops->scheme : "disabled");
        return;
    }
    op = malloc(sizeof(*op));
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
