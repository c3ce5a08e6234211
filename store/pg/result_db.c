/* SPDX-License-Identifier: Apache-2.0 */
/* The database result backend: its queue of calls, opening and closing.
 *
 * One batch is under way at a time, so that two states of a task cannot
 * overtake each other; what is asked for meanwhile is the next one.  A batch
 * whose connection is lost goes back to the head of the queue as it was: every
 * statement can stand to be run twice.  One that the server refuses is cut in
 * halves until the call at fault is alone. */
#include "store/pg/result_db.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/pg/ops.h"

enum {
    CALLS_MAX = 100000,
    BYTES_MAX = 64 * 1024 * 1024,
    BATCH_MAX = 500,
    BATCH_BYTES = 8 * 1024 * 1024, /* a larger call travels alone */
    CLEANUP_ROWS = 10000,          /* as many at a time: result_sql.c */
    TIMEOUT_MS = 30000
};

/* ---- the life of a call ---- */

static void
op_end(struct result_db *r, struct op *op, enum status st)
{
    list_del(&op->node);
    r->calls--;
    r->bytes -= op->bytes;
    if (!op->told && !r->finished)
        result_db_fail(op, st);
    op_free(op);
}

void
result_db_ask(struct result_db *r, enum pg_kind kind, const struct op_value *v,
              union op_fn fn, void *arg)
{
    struct op *op = op_ask(kind, v, fn, arg, r->next_no++);

    if (op->refused == ST_OK &&
        (r->calls >= CALLS_MAX || r->bytes + op->bytes > BYTES_MAX))
        op->refused = ST_BUSY;
    r->calls++;
    r->bytes += op->bytes;
    list_add_tail(op->refused == ST_OK ? &r->queue : &r->refused, &op->node);
    turn_ask(&r->turn);
}

/* What a callback asks for is refused in the next turn. */
static void
tell_refused(struct result_db *r)
{
    size_t n = 0;

    list_for_each (node, &r->refused)
        n++;
    for (; n > 0 && !r->finished; n--) {
        struct op *op = list_entry(r->refused.next, struct op, node);

        op_end(r, op, op->refused);
    }
}

/* ---- the tables ---- */

static void
on_pause_end(uv_timer_t *t)
{
    struct result_db *r = t->data;

    turn_ask(&r->turn);
}

static void
pause_calls(struct result_db *r)
{
    uv_timer_start(&r->pause, on_pause_end, backoff_next_ms(&r->backoff), 0);
}

static void
on_created(struct session_call *call, const struct session_answer *a)
{
    struct result_db *r = list_entry(call, struct result_db, create);

    r->creating = false;
    if (r->finished)
        return;
    if (a->status == ST_OK) {
        r->missing = r->cannot_create = false;
    } else if (status_is_transient(a->status)) {
        pause_calls(r);
    } else {
        log_error("the tables of results cannot be created", "error=%s",
                  a->why);
        r->missing = false;
        r->cannot_create = true;
    }
    turn_ask(&r->turn);
}

static void
create_tables(struct result_db *r)
{
    r->creating = true;
    r->create =
        (struct session_call){.kind = PG_RESULT_CREATE, .done = on_created};
    session_send(r->session, &r->create);
}

bool
result_db_is_missing(struct result_db *r, const struct session_answer *a)
{
    static const char undefined_table[] = "42P01", undefined_column[] = "42703";

    if (a->code != NULL && strcmp(a->code, undefined_column) == 0 &&
        !r->sql.childless) {
        r->sql.childless = true;
        return true;
    }
    if (a->code == NULL || strcmp(a->code, undefined_table) != 0)
        return false;
    r->missing = true;
    if (!r->cannot_create)
        return true;
    r->cannot_create = false; /* maybe the next time */
    return false;
}

/* ---- batches ---- */

static void
requeue(struct result_db *r, struct batch *b, unsigned most)
{
    for (size_t i = b->n; i-- > 0;) {
        b->ops[i]->sent = false;
        b->ops[i]->most = most;
        list_add_head(&r->queue, &b->ops[i]->node);
    }
}

static void
fail_batch(struct result_db *r, struct batch *b, const struct session_answer *a)
{
    bool missing = result_db_is_missing(r, a);

    if (missing || a->status == ST_LOST || a->status == ST_AGAIN ||
        a->status == ST_TIMEOUT) {
        /* An op that took too long in a crowd may be quick alone. */
        requeue(r, b, a->status == ST_TIMEOUT ? (unsigned)(b->n + 1) / 2 : 0);
        if (!missing && a->status != ST_LOST) {
            if (r->backoff.attempt == 0)
                log_warning("the result backend asks to try again", "error=%s",
                            a->why);
            pause_calls(r);
        }
    } else if (b->n > 1) {
        requeue(r, b, (unsigned)b->n / 2);
    } else {
        log_error("the result backend refused", "statement=%s error=%s",
                  statement_get(b->call.kind)->name, a->why);
        op_end(r, b->ops[0], a->status);
    }
}

/* More rows than one statement deletes have expired. */
static bool
is_half_done(const struct batch *b, const PGresult *rows)
{
    return b->call.kind == PG_RESULT_CLEANUP && PQntuples(rows) == 1 &&
           strtoll(PQgetvalue(rows, 0, 0), NULL, 10) >= CLEANUP_ROWS;
}

static void
on_done(struct session_call *call, const struct session_answer *a)
{
    struct batch *b = list_entry(call, struct batch, call);
    struct result_db *r = b->owner;

    r->sent = NULL;
    if (r->finished || a->status != ST_OK) {
        if (r->finished)
            requeue(r, b, 0);
        else
            fail_batch(r, b, a);
    } else if (is_half_done(b, a->rows)) {
        b->ops[0]->sent = false;
        list_add_tail(&r->queue, &b->ops[0]->node);
    } else {
        backoff_reset(&r->backoff);
        result_db_answer(b, a->rows);
        for (size_t i = 0; i < b->n; i++)
            op_end(r, b->ops[i], ST_OK);
    }
    batch_free(b);
    if (!r->finished)
        turn_ask(&r->turn);
}

/* Is op->v[0], its id, among these? */
static bool
holds_id(const struct map *ids, const struct op *op)
{
    return map_find(ids, (struct slice){op->v[0].ptr, (size_t)op->v[0].n}) !=
           NULL;
}

/* Takes from the head of the queue what can go together. */
static size_t
take_ops(struct result_db *r, struct op **ops)
{
    struct op *first = list_entry(r->queue.next, struct op, node);
    const struct statement *s = statement_get(first->kind);
    size_t n = 0, bytes = 0, limit = s->max_calls;
    struct map ids;

    if (limit > BATCH_MAX)
        limit = BATCH_MAX;
    if (first->most > 0 && first->most < limit)
        limit = first->most;
    map_init(&ids);
    while (n < limit && !list_empty(&r->queue)) {
        struct op *op = list_entry(r->queue.next, struct op, node);

        if (op->kind != first->kind || op->most != first->most ||
            (n > 0 && bytes + op->bytes > BATCH_BYTES))
            break;
        /* Of two for one id the second waits for the next batch. */
        if (s->keyed &&
            (holds_id(&ids, op) ||
             map_put(&ids, (struct slice){op->v[0].ptr, (size_t)op->v[0].n},
                     op) != ST_OK))
            break;
        list_del(&op->node);
        bytes += op->bytes;
        ops[n++] = op;
    }
    map_fini(&ids);
    if (s->keyed) /* the order of locks */
        qsort(ops, n, sizeof(*ops), op_compare_ids);
    return n;
}

static void
send_batch(struct result_db *r)
{
    struct op *ops[BATCH_MAX];
    size_t n = take_ops(r, ops);
    struct batch *b = n > 0 ? batch_new(ops, n) : NULL;
    char *memory = NULL;

    if (b == NULL || batch_encode(b, &memory) != ST_OK) {
        for (size_t i = 0; i < n; i++)
            op_end(r, ops[i], ST_NOMEM);
        batch_free(b);
        return;
    }
    b->owner = r;
    b->call.done = on_done;
    for (size_t i = 0; i < n; i++)
        ops[i]->sent = true;
    r->sent = b;
    session_send(r->session, &b->call);
    free(memory);
}

/* ---- the turn ---- */

static void finish(struct result_db *r);

static bool
is_paused(const struct result_db *r)
{
    return uv_is_active((const uv_handle_t *)&r->pause);
}

static void
on_turn(void *arg)
{
    struct result_db *r = arg;
    bool wanted = r->create_at_setup || !list_empty(&r->queue) ||
                  !list_empty(&r->all_topics);

    tell_refused(r);
    if (!is_paused(r) && !r->creating && session_ready(r->session)) {
        if (r->missing && wanted)
            create_tables(r);
        else if (r->sent == NULL && !list_empty(&r->queue))
            send_batch(r);
    }
    if (!r->missing)
        result_db_watch_turn(r);
    if (r->closing && r->calls == 0)
        finish(r);
}

static void
on_ready(void *arg)
{
    struct result_db *r = arg;

    if (!r->finished)
        turn_ask(&r->turn);
}

/* ---- closing ---- */

static void
result_free(struct result_db *r)
{
    struct list *n;

    r->finished = true; /* nobody is told */
    while ((n = list_pop(&r->queue)) != NULL)
        op_end(r, list_entry(n, struct op, node), ST_LOST);
    while ((n = list_pop(&r->refused)) != NULL)
        op_end(r, list_entry(n, struct op, node), ST_LOST);
    result_db_watch_fini(r);
    result_sql_fini(&r->sql);
    free(r);
}

static void
one_less(void *arg)
{
    struct result_db *r = arg;
    void (*closed)(void *) = r->closed;
    void *closed_arg = r->closed_arg;

    if (--r->handles > 0)
        return;
    result_free(r);
    if (closed != NULL)
        closed(closed_arg);
}

static void
on_handle_closed(uv_handle_t *h)
{
    one_less(h->data);
}

static void
finish(struct result_db *r)
{
    if (r->finished)
        return;
    r->finished = true;
    turn_close(&r->turn, one_less);
    uv_close((uv_handle_t *)&r->pause, on_handle_closed);
    uv_close((uv_handle_t *)&r->poll_timer, on_handle_closed);
    uv_close((uv_handle_t *)&r->deadline, on_handle_closed);
    session_close(r->session, one_less, r);
}

static void
on_deadline(uv_timer_t *t)
{
    finish(t->data);
}

static void
close_result(struct result *base, uint32_t flush_ms, void (*closed)(void *arg),
             void *arg)
{
    struct result_db *r = (struct result_db *)base;

    if (r->closing)
        return;
    r->closing = true;
    r->closed = closed;
    r->closed_arg = arg;
    if (flush_ms == 0) {
        finish(r);
        return;
    }
    uv_timer_start(&r->deadline, on_deadline, flush_ms, 0);
    turn_ask(&r->turn);
}

/* ---- opening ---- */

static const char *
sql_of(void *arg, enum pg_kind kind)
{
    const struct result_db *r = arg;

    return r->sql.text[r->sql.childless][kind];
}

/* libpq's URL: without what names Celery's backend and SQLAlchemy's driver. */
static enum status
libpq_url(const char *url, char **out, struct error *err)
{
    const char *rest = strstr(url, "://");
    struct buf b;
    enum status st;

    buf_init(&b, 64 * 1024);
    buf_addf(&b, "postgresql%s", rest != NULL ? rest : "");
    st = buf_take(&b, out, NULL);
    buf_fini(&b);
    return st == ST_OK ? st
                       : error_set(err, st, "result backend: a URL too long");
}

static enum status
open_session(struct result_db *r, const char *url, struct error *err)
{
    struct session_opts opts = {
        .loop = r->loop,
        .statement_timeout_ms = TIMEOUT_MS,
        .generic_plans = true,
        .sql = sql_of,
        .ready = on_ready,
        .arg = r,
    };
    char *plain = NULL;
    enum status st = libpq_url(url, &plain, err);

    opts.url = plain;
    if (st == ST_OK)
        st = session_open(&r->session, &opts, err);
    if (st == ST_INVALID)
        st = error_set(err, st, "result_backend is no PostgreSQL URL");
    free(plain);
    return st;
}

static void
init_handles(struct result_db *r)
{
    uv_timer_t *const timers[] = {&r->pause, &r->poll_timer, &r->deadline};

    turn_init(&r->turn, r->loop, on_turn, r);
    for (size_t i = 0; i < sizeof(timers) / sizeof(*timers); i++) {
        uv_timer_init(r->loop, timers[i]);
        timers[i]->data = r;
    }
    r->handles = 5; /* the turn, the timers, the session */
}

static enum status
open_result(struct result **out, uv_loop_t *loop, const char *url,
            const struct config *config, struct error *err)
{
    struct result_db *r = calloc(1, sizeof(*r));
    enum status st;

    if (r == NULL)
        return error_set(err, ST_NOMEM, "no memory for a result backend");
    r->base.ops = &pg_result_ops;
    r->loop = loop;
    r->expires_s = config->result_expires;
    r->extended = config->result_extended;
    r->create_at_setup = config->database_create_tables_at_setup;
    r->missing = true;
    r->backoff = (struct backoff){.base_ms = 50, .cap_ms = 1000};
    list_init(&r->queue);
    list_init(&r->refused);
    result_db_watch_init(r);
    st = result_sql_init(&r->sql, config, err);
    if (st == ST_OK)
        st = open_session(r, url, err);
    if (st != ST_OK) {
        result_sql_fini(&r->sql);
        free(r);
        return st;
    }
    init_handles(r);
    (void)session_ready(r->session); /* connect now, not when needed */
    *out = &r->base;
    return ST_OK;
}

static size_t
backlog(const struct result *base)
{
    return ((const struct result_db *)base)->calls;
}

static bool
up(const struct result *base)
{
    return session_up(((const struct result_db *)base)->session);
}

const struct result_ops pg_result_ops = {
    .scheme = "db+postgresql",
    .can = RESULT_KEEPS | RESULT_SAVES_GROUPS,
    .open = open_result,
    .close = close_result,
    .put = result_db_put,
    .get = result_db_get,
    .watch = result_db_watch,
    .unwatch = result_db_unwatch,
    .forget = result_db_forget,
    .group_save = result_db_group_save,
    .group_get = result_db_group_get,
    .group_forget = result_db_group_forget,
    .cleanup = result_db_cleanup,
    .backlog = backlog,
    .up = up,
};
