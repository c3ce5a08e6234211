/* SPDX-License-Identifier: Apache-2.0 */
/* Turns of a loop are measured without the time in which it waits. */
#include <criterion/criterion.h>
#include <time.h>

#include "worker/stalls.h"

enum { WAIT_MS = 60, BUSY_MS = 250, RESTS = 3 };

static void
rest(uv_timer_t *t)
{
    int *left = t->data;

    if (--*left == 0)
        uv_timer_stop(t);
}

static void
block(uv_timer_t *t)
{
    const struct timespec nap = {.tv_nsec = BUSY_MS * 1000000L};

    (void)t;
    nanosleep(&nap, NULL);
}

static void
turn(struct stalls *s, uv_timer_cb fn, int *left, uint64_t repeat_ms)
{
    uv_loop_t loop;
    uv_timer_t t;

    cr_assert_eq(uv_loop_init(&loop), 0);
    stalls_init(s, &loop);
    uv_timer_init(&loop, &t);
    t.data = left;
    uv_timer_start(&t, fn, WAIT_MS, repeat_ms);
    uv_run(&loop, UV_RUN_DEFAULT); /* the measuring does not hold the loop */
    uv_close((uv_handle_t *)&t, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    stalls_close(s);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&loop), 0);
}

static uint64_t
from_50_ms(const struct stalls *s)
{
    return s->counts[4] + s->counts[5] + s->counts[6];
}

Test(stalls, waiting_for_events_is_not_counted)
{
    struct stalls s;
    int left = RESTS;

    turn(&s, rest, &left, WAIT_MS);
    cr_expect_geq(s.turns, RESTS);
    cr_expect_eq(from_50_ms(&s), 0);
}

Test(stalls, a_call_that_blocks_is_counted_as_our_own)
{
    struct stalls s;
    int unused = 0;

    turn(&s, block, &unused, 0);
    cr_expect_eq(from_50_ms(&s), 1); /* whatever the machine took of it */
    cr_expect_geq(s.longest_ns, BUSY_MS * 1000000ull);
    cr_expect_geq(s.longest_ns, s.longest_own_ns);
}

Test(stalls, what_is_shown_has_each_turn_once)
{
    struct stalls s;
    struct json_object *shown, *own;
    int64_t sum = 0;
    int left = RESTS;

    turn(&s, rest, &left, WAIT_MS);
    shown = stalls_show(&s);
    own = json_object_object_get(shown, "own");
    json_object_object_foreach(own, key, value)
    {
        (void)key;
        sum += json_object_get_int64(value);
    }
    cr_expect_eq(sum, (int64_t)s.turns);
    cr_expect_eq(sum, (int64_t)s.turns);
    cr_expect_eq(json_object_get_int64(json_object_object_get(shown, "turns")),
                 sum);
    json_object_put(shown);
}
