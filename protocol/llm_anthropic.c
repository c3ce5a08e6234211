/* SPDX-License-Identifier: Apache-2.0 */
/* Anthropic's Messages API. */
#include <string.h>

#include "protocol/llm_codec.h"

enum { DEFAULT_CAP = 4096 /* the API demands one */ };

static void
add_messages(struct buf *b, const struct llm_query *q)
{
    struct llm_turn one;
    size_t n;
    const struct llm_turn *turn = llm_turns(q, &one, &n);

    llm_open(b, "messages", '[');
    for (size_t i = 0; i < n; i++) {
        if (turn[i].role == LLM_SYSTEM)
            continue;
        llm_open(b, NULL, '{');
        llm_add_str(b, "role",
                    slice_of(turn[i].role == LLM_USER ? "user" : "assistant"));
        llm_add_str(b, "content", turn[i].text);
        llm_shut(b, '}');
    }
    llm_shut(b, ']');
}

static void
add_options(struct buf *b, const struct llm_query *q,
            const struct llm_deployment *d)
{
    int64_t cap = llm_wire_cap(q, d);

    llm_add_int(b, "max_tokens", cap > 0 ? cap : DEFAULT_CAP);
    /* Current models refuse both at once. */
    if (!isnan(q->temperature))
        llm_add_num(b, "temperature", llm_clamp(q->temperature, 0, 1));
    else
        llm_add_num(b, "top_p", llm_clamp(q->top_p, 0, 1));
    if (q->top_k > 0)
        llm_add_int(b, "top_k", q->top_k);
    if (q->stop != NULL)
        llm_add_json(b, "stop_sequences", q->stop);
    if (q->reasoning_effort.ptr != NULL) {
        llm_open(b, "output_config", '{');
        llm_add_str(b, "effort", q->reasoning_effort);
        llm_shut(b, '}');
    }
}

static enum status
build(const struct llm_query *q, const struct llm_deployment *d,
      struct llm_http *out, struct error *err)
{
    struct buf b, system;
    enum status st;

    buf_init(&b, LLM_BODY_MAX);
    buf_init(&system, LLM_BODY_MAX);
    st = llm_http_url(out, d->base_url, err, "/messages");
    if (st == ST_OK)
        st = llm_http_header(out, err, "Content-Type: application/json");
    if (st == ST_OK)
        st = llm_http_header(out, err, "anthropic-version: 2023-06-01");
    if (st == ST_OK && d->api_key[0] != '\0')
        st = llm_http_header(out, err, "x-api-key: %s", d->api_key);
    if (st != ST_OK)
        goto out;
    llm_open(&b, NULL, '{');
    llm_add_str(&b, "model", q->model);
    if (llm_add_system(&system, q))
        llm_add_str(&b, "system", (struct slice){system.data, system.len});
    add_messages(&b, q);
    add_options(&b, q, d);
    llm_shut(&b, '}');
    b.failed |= system.failed;
    st = llm_http_body(out, &b, err);
out:
    buf_fini(&system);
    buf_fini(&b);
    if (st != ST_OK)
        llm_http_fini(out);
    return st;
}

static const struct llm_ending endings[] = {
    {"end_turn", LLM_FIN_STOP},
    {"stop_sequence", LLM_FIN_STOP},
    {"max_tokens", LLM_FIN_LENGTH},
    {"model_context_window_exceeded", LLM_FIN_LENGTH},
    {"tool_use", LLM_FIN_TOOL},
    {"pause_turn", LLM_FIN_TOOL},
    {"refusal", LLM_FIN_REFUSAL},
    {.name = NULL},
};

/* All blocks of type "text"; the others are thinking and tools. */
static void
read_content(struct json_object *content, struct llm_result *out)
{
    struct json_object *block;
    struct buf text;
    bool any = false;

    buf_init(&text, SIZE_MAX);
    for (size_t i = 0; (block = llm_element(content, i)) != NULL; i++) {
        struct slice type = json_get_str(block, "type");
        struct slice s = json_get_str(block, "text");

        if (!slice_is(type, "text") || s.ptr == NULL)
            continue;
        buf_add(&text, s);
        any = true;
    }
    if (any)
        llm_set_text(out, &text);
    buf_fini(&text);
}

static void
read_usage(struct json_object *u, struct llm_usage *out)
{
    int64_t input = llm_count(u, "input_tokens");
    int64_t written = llm_count(u, "cache_creation_input_tokens");

    out->cached_tokens = llm_count(u, "cache_read_input_tokens");
    out->completion_tokens = llm_count(u, "output_tokens");
    if (input < 0)
        return;
    out->prompt_tokens = input + (written > 0 ? written : 0) +
                         (out->cached_tokens > 0 ? out->cached_tokens : 0);
}

static void
parse(const struct llm_answer *a, const struct llm_query *q,
      struct llm_result *out)
{
    struct json_object *doc = llm_read(a, out), *content;

    if (doc == NULL)
        return;
    llm_copy(out->model_used, sizeof(out->model_used),
             json_get_str(doc, "model"));
    content = json_get(doc, "content");
    if (!json_object_is_type(content, json_type_array)) {
        llm_fail(out, LLM_E_BAD_RESPONSE, "the answer has no content");
        goto out;
    }
    out->finish = llm_finish_of(endings, json_get_str(doc, "stop_reason"));
    read_content(content, out);
    read_usage(json_get(doc, "usage"), &out->usage);
    llm_settle(out, q);
out:
    json_object_put(doc);
}

const struct llm_provider llm_anthropic = {
    .name = "anthropic", .build = build, .parse = parse};
