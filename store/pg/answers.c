/* SPDX-License-Identifier: Apache-2.0 */
/* From the rows of a result to the callbacks of its batch. */
#include "store/pg/answers.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROW_COLUMNS = 23 /* of ROW in statements.c; what follows is the kind's */
};

static struct slice
text(const PGresult *res, int row, int col)
{
    if (PQgetisnull(res, row, col))
        return (struct slice){NULL, 0};
    return (struct slice){PQgetvalue(res, row, col),
                          (size_t)PQgetlength(res, row, col)};
}

static int64_t
number(const PGresult *res, int row, int col, int64_t dflt)
{
    if (PQgetisnull(res, row, col))
        return dflt;
    return strtoll(PQgetvalue(res, row, col), NULL, 10);
}

/* In the order of ROW in statements.c. */
static void
read_row(const PGresult *res, int row, struct records_row *out)
{
    struct slice *texts[] = {&out->id,    &out->name,      &out->description,
                             &out->task,  &out->args,      &out->kwargs,
                             &out->queue, &out->status,    &out->result,
                             &out->error, &out->traceback, &out->worker,
                             &out->model};
    int64_t *counts[] = {&out->retries, &out->attempt};
    int64_t *tokens[] = {&out->prompt_tokens, &out->completion_tokens,
                         &out->total_tokens};
    int64_t *times[] = {&out->created_us, &out->updated_us, &out->started_us,
                        &out->finished_us};
    int col = 0;

    out->seq = number(res, row, col++, 0);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        *texts[i] = text(res, row, col++);
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
        *counts[i] = number(res, row, col++, 0);
    for (size_t i = 0; i < sizeof(tokens) / sizeof(*tokens); i++)
        *tokens[i] = number(res, row, col++, -1);
    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++)
        *times[i] = number(res, row, col++, 0);
}

/* True, once, if the op's callback is to be called. */
static bool
tell(struct op *op)
{
    bool first = op != NULL && !op->told;

    if (first)
        op->told = true;
    return first && op->fn.done != NULL;
}

/* Those of which the result said nothing. */
static void
tell_rest(struct batch *b, enum status st)
{
    for (size_t i = 0; i < b->n; i++)
        if (tell(b->ops[i]))
            op_fail(b->ops[i], st);
}

/* id, seq, created_at, outbox_id */
static void
give_submitted(struct batch *b, const PGresult *res)
{
    for (int i = 0; i < PQntuples(res); i++) {
        struct op *op = batch_find(b, text(res, i, 0));
        struct records_made made = {.seq = number(res, i, 1, 0),
                                    .created_us = number(res, i, 2, 0),
                                    .outbox_id = number(res, i, 3, 0)};

        if (tell(op))
            op->fn.submitted(op->arg, ST_OK, &made);
    }
    tell_rest(b, ST_INVALID);
}

/* ROW, which op of the batch */
static void
give_found(struct batch *b, const PGresult *res)
{
    struct records_row row;

    for (int i = 0; i < PQntuples(res); i++) {
        int64_t at = number(res, i, ROW_COLUMNS, 0);
        struct op *op = at >= 1 && (size_t)at <= b->n ? b->ops[at - 1] : NULL;

        if (!tell(op))
            continue;
        read_row(res, i, &row);
        op->fn.rows(op->arg, ST_OK, &row, 1, 1);
    }
    tell_rest(b, ST_OK);
}

/* ROW, total; one row without a seq if none is on the page. */
static void
give_list(struct batch *b, const PGresult *res)
{
    struct op *op = b->ops[0];
    int n = PQntuples(res);
    struct records_row *rows = NULL;
    int64_t total = n > 0 ? number(res, 0, ROW_COLUMNS, 0) : 0;

    if (n > 0 && PQgetisnull(res, 0, 0))
        n = 0;
    if (n > 0) {
        rows = malloc((size_t)n * sizeof(*rows));
        if (rows == NULL)
            return; /* tell_rest() says so */
    }
    for (int i = 0; i < n; i++)
        read_row(res, i, &rows[i]);
    if (tell(op))
        op->fn.rows(op->arg, ST_OK, rows, (size_t)n, total);
    free(rows);
}

/* ROW, and for PG_UPDATE whether it was allowed. */
static void
give_changed(struct batch *b, const PGresult *res)
{
    struct op *op = b->ops[0];
    struct records_row row;

    if (PQntuples(res) == 0) {
        tell_rest(b, ST_NOTFOUND);
        return;
    }
    if (b->call.kind == PG_UPDATE &&
        strcmp(PQgetvalue(res, 0, ROW_COLUMNS), "t") != 0) {
        tell_rest(b, ST_DENIED);
        return;
    }
    /* Allowed, and yet not changed: it was deleted meanwhile. */
    if (PQgetisnull(res, 0, 0)) {
        tell_rest(b, ST_NOTFOUND);
        return;
    }
    read_row(res, 0, &row);
    if (tell(op))
        op->fn.rows(op->arg, ST_OK, &row, 1, 1);
}

/* outbox_id, task_id, queue, message */
static void
give_taken(struct batch *b, const PGresult *res)
{
    struct op *op = b->ops[0];
    size_t n = (size_t)PQntuples(res);
    struct outbox_row *rows = calloc(n + 1, sizeof(*rows));

    if (rows == NULL)
        return;
    for (size_t i = 0; i < n; i++)
        rows[i] = (struct outbox_row){
            .outbox_id = number(res, (int)i, 0, 0),
            .task_id = text(res, (int)i, 1),
            .queue = text(res, (int)i, 2),
            .message = text(res, (int)i, 3),
        };
    if (tell(op))
        op->fn.taken(op->arg, ST_OK, rows, n);
    free(rows);
}

static void
give_depth(struct batch *b, const PGresult *res)
{
    struct op *op = b->ops[0];

    if (PQntuples(res) == 1 && tell(op))
        op->fn.depth(op->arg, ST_OK, number(res, 0, 0, 0));
}

/* id, what, attempt */
static void
give_claims(struct batch *b, const PGresult *res)
{
    for (int i = 0; i < PQntuples(res); i++) {
        struct op *op = batch_find(b, text(res, i, 0));
        int64_t what = number(res, i, 1, ANSWER_AGAIN);

        if (what != ANSWER_AGAIN && tell(op))
            op->fn.claimed(op->arg, ST_OK, (enum claim)what,
                           number(res, i, 2, 0));
    }
}

/* id, what: 1: done, 0: it came too late */
static void
give_settled(struct batch *b, const PGresult *res)
{
    for (int i = 0; i < PQntuples(res); i++) {
        struct op *op = batch_find(b, text(res, i, 0));
        int64_t what = number(res, i, 1, ANSWER_AGAIN);

        if (what != ANSWER_AGAIN && tell(op))
            op->fn.done(op->arg, what == 1 ? ST_OK : ST_DENIED);
    }
}

/* id or NULL, seq */
static void
give_ids(struct batch *b, const PGresult *res, int64_t *cursor)
{
    struct op *op = b->ops[0];
    int rows = PQntuples(res);
    struct slice *ids = calloc((size_t)rows + 1, sizeof(*ids));
    size_t n = 0;

    if (ids == NULL)
        return;
    for (int i = 0; i < rows; i++)
        if (!PQgetisnull(res, i, 0))
            ids[n++] = text(res, i, 0);
    if (op->kind == PG_OPEN_IDS) /* a short page is the last one */
        *cursor = rows < op->v[0].n ? 0 : number(res, rows - 1, 1, 0);
    if (tell(op))
        op->fn.ids(op->arg, ST_OK, ids, n);
    free(ids);
}

void
answers_give(struct batch *b, const PGresult *rows, int64_t *cursor)
{
    switch (b->call.kind) {
    case PG_SUBMIT:
    case PG_SUBMIT_AGAIN:
        give_submitted(b, rows);
        break;
    case PG_GET:
    case PG_ENDED:
        give_found(b, rows);
        break;
    case PG_LIST_NEWEST:
    case PG_LIST_OLDEST:
        give_list(b, rows);
        break;
    case PG_UPDATE:
    case PG_DELETE:
        give_changed(b, rows);
        break;
    case PG_TAKE:
        give_taken(b, rows);
        break;
    case PG_DEPTH:
        give_depth(b, rows);
        break;
    case PG_CLAIM:
        give_claims(b, rows);
        return; /* the others are asked again */
    case PG_BEGUN:
    case PG_SETTLE:
    case PG_RELEASE:
        give_settled(b, rows);
        return; /* likewise */
    case PG_BURY:
    case PG_OPEN_IDS:
        give_ids(b, rows, cursor);
        break;
    default:
        tell_rest(b, ST_OK);
    }
    tell_rest(b, ST_NOMEM); /* left over only by want of memory */
}
