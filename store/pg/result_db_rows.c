/* SPDX-License-Identifier: Apache-2.0 */
/* What the rows of Celery's tables say. */
#include "store/pg/result_db.h"

#include <stdlib.h>

#include "base/log.h"
#include "protocol/pickle.h"

enum { GET_COLUMNS = 6 /* without the extended ones */ };

static struct slice
text(const PGresult *rows, int row, int col)
{
    if (PQgetisnull(rows, row, col))
        return (struct slice){NULL, 0};
    return (struct slice){PQgetvalue(rows, row, col),
                          (size_t)PQgetlength(rows, row, col)};
}

static int64_t
number(const PGresult *rows, int row, int col)
{
    return PQgetisnull(rows, row, col)
               ? 0
               : strtoll(PQgetvalue(rows, row, col), NULL, 10);
}

/* A pickle, or since Celery 5.7 the JSON of the result serializer: a pickle
 * begins with the byte 0x80, which no JSON does. */
static enum status
decode(struct slice s, struct json_object **out, struct error *err)
{
    if (s.len > 0 && s.ptr[0] == '\x80')
        return pickle_decode(s, out, err);
    return json_parse(s, JSON_DEPTH, out, err);
}

/* NULL in the table is None. */
static enum status
read_value(const PGresult *rows, int row, int col, struct json_object **out,
           struct error *err)
{
    struct slice s;
    unsigned char *bytes;
    enum status st;

    *out = NULL;
    if (PQgetisnull(rows, row, col))
        return ST_OK;
    bytes = PQunescapeBytea((const unsigned char *)PQgetvalue(rows, row, col),
                            &s.len);
    if (bytes == NULL)
        return error_set(err, ST_NOMEM, "no memory for a result");
    s.ptr = (const char *)bytes;
    st = decode(s, out, err);
    PQfreemem(bytes);
    return st;
}

/* What can be done without: NULL if it cannot be read. */
static struct json_object *
read_json(const PGresult *rows, int row, int col)
{
    struct json_object *v = NULL;

    return read_value(rows, row, col, &v, NULL) == ST_OK ? v : NULL;
}

void
result_db_tell_row(const PGresult *rows, int row, struct slice id,
                   result_fn *fn, void *arg)
{
    struct task_state ts = {
        .id = id,
        .status = text(rows, row, 1),
        .traceback = text(rows, row, 3),
        .done_us = number(rows, row, 4),
    };
    struct json_object *result = NULL;
    struct error err;
    enum status st;

    if (ts.status.ptr == NULL) /* Python: as if it were not there */
        ts.status = slice_of("PENDING");
    st = read_value(rows, row, 2, &result, &err);
    if (st != ST_OK)
        log_error("a stored result cannot be read", "id=%.*s reason=%s",
                  (int)id.len, id.ptr, err.text);
    ts.result = result;
    ts.children = read_json(rows, row, 5);
    if (PQnfields(rows) > GET_COLUMNS) {
        ts.name = text(rows, row, 6);
        ts.args = read_json(rows, row, 7);
        ts.kwargs = read_json(rows, row, 8);
        ts.worker = text(rows, row, 9);
        ts.retries = number(rows, row, 10);
        ts.queue = text(rows, row, 11);
    }
    fn(arg, st, st == ST_OK ? &ts : NULL);
    json_object_put(result);
    json_object_put(ts.children);
    json_object_put(ts.args);
    json_object_put(ts.kwargs);
}

static void
tell_group(const PGresult *rows, int row, struct op *op)
{
    struct json_object *tuple = NULL;
    struct error err;
    enum status st = read_value(rows, row, 1, &tuple, &err);

    if (st == ST_OK && !json_object_is_type(tuple, json_type_array))
        st = error_set(&err, ST_PROTO, "it is no GroupResult");
    if (st != ST_OK)
        log_error("a saved group cannot be read", "id=%.*s reason=%s",
                  (int)op->v[0].n, op->v[0].ptr, err.text);
    op->fn.group(op->arg, st, st == ST_OK ? tuple : NULL);
    json_object_put(tuple);
}

struct op *
result_db_op_of(const struct batch *b, const PGresult *rows, int row)
{
    int64_t at = number(rows, row, 0);

    return at >= 1 && (size_t)at <= b->n ? b->ops[at - 1] : NULL;
}

static bool
has_fn(const struct op *op)
{
    return op->kind == PG_GROUP_GET ? op->fn.group != NULL
                                    : op->fn.result != NULL;
}

void
result_db_fail(const struct op *op, enum status st)
{
    if (!has_fn(op))
        return;
    if (op->kind == PG_GROUP_GET)
        op->fn.group(op->arg, st, NULL);
    else
        op->fn.result(op->arg, st, NULL);
}

void
result_db_answer(struct batch *b, const PGresult *rows)
{
    bool gets = b->call.kind == PG_RESULT_GET || b->call.kind == PG_GROUP_GET;

    for (int i = 0; gets && i < PQntuples(rows); i++) {
        struct op *op = result_db_op_of(b, rows, i);

        if (op == NULL || op->told)
            continue;
        op->told = true;
        if (op->kind == PG_GROUP_GET)
            tell_group(rows, i, op);
        else
            result_db_tell_row(rows, i,
                               (struct slice){op->v[0].ptr, (size_t)op->v[0].n},
                               op->fn.result, op->arg);
    }
    for (size_t i = 0; i < b->n; i++) {
        if (!b->ops[i]->told) /* stored; or nothing is there */
            result_db_fail(b->ops[i], ST_OK);
        b->ops[i]->told = true;
    }
}
