/* SPDX-License-Identifier: Apache-2.0 */
/* llm.query: answers, failures, retries and arguments. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/worker/llm/bench.h"

TestSuite(llm, .init = start, .fini = stop);

/* ---- llm.query ---- */

Test(llm, a_query_answers_with_text_usage_and_who_did_it)
{
    struct json_object *v, *u;
    struct run r;

    run(&r, "llm.query", "[\"o/fake\", \"hi there\"]", "{}");
    v = result(&r);
    cr_assert_str_eq(get(v, "model"), "o/fake");
    cr_assert_str_eq(get(v, "text"), "You said: hi there");
    cr_assert_str_eq(get(v, "provider"), "o");
    cr_assert_str_eq(get(v, "model_used"), "fake-0001");
    cr_assert_str_eq(get(v, "finish_reason"), "stop");
    cr_assert_eq(json_get_int(v, "attempts", 0), 1);
    cr_assert_not(json_get_bool(v, "cached", true));
    cr_assert_null(json_get(v, "warning"));
    u = json_get(v, "usage");
    cr_assert_eq(json_get_int(u, "prompt_tokens", 0), 2);
    cr_assert_eq(json_get_int(u, "completion_tokens", 0), 4);
    cr_assert_eq(json_get_int(u, "total_tokens", 0), 6);
    cr_assert_str_eq(r.task.out.model, "fake-0001");
    cr_assert_eq(r.task.out.total_tokens, 6);
    clear(&r);
}

Test(llm, the_original_name_takes_three_positional_arguments)
{
    struct run r;

    run(&r, "tasks.process_llm_query", "[\"o/fake\", \"a b c d\", 3]", "{}");
    cr_assert_str_eq(get(result(&r), "text"), "You said: a");
    cr_assert_str_eq(get(result(&r), "finish_reason"), "length");
    clear(&r);
}

Test(llm, every_provider_answers)
{
    static const char *const models[] = {"o/fake", "a/fake", "g/fake", "p/fake",
                                         "t/fake"};

    for (size_t i = 0; i < 5; i++) {
        char args[64];
        struct run r;

        snprintf(args, sizeof(args), "[\"%s\", \"hello\"]", models[i]);
        run(&r, "llm.query", args, "{\"system\": null}");
        cr_expect_str_eq(get(result(&r), "text"), "You said: hello", "%s",
                         models[i]);
        cr_expect_gt(
            json_get_int(json_get(result(&r), "usage"), "total_tokens", 0), 0);
        clear(&r);
    }
}

Test(llm, messages_are_the_history_and_the_prompt_is_the_newest)
{
    struct run r;

    run(&r, "llm.query", "[\"p/fake\", \"three\"]",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"one\"},"
        "{\"role\": \"assistant\", \"content\": \"two\"}]}");
    cr_assert_str_eq(get(result(&r), "text"), "You said: three");
    clear(&r);
    run(&r, "llm.query", "[\"o/fake\"]",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"one\"}]}");
    cr_assert_str_eq(get(result(&r), "text"), "You said: one");
    clear(&r);
}

Test(llm, a_thinking_model_that_says_nothing_is_told_plainly)
{
    struct run r;

    run(&r, "llm.query", "[\"thinker\", \"hi\", 40]", "{}");
    cr_assert_str_eq(get(result(&r), "text"), "");
    cr_assert_str_eq(get(result(&r), "finish_reason"), "length");
    cr_assert_eq(
        json_get_int(json_get(result(&r), "usage"), "reasoning_tokens", 0), 40);
    cr_assert_not_null(strstr(get(result(&r), "warning"), "max_tokens"));
    clear(&r);
    run(&r, "llm.query", "[\"roomy\", \"hi\", 40]", "{}");
    cr_assert_str_eq(get(result(&r), "text"), "You said: hi");
    clear(&r);
}

/* ---- failing and trying again ---- */

Test(llm, each_class_of_error_has_its_exception)
{
    static const struct {
        const char *args, *says;
    } cases[] = {
        {"[\"o/fake:status-401\", \"x\"]", "\"exc_type\": \"AuthError\""},
        {"[\"g/fake:status-400:code-API_KEY_INVALID\", \"x\"]", "AuthError"},
        {"[\"a/fake:status-404\", \"x\"]", "ModelNotFoundError"},
        {"[\"o/fake:status-429:code-insufficient_quota\", \"x\"]",
         "QuotaError"},
        {"[\"o/fake:status-400:code-context_length_exceeded\", \"x\"]",
         "ContextLengthError"},
        {"[\"o/fake:status-413\", \"x\"]", "TooLargeError"},
        {"[\"nowhere\", \"x\"]", "ModelNotFoundError"},
        {"[\"echo?error=content_filter\", \"x\"]", "ContentFilterError"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct run r;

        run(&r, "llm.query", cases[i].args, "{}");
        cr_expect_not_null(strstr(exception(&r), cases[i].says), "%s: %s",
                           cases[i].args, exception(&r));
        cr_expect_not_null(strstr(exception(&r), "lovage.llm"));
        clear(&r);
    }
}

Test(llm, a_key_that_the_provider_quotes_is_not_passed_on)
{
    struct run r;

    run(&r, "llm.query", "[\"k/fake:badkey\", \"x\"]", "{}");
    cr_assert_not_null(strstr(exception(&r), "AuthError"), "%s", exception(&r));
    cr_assert_not_null(strstr(exception(&r), "Incorrect API key provided"));
    cr_assert_null(strstr(exception(&r), "looks like"), "%s", exception(&r));
    clear(&r);
}

Test(llm, what_may_pass_is_tried_again)
{
    static const char *const models[] = {
        "o/fake:status-503:times-2",  "a/fake:status-529:times-2",
        "o/fake:fault-reset:times-1", "o/fake:fault-garbage:times-1",
        "o/fake:fault-empty:times-1", "g/fake:status-500:times-2",
        "t/fake:status-503:times-1",  "o/fake:fault-html:times-1",
        "o/fake:fault-cut:times-1"};

    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        char args[96];
        struct run r;

        snprintf(args, sizeof(args), "[\"%s\", \"x\"]", models[i]);
        run(&r, "llm.query", args, "{}");
        cr_expect_str_eq(get(result(&r), "text"), "You said: x", "%s",
                         models[i]);
        /* Curl itself tries once more when a kept connection breaks before an
         * answer has begun. */
        if (strstr(models[i], "reset") == NULL)
            cr_expect_eq(json_get_int(result(&r), "attempts", 0),
                         models[i][strlen(models[i]) - 1] - '0' + 1, "%s",
                         models[i]);
        clear(&r);
    }
}

Test(llm, a_hint_is_a_lower_bound)
{
    uint64_t start_us = clock_mono_us();
    struct run r;

    run(&r, "llm.query",
        "[\"o/fake:status-429:times-1:retry_after_ms-700\", \"x\"]", "{}");
    cr_assert_eq(json_get_int(result(&r), "attempts", 0), 2);
    cr_assert_geq(clock_mono_us() - start_us, 700000);
    clear(&r);
    start_us = clock_mono_us();
    run(&r, "llm.query",
        "[\"g/fake:status-429:times-1:retry_after_ms-700\", \"x\"]", "{}");
    cr_assert_eq(json_get_int(result(&r), "attempts", 0), 2);
    cr_assert_geq(clock_mono_us() - start_us, 700000);
    clear(&r);
}

Test(llm, retries_have_an_end)
{
    struct run r;

    set("llm_max_retries", "1");
    run(&r, "llm.query", "[\"o/fake:status-503\", \"twice\"]", "{}");
    cr_assert_not_null(strstr(exception(&r), "OverloadedError"));
    clear(&r);
    cr_assert_eq(calls_with("twice"), 2);
}

Test(llm, a_long_hint_puts_the_task_back)
{
    struct run r;

    run(&r, "llm.query", "[\"o/fake:status-429:retry_after-90\", \"x\"]", "{}");
    cr_assert_eq(r.task.out.kind, OUTCOME_RETRY);
    /* Spread: all that were turned away must not come back in one instant. */
    cr_assert_geq(r.task.out.countdown, 90);
    cr_assert_leq(r.task.out.countdown, 99);
    cr_assert_neq(r.task.out.countdown, 90, "but one time in 9000");
    cr_assert_not_null(strstr(exception(&r), "RateLimitError"), "%s",
                       exception(&r));
    clear(&r);
    /* The same for a short one that the task's time does not allow. */
    soft_limit = 2;
    run(&r, "llm.query", "[\"o/fake:status-429:retry_after-5\", \"x\"]", "{}");
    cr_assert_eq(r.task.out.kind, OUTCOME_RETRY);
    cr_assert_geq(r.task.out.countdown, 5);
    cr_assert_leq(r.task.out.countdown, 5.5);
    clear(&r);
    soft_limit = 0;
    /* One that must be a lie is cut. */
    run(&r, "llm.query", "[\"o/fake:status-429:retry_after-evil\", \"x\"]",
        "{}");
    cr_assert_geq(r.task.out.countdown, 3600);
    cr_assert_leq(r.task.out.countdown, 3960);
    clear(&r);
}

Test(llm, a_refused_parameter_is_left_out_and_remembered)
{
    struct run r;

    run(&r, "llm.query", "[\"o/fake:refuse-temperature\", \"warm\"]",
        "{\"temperature\": 0.5}");
    cr_assert_str_eq(get(result(&r), "text"), "You said: warm");
    cr_assert_eq(json_get_int(result(&r), "attempts", 0), 2);
    clear(&r);
    run(&r, "llm.query", "[\"o/fake:refuse-temperature\", \"warmer\"]",
        "{\"temperature\": 0.5}");
    cr_assert_eq(json_get_int(result(&r), "attempts", 0), 1);
    clear(&r);
    run(&r, "llm.query", "[\"o/fake:refuse-max_tokens\", \"a b c d\", 3]",
        "{}");
    cr_assert_str_eq(get(result(&r), "text"), "You said: a");
    clear(&r);
    run(&r, "llm.query", "[\"o/fake:refuse-stop\", \"x\"]",
        "{\"stop\": \"END\"}");
    cr_assert_not_null(strstr(exception(&r), "UnsupportedParameterError"));
    clear(&r);
}

Test(llm, a_silent_provider_is_a_timeout)
{
    uint64_t start_us = clock_mono_us();
    struct run r;

    set("llm_timeout", "0.3");
    run(&r, "llm.query", "[\"o/fake:fault-hang\", \"x\"]", "{}");
    cr_assert_not_null(strstr(exception(&r), "TimeoutError"));
    cr_assert_lt(clock_mono_us() - start_us, 3000000);
    clear(&r);
}

Test(llm, nobody_there_is_a_network_error)
{
    struct run r;

    set("llm_max_retries", "0");
    run(&r, "llm.query", "[\"dead/x\", \"x\"]", "{}");
    cr_assert_not_null(strstr(exception(&r), "NetworkError"), "%s",
                       exception(&r));
    clear(&r);
}

Test(llm, an_answer_over_the_limit_is_refused)
{
    struct run r;

    set("llm_max_response_bytes", "100000");
    run(&r, "llm.query", "[\"o/fake:fault-huge\", \"x\"]", "{}");
    cr_assert_not_null(strstr(exception(&r), "TooLargeError"), "%s",
                       exception(&r));
    clear(&r);
}

Test(llm, a_cancelled_task_is_silent_and_leaves_nothing)
{
    struct run running, looking;

    begin(&running, "llm.query", "[\"o/fake:fault-hang\", \"x\"]",
          "{\"cache\": false}");
    begin(&looking, "llm.query", "[\"o/fake\", \"y\"]", "{}");
    task_cancel(&looking.task); /* while the cache is asked */
    for (int i = 0; i < 20; i++)
        uv_run(&b->loop, UV_RUN_NOWAIT);
    task_cancel(&running.task);
    for (int i = 0; i < 20; i++)
        uv_run(&b->loop, UV_RUN_NOWAIT);
    cr_assert_eq(b->finished, 0);
    cr_assert_eq(http_active(b->services.http), 0);
    clear(&running);
    clear(&looking);
}

/* ---- arguments ---- */

Test(llm, arguments_are_checked_by_name)
{
    static const struct {
        const char *args, *kwargs, *says;
    } cases[] = {
        {"[]", "{}", "query() missing 1 required positional argument: 'model'"},
        {"[\"echo\"]", "{}",
         "query() missing 1 required positional argument: 'prompt'"},
        {"[7, \"x\"]", "{}", "query() argument 'model' must be str, not int"},
        {"[\"\", \"x\"]", "{}", "argument 'model' must be a model's name"},
        {"[\"a\\u0000b\", \"x\"]", "{}", "argument 'model'"},
        {"[\"echo\", \"\"]", "{}", "'prompt' must not be empty"},
        {"[\"echo\", 5]", "{}", "'prompt' must be str, not int"},
        {"[\"echo\", \"x\", \"y\"]", "{}", "'max_tokens' must be int, not str"},
        {"[\"echo\", \"x\", 1.0]", "{}", "'max_tokens' must be int, not float"},
        {"[\"echo\", \"x\", true]", "{}", "'max_tokens' must be int, not bool"},
        {"[\"echo\", \"x\", 0]", "{}", "'max_tokens' must be from 1 to"},
        {"[\"echo\", \"x\"]", "{\"temperature\": 3}",
         "'temperature' must be from 0 to 2, not 3"},
        {"[\"echo\", \"x\"]", "{\"temperature\": NaN}",
         "'temperature' must be from 0 to 2"},
        {"[\"echo\", \"x\"]", "{\"temperature\": \"hot\"}",
         "'temperature' must be float, not str"},
        {"[\"echo\", \"x\"]", "{\"cache\": 1}",
         "'cache' must be bool, not int"},
        {"[\"echo\", \"x\"]", "{\"stop\": [\"a\",\"b\",\"c\",\"d\",\"e\"]}",
         "'stop' may have 4 texts, not 5"},
        {"[\"echo\", \"x\"]", "{\"stop\": [1]}",
         "'stop' must be a list of str"},
        {"[\"echo\", \"x\"]", "{\"stop\": \"\"}", "'stop' has an empty text"},
        {"[\"echo\", \"x\"]", "{\"messages\": {}}", "'messages' must be list"},
        {"[\"echo\", \"x\"]", "{\"messages\": [{\"role\": \"king\"}]}",
         "'messages' needs a \\\"role\\\""},
        {"[\"echo\", \"x\"]",
         "{\"messages\": [{\"role\": \"user\", \"content\": [1]}]}",
         "'messages' needs a text"},
        {"[\"echo\"]",
         "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}]}",
         "'prompt' must not be empty"},
        {"[\"echo\", \"x\"]", "{\"colour\": 1}",
         "unexpected keyword argument 'colour'"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct run r;

        begin(&r, "llm.query", cases[i].args, cases[i].kwargs);
        cr_expect(r.over, "%s", cases[i].args);
        cr_expect_not_null(strstr(exception(&r), cases[i].says), "%s %s: %s",
                           cases[i].args, cases[i].kwargs, exception(&r));
        cr_expect(strstr(exception(&r), "TypeError") != NULL ||
                  strstr(exception(&r), "ValueError") != NULL);
        clear(&r);
    }
}

Test(llm, too_long_a_prompt_costs_nothing)
{
    struct run r;

    set("llm_max_prompt_bytes", "10");
    begin(&r, "llm.query", "[\"o/fake\", \"12345678\"]",
          "{\"system\": \"123\"}");
    cr_assert(r.over);
    cr_assert_not_null(strstr(exception(&r), "more than 10 bytes"), "%s",
                       exception(&r));
    clear(&r);
}
