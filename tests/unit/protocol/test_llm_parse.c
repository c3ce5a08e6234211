/* SPDX-License-Identifier: Apache-2.0 */
/* Reading good and odd answers of all providers. */
#include "protocol/llm.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct llm_result
parse(const char *name, const char *body)
{
    struct llm_query q = LLM_QUERY_INIT;
    struct llm_answer a = {.http_status = 200, .body = {body, strlen(body)}};
    struct llm_result r;

    q.prompt = (struct slice){"12345678", 8};
    llm_provider_find((struct slice){name, strlen(name)})->parse(&a, &q, &r);
    return r;
}

static const struct {
    const char *provider, *body;
    const char *text; /* NULL: an error */
    enum llm_finish finish;
    enum llm_error_class cls;
} cases[] = {
    /* OpenAI's format */
    {"openai",
     "{\"choices\":[{\"finish_reason\":\"stop\",\"message\":"
     "{\"content\":\"Hello\",\"refusal\":null}}]}",
     "Hello", LLM_FIN_STOP, 0},
    {"openai",
     "{\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"content\":["
     "{\"type\":\"text\",\"text\":\"Hel\"},{\"type\":\"text\",\"text\":\"lo\"}"
     "]}}]}",
     "Hello", LLM_FIN_STOP, 0},
    {"openai",
     "{\"choices\":[{\"finish_reason\":\"tool_calls\",\"message\":"
     "{\"content\":null,\"tool_calls\":[]}}]}",
     "", LLM_FIN_TOOL, 0},
    {"openai",
     "{\"choices\":[{\"finish_reason\":\"length\",\"message\":"
     "{\"content\":\"\"}}]}",
     "", LLM_FIN_LENGTH, 0},
    {"openai",
     "{\"choices\":[{\"finish_reason\":\"stop\",\"message\":"
     "{\"content\":null,\"refusal\":\"I cannot\"}}]}",
     "I cannot", LLM_FIN_REFUSAL, 0},
    {"openai",
     "{\"choices\":[{\"finish_reason\":\"content_filter\",\"message\":"
     "{\"content\":\"par\"}}]}",
     "par", LLM_FIN_FILTER, 0},
    {"openai",
     "{\"choices\":[{\"finish_reason\":\"content_filter\",\"message\":"
     "{\"content\":\"\"}}]}",
     NULL, 0, LLM_E_CONTENT_FILTER},
    {"openai",
     "{\"choices\":[{\"finish_reason\":\"new_thing\",\"message\":"
     "{\"content\":\"x\"}}]}",
     "x", LLM_FIN_UNKNOWN, 0},
    {"openai", "{\"choices\":[{\"finish_reason\":\"stop\",\"text\":\"old\"}]}",
     "old", LLM_FIN_STOP, 0},
    {"openai", "{\"choices\":[]}", NULL, 0, LLM_E_BAD_RESPONSE},
    {"openai", "{\"choices\":[{\"message\":{\"content\":null}}]}", NULL, 0,
     LLM_E_BAD_RESPONSE},
    {"openai", "{\"choices\":{\"a\":1}}", NULL, 0, LLM_E_BAD_RESPONSE},
    {"openai", "{\"choices\":[7]}", NULL, 0, LLM_E_BAD_RESPONSE},
    {"openai", "[1,2]", NULL, 0, LLM_E_BAD_RESPONSE},
    {"openai", "null", NULL, 0, LLM_E_BAD_RESPONSE},
    {"openai", "", NULL, 0, LLM_E_BAD_RESPONSE},
    {"openai", "<html>", NULL, 0, LLM_E_BAD_RESPONSE},
    {"openai", "{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}", NULL, 0,
     LLM_E_BAD_RESPONSE},
    /* Anthropic */
    {"anthropic",
     "{\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\"},"
     "{\"type\":\"text\",\"text\":\"Hel\"},{\"type\":\"text\",\"text\":\"lo\"}]"
     ",\"stop_reason\":\"end_turn\"}",
     "Hello", LLM_FIN_STOP, 0},
    {"anthropic", "{\"content\":[],\"stop_reason\":\"max_tokens\"}", "",
     LLM_FIN_LENGTH, 0},
    {"anthropic", "{\"content\":[],\"stop_reason\":\"refusal\"}", "",
     LLM_FIN_REFUSAL, 0},
    {"anthropic", "{\"content\":[]}", NULL, 0, LLM_E_BAD_RESPONSE},
    {"anthropic", "{\"content\":\"text\"}", NULL, 0, LLM_E_BAD_RESPONSE},
    {"anthropic", "{}", NULL, 0, LLM_E_BAD_RESPONSE},
    /* Gemini */
    {"gemini",
     "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hm\","
     "\"thought\":true},{\"text\":\"Hel\"},{\"text\":\"lo\"}]},"
     "\"finishReason\":\"STOP\"}]}",
     "Hello", LLM_FIN_STOP, 0},
    {"gemini", "{\"candidates\":[{\"finishReason\":\"MAX_TOKENS\"}]}", "",
     LLM_FIN_LENGTH, 0},
    {"gemini",
     "{\"candidates\":[{\"content\":{\"role\":\"model\"},"
     "\"finishReason\":\"STOP\"}]}",
     "", LLM_FIN_STOP, 0},
    {"gemini", "{\"candidates\":[{\"finishReason\":\"SAFETY\"}]}", NULL, 0,
     LLM_E_CONTENT_FILTER},
    {"gemini", "{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}", NULL, 0,
     LLM_E_CONTENT_FILTER},
    {"gemini", "{\"usageMetadata\":{}}", NULL, 0, LLM_E_BAD_RESPONSE},
    /* PaLM */
    {"palm", "{\"candidates\":[{\"output\":\"Hello\"}]}", "Hello", LLM_FIN_STOP,
     0},
    {"palm", "{\"filters\":[{\"reason\":\"SAFETY\"}]}", NULL, 0,
     LLM_E_CONTENT_FILTER},
    {"palm", "{\"candidates\":[]}", NULL, 0, LLM_E_BAD_RESPONSE},
    /* text generation */
    {"tgi", "[{\"generated_text\":\"Hello\"}]", "Hello", LLM_FIN_STOP, 0},
    {"tgi",
     "{\"generated_text\":\"Hel\",\"details\":{\"finish_reason\":\"length\","
     "\"generated_tokens\":3,\"prefill\":[]}}",
     "Hel", LLM_FIN_LENGTH, 0},
    {"tgi", "[]", NULL, 0, LLM_E_BAD_RESPONSE},
    {"tgi", "[[]]", NULL, 0, LLM_E_BAD_RESPONSE},
};

Test(llm_parse, answers_of_all_shapes)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct llm_result r = parse(cases[i].provider, cases[i].body);

        cr_expect_eq(r.error.cls, cases[i].cls, "%s: %s", cases[i].body,
                     llm_error_name(r.error.cls));
        if (cases[i].text == NULL) {
            cr_expect_null(r.text, "%s", cases[i].body);
        } else {
            cr_expect_not_null(r.text, "%s", cases[i].body);
            cr_expect(r.text != NULL && strcmp(r.text, cases[i].text) == 0,
                      "%s: %s", cases[i].body, r.text);
            cr_expect_eq(r.finish, cases[i].finish, "%s", cases[i].body);
        }
        llm_result_fini(&r);
    }
}

Test(llm_parse, openai_usage_with_its_details)
{
    struct llm_result r = parse(
        "openai", "{\"model\":\"gpt-x-2026\",\"choices\":[{\"finish_reason\":"
                  "\"length\",\"message\":{\"content\":\"\"}}],\"usage\":{"
                  "\"prompt_tokens\":19,\"completion_tokens\":100,"
                  "\"total_tokens\":119,\"prompt_tokens_details\":{"
                  "\"cached_tokens\":3},\"completion_tokens_details\":{"
                  "\"reasoning_tokens\":100}}}");

    cr_assert_eq(r.usage.prompt_tokens, 19);
    cr_assert_eq(r.usage.completion_tokens, 100);
    cr_assert_eq(r.usage.total_tokens, 119);
    cr_assert_eq(r.usage.cached_tokens, 3);
    cr_assert_eq(r.usage.reasoning_tokens, 100);
    cr_assert_not(r.usage.estimated);
    cr_assert_str_eq(r.model_used, "gpt-x-2026");
    llm_result_fini(&r);
}

Test(llm_parse, anthropic_counts_cached_input_as_input)
{
    struct llm_result r = parse(
        "anthropic",
        "{\"content\":[{\"type\":\"text\",\"text\":\"x\"}],\"stop_reason\":"
        "\"end_turn\",\"usage\":{\"input_tokens\":10,"
        "\"cache_creation_input_tokens\":5,\"cache_read_input_tokens\":3,"
        "\"output_tokens\":6}}");

    cr_assert_eq(r.usage.prompt_tokens, 18);
    cr_assert_eq(r.usage.cached_tokens, 3);
    cr_assert_eq(r.usage.total_tokens, 24);
    cr_assert_not(r.usage.estimated);
    llm_result_fini(&r);
}

Test(llm_parse, gemini_counts_thoughts_as_output)
{
    struct llm_result r = parse(
        "gemini",
        "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]},"
        "\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":8,"
        "\"candidatesTokenCount\":20,\"thoughtsTokenCount\":33,"
        "\"totalTokenCount\":61}}");

    cr_assert_eq(r.usage.completion_tokens, 53);
    cr_assert_eq(r.usage.reasoning_tokens, 33);
    cr_assert_eq(r.usage.total_tokens, 61);
    llm_result_fini(&r);
}

Test(llm_parse, missing_usage_is_estimated_and_flagged)
{
    struct llm_result r =
        parse("palm", "{\"candidates\":[{\"output\":\"abcdefghi\"}]}");

    cr_assert(r.usage.estimated);
    cr_assert_eq(r.usage.prompt_tokens, 2);
    cr_assert_eq(r.usage.completion_tokens, 3);
    cr_assert_eq(r.usage.total_tokens, 5);
    llm_result_fini(&r);
}

Test(llm_parse, wild_counts_are_not_believed)
{
    struct llm_result r = parse(
        "openai",
        "{\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"content\":"
        "\"abcd\"}}],\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":"
        "9223372036854775807,\"total_tokens\":1e300}}");

    cr_assert(r.usage.estimated);
    cr_assert_eq(r.usage.prompt_tokens, 2);
    cr_assert_eq(r.usage.completion_tokens, 1);
    llm_result_fini(&r);
}

Test(llm_parse, a_nul_in_the_text_is_kept)
{
    struct llm_result r = parse("tgi", "[{\"generated_text\":\"a\\u0000b\"}]");

    cr_assert_eq(r.text_len, 3);
    cr_assert_arr_eq(r.text, "a\0b", 3);
    llm_result_fini(&r);
}

Test(llm_parse, a_long_model_name_is_cut_at_a_character)
{
    char body[600], name[400] = "";
    struct llm_result r;

    for (size_t i = 0; i < 150; i++)
        memcpy(name + 2 * i, "\xc3\xa9", 3);
    snprintf(body, sizeof(body),
             "{\"model\":\"x%s\",\"choices\":[{\"finish_reason\":\"stop\","
             "\"message\":{\"content\":\"t\"}}]}",
             name);
    r = parse("openai", body);
    cr_assert_eq(strlen(r.model_used), 127);
    cr_assert_eq((unsigned char)r.model_used[126], 0xa9);
    llm_result_fini(&r);
}
