/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a libuv loop in tests. */
#include "tests/support/loop.h"

#include <stdio.h>
#include <stdlib.h>

enum { TICK_MS = 5 };

static void
on_tick(uv_timer_t *t)
{
    (void)t; /* wakes the loop, so that the condition is looked at */
}

static void
on_closed(uv_handle_t *h)
{
    free(h);
}

static void
print_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    fprintf(stderr, "left on the loop: %s\n", uv_handle_type_name(h->type));
}

bool
loop_until(uv_loop_t *loop, bool (*done)(void *arg), void *arg, int ms)
{
    uint64_t end = uv_hrtime() + (uint64_t)ms * 1000000;
    uint64_t step = done == NULL ? (uint64_t)ms : TICK_MS;
    uv_timer_t *tick = calloc(1, sizeof *tick);
    bool ok = false;

    if (tick == NULL)
        abort();
    uv_timer_init(loop, tick);
    uv_timer_start(tick, on_tick, step, step);
    while (!(ok = done != NULL && done(arg)) && uv_hrtime() < end)
        uv_run(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)tick, on_closed);
    uv_run(loop, UV_RUN_NOWAIT);
    return ok;
}

void
loop_end(uv_loop_t *loop)
{
    for (int i = 0; i < 1000 && uv_loop_alive(loop); i++)
        uv_run(loop, UV_RUN_NOWAIT);
    uv_run(loop, UV_RUN_NOWAIT);
    if (uv_loop_close(loop) == 0)
        return;
    uv_walk(loop, print_handle, NULL);
    abort();
}
