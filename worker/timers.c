/* SPDX-License-Identifier: Apache-2.0 */
/* A heap of timers behind one libuv timer. */
#include "worker/timers.h"

#include <stdlib.h>

/* Callbacks in one go, so that a million due timers do not starve the rest. */
enum { FIRE_BUDGET = 1000 };

static void fire(uv_timer_t *uv);

static void
place(struct timers *ts, size_t i, struct timer *t)
{
    ts->heap[i - 1] = t;
    t->at = i;
}

static void
sift_up(struct timers *ts, struct timer *t)
{
    size_t i = t->at;

    while (i > 1 && ts->heap[i / 2 - 1]->due_ms > t->due_ms) {
        place(ts, i, ts->heap[i / 2 - 1]);
        i /= 2;
    }
    place(ts, i, t);
}

static void
sift_down(struct timers *ts, struct timer *t)
{
    size_t i = t->at;

    for (;;) {
        size_t c = i * 2;

        if (c > ts->count)
            break;
        if (c < ts->count && ts->heap[c]->due_ms < ts->heap[c - 1]->due_ms)
            c++;
        if (ts->heap[c - 1]->due_ms >= t->due_ms)
            break;
        place(ts, i, ts->heap[c - 1]);
        i = c;
    }
    place(ts, i, t);
}

static void
arm(struct timers *ts)
{
    uint64_t now = uv_now(ts->loop), due;

    if (!ts->count) {
        uv_timer_stop(&ts->uv);
        return;
    }
    due = ts->heap[0]->due_ms;
    uv_timer_start(&ts->uv, fire, due > now ? due - now : 0, 0);
}

static void
take_out(struct timers *ts, struct timer *t)
{
    struct timer *last = ts->heap[--ts->count];
    size_t i = t->at;

    t->at = 0;
    if (last == t)
        return;
    place(ts, i, last);
    sift_up(ts, last);
    sift_down(ts, last);
}

static void
fire(uv_timer_t *uv)
{
    struct timers *ts = uv->data;
    uint64_t now = uv_now(ts->loop);

    for (int i = 0; i < FIRE_BUDGET && ts->count; i++) {
        struct timer *t = ts->heap[0];

        if (t->due_ms > now)
            break;
        take_out(ts, t);
        t->fn(t);
    }
    if (!uv_is_closing((uv_handle_t *)uv))
        arm(ts);
}

void
timers_init(struct timers *ts, uv_loop_t *loop)
{
    ts->loop = loop;
    ts->heap = NULL;
    ts->count = ts->cap = 0;
    uv_timer_init(loop, &ts->uv);
    ts->uv.data = ts;
}

void
timers_close(struct timers *ts, uv_close_cb closed)
{
    while (ts->count)
        ts->heap[--ts->count]->at = 0;
    free(ts->heap);
    ts->heap = NULL;
    ts->cap = 0;
    uv_close((uv_handle_t *)&ts->uv, closed);
}

enum status
timer_set(struct timers *ts, struct timer *t, uint64_t delay_ms,
          void (*fn)(struct timer *t))
{
    timer_unset(ts, t);
    if (ts->count == ts->cap) {
        size_t cap = ts->cap ? ts->cap * 2 : 64;
        struct timer **more = reallocarray(ts->heap, cap, sizeof(*more));

        if (!more)
            return ST_NOMEM;
        ts->heap = more;
        ts->cap = cap;
    }
    t->due_ms = uv_now(ts->loop) + delay_ms;
    t->fn = fn;
    place(ts, ++ts->count, t);
    sift_up(ts, t);
    if (ts->heap[0] == t)
        arm(ts);
    return ST_OK;
}

void
timer_unset(struct timers *ts, struct timer *t)
{
    if (t->at)
        take_out(ts, t);
}
