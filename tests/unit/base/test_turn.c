/* SPDX-License-Identifier: Apache-2.0 */
#include "base/turn.h"

#include <criterion/criterion.h>

struct counter {
    struct turn turn;
    int runs, again;
    bool closed;
};

static void
count(void *arg)
{
    struct counter *c = arg;

    c->runs++;
    if (c->again-- > 0)
        turn_ask(&c->turn);
}

static void
on_closed(void *arg)
{
    ((struct counter *)arg)->closed = true;
}

static void
end(uv_loop_t *l, struct counter *c)
{
    turn_close(&c->turn, on_closed);
    turn_close(&c->turn, NULL);
    turn_ask(&c->turn);
    cr_assert_not(c->closed);
    uv_run(l, UV_RUN_DEFAULT);
    cr_assert(c->closed);
    cr_assert_eq(uv_loop_close(l), 0);
}

Test(turn, asked_many_times_it_runs_once_and_not_at_once)
{
    struct counter c = {.runs = 0};
    uv_loop_t l;

    uv_loop_init(&l);
    turn_init(&c.turn, &l, count, &c);
    for (int i = 0; i < 5; i++)
        turn_ask(&c.turn);
    cr_assert_eq(c.runs, 0);
    uv_run(&l, UV_RUN_DEFAULT);
    cr_assert_eq(c.runs, 1);
    uv_run(&l, UV_RUN_NOWAIT);
    cr_assert_eq(c.runs, 1);
    end(&l, &c);
}

Test(turn, asking_while_it_runs_is_for_the_next_turn)
{
    struct counter c = {.again = 2};
    uv_loop_t l;

    uv_loop_init(&l);
    turn_init(&c.turn, &l, count, &c);
    turn_ask(&c.turn);
    uv_run(&l, UV_RUN_NOWAIT);
    cr_assert_eq(c.runs, 1);
    uv_run(&l, UV_RUN_NOWAIT);
    cr_assert_eq(c.runs, 2);
    uv_run(&l, UV_RUN_DEFAULT);
    cr_assert_eq(c.runs, 3);
    end(&l, &c);
}

Test(turn, closed_it_does_not_run)
{
    struct counter c = {.runs = 0};
    uv_loop_t l;

    uv_loop_init(&l);
    turn_init(&c.turn, &l, count, &c);
    turn_ask(&c.turn);
    end(&l, &c);
    cr_assert_eq(c.runs, 0);
}
