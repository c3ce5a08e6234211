/* SPDX-License-Identifier: Apache-2.0 */
/* The response cache, shared calls, and llm.fan_out. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/worker/llm/bench.h"

TestSuite(llm, .init = start, .fini = stop);

/* ---- sharing ---- */

Test(llm, the_same_question_is_answered_from_the_cache)
{
    struct run r;

    run(&r, "llm.query", "[\"o/fake\", \"again\"]", "{}");
    clear(&r);
    run(&r, "llm.query", "[\"o/fake\", \"again\"]", "{\"max_tokens\": 100}");
    cr_assert_str_eq(get(result(&r), "text"), "You said: again");
    cr_assert(json_get_bool(result(&r), "cached", false));
    cr_assert_str_eq(get(result(&r), "model_used"), "fake-0001");
    cr_assert_eq(json_get_int(json_get(result(&r), "usage"), "total_tokens", 0),
                 4);
    cr_assert_eq(r.task.out.total_tokens, 0); /* it has cost nothing */
    clear(&r);
    run(&r, "llm.query", "[\"o/fake\", \"again\", 99]", "{}");
    cr_assert_not(json_get_bool(result(&r), "cached", true));
    clear(&r);
    run(&r, "llm.query", "[\"o/fake\", \"again\"]", "{\"cache\": false}");
    cr_assert_not(json_get_bool(result(&r), "cached", true));
    clear(&r);
    cr_assert_eq(calls_with("again"), 3);
    cr_assert_eq(b->cache.puts, 2);
}

Test(llm, errors_and_cut_answers_are_not_kept)
{
    struct run r;

    run(&r, "llm.query", "[\"o/fake:status-401\", \"x\"]", "{}");
    clear(&r);
    run(&r, "llm.query", "[\"o/fake\", \"a b c d e\", 2]", "{}");
    clear(&r);
    cr_assert_eq(b->cache.puts, 0);
}

Test(llm, nonsense_in_the_cache_is_a_miss)
{
    struct run r;

    run(&r, "llm.query", "[\"o/fake\", \"x\"]", "{}");
    clear(&r);
    cr_assert_eq(b->cache.used, 1);
    free(b->cache.value[0]);
    b->cache.value[0] = strdup("{\"text\": 7}");
    run(&r, "llm.query", "[\"o/fake\", \"x\"]", "{}");
    cr_assert_str_eq(get(result(&r), "text"), "You said: x");
    cr_assert_not(json_get_bool(result(&r), "cached", true));
    clear(&r);
}

Test(llm, those_who_ask_the_same_at_once_share_one_call)
{
    struct run r[5];

    for (int i = 0; i < 5; i++)
        begin(&r[i], "llm.query", "[\"o/fake:latency_ms-100\", \"shared\"]",
              "{}");
    /* The first to ask leaves: the others still get their answer. */
    for (int i = 0; i < 5; i++)
        uv_run(&b->loop, UV_RUN_NOWAIT);
    task_cancel(&r[0].task);
    wait_for(4);
    for (int i = 1; i < 5; i++)
        cr_expect_str_eq(get(result(&r[i]), "text"), "You said: shared");
    for (int i = 0; i < 5; i++)
        clear(&r[i]);
    cr_assert_eq(calls_with("shared"), 1);
}

/* Else a call that hangs would take all who ask during its time with it. */
Test(llm, who_asks_late_has_a_call_of_their_own)
{
    static const char args[] = "[\"o/fake:fault-hang:times-1\", \"late\"]";
    struct run hung, late[2];

    begin(&hung, "llm.query", args, "{}");
    while (calls_with("late") < 1)
        ;
    b->finished = 0;
    clock_shift_us(7000000); /* of 10 s */
    begin(&late[0], "llm.query", args, "{}");
    begin(&late[1], "llm.query", args, "{}");
    wait_for(2);
    clock_shift_us(0);
    for (int i = 0; i < 2; i++)
        cr_expect_str_eq(get(result(&late[i]), "text"), "You said: late");
    cr_assert_eq(calls_with("late"), 2);
    task_cancel(&hung.task);
    clear(&hung);
    clear(&late[0]);
    clear(&late[1]);
}

Test(llm, who_does_not_want_the_cache_does_not_share)
{
    struct run r[3];

    for (int i = 0; i < 3; i++)
        begin(&r[i], "llm.query", "[\"o/fake\", \"alone\"]",
              "{\"cache\": false}");
    wait_for(3);
    for (int i = 0; i < 3; i++)
        clear(&r[i]);
    cr_assert_eq(calls_with("alone"), 3);
    cr_assert_eq(b->cache.gets, 0);
}

/* ---- llm.fan_out ---- */

Test(llm, fan_out_answers_in_the_order_asked_whatever_fails)
{
    struct run r;

    set("llm_timeout", "1");
    run(&r, "llm.fan_out",
        "[[\"o/fake:latency_ms-200\", \"nowhere\", \"a/fake:status-401\","
        "\"o/fake:fault-hang\", \"g/fake\", \"g/fake\"], \"hi\"]",
        "{}");
    cr_assert_eq(json_object_array_length(json_get(result(&r), "answers")), 6);
    cr_assert_str_eq(get(answer(&r, 0), "text"), "You said: hi");
    cr_assert_str_eq(get(answer(&r, 0), "model"), "o/fake:latency_ms-200");
    cr_assert_str_eq(get(json_get(answer(&r, 1), "error"), "class"),
                     "model_not_found");
    cr_assert_str_eq(get(json_get(answer(&r, 2), "error"), "class"), "auth");
    cr_assert_eq(
        json_get_int(json_get(answer(&r, 2), "error"), "http_status", 0), 401);
    cr_assert_str_eq(get(json_get(answer(&r, 3), "error"), "class"), "timeout");
    cr_assert(
        json_get_bool(json_get(answer(&r, 3), "error"), "retryable", false));
    cr_assert_null(json_get(answer(&r, 3), "text"));
    cr_assert_str_eq(get(answer(&r, 4), "text"), "You said: hi");
    cr_assert_str_eq(get(answer(&r, 5), "text"), "You said: hi");
    cr_assert_eq(json_get_int(json_get(result(&r), "usage"), "total_tokens", 0),
                 12);
    cr_assert_geq(json_get_int(result(&r), "latency_ms", 0), 200);
    cr_assert_lt(json_get_int(answer(&r, 4), "latency_ms", 999), 900);
    clear(&r);
}

Test(llm, fan_out_asks_all_at_once)
{
    uint64_t start_us = clock_mono_us();
    struct run r;

    run(&r, "llm.fan_out",
        "[[\"echo?latency_ms=300\", \"o/fake:latency_ms-300\","
        "\"a/fake:latency_ms-300\", \"g/fake:latency_ms-300\"], \"hi\"]",
        "{}");
    cr_assert_lt(clock_mono_us() - start_us, 1000000);
    cr_assert_not_null(get(answer(&r, 3), "text"));
    clear(&r);
}

Test(llm, fan_out_fails_for_its_own_arguments_only)
{
    static const struct {
        const char *args, *says;
    } cases[] = {
        {"[\"echo\", \"x\"]", "fan_out() argument 'models' must be list"},
        {"[[], \"x\"]", "'models' must name 1 to 16 models, not 0"},
        {"[[1], \"x\"]", "'models' must be str, not int"},
        {"[[\"echo\"], \"x\", 0]", "'max_tokens'"},
    };
    struct run r;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(&r, "llm.fan_out", cases[i].args, "{}");
        cr_expect(r.over);
        cr_expect_not_null(strstr(exception(&r), cases[i].says), "%s",
                           exception(&r));
        clear(&r);
    }
    run(&r, "llm.fan_out", "[[\"nowhere\", \"nobody\"], \"x\"]", "{}");
    cr_assert_str_eq(get(json_get(answer(&r, 1), "error"), "class"),
                     "model_not_found");
    clear(&r);
}

Test(llm, a_cancelled_fan_out_ends_all_its_calls)
{
    struct run r;

    begin(&r, "llm.fan_out",
          "[[\"o/fake:fault-hang\", \"a/fake:fault-hang\", \"echo\"], \"x\"]",
          "{\"cache\": false}");
    for (int i = 0; i < 50; i++)
        uv_run(&b->loop, UV_RUN_NOWAIT);
    task_cancel(&r.task);
    for (int i = 0; i < 10; i++)
        uv_run(&b->loop, UV_RUN_NOWAIT);
    cr_assert_eq(http_active(b->services.http), 0);
    cr_assert_eq(b->finished, 0);
    clear(&r);
}
