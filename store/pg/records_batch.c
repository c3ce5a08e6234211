/* SPDX-License-Identifier: Apache-2.0 */
/* How calls become batches.
 *
 * A call waits in the queue of its kind until the turn ends and its lane's
 * connection has room: at most two batches are under way on one, so that under
 * load the queues grow while the server works, and with them the batches (group
 * commit).  A batch whose connection is lost goes back to the head of its queue
 * as it was; every statement can stand to be run twice.  A batch that the
 * server refuses is cut in halves until the call at fault is alone. */
#include "store/pg/records.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/pg/answers.h"
#include "store/pg/records_state.h"

enum {
    MAX_BATCH_BYTES = 8 * 1024 * 1024, /* a larger call travels alone */
    MAX_BATCH = 1000
};

static void
requeue(struct records *r, struct batch *b, unsigned most)
{
    for (size_t i = b->n; i-- > 0;) {
        struct op *op = b->ops[i];

        op->sent = false;
        if (op->told) {
            records_end_op(r, op, ST_OK);
            continue;
        }
        op->most = most;
        list_add_head(&r->queues[op->kind], &op->node);
    }
}

static void
on_pause_end(uv_timer_t *t)
{
    struct line *line = t->data;

    turn_ask(&line->records->turn);
}

static void
pause_line(struct line *line)
{
    uv_timer_start(&line->pause, on_pause_end, backoff_next_ms(&line->backoff),
                   0);
}

/* One that failed alone. */
static void
fail_alone(struct line *line, struct batch *b, const struct session_answer *a)
{
    struct records *r = line->records;
    const struct statement *s = statement_get(b->call.kind);

    if (a->status == ST_TIMEOUT && !s->timed) {
        requeue(r, b, 1);
        pause_line(line);
        return;
    }
    if (a->status == ST_INVALID)
        log_error("database refused a statement", "statement=%s error=%s",
                  s->name != NULL ? s->name : "read", a->why);
    records_end_op(r, b->ops[0], a->status);
}

static void
fail_batch(struct line *line, struct batch *b, const struct session_answer *a)
{
    struct records *r = line->records;

    switch (a->status) {
    case ST_LOST:
        /* Whether it was carried out is not known. */
        for (size_t i = 0; i < b->n && b->call.kind == PG_SUBMIT; i++)
            b->ops[i]->kind = PG_SUBMIT_AGAIN;
        requeue(r, b, 0);
        break;
    case ST_AGAIN:
        if (line->backoff.attempt == 0) /* once, not at every try */
            log_warning("database asks to try again", "error=%s", a->why);
        requeue(r, b, 0);
        pause_line(line);
        break;
    default:
        if (b->n > 1)
            requeue(r, b, (unsigned)b->n / 2);
        else
            fail_alone(line, b, a);
    }
}

static void
on_done(struct session_call *call, const struct session_answer *a)
{
    struct batch *b = list_entry(call, struct batch, call);
    struct line *line = b->owner;
    struct records *r = line->records;

    if (a->status == ST_OK) {
        backoff_reset(&line->backoff);
        answers_give(b, a->rows, &r->cursor);
        requeue(r, b, 0); /* what is told ends there */
    } else {
        fail_batch(line, b, a);
    }
    batch_free(b);
    turn_ask(&r->turn);
}

/* Of two calls for one id the second waits for the next batch. */
static size_t
sort_by_id(struct records *r, struct op **ops, size_t n)
{
    struct op *again[MAX_BATCH];
    size_t kept = 1, left = 0;

    qsort(ops, n, sizeof(*ops), op_compare_ids);
    for (size_t i = 1; i < n; i++) {
        const struct op_value *last = ops[kept - 1]->v, *v = ops[i]->v;

        if (last->n == v->n && memcmp(last->ptr, v->ptr, (size_t)v->n) == 0)
            again[left++] = ops[i];
        else
            ops[kept++] = ops[i];
    }
    while (left > 0) {
        struct op *op = again[--left];

        list_add_head(&r->queues[op->kind], &op->node);
    }
    return kept;
}

/* The number of the call that has waited longest; UINT64_MAX: none. */
static uint64_t
oldest(const struct records *r, enum pg_kind kind)
{
    const struct list *q = &r->queues[kind];

    return list_empty(q) ? UINT64_MAX
                         : list_entry(q->next, struct op, node)->no;
}

/* Takes the next batch of a kind off its queue. */
static size_t
take_ops(struct records *r, enum pg_kind kind, struct op **ops)
{
    const struct statement *s = statement_get(kind);
    struct list *q = &r->queues[kind];
    unsigned most = list_entry(q->next, struct op, node)->most;
    size_t n = 0, bytes = 0, limit = s->max_calls;

    if (most > 0 && most < limit)
        limit = most;
    while (n < limit && !list_empty(q)) {
        struct op *op = list_entry(q->next, struct op, node);

        if (op->most != most || (n > 0 && bytes + op->bytes > MAX_BATCH_BYTES))
            break;
        /* It begins where another has ended: not before that is told. */
        if (n > 0 && kind == PG_BEGUN && op->no > oldest(r, PG_SETTLE))
            break;
        list_del(&op->node);
        bytes += op->bytes;
        ops[n++] = op;
    }
    return s->keyed && n > 1 ? sort_by_id(r, ops, n) : n;
}

static void
send_batch(struct line *line, enum pg_kind kind)
{
    struct records *r = line->records;
    struct op *ops[MAX_BATCH];
    size_t n = take_ops(r, kind, ops);
    struct batch *b = batch_new(ops, n);
    char *memory = NULL;

    if (b == NULL || batch_encode(b, &memory) != ST_OK) {
        for (size_t i = 0; i < n; i++)
            records_end_op(r, ops[i], ST_NOMEM);
        batch_free(b);
        return;
    }
    b->owner = line;
    b->call.done = on_done;
    for (size_t i = 0; i < n; i++)
        ops[i]->sent = true;
    session_send(line->session, &b->call);
    free(memory);
}

/* The kind whose oldest call has waited longest; PG_KINDS: none waits. */
static enum pg_kind
next_kind(const struct records *r, unsigned lanes)
{
    enum pg_kind best = PG_KINDS;
    uint64_t first = UINT64_MAX;

    for (enum pg_kind k = 0; k < PG_KINDS; k++)
        if (lanes & 1u << statement_get(k)->lane && oldest(r, k) < first) {
            first = oldest(r, k);
            best = k;
        }
    return best;
}

/* ---- exported ---- */

void
records_send(struct line *line)
{
    enum pg_kind kind;

    while (!uv_is_active((uv_handle_t *)&line->pause) &&
           (kind = next_kind(line->records, line->lanes)) != PG_KINDS &&
           session_ready(line->session))
        send_batch(line, kind);
}
