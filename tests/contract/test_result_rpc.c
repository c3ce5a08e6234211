/* SPDX-License-Identifier: Apache-2.0 */
/* What every result backend promises, kept by rpc:// over Redis, and what only
 * rpc:// does. */
#ifndef RESULT
#define RESULT rpc_redis
#endif
#include "tests/contract/test_result.c" /* the behaviours */

#include "store/rpc/ops.h"

/* What a reply without an address costs: nothing, and no connection. */
CONTRACT(what_nobody_asked_for_is_done_at_once)
{
    struct task_state ts = state(r, "id-1", "SUCCESS", "1");

    r->impl->down(r->server, true);
    ts.reply_to = (struct slice){NULL, 0};
    r->r->ops->put(r->r, &ts, result_rig_note, r);
    cr_assert_eq(r->calls, 0, "called back too early");
    cr_assert(result_rig_wait(r, 1, 1000));
    cr_assert_eq(r->status, ST_OK);
    r->impl->down(r->server, false);
}

CONTRACT(a_reply_queue_that_is_gone_is_no_failure)
{
    struct task_state ts = state(r, "id-1", "SUCCESS", "1");

    ts.reply_to = str("there-is-no-such-queue");
    r->r->ops->put(r->r, &ts, result_rig_note, r);
    cr_assert(result_rig_wait(r, 1, 5000));
    cr_assert_eq(r->status, ST_OK);
    put_and_wait(r, "id-2", "SUCCESS", "2");
}

CONTRACT(the_latest_state_that_came_can_be_got_until_it_is_forgotten)
{
    cr_assert_str_eq(stored(r, "id-1"), "");
    put_and_wait(r, "id-1", "PROGRESS", "{\"done\": 1}");
    for (int i = 0; i < 100 && *stored(r, "id-1") == '\0'; i++)
        result_rig_run(r, 20);
    cr_assert_str_eq(r->text, "PROGRESS {\"done\": 1}");
    put_and_wait(r, "id-1", "SUCCESS", "7");
    cr_assert_not_null(r->r->ops->watch(r->r, str("id-1"), result_rig_note, r));
    cr_assert(result_rig_wait(r, r->calls + 1, 3000));
    cr_assert_str_eq(stored(r, "id-1"), "SUCCESS 7");
    put_and_wait(r, "id-1", "STARTED", "null"); /* of an earlier delivery */
    result_rig_run(r, 200);
    cr_assert_str_eq(stored(r, "id-1"), "SUCCESS 7");
    r->r->ops->forget(r->r, str("id-1"), result_rig_note, r);
    cr_assert(result_rig_wait(r, r->calls + 1, 3000));
    cr_assert_str_eq(stored(r, "id-1"), "");
}

/* They are told in the callback of one of them. */
struct chain {
    struct result_rig *r;
    struct result_watch *other;
    int told;
};

static void
on_first(void *arg, enum status st, const struct task_state *ts)
{
    struct chain *c = arg;

    cr_assert_eq(st, ST_OK);
    cr_assert_not_null(ts);
    c->told++;
    if (c->other != NULL)
        c->r->r->ops->unwatch(c->r->r, c->other);
    c->other = NULL;
    c->r->r->ops->forget(c->r->r, ts->id, NULL, NULL);
    cr_assert_not_null(
        c->r->r->ops->watch(c->r->r, ts->id, result_rig_note, c->r));
}

CONTRACT(watches_may_come_and_go_while_they_are_told)
{
    struct chain c = {.r = r};

    cr_assert_not_null(r->r->ops->watch(r->r, str("id-1"), on_first, &c));
    c.other = r->r->ops->watch(r->r, str("id-1"), on_first, &c);
    put(r, "id-1", "SUCCESS", "1");
    cr_assert(result_rig_wait(r, 2, 3000)); /* it is sent, and told again */
    result_rig_run(r, 100);
    cr_assert_eq(r->calls, 2);
    cr_assert_eq(c.told, 1);
}

/* The oldest give way: what an api forgets of what nobody asked for. */
CONTRACT(outcomes_that_nobody_asks_for_are_kept_within_a_bound)
{
    enum { MANY = 10500 };
    int old = 0, young = 0;

    for (int i = 0; i < MANY; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "id-%d", i);
        put(r, id, "SUCCESS", "1");
    }
    cr_assert(result_rig_wait(r, MANY, 60000), "%d", r->calls);
    for (int i = 0; i < 200 && *stored(r, "id-10499") == '\0'; i++)
        result_rig_run(r, 20);
    for (int i = 0; i < 400; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "id-%d", i);
        old += *stored(r, id) != '\0';
        (void)snprintf(id, sizeof id, "id-%d", MANY - 1 - i);
        young += *stored(r, id) != '\0';
    }
    cr_assert_eq(old, 0);
    cr_assert_eq(young, 400);
}

Test(result_contract, a_serializer_that_is_not_ours_is_refused)
{
    struct config config;
    struct result *r = NULL;
    struct error err;
    uv_loop_t loop;

    cr_assert_eq(config_init(&config, &err), ST_OK);
    free(config.result_serializer);
    config.result_serializer = strdup("pickle");
    uv_loop_init(&loop);
    cr_assert_eq(rpc_result_ops.open(&r, &loop, "rpc://", &config, &err),
                 ST_INVALID);
    cr_assert_not_null(strstr(err.text, "json and msgpack"));
    loop_end(&loop);
    config_fini(&config);
}
