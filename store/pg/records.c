/* SPDX-License-Identifier: Apache-2.0 */
/* The queues of calls and the connections: opening, the life of a call,
 * closing. */
#include "store/pg/records.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/id.h"
#include "store/pg/internal.h"
#include "store/pg/records_state.h"

enum {
    MAX_CALLS = 50000,             /* waiting or under way */
    MAX_BYTES = 256 * 1024 * 1024, /* of them */
    WORK_TIMEOUT_MS = 30000 /* statement_timeout where nobody waits for us */
};

/* ---- the life of a call ---- */

static void
count(struct records *r, const struct op *op, int by)
{
    r->calls += (size_t)by;
    r->bytes += by > 0 ? op->bytes : -op->bytes;
}

void
records_end_op(struct records *r, struct op *op, enum status st)
{
    bool told = op->told;

    op->told = true;
    list_del(&op->node);
    list_del(&op->timed);
    count(r, op, -1);
    if (!told)
        op_fail(op, st);
    op_free(op);
}

static void
tell_refused(struct records *r)
{
    struct list now;
    struct list *n;

    /* What a callback asks for is refused in the next turn. */
    if (list_empty(&r->refused))
        return;
    now = r->refused;
    now.next->prev = now.prev->next = &now;
    list_init(&r->refused);
    while ((n = list_pop(&now)) != NULL) {
        struct op *op = list_entry(n, struct op, node);

        records_end_op(r, op, op->refused);
    }
}

static void set_deadline(struct records *r);

static void
on_deadline(uv_timer_t *t)
{
    struct records *r = t->data;
    uint64_t now = clock_mono_us();

    while (!list_empty(&r->timed)) {
        struct op *op = list_entry(r->timed.next, struct op, timed);

        if (op->deadline_us > now)
            break;
        list_del(&op->timed);
        if (!op->sent) {
            records_end_op(r, op, ST_TIMEOUT);
            continue;
        }
        op->told = true; /* its batch frees it */
        op_fail(op, ST_TIMEOUT);
    }
    set_deadline(r);
}

static void
set_deadline(struct records *r)
{
    uint64_t now = clock_mono_us(), at;

    if (list_empty(&r->timed) || uv_is_active((uv_handle_t *)&r->deadline))
        return;
    at = list_entry(r->timed.next, struct op, timed)->deadline_us;
    uv_timer_start(&r->deadline, on_deadline,
                   at > now ? (at - now) / 1000 + 1 : 0, 0);
}

static void close_all(struct records *r);

static void
on_turn(void *arg)
{
    struct records *r = arg;

    tell_refused(r);
    for (size_t i = 0; i < r->line_count; i++)
        records_send(&r->lines[i]);
    set_deadline(r);
    if (r->closing && (r->calls == 0 || r->flushed))
        close_all(r);
}

static void
on_ready(void *arg)
{
    struct line *line = arg;

    turn_ask(&line->records->turn);
}

/* ---- closing ---- */

static void
on_part_closed(void *arg)
{
    struct records *r = arg;

    if (--r->handles > 0)
        return;
    /* What callbacks still ask for is refused; one that never stops asking is
     * left alone. */
    for (int i = 0; i < 10 && !list_empty(&r->refused); i++)
        tell_refused(r);
    r->closed(r->closed_arg);
    free(r);
}

static void
on_timer_closed(uv_handle_t *h)
{
    struct line *line = h->data;

    on_part_closed(line->records);
}

static void
on_own_timer_closed(uv_handle_t *h)
{
    on_part_closed(h->data);
}

static void
close_all(struct records *r)
{
    struct list *n;

    r->flushed = true;
    turn_close(&r->turn, on_part_closed);
    uv_close((uv_handle_t *)&r->deadline, on_own_timer_closed);
    uv_close((uv_handle_t *)&r->flush, on_own_timer_closed);
    for (size_t i = 0; i < r->line_count; i++) {
        session_close(r->lines[i].session, on_part_closed, r);
        uv_close((uv_handle_t *)&r->lines[i].pause, on_timer_closed);
    }
    for (enum pg_kind k = 0; k < PG_KINDS; k++)
        while ((n = list_pop(&r->queues[k])) != NULL)
            records_end_op(r, list_entry(n, struct op, node), ST_LOST);
}

static void
on_flush_end(uv_timer_t *t)
{
    struct records *r = t->data;

    r->flushed = true;
    turn_ask(&r->turn);
}

void
records_close(struct records *r, uint32_t flush_ms, void (*closed)(void *arg),
              void *arg)
{
    r->closing = true;
    r->closed = closed;
    r->closed_arg = arg;
    uv_timer_start(&r->flush, on_flush_end, flush_ms, 0);
    turn_ask(&r->turn);
}

/* ---- opening ---- */

static void
free_early(struct records *r)
{
    /* Nothing has been connected and no handle is active: the sessions and the
     * handles close as after use. */
    r->closing = r->flushed = true;
    close_all(r);
}

static void
ignore_closed(void *arg)
{
    (void)arg;
}

/* Who shares a connection when there are few.  What may take long is the first
 * to get its own; connections are made when they are first used, so that a
 * worker, which does not scan, has one less. */
static unsigned
lanes_of(size_t i, size_t n)
{
    const unsigned work = 1u << LANE_WORK, submit = 1u << LANE_SUBMIT,
                   read = 1u << LANE_READ, scan = 1u << LANE_SCAN;

    if (n == 1)
        return work | submit | read | scan;
    if (i == n - 1)
        return scan;
    if (n == 2)
        return work | submit | read;
    if (n == 3)
        return i == 0 ? work | submit : read;
    return i == 0 ? work : i == 1 ? submit : read;
}

static enum status
open_line(struct records *r, const struct config *config, size_t n,
          struct error *err)
{
    size_t i = r->line_count;
    struct line *line = &r->lines[i];
    bool scans = lanes_of(i, n) & 1u << LANE_SCAN;
    struct session_opts opts = {
        .loop = r->loop,
        .url = config->database_url,
        .statement_timeout_ms =
            scans && n > 1 ? (uint32_t)(r->timeout_us / 1000) : WORK_TIMEOUT_MS,
        .generic_plans = !scans,
        .ready = on_ready,
        .arg = line,
    };
    enum status st = session_open(&line->session, &opts, err);

    if (st != ST_OK)
        return st;
    line->records = r;
    line->lanes = lanes_of(i, n);
    line->backoff = (struct backoff){.base_ms = 50, .cap_ms = 1000};
    uv_timer_init(r->loop, &line->pause);
    line->pause.data = line;
    r->line_count++;
    r->handles += 2;
    return ST_OK;
}

enum status
records_open(struct records **out, uv_loop_t *loop, const struct config *config,
             struct error *err)
{
    struct records *r = calloc(1, sizeof(*r));
    int64_t n = config->database_connections;
    enum status st = ST_OK;

    if (r == NULL)
        return error_set(err, ST_NOMEM, "database: no memory");
    r->loop = loop;
    r->lease_ms = (int64_t)(config->worker_lease * 1000);
    r->max_attempts = config->worker_max_attempts;
    r->timeout_us = (uint64_t)(config->database_timeout * 1e6);
    for (enum pg_kind k = 0; k < PG_KINDS; k++)
        list_init(&r->queues[k]);
    list_init(&r->refused);
    list_init(&r->timed);
    id_random(&r->next_no, sizeof(r->next_no));
    r->next_no >>= 2; /* a bigint, with room to count */
    turn_init(&r->turn, loop, on_turn, r);
    uv_timer_init(loop, &r->deadline);
    uv_timer_init(loop, &r->flush);
    r->deadline.data = r->flush.data = r;
    r->handles = 3;
    r->closed = ignore_closed;
    n = n < 1 ? 1 : n > MAX_CONNECTIONS ? MAX_CONNECTIONS : n;
    while (st == ST_OK && r->line_count < (size_t)n)
        st = open_line(r, config, (size_t)n, err);
    if (st != ST_OK) {
        free_early(r);
        return st;
    }
    (void)session_ready(r->lines[0].session); /* connect now, not when needed */
    *out = r;
    return ST_OK;
}

bool
records_up(const struct records *r)
{
    return session_up(r->lines[0].session);
}

size_t
records_backlog(const struct records *r)
{
    return r->calls;
}

/* ---- for the calls ---- */

void
records_ask(struct records *r, enum pg_kind kind, const struct op_value *v,
            union op_fn fn, void *arg)
{
    struct op *op = op_ask(kind, v, fn, arg, r->next_no++);

    if (op->refused == ST_OK && r->closing)
        op->refused = ST_LOST;
    if (op->refused == ST_OK &&
        (r->calls >= MAX_CALLS || r->bytes + op->bytes > MAX_BYTES))
        op->refused = ST_BUSY;
    count(r, op, 1);
    list_add_tail(op->refused == ST_OK ? &r->queues[kind] : &r->refused,
                  &op->node);
    if (op->refused == ST_OK && statement_get(kind)->timed) {
        op->deadline_us = clock_mono_us() + r->timeout_us;
        list_add_tail(&r->timed, &op->timed);
    }
    turn_ask(&r->turn);
}

int64_t
records_lease_ms(const struct records *r)
{
    return r->lease_ms;
}

int64_t
records_max_attempts(const struct records *r)
{
    return r->max_attempts;
}

int64_t
records_cursor(const struct records *r)
{
    return r->cursor;
}

uint64_t
records_next_no(struct records *r)
{
    return r->next_no++;
}
