/* SPDX-License-Identifier: Apache-2.0 */
/* How the errors of all providers are told apart. */
#include "protocol/llm.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const struct llm_provider *
provider(const char *name)
{
    return llm_provider_find((struct slice){name, strlen(name)});
}

static struct slice
text(const char *s)
{
    return (struct slice){s, s == NULL ? 0 : strlen(s)};
}

static struct llm_error
judge(const char *name, int status, const char *body)
{
    struct llm_query q = LLM_QUERY_INIT;
    struct llm_answer a = {.http_status = status, .body = text(body)};
    struct llm_result r;
    struct llm_error e;

    provider(name)->parse(&a, &q, &r);
    e = r.error;
    llm_result_fini(&r);
    return e;
}

static const struct {
    const char *provider;
    int status;
    const char *body;
    enum llm_error_class cls;
} cases[] = {
    /* OpenAI */
    {"openai", 400,
     "{\"error\":{\"message\":\"Unsupported parameter: 'max_tokens' is not "
     "supported with this model. Use 'max_completion_tokens' instead.\","
     "\"type\":\"invalid_request_error\",\"param\":\"max_tokens\","
     "\"code\":\"unsupported_parameter\"}}",
     LLM_E_UNSUPPORTED_PARAM},
    {"openai", 400,
     "{\"error\":{\"message\":\"This model's maximum context length is 8192 "
     "tokens. However\",\"type\":\"invalid_request_error\","
     "\"code\":\"context_length_exceeded\"}}",
     LLM_E_CONTEXT_LENGTH},
    {"openai", 400,
     "{\"error\":{\"message\":\"Invalid 'input': string too long, maximum "
     "context length is nothing to do with it\","
     "\"code\":\"string_above_max_length\"}}",
     LLM_E_BAD_REQUEST},
    {"openai", 400, "{\"error\":{\"code\":\"content_policy_violation\"}}",
     LLM_E_CONTENT_FILTER},
    {"openai", 401, "{\"error\":{\"code\":\"invalid_api_key\"}}", LLM_E_AUTH},
    {"openai", 403, "{\"error\":{\"message\":\"Country not supported\"}}",
     LLM_E_PERMISSION},
    {"openai", 404, "{\"error\":{\"code\":\"model_not_found\"}}",
     LLM_E_MODEL_NOT_FOUND},
    {"openai", 429, "{\"error\":{\"code\":\"rate_limit_exceeded\"}}",
     LLM_E_RATE_LIMIT},
    {"openai", 429,
     "{\"error\":{\"message\":\"Request too large for gpt-4 in organization\","
     "\"type\":\"tokens\",\"code\":\"rate_limit_exceeded\"}}",
     LLM_E_TOO_LARGE},
    {"openai", 429,
     "{\"error\":{\"type\":\"insufficient_quota\","
     "\"code\":\"insufficient_quota\"}}",
     LLM_E_QUOTA},
    {"openai", 429,
     "{\"error\":{\"code\":\"rate_limit_exceeded\","
     "\"type\":\"insufficient_quota\"}}",
     LLM_E_QUOTA},
    {"openai", 429, "{\"error\":{\"code\":\"slow_down\"}}", LLM_E_RAMP},
    {"openai", 500, "{\"error\":{\"type\":\"server_error\"}}", LLM_E_SERVER},
    {"openai", 503, "{\"error\":{\"code\":\"server_is_overloaded\"}}",
     LLM_E_OVERLOADED},
    {"openai", 502, "<html><h1>502 Bad Gateway</h1></html>", LLM_E_SERVER},
    {"openai", 302, "", LLM_E_BAD_RESPONSE},
    {"openai", 200, "{\"error\":{\"code\":429,\"message\":\"slow\"}}",
     LLM_E_RATE_LIMIT}, /* OpenRouter: told with a 200 */
    {"openai", 200, "{\"error\":\"something\"}", LLM_E_SERVER},
    /* compatible servers */
    {"compatible", 400,
     "{\"object\":\"error\",\"message\":\"This model's maximum context length "
     "is 4096 tokens.\",\"type\":\"BadRequestError\",\"param\":null,"
     "\"code\":400}",
     LLM_E_CONTEXT_LENGTH},
    {"compatible", 400,
     "{\"error\":{\"code\":400,\"message\":\"the request exceeds\","
     "\"type\":\"exceed_context_size_error\"}}",
     LLM_E_CONTEXT_LENGTH},
    {"compatible", 503,
     "{\"error\":{\"code\":503,\"message\":\"Loading model\","
     "\"type\":\"unavailable_error\"}}",
     LLM_E_LOADING},
    {"compatible", 500,
     "{\"error\":{\"code\":500,\"message\":\"Context size has been "
     "exceeded.\",\"type\":\"server_error\"}}",
     LLM_E_CONTEXT_LENGTH},
    {"compatible", 404, "{\"error\":\"model 'x' not found\"}",
     LLM_E_MODEL_NOT_FOUND},
    /* Azure */
    {"compatible", 400,
     "{\"error\":{\"code\":\"content_filter\",\"message\":\"The response was "
     "filtered\",\"innererror\":{\"code\":\"ResponsibleAIPolicyViolation\"}}}",
     LLM_E_CONTENT_FILTER},
    /* Anthropic */
    {"anthropic", 400,
     "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
     "\"message\":\"prompt is too long: 9 tokens > 8 maximum\"}}",
     LLM_E_CONTEXT_LENGTH},
    {"anthropic", 400,
     "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
     "\"message\":\"input length and `max_tokens` exceed context limit\"}}",
     LLM_E_CONTEXT_LENGTH},
    {"anthropic", 400,
     "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
     "\"message\":\"You have reached your specified API usage limits\"}}",
     LLM_E_QUOTA},
    {"anthropic", 429,
     "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":"
     "\"m\",\"details\":{\"error_code\":\"enforced_spend_limit_reached\"}}}",
     LLM_E_QUOTA},
    {"anthropic", 529,
     "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}",
     LLM_E_OVERLOADED},
    {"anthropic", 413,
     "{\"type\":\"error\",\"error\":{\"type\":\"request_too_large\"}}",
     LLM_E_TOO_LARGE},
    /* Gemini */
    {"gemini", 400,
     "{\"error\":{\"code\":400,\"message\":\"API key not valid.\",\"status\":"
     "\"INVALID_ARGUMENT\",\"details\":[{\"reason\":\"API_KEY_INVALID\"}]}}",
     LLM_E_AUTH},
    {"gemini", 400,
     "{\"error\":{\"code\":400,\"message\":\"The input token count (9) exceeds "
     "the maximum number of tokens allowed (8).\","
     "\"status\":\"INVALID_ARGUMENT\"}}",
     LLM_E_CONTEXT_LENGTH},
    {"gemini", 400, "{\"error\":{\"status\":\"FAILED_PRECONDITION\"}}",
     LLM_E_PERMISSION},
    {"gemini", 429,
     "[{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\"}}]",
     LLM_E_RATE_LIMIT},
    {"gemini", 429,
     "{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\",\"details\":["
     "{\"violations\":[{\"quotaId\":\"RequestsPerDayPerProject\"}]},"
     "{\"retryDelay\":\"26s\"}]}}",
     LLM_E_QUOTA},
    {"gemini", 402, "{\"error\":{\"status\":\"RESOURCE_EXHAUSTED\"}}",
     LLM_E_QUOTA},
    {"gemini", 503, "{\"error\":{\"status\":\"UNAVAILABLE\"}}",
     LLM_E_OVERLOADED},
    /* Hugging Face */
    {"huggingface", 400,
     "{\"error\":{\"message\":\"The requested model 'x' is not supported by "
     "any provider you have enabled.\",\"code\":\"model_not_supported\"}}",
     LLM_E_MODEL_NOT_FOUND},
    {"huggingface", 410, "{\"error\":\"no longer supported\"}",
     LLM_E_MODEL_NOT_FOUND},
    {"tgi", 503,
     "{\"error\":\"Model gpt2 is currently loading\",\"estimated_time\":20.0}",
     LLM_E_LOADING},
    {"tgi", 422,
     "{\"error\":\"Input validation error: `inputs` tokens + `max_new_tokens` "
     "must be <= 4096. Given: 5000\",\"error_type\":\"validation\"}",
     LLM_E_CONTEXT_LENGTH},
    {"tgi", 400, "{\"error\":[\"Error in `parameters`\"]}", LLM_E_BAD_REQUEST},
    {"tgi", 429,
     "{\"error\":\"Model is overloaded\",\"error_type\":\"overloaded\"}",
     LLM_E_OVERLOADED},
    {"tgi", 424, "{\"error\":\"x\",\"error_type\":\"generation\"}",
     LLM_E_SERVER},
};

Test(llm_errors, the_body_decides_before_the_status)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct llm_error e =
            judge(cases[i].provider, cases[i].status, cases[i].body);

        cr_expect_eq(e.cls, cases[i].cls, "%s %d %s: %s, not %s",
                     cases[i].provider, cases[i].status, cases[i].body,
                     llm_error_name(e.cls), llm_error_name(cases[i].cls));
        cr_expect_eq(e.http_status, cases[i].status);
        cr_expect_neq(e.message[0], '\0');
    }
}

Test(llm_errors, an_echoed_prompt_does_not_change_the_class)
{
    struct llm_error e = judge(
        "openai", 400,
        "{\"error\":{\"message\":\"bad field\"},\"prompt\":\"rate limit 429, "
        "maximum context length is 5, content management policy\"}");

    cr_assert_eq(e.cls, LLM_E_BAD_REQUEST);
}

Test(llm_errors, a_quoted_key_is_hidden)
{
    struct llm_error e = judge("openai", 401,
                               "{\"error\":{\"message\":\"Incorrect API key "
                               "provided: sk-proj-abcdef. Find it\","
                               "\"code\":\"invalid_api_key\"}}");

    cr_assert_null(strstr(e.message, "abcdef"), "%s", e.message);
    cr_assert_not_null(strstr(e.message, "Incorrect API key"));
}

Test(llm_errors, a_word_that_ends_like_a_key_begins_is_left)
{
    struct llm_error e =
        judge("openai", 400,
              "{\"error\":{\"message\":\"a task-specific limit on disk-space, "
              "monkey=1\"}}");

    cr_expect_str_eq(e.message,
                     "a task-specific limit on disk-space, monkey=1");
}

Test(llm_errors, the_refused_parameter_is_named_or_quoted)
{
    struct llm_error named =
        judge("openai", 400,
              "{\"error\":{\"param\":\"temperature\",\"message\":\"Unsupported "
              "value\",\"code\":\"unsupported_value\"}}");
    struct llm_error quoted = judge(
        "anthropic", 400,
        "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
        "\"message\":\"`temperature` is deprecated for this model.\"}}");

    cr_assert_str_eq(named.param, "temperature");
    cr_assert_eq(quoted.cls, LLM_E_UNSUPPORTED_PARAM);
    cr_assert_str_eq(quoted.param, "temperature");
}

Test(llm_errors, an_adaptation_renames_or_leaves_out_only_what_is_set)
{
    struct llm_query q = LLM_QUERY_INIT;
    struct llm_deployment d = {.base_url = "http://h/v1", .api_key = ""};
    struct llm_error e = {.cls = LLM_E_UNSUPPORTED_PARAM};

    strcpy(e.param, "temperature");
    cr_assert_eq(llm_adaptation(&q, &e), 0);
    q.temperature = 0.5;
    cr_assert_eq(llm_adaptation(&q, &e), LLM_ADAPT_TEMPERATURE);
    llm_adapt(LLM_ADAPT_TEMPERATURE, &q, &d);
    cr_assert(isnan(q.temperature));

    strcpy(e.param, "max_tokens");
    q.max_tokens = 5;
    cr_assert_eq(llm_adaptation(&q, &e), LLM_ADAPT_TOKENS);
    llm_adapt(LLM_ADAPT_TOKENS, &q, &d);
    cr_assert_str_eq(d.tokens_param, "max_completion_tokens");

    strcpy(e.param, "stop"); /* leaving it out would change the answer */
    cr_assert_eq(llm_adaptation(&q, &e), 0);
}

/* ---- how long to wait ---- */

Test(llm_wait, every_way_of_writing_it_is_read)
{
    static const struct {
        const char *text;
        int64_t ms;
    } waits[] = {
        {"2", 2000},
        {"1.5", 1500},
        {" 3 ", 3000},
        {"0", 0},
        {"26s", 26000},
        {"1.5s", 1500},
        {"12ms", 12},
        {"6m0s", 360000},
        {"1h2m3.5s", 3723500},
        {"999999999", LLM_WAIT_MAX_MS},
        {"999999999999999999999999999999", LLM_WAIT_MAX_MS},
        {"-1", -1},
        {"", -1},
        {"soon", -1},
        {"nan", -1},
        {"inf", -1},
        {"0x10", -1},
        {"1.2.3", -1},
        {"5 5", -1},
        {".", -1},
        {"Thu, 01 Jan 1970 00:01:10 GMT", 10000}, /* now is 00:01:00 */
        {"Thu, 01 Jan 1970 00:00:10 GMT", 0},
        {"Wed, 01 Jan 2098 00:00:00 GMT", LLM_WAIT_MAX_MS},
        {"Thu, 01 Jan 1970 00:01:10 CET", -1},
    };

    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
        cr_expect_eq(llm_wait_parse(text(waits[i].text), 60000), waits[i].ms,
                     "%s: %ld", waits[i].text,
                     (long)llm_wait_parse(text(waits[i].text), 60000));
}

static int64_t
hint(const char *after_ms, const char *after, const char *body)
{
    struct llm_query q = LLM_QUERY_INIT;
    struct llm_answer a = {.http_status = 429,
                           .body = text(body),
                           .retry_after = text(after),
                           .retry_after_ms = text(after_ms)};
    struct llm_result r;
    int64_t ms;

    provider("gemini")->parse(&a, &q, &r);
    ms = r.error.retry_after_ms;
    llm_result_fini(&r);
    return ms;
}

Test(llm_wait, headers_go_before_the_body)
{
    const char *body =
        "{\"error\":{\"message\":\"Please retry after 37 seconds\","
        "\"details\":[{\"retryDelay\":\"26s\"}]}}";

    cr_expect_eq(hint("100000", "7", body), 100000);
    cr_expect_eq(hint("x", "7", body), 7000);
    cr_expect_eq(hint(NULL, NULL, body), 26000);
    cr_expect_eq(hint(NULL, NULL,
                      "{\"error\":{\"message\":\"Please retry after 37 "
                      "seconds\"}}"),
                 37000);
    cr_expect_eq(hint(NULL, NULL, "{\"error\":{\"message\":\"no\"}}"), -1);
    cr_expect_eq(hint(NULL, NULL, ""), -1);
}
