/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of the database result backend, as statements' values. */
#include <stdlib.h>

#include "base/log.h"
#include "protocol/pickle.h"
#include "store/pg/result_db.h"

/* For a value that cannot be stored: without an id it is refused (ST_INVALID)
 * at the end of the turn. */
static void
refuse(struct result_db *r, enum pg_kind kind, union op_fn fn, void *arg)
{
    struct op_value none[SESSION_PARAMS] = {{NULL, 0}};

    result_db_ask(r, kind, none, fn, arg);
}

static bool
add_result(const struct task_state *ts, struct buf *out)
{
    struct json_object *v = ts->result;

    if (ts->result_text.ptr == NULL) {
        pickle_encode(v, out);
        return !out->failed;
    }
    v = NULL;
    if (json_parse(ts->result_text, JSON_DEPTH, &v, NULL) != ST_OK)
        return false;
    pickle_encode(v, out);
    json_object_put(v);
    return !out->failed;
}

/* What is stored as bytes.  args and kwargs only with the extended columns;
 * the children as Celery 5.7 does, in the result serializer JSON. */
enum { RESULT, CHILDREN, ARGS, KWARGS, PIECES };

static bool
encode_pieces(const struct task_state *ts, bool extended, struct buf *pieces)
{
    bool ok = add_result(ts, &pieces[RESULT]);

    if (ts->children != NULL && json_object_array_length(ts->children) > 0)
        json_add(&pieces[CHILDREN], ts->children);
    if (extended) {
        json_add(&pieces[ARGS], ts->args);
        json_add(&pieces[KWARGS], ts->kwargs);
    }
    for (int i = 0; i < PIECES; i++)
        ok = ok && !pieces[i].failed;
    return ok;
}

static struct op_value
piece(const struct buf *b)
{
    return op_text((struct slice){b->len > 0 ? b->data : NULL, b->len});
}

static void
put_values(const struct task_state *ts, const struct buf *pieces,
           struct op_value *v)
{
    bool done = state_is_ready(ts->status);

    v[0] = op_text(ts->id);
    v[1] = op_text(ts->status);
    v[2] = piece(&pieces[RESULT]);
    v[3] = op_text(ts->traceback);
    v[4] = op_int(done ? ts->done_us : -1);
    v[5] = piece(&pieces[CHILDREN]);
    v[6] = op_text(ts->name);
    v[7] = piece(&pieces[ARGS]);
    v[8] = piece(&pieces[KWARGS]);
    v[9] = op_text(ts->worker);
    v[10] = op_int(ts->retries);
    v[11] = op_text(ts->queue);
}

void
result_db_put(struct result *base, const struct task_state *ts, result_fn *fn,
              void *arg)
{
    struct result_db *r = (struct result_db *)base;
    struct op_value v[SESSION_PARAMS];
    enum pg_kind kind = r->extended && ts->name.ptr != NULL
                            ? PG_RESULT_PUT_EXTENDED
                            : PG_RESULT_PUT;
    struct buf pieces[PIECES];

    for (int i = 0; i < PIECES; i++)
        buf_init(&pieces[i], PICKLE_MAX);
    if (!encode_pieces(ts, kind == PG_RESULT_PUT_EXTENDED, pieces)) {
        refuse(r, kind, (union op_fn){.result = fn}, arg);
    } else {
        put_values(ts, pieces, v);
        result_db_ask(r, kind, v, (union op_fn){.result = fn}, arg);
    }
    for (int i = 0; i < PIECES; i++)
        buf_fini(&pieces[i]);
}

static void
ask_id(struct result *base, enum pg_kind kind, struct slice id, union op_fn fn,
       void *arg)
{
    struct op_value v[] = {op_text(id)};

    result_db_ask((struct result_db *)base, kind, v, fn, arg);
}

void
result_db_get(struct result *base, struct slice id, result_fn *fn, void *arg)
{
    ask_id(base, PG_RESULT_GET, id, (union op_fn){.result = fn}, arg);
}

void
result_db_forget(struct result *base, struct slice id, result_fn *fn, void *arg)
{
    ask_id(base, PG_RESULT_FORGET, id, (union op_fn){.result = fn}, arg);
}

void
result_db_group_save(struct result *base, struct slice id,
                     struct json_object *tuple, result_fn *fn, void *arg)
{
    struct result_db *r = (struct result_db *)base;
    struct op_value v[2] = {op_text(id)};
    struct error err;
    struct buf pickle;

    buf_init(&pickle, PICKLE_MAX);
    if (pickle_encode_group(tuple, &pickle, &err) != ST_OK || pickle.failed) {
        log_error("a group cannot be saved", "id=%.*s reason=%s", (int)id.len,
                  id.ptr, err.text);
        refuse(r, PG_GROUP_SAVE, (union op_fn){.result = fn}, arg);
    } else {
        v[1] = op_text((struct slice){pickle.data, pickle.len});
        result_db_ask(r, PG_GROUP_SAVE, v, (union op_fn){.result = fn}, arg);
    }
    buf_fini(&pickle);
}

void
result_db_group_get(struct result *base, struct slice id, result_group_fn *fn,
                    void *arg)
{
    ask_id(base, PG_GROUP_GET, id, (union op_fn){.group = fn}, arg);
}

void
result_db_group_forget(struct result *base, struct slice id, result_fn *fn,
                       void *arg)
{
    ask_id(base, PG_GROUP_FORGET, id, (union op_fn){.result = fn}, arg);
}

void
result_db_cleanup(struct result *base, result_fn *fn, void *arg)
{
    struct result_db *r = (struct result_db *)base;
    struct op_value v[] = {op_int(r->expires_s)};

    result_db_ask(r, PG_RESULT_CLEANUP, v, (union op_fn){.result = fn}, arg);
}
