/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's chat completions, and every server that speaks them. */
#include <string.h>

#include "protocol/llm_codec.h"

const char *
llm_tokens_param(const struct llm_deployment *d)
{
    if (d->tokens_param != NULL)
        return d->tokens_param;
    /* OpenAI itself deprecates "max_tokens"; compatible servers may know
     * nothing else, and would ignore the new name. */
    return strstr(d->base_url, "://api.openai.com") != NULL
               ? "max_completion_tokens"
               : "max_tokens";
}

static void
add_message(struct buf *b, const char *role, struct slice text)
{
    llm_open(b, NULL, '{');
    llm_add_str(b, "role", slice_of(role));
    llm_add_str(b, "content", text);
    llm_shut(b, '}');
}

static void
add_messages(struct buf *b, const struct llm_query *q)
{
    static const char *const roles[] = {[LLM_SYSTEM] = "system",
                                        [LLM_USER] = "user",
                                        [LLM_ASSISTANT] = "assistant"};
    struct llm_turn one;
    size_t n;
    const struct llm_turn *turn = llm_turns(q, &one, &n);

    llm_open(b, "messages", '[');
    if (q->system.ptr != NULL)
        add_message(b, "system", q->system);
    for (size_t i = 0; i < n; i++)
        add_message(b, roles[turn[i].role], turn[i].text);
    llm_shut(b, ']');
}

static void
add_options(struct buf *b, const struct llm_query *q,
            const struct llm_deployment *d)
{
    int64_t cap = llm_wire_cap(q, d);

    if (cap > 0)
        llm_add_int(b, llm_tokens_param(d), cap);
    llm_add_num(b, "temperature", llm_clamp(q->temperature, 0, 2));
    llm_add_num(b, "top_p", llm_clamp(q->top_p, 0, 1));
    llm_add_num(b, "presence_penalty", llm_clamp(q->presence_penalty, -2, 2));
    llm_add_num(b, "frequency_penalty", llm_clamp(q->frequency_penalty, -2, 2));
    if (q->seed != INT64_MIN)
        llm_add_int(b, "seed", q->seed);
    if (q->stop != NULL)
        llm_add_json(b, "stop", q->stop);
    if (q->reasoning_effort.ptr != NULL)
        llm_add_str(b, "reasoning_effort", q->reasoning_effort);
    if (q->want_json) {
        llm_open(b, "response_format", '{');
        llm_add_str(b, "type", slice_of("json_object"));
        llm_shut(b, '}');
    }
}

enum status
llm_openai_build(const struct llm_query *q, const struct llm_deployment *d,
                 struct llm_http *out, struct error *err)
{
    struct buf b;
    enum status st;

    buf_init(&b, LLM_BODY_MAX);
    st = llm_http_url(out, d->base_url, err, "/chat/completions");
    if (st != ST_OK)
        goto out;
    st = llm_http_header(out, err, "Content-Type: application/json");
    if (st != ST_OK)
        goto out;
    if (d->api_key[0] != '\0') {
        st = llm_http_header(out, err, "Authorization: Bearer %s", d->api_key);
        if (st != ST_OK)
            goto out;
    }
    llm_open(&b, NULL, '{');
    llm_add_str(&b, "model", q->model);
    add_messages(&b, q);
    add_options(&b, q, d);
    llm_shut(&b, '}');
    st = llm_http_body(out, &b, err);
out:
    buf_fini(&b);
    if (st != ST_OK)
        llm_http_fini(out);
    return st;
}

/* A text, or an array of parts of which those of type "text" count. */
static bool
read_content(struct json_object *content, struct llm_result *out)
{
    struct json_object *part;
    struct buf text;
    bool any = false;

    buf_init(&text, SIZE_MAX);
    if (json_object_is_type(content, json_type_string)) {
        buf_add(&text, json_str(content));
        any = true;
    }
    for (size_t i = 0; (part = llm_element(content, i)) != NULL; i++) {
        struct slice s = json_get_str(part, "text");

        if (s.ptr != NULL) {
            buf_add(&text, s);
            any = true;
        }
    }
    if (any)
        llm_set_text(out, &text);
    buf_fini(&text);
    return any;
}

static const struct llm_ending endings[] = {
    {"stop", LLM_FIN_STOP},
    {"eos", LLM_FIN_STOP}, /* some hosts behind routers */
    {"length", LLM_FIN_LENGTH},
    {"tool_calls", LLM_FIN_TOOL},
    {"function_call", LLM_FIN_TOOL},
    {"content_filter", LLM_FIN_FILTER},
    {.name = NULL},
};

static void
read_usage(struct json_object *u, struct llm_usage *out)
{
    out->prompt_tokens = llm_count(u, "prompt_tokens");
    out->completion_tokens = llm_count(u, "completion_tokens");
    out->total_tokens = llm_count(u, "total_tokens");
    out->cached_tokens =
        llm_count(json_get(u, "prompt_tokens_details"), "cached_tokens");
    out->reasoning_tokens =
        llm_count(json_get(u, "completion_tokens_details"), "reasoning_tokens");
}

static void
read_choice(struct json_object *choice, struct llm_result *out)
{
    struct json_object *message = json_get(choice, "message");
    struct json_object *refusal = json_get(message, "refusal");

    out->finish = llm_finish_of(endings, json_get_str(choice, "finish_reason"));
    if (read_content(json_get(message, "content"), out) && out->text_len > 0)
        return;
    if (read_content(refusal, out) && out->text_len > 0) {
        out->finish = LLM_FIN_REFUSAL;
        return;
    }
    /* The legacy shape, which some compatible servers mix in. */
    if (message == NULL)
        read_content(json_get(choice, "text"), out);
}

void
llm_openai_parse(const struct llm_answer *a, const struct llm_query *q,
                 struct llm_result *out)
{
    struct json_object *doc = llm_read(a, out), *choice;

    if (doc == NULL)
        return;
    llm_copy(out->model_used, sizeof(out->model_used),
             json_get_str(doc, "model"));
    read_usage(json_get(doc, "usage"), &out->usage);
    choice = llm_element(json_get(doc, "choices"), 0);
    if (choice == NULL) {
        llm_fail(out, LLM_E_BAD_RESPONSE, "the answer has no choices");
        goto out;
    }
    read_choice(choice, out);
    llm_settle(out, q);
out:
    json_object_put(doc);
}

const struct llm_provider llm_openai = {
    .name = "openai", .build = llm_openai_build, .parse = llm_openai_parse};

const struct llm_provider llm_compatible = {
    .name = "compatible", .build = llm_openai_build, .parse = llm_openai_parse};
