/* SPDX-License-Identifier: Apache-2.0 */
/* The heap of timers. */
#include <criterion/criterion.h>

#include "worker/timers.h"

enum { MANY = 500 };

static int fired[MANY], count;

struct mark {
    struct timer timer; /* first */
    int number;
};

static void
note(struct timer *t)
{
    fired[count++] = ((struct mark *)(void *)t)->number;
}

static void
run(uv_loop_t *loop, struct timers *ts)
{
    uv_run(loop, UV_RUN_DEFAULT);
    timers_close(ts, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(loop), 0);
}

Test(timers, fire_in_the_order_of_their_times)
{
    static struct mark marks[MANY];
    struct timers ts;
    uv_loop_t loop;

    uv_loop_init(&loop);
    timers_init(&ts, &loop);
    for (int i = 0; i < MANY; i++) {
        int due = (i * 7919) % MANY; /* a permutation: 7919 is prime */

        marks[i].number = due;
        cr_assert_eq(timer_set(&ts, &marks[i].timer, (uint64_t)due / 10, note),
                     ST_OK);
    }
    run(&loop, &ts);
    cr_assert_eq(count, MANY);
    for (int i = 1; i < MANY; i++)
        cr_assert_leq(fired[i - 1] / 10, fired[i] / 10);
}

Test(timers, one_that_is_unset_does_not_fire)
{
    struct mark a = {.number = 1}, b = {.number = 2}, c = {.number = 3};
    struct timers ts;
    uv_loop_t loop;

    uv_loop_init(&loop);
    timers_init(&ts, &loop);
    cr_assert_eq(timer_set(&ts, &a.timer, 1, note), ST_OK);
    cr_assert_eq(timer_set(&ts, &b.timer, 2, note), ST_OK);
    cr_assert_eq(timer_set(&ts, &c.timer, 3, note), ST_OK);
    timer_unset(&ts, &a.timer);
    timer_unset(&ts, &a.timer);
    cr_assert_not(timer_is_set(&a.timer));
    run(&loop, &ts);
    cr_assert_eq(count, 2);
    cr_assert_eq(fired[0], 2);
    cr_assert_eq(fired[1], 3);
}

Test(timers, one_that_is_set_again_moves)
{
    struct mark a = {.number = 1}, b = {.number = 2};
    struct timers ts;
    uv_loop_t loop;

    uv_loop_init(&loop);
    timers_init(&ts, &loop);
    cr_assert_eq(timer_set(&ts, &a.timer, 1, note), ST_OK);
    cr_assert_eq(timer_set(&ts, &b.timer, 5, note), ST_OK);
    cr_assert_eq(timer_set(&ts, &a.timer, 10, note), ST_OK);
    run(&loop, &ts);
    cr_assert_eq(count, 2);
    cr_assert_eq(fired[0], 2);
    cr_assert_eq(fired[1], 1);
}
