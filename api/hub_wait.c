/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for the outcome of a task.  The result backend tells it where it can.
 * Where there is none, or where it tells only who sent the task (rpc), all who
 * wait are also looked up in the records, together, while anyone waits. */
#include "api/hub_loop.h"

#include <string.h>

enum {
    LOOK_MS = 300,        /* nothing else will tell */
    LOOK_SELDOM_MS = 2000 /* in case that we are not told */
};

static enum status
keep_outcome(struct call *c, struct slice status, struct slice text,
             struct json_object *value)
{
    struct buf result;
    char *block;
    size_t n;

    buf_init(&result, 64 << 20);
    if (text.ptr != NULL)
        buf_add(&result, text);
    else
        json_add(&result, value);
    n = result.len;
    buf_add(&result, status);
    if (buf_take(&result, &block, NULL) != ST_OK)
        return ST_NOMEM;
    c->outcome =
        (struct hub_outcome){{block + n, status.len}, {block, n}, block};
    return ST_OK;
}

static void
end(struct call *c, enum status st)
{
    struct hub *h = c->hub;

    if (c->watch != NULL)
        h->result->ops->unwatch(h->result, c->watch);
    c->watch = NULL;
    list_del(&c->wait_node);
    if (list_empty(&h->waits))
        uv_timer_stop(&h->look);
    call_finish(c, st);
}

static void
watched(void *arg, enum status st, const struct task_state *ts)
{
    struct call *c = arg;

    c->watch = NULL;
    if (st == ST_OK)
        st = ts == NULL
                 ? ST_NOTFOUND
                 : keep_outcome(c, ts->status, ts->result_text, ts->result);
    end(c, st);
}

/* ---- looking ---- */

static void
looked(void *arg, enum status st, const struct records_row *rows, size_t n,
       int64_t total)
{
    struct call *c = arg;

    (void)total;
    c->looking = false;
    if (st == ST_OK && n == 1 && !list_empty(&c->wait_node))
        end(c, keep_outcome(c, rows[0].status, rows[0].result, NULL));
    call_drop(c);
}

static void
on_look(uv_timer_t *timer)
{
    struct hub *h = timer->data;

    if (!records_up(h->records))
        return;
    list_for_each (n, &h->waits) {
        struct call *c = list_entry(n, struct call, wait_node);

        if (c->looking)
            continue;
        c->looking = true;
        call_hold(c);
        records_ended(h->records, call_id(c), looked, c);
    }
}

static bool
is_told(const struct hub *h)
{
    return (result_can(h->result) & RESULT_KEEPS) != 0;
}

/* ---- the call ---- */

static void
run_wait(struct hub *h, struct call *c)
{
    uint64_t ms = h->result == NULL ? LOOK_MS : LOOK_SELDOM_MS;

    if (h->result != NULL) {
        c->watch = h->result->ops->watch(h->result, call_id(c), watched, c);
        if (c->watch == NULL) {
            call_finish(c, ST_NOMEM);
            return;
        }
    }
    if (list_empty(&h->waits) && !is_told(h))
        uv_timer_start(&h->look, on_look, ms, ms);
    list_add_tail(&h->waits, &c->wait_node);
}

static void
cancel_wait(struct hub *h, struct call *c)
{
    (void)h;
    if (!list_empty(&c->wait_node)) /* else it has been answered meanwhile */
        end(c, ST_TIMEOUT);
}

enum status
hub_wait(struct hub *h, struct slice id, uint64_t deadline_us,
         bool (*gone)(void *arg), void *arg, struct hub_outcome *out)
{
    struct call *c = call_new(h, run_wait);
    enum status st;

    if (c == NULL)
        return ST_NOMEM;
    call_set_id(c, id);
    c->cancel = cancel_wait;
    st = call_make(c, deadline_us, gone, arg);
    if (st == ST_OK) {
        *out = c->outcome;
        c->outcome.block = NULL;
    } else {
        call_cancel(c);
    }
    call_drop(c);
    return st;
}
