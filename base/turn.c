/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a function once at the end of a turn of the loop. */
#include "base/turn.h"

static void
run(uv_idle_t *idle)
{
    struct turn *t = idle->data;

    uv_idle_stop(idle); /* first: fn may ask for the next turn */
    t->fn(t->arg);
}

static void
on_closed(uv_handle_t *h)
{
    struct turn *t = h->data;

    if (t->closed != NULL)
        t->closed(t->arg);
}

void
turn_init(struct turn *t, uv_loop_t *loop, void (*fn)(void *), void *arg)
{
    *t = (struct turn){.fn = fn, .arg = arg};
    uv_idle_init(loop, &t->idle); /* cannot fail */
    t->idle.data = t;
}

void
turn_ask(struct turn *t)
{
    if (!uv_is_closing((uv_handle_t *)&t->idle))
        uv_idle_start(&t->idle, run); /* no-op when it is active */
}

void
turn_close(struct turn *t, void (*closed)(void *arg))
{
    if (uv_is_closing((uv_handle_t *)&t->idle))
        return;
    t->closed = closed;
    uv_close((uv_handle_t *)&t->idle, on_closed);
}
