/* SPDX-License-Identifier: Apache-2.0 */
/* The owner of a stream, for tests. */
#include "tests/support/stream_client.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void
on_connected(void *arg)
{
    struct stream_client *c = arg;

    cr_assert_not(c->inside);
    c->connected++;
    if (c->close_when_connected)
        stream_client_close(c);
}

static void
on_data(void *arg, const char *p, size_t n)
{
    struct stream_client *c = arg;

    cr_assert_not(c->inside);
    cr_assert_eq(c->lost, 0);
    buf_add(&c->got, (struct slice){p, n});
    c->pieces++;
    if (c->close_on_data)
        stream_client_close(c);
}

static void
on_lost(void *arg, const struct error *why)
{
    struct stream_client *c = arg;

    cr_assert_not(c->inside);
    c->lost++;
    c->why = *why;
    if (c->close_when_lost)
        stream_client_close(c);
    c->s = NULL;
}

void
stream_client_open(struct stream_client *c, uv_loop_t *l,
                   const struct stream_opts *opts)
{
    static const struct stream_events ev = {on_connected, on_data, on_lost};
    struct error err = {.code = ST_OK};

    buf_init(&c->got, 64 << 20);
    c->inside = true;
    cr_assert_eq(stream_open(&c->s, l, opts, &ev, c, &err), ST_OK, "%s",
                 err.text);
    c->inside = false;
}

void
stream_client_write(struct stream_client *c, struct slice bytes)
{
    c->inside = true;
    stream_write(c->s, bytes);
    c->inside = false;
}

void
stream_client_close(struct stream_client *c)
{
    stream_close(c->s);
    c->s = NULL;
}

void
stream_client_fini(struct stream_client *c)
{
    stream_client_close(c);
    buf_fini(&c->got);
}

/* --- the loop ------------------------------------------------------------ */

static void
on_timer(uv_timer_t *t)
{
    *(bool *)t->data = true;
}

static void
run(uv_loop_t *l, uint64_t ms, const int *number, const size_t *size, size_t n)
{
    bool over = false;
    uv_timer_t t;

    uv_timer_init(l, &t);
    t.data = &over;
    uv_update_time(l);
    uv_timer_start(&t, on_timer, ms, 0);
    while (!over && !(number != NULL && *number >= (int)n) &&
           !(size != NULL && *size >= n))
        uv_run(l, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&t, NULL);
    uv_run(l, UV_RUN_NOWAIT);
    if (number != NULL || size != NULL)
        cr_assert_not(over, "nothing happened for %d ms", (int)ms);
}

void
stream_loop_until(uv_loop_t *l, const int *what, int n)
{
    run(l, 10000, what, NULL, (size_t)n);
}

void
stream_loop_until_size(uv_loop_t *l, const size_t *what, size_t n)
{
    run(l, 10000, NULL, what, n);
}

void
stream_loop_for(uv_loop_t *l, uint64_t ms)
{
    run(l, ms, NULL, NULL, 0);
}

void
stream_loop_end(uv_loop_t *l)
{
    uv_run(l, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(l), 0);
    uv_library_shutdown();
}
