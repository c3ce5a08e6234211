/* SPDX-License-Identifier: Apache-2.0 */
/* What goes to each provider, byte for byte. */
#include "protocol/llm.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define S(text) ((struct slice){text, sizeof(text) - 1})

static struct llm_http
build(const char *provider, const struct llm_query *q,
      const struct llm_deployment *d)
{
    struct llm_http h = {0};
    struct error err = {0};

    cr_assert_eq(llm_provider_find((struct slice){provider, strlen(provider)})
                     ->build(q, d, &h, &err),
                 ST_OK, "%s", err.text);
    return h;
}

static bool
has_header(const struct llm_http *h, const char *line)
{
    for (size_t i = 0; h->headers[i] != NULL; i++)
        if (strcmp(h->headers[i], line) == 0)
            return true;
    return false;
}

static struct llm_query
plain(void)
{
    struct llm_query q = LLM_QUERY_INIT;

    q.model = S("m-1");
    q.prompt = S("Say \"hi\"\n");
    q.max_tokens = 100;
    return q;
}

static const struct llm_turn turns[] = {
    {LLM_SYSTEM, {"be kind", 7}},
    {LLM_USER, {"one", 3}},
    {LLM_ASSISTANT, {"two", 3}},
    {LLM_USER, {"three", 5}},
};

static struct llm_query
talk(void)
{
    struct llm_query q = plain();

    q.turns = turns;
    q.turn_count = 4;
    q.system = S("be brief");
    q.temperature = 1.7;
    q.top_p = 0.9;
    q.seed = 7;
    return q;
}

Test(llm_build, openai_plain)
{
    struct llm_query q = plain();
    struct llm_deployment d = {.base_url = "https://api.openai.com/v1/",
                               .api_key = "sk-1"};
    struct llm_http h = build("openai", &q, &d);

    cr_assert_str_eq(h.url, "https://api.openai.com/v1/chat/completions");
    cr_assert(has_header(&h, "Authorization: Bearer sk-1"));
    cr_assert(has_header(&h, "Content-Type: application/json"));
    cr_assert_str_eq(h.body,
                     "{\"model\":\"m-1\",\"messages\":[{\"role\":\"user\","
                     "\"content\":\"Say \\\"hi\\\"\\n\"}],"
                     "\"max_completion_tokens\":100}");
    cr_assert_eq(h.body_len, strlen(h.body));
    llm_http_fini(&h);
}

Test(llm_build, a_compatible_server_gets_the_old_name_of_the_cap)
{
    struct llm_query q = talk();
    struct llm_deployment d = {.base_url = "http://localhost:11434/v1",
                               .api_key = ""};
    struct llm_http h = build("compatible", &q, &d);

    cr_assert_str_eq(
        h.body,
        "{\"model\":\"m-1\",\"messages\":[{\"role\":\"system\",\"content\":"
        "\"be brief\"},{\"role\":\"system\",\"content\":\"be kind\"},"
        "{\"role\":\"user\",\"content\":\"one\"},{\"role\":\"assistant\","
        "\"content\":\"two\"},{\"role\":\"user\",\"content\":\"three\"}],"
        "\"max_tokens\":100,\"temperature\":1.7,\"top_p\":0.9,\"seed\":7}");
    cr_assert_not(has_header(&h, "Authorization: Bearer "));
    cr_assert_null(h.headers[1]); /* no key: no key header */
    llm_http_fini(&h);
}

Test(llm_build, a_model_that_reasons_gets_room_to_think)
{
    struct llm_query q = plain();
    struct llm_deployment d = {.base_url = "http://h/v1",
                               .api_key = "",
                               .reasons = true,
                               .reasoning_allowance = 4000,
                               .tokens_param = "max_completion_tokens"};
    struct llm_http h = build("openai", &q, &d);

    cr_assert_not_null(strstr(h.body, "\"max_completion_tokens\":4100"));
    llm_http_fini(&h);
}

Test(llm_build, anthropic)
{
    struct llm_query q = talk();
    struct llm_deployment d = {.base_url = "https://api.anthropic.com/v1",
                               .api_key = "k"};
    struct llm_http h = build("anthropic", &q, &d);

    cr_assert_str_eq(h.url, "https://api.anthropic.com/v1/messages");
    cr_assert(has_header(&h, "x-api-key: k"));
    cr_assert(has_header(&h, "anthropic-version: 2023-06-01"));
    cr_assert_str_eq(
        h.body,
        "{\"model\":\"m-1\",\"system\":\"be brief\\n\\nbe kind\",\"messages\":["
        "{\"role\":\"user\",\"content\":\"one\"},{\"role\":\"assistant\","
        "\"content\":\"two\"},{\"role\":\"user\",\"content\":\"three\"}],"
        "\"max_tokens\":100,\"temperature\":1}");
    llm_http_fini(&h);
}

Test(llm_build, anthropic_always_sends_a_cap)
{
    struct llm_query q = plain();
    struct llm_deployment d = {.base_url = "http://h", .api_key = ""};
    struct llm_http h;

    q.max_tokens = -1;
    h = build("anthropic", &q, &d);
    cr_assert_not_null(strstr(h.body, "\"max_tokens\":"));
    llm_http_fini(&h);
}

Test(llm_build, gemini)
{
    struct llm_query q = talk();
    struct llm_deployment d = {.base_url = "https://g/v1beta", .api_key = "k"};
    struct llm_http h;

    q.model = S("gemini-x/../y?z");
    q.stop = json_object_new_array();
    json_object_array_add(q.stop, json_object_new_string("END"));
    h = build("gemini", &q, &d);
    cr_assert_str_eq(h.url, "https://g/v1beta/models/"
                            "gemini-x%2F..%2Fy%3Fz:generateContent");
    cr_assert(has_header(&h, "x-goog-api-key: k"));
    cr_assert_str_eq(
        h.body,
        "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"one\"}]},"
        "{\"role\":\"model\",\"parts\":[{\"text\":\"two\"}]},"
        "{\"role\":\"user\",\"parts\":[{\"text\":\"three\"}]}],"
        "\"systemInstruction\":{\"parts\":[{\"text\":\"be brief\\n\\nbe "
        "kind\"}]},\"generationConfig\":{\"maxOutputTokens\":100,"
        "\"temperature\":1.7,\"topP\":0.9,\"seed\":7,"
        "\"stopSequences\":[\"END\"]}}");
    json_object_put(q.stop);
    llm_http_fini(&h);
}

Test(llm_build, palm_takes_text_or_turns)
{
    struct llm_query text = plain(), chat = talk();
    struct llm_deployment d = {.base_url = "https://g/v1beta2", .api_key = ""};
    struct llm_http h = build("palm", &text, &d);

    cr_assert_str_eq(h.url, "https://g/v1beta2/models/m-1:generateText");
    cr_assert_str_eq(h.body, "{\"prompt\":{\"text\":\"Say \\\"hi\\\"\\n\"},"
                             "\"maxOutputTokens\":100}");
    llm_http_fini(&h);
    h = build("palm", &chat, &d);
    cr_assert_str_eq(h.url, "https://g/v1beta2/models/m-1:generateMessage");
    cr_assert_str_eq(h.body,
                     "{\"prompt\":{\"context\":\"be brief\\n\\nbe kind\","
                     "\"messages\":[{\"author\":\"0\",\"content\":\"one\"},"
                     "{\"author\":\"1\",\"content\":\"two\"},"
                     "{\"author\":\"0\",\"content\":\"three\"}]},"
                     "\"temperature\":1,\"topP\":0.9}");
    llm_http_fini(&h);
}

Test(llm_build, text_generation_refuses_the_ends_of_ranges)
{
    struct llm_query q = plain();
    struct llm_deployment d = {.base_url = "https://h/models/{model}",
                               .api_key = "hf_1"};
    struct llm_http h;

    q.model = S("org/na me");
    q.system = S("sys");
    q.temperature = 0;
    q.top_p = 1;
    h = build("tgi", &q, &d);
    cr_assert_str_eq(h.url, "https://h/models/org/na%20me");
    cr_assert(has_header(&h, "Authorization: Bearer hf_1"));
    cr_assert_str_eq(
        h.body, "{\"inputs\":\"sys\\n\\nSay \\\"hi\\\"\\n\",\"parameters\":"
                "{\"return_full_text\":false,\"details\":true,"
                "\"max_new_tokens\":100,\"do_sample\":false}}");
    llm_http_fini(&h);
}

/* Rather than sent without what did not fit. */
Test(llm_build, too_long_a_text_is_refused)
{
    const size_t size = 65 << 20;
    char *big = malloc(size);
    struct llm_deployment d = {.base_url = "http://h", .api_key = ""};
    const struct llm_provider *p;

    cr_assert_not_null(big);
    memset(big, 'a', size);
    for (size_t i = 0; (p = llm_provider_at(i)) != NULL; i++) {
        struct llm_query q = plain();
        struct llm_http h = {0};

        q.system = (struct slice){big, size};
        cr_expect_eq(p->build(&q, &d, &h, NULL), ST_TOOBIG, "%s", p->name);
        cr_expect_null(h.url, "%s", p->name);
    }
    free(big);
}

Test(llm_build, a_key_cannot_add_a_header_and_is_not_shown)
{
    struct llm_query q = plain();
    struct llm_deployment d = {.base_url = "http://h",
                               .api_key = "secret\r\nX-Evil: 1"};
    const struct llm_provider *p;

    for (size_t i = 0; (p = llm_provider_at(i)) != NULL; i++) {
        struct llm_http h = {0};
        struct error err = {0};

        cr_expect_eq(p->build(&q, &d, &h, &err), ST_INVALID, "%s", p->name);
        cr_expect_null(strstr(err.text, "secret"), "%s", err.text);
        cr_expect_null(h.url, "%s", p->name);
    }
}
