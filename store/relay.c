/* SPDX-License-Identifier: Apache-2.0 */
/* The outbox relay. */
#include "store/relay.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "protocol/envelope.h"

enum {
    SWEEP_MS = 1000,
    /* Deletes go in small batches: those of a whole second would keep
     * submissions waiting behind them. */
    DROP_MS = 100,
    SWEEP_ROWS = 500,
    KEEP_MS = 2000, /* after the confirmation; the broker may yet lose it */
    /* Younger rows are with the process that made them, which deletes them
     * within KEEP_MS, DROP_MS and a commit. */
    MIN_AGE_MS = 5000,
    LEASE_MS = 30 * 1000,
    IN_FLIGHT_MAX = 10000
};

/* One row on its way. */
struct row {
    struct list link; /* in relay->flying or relay->kept */
    struct row *self; /* the key in relay->cookies */
    int64_t outbox_id;
    uint64_t confirmed_us;
};

struct relay {
    struct records *records;
    struct broker *broker;
    uv_timer_t timer;
    struct map cookies; /* rows published and not confirmed */
    struct list kept;   /* confirmed, oldest first */
    uint64_t sweep_us;  /* when the next sweep is due */
    bool up, asking, closing, timer_gone;
    void (*closed)(void *arg);
    void *closed_arg;
};

static struct slice
key_of(struct row *row)
{
    struct slice s = {(const char *)&row->self, sizeof(row->self)};

    return s;
}

static void
tell_failure(int64_t outbox_id, const struct error *err)
{
    if (!status_is_transient(err->code))
        log_error("an outbox row cannot be published", "outbox=%lld reason=%s",
                  (long long)outbox_id, err->text);
}

/* What is not taken is found by the sweep later. */
static void
send_row(struct relay *y, int64_t outbox_id, const struct message *m)
{
    struct row *row = calloc(1, sizeof(*row));
    struct error err = {ST_NOMEM, "out of memory"};
    enum status st = ST_NOMEM;

    if (row) {
        row->self = row;
        row->outbox_id = outbox_id;
        list_init(&row->link);
        st = map_put(&y->cookies, key_of(row), row);
    }
    if (st == ST_OK) {
        st = y->broker->ops->publish(y->broker, m, row, &err);
        if (st == ST_OK)
            return;
        map_del(&y->cookies, key_of(row));
    }
    free(row);
    tell_failure(outbox_id, &err);
}

static void
send_text(struct relay *y, int64_t outbox_id, struct slice envelope)
{
    struct message *m = NULL;
    struct error err;

    if (envelope_decode(envelope, &m, &err) == ST_OK)
        send_row(y, outbox_id, m);
    else
        tell_failure(outbox_id, &err);
    message_free(m);
}

static void
drop_kept(struct relay *y, uint64_t before_us)
{
    while (!list_empty(&y->kept)) {
        struct row *row = list_entry(y->kept.next, struct row, link);

        if (row->confirmed_us > before_us)
            break;
        outbox_done(y->records, row->outbox_id);
        list_del(&row->link);
        free(row);
    }
}

static void
finish_close(struct relay *y)
{
    void (*closed)(void *) = y->closed;
    void *arg = y->closed_arg;
    size_t pos = 0;
    struct row *row;

    while ((row = map_next(&y->cookies, &pos)))
        free(row);
    map_fini(&y->cookies);
    free(y);
    if (closed)
        closed(arg);
}

static void
timer_closed(uv_handle_t *h)
{
    struct relay *y = h->data;

    y->timer_gone = true;
    if (!y->asking)
        finish_close(y);
}

static void on_timer(uv_timer_t *t);

static void
taken(void *arg, enum status st, const struct outbox_row *rows, size_t n)
{
    struct relay *y = arg;

    y->asking = false;
    if (y->closing) {
        if (y->timer_gone)
            finish_close(y);
        return;
    }
    for (size_t i = 0; st == ST_OK && i < n; i++)
        send_text(y, rows[i].outbox_id, rows[i].message);
    if (st == ST_OK && n == SWEEP_ROWS) { /* there is more */
        y->sweep_us = 0;
        uv_timer_start(&y->timer, on_timer, 0, 0);
    }
}

static void
sweep(struct relay *y)
{
    if (!y->up || y->asking || y->cookies.count > IN_FLIGHT_MAX / 2)
        return;
    y->asking = true;
    outbox_take(y->records, SWEEP_ROWS, MIN_AGE_MS, LEASE_MS, taken, y);
}

static void
on_timer(uv_timer_t *t)
{
    struct relay *y = t->data;
    uint64_t now = clock_mono_us();

    drop_kept(y, now - KEEP_MS * UINT64_C(1000));
    if (now >= y->sweep_us) {
        y->sweep_us = now + SWEEP_MS * UINT64_C(1000);
        sweep(y);
    }
    uv_timer_start(t, on_timer, list_empty(&y->kept) ? SWEEP_MS : DROP_MS, 0);
}

enum status
relay_open(struct relay **out, uv_loop_t *loop, struct records *r,
           struct broker *b, struct error *err)
{
    struct relay *y = calloc(1, sizeof(*y));

    if (!y)
        return error_set(err, ST_NOMEM, "out of memory");
    y->records = r;
    y->broker = b;
    map_init(&y->cookies);
    list_init(&y->kept);
    uv_timer_init(loop, &y->timer);
    y->timer.data = y;
    uv_timer_start(&y->timer, on_timer, SWEEP_MS, 0);
    *out = y;
    return ST_OK;
}

void
relay_close(struct relay *y, void (*closed)(void *arg), void *arg)
{
    y->closing = true;
    y->closed = closed;
    y->closed_arg = arg;
    /* Confirmed is confirmed; the two seconds are for crashes. */
    drop_kept(y, UINT64_MAX);
    uv_close((uv_handle_t *)&y->timer, timer_closed);
}

void
relay_push(struct relay *y, int64_t outbox_id, const struct message *m)
{
    if (outbox_id && y->up && y->cookies.count < IN_FLIGHT_MAX)
        send_row(y, outbox_id, m);
}

bool
relay_published(struct relay *y, void *cookie, enum status st)
{
    struct slice key = {(const char *)&cookie, sizeof(cookie)};
    struct row *row = map_del(&y->cookies, key);

    if (!row)
        return false;
    if (st != ST_OK || y->closing) {
        /* Its lease runs out, or it comes of age: the sweep takes it. */
        free(row);
        return true;
    }
    row->confirmed_us = clock_mono_us();
    list_add_tail(&y->kept, &row->link);
    return true;
}

void
relay_ready(struct relay *y)
{
    y->up = true;
}

void
relay_lost(struct relay *y)
{
    struct row *row;

    y->up = false;
    /* The broker may have gone with what it had confirmed: the rows stay and
     * are published again. */
    while (!list_empty(&y->kept)) {
        row = list_entry(y->kept.next, struct row, link);
        list_del(&row->link);
        free(row);
    }
}

size_t
relay_backlog(const struct relay *y)
{
    return y->cookies.count;
}
