/* SPDX-License-Identifier: Apache-2.0 */
/* Google's Gemini API: generateContent. */
#include <stdlib.h>
#include <string.h>

#include "protocol/llm_codec.h"

static void
add_content(struct buf *b, const char *key, const char *role, struct slice text)
{
    llm_open(b, key, '{');
    if (role != NULL)
        llm_add_str(b, "role", slice_of(role));
    llm_open(b, "parts", '[');
    llm_open(b, NULL, '{');
    llm_add_str(b, "text", text);
    llm_shut(b, '}');
    llm_shut(b, ']');
    llm_shut(b, '}');
}

static void
add_contents(struct buf *b, const struct llm_query *q)
{
    struct llm_turn one;
    size_t n;
    const struct llm_turn *turn = llm_turns(q, &one, &n);

    llm_open(b, "contents", '[');
    for (size_t i = 0; i < n; i++)
        if (turn[i].role != LLM_SYSTEM)
            add_content(b, NULL, turn[i].role == LLM_USER ? "user" : "model",
                        turn[i].text);
    llm_shut(b, ']');
}

static void
add_config(struct buf *b, const struct llm_query *q,
           const struct llm_deployment *d)
{
    int64_t cap = llm_wire_cap(q, d);

    llm_open(b, "generationConfig", '{');
    if (cap > 0)
        llm_add_int(b, "maxOutputTokens", cap);
    llm_add_num(b, "temperature", llm_clamp(q->temperature, 0, 2));
    llm_add_num(b, "topP", llm_clamp(q->top_p, 0, 1));
    if (q->top_k > 0)
        llm_add_int(b, "topK", q->top_k);
    llm_add_num(b, "presencePenalty", llm_clamp(q->presence_penalty, -2, 2));
    llm_add_num(b, "frequencyPenalty", llm_clamp(q->frequency_penalty, -2, 2));
    if (q->seed != INT64_MIN)
        llm_add_int(b, "seed", q->seed);
    if (q->stop != NULL)
        llm_add_json(b, "stopSequences", q->stop);
    if (q->want_json)
        llm_add_str(b, "responseMimeType", slice_of("application/json"));
    if (q->reasoning_effort.ptr != NULL) {
        llm_open(b, "thinkingConfig", '{');
        llm_add_str(b, "thinkingLevel", q->reasoning_effort);
        llm_shut(b, '}');
    }
    llm_shut(b, '}');
}

/* The key goes into a header: in the URL it would land in logs. */
static enum status
begin(const struct llm_query *q, const struct llm_deployment *d,
      struct llm_http *out, struct error *err)
{
    char *name = NULL;
    struct buf b;
    enum status st;

    buf_init(&b, 1024);
    llm_add_escaped(&b, q->model, false);
    st = buf_take(&b, &name, NULL);
    if (st != ST_OK)
        return error_set(err, st, "the model's name is too long");
    st =
        llm_http_url(out, d->base_url, err, "/models/%s:generateContent", name);
    if (st == ST_OK)
        st = llm_http_header(out, err, "Content-Type: application/json");
    if (st == ST_OK && d->api_key[0] != '\0')
        st = llm_http_header(out, err, "x-goog-api-key: %s", d->api_key);
    free(name);
    return st;
}

static enum status
build(const struct llm_query *q, const struct llm_deployment *d,
      struct llm_http *out, struct error *err)
{
    struct buf b, system;
    enum status st;

    buf_init(&b, LLM_BODY_MAX);
    buf_init(&system, LLM_BODY_MAX);
    st = begin(q, d, out, err);
    if (st != ST_OK)
        goto out;
    llm_open(&b, NULL, '{');
    add_contents(&b, q);
    if (llm_add_system(&system, q))
        add_content(&b, "systemInstruction", NULL,
                    (struct slice){system.data, system.len});
    add_config(&b, q, d);
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

static enum llm_finish
read_finish(struct slice s)
{
    static const struct llm_ending endings[] = {
        {"STOP", LLM_FIN_STOP},        {"MAX_TOKENS", LLM_FIN_LENGTH},
        {"SAFETY", LLM_FIN_FILTER},    {"RECITATION", LLM_FIN_FILTER},
        {"BLOCKLIST", LLM_FIN_FILTER}, {"PROHIBITED_CONTENT", LLM_FIN_FILTER},
        {"SPII", LLM_FIN_FILTER},      {.name = NULL},
    };

    if (s.len > 6 && memcmp(s.ptr, "IMAGE_", 6) == 0)
        return LLM_FIN_FILTER;
    return llm_finish_of(endings, s);
}

/* The text of all parts but the model's thoughts.  Content and parts may both
 * be missing in a good answer. */
static void
read_parts(struct json_object *parts, struct llm_result *out)
{
    struct json_object *part;
    struct buf text;
    bool any = false;

    buf_init(&text, SIZE_MAX);
    for (size_t i = 0; (part = llm_element(parts, i)) != NULL; i++) {
        struct slice s = json_get_str(part, "text");

        if (json_get(part, "functionCall") != NULL)
            out->finish = LLM_FIN_TOOL;
        if (s.ptr == NULL || json_get_bool(part, "thought", false))
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
    int64_t visible = llm_count(u, "candidatesTokenCount");

    out->prompt_tokens = llm_count(u, "promptTokenCount");
    out->total_tokens = llm_count(u, "totalTokenCount");
    out->cached_tokens = llm_count(u, "cachedContentTokenCount");
    out->reasoning_tokens = llm_count(u, "thoughtsTokenCount");
    if (visible < 0 && out->reasoning_tokens < 0)
        return;
    out->completion_tokens =
        (visible > 0 ? visible : 0) +
        (out->reasoning_tokens > 0 ? out->reasoning_tokens : 0);
}

static void
parse(const struct llm_answer *a, const struct llm_query *q,
      struct llm_result *out)
{
    struct json_object *doc = llm_read(a, out), *candidate;

    if (doc == NULL)
        return;
    llm_copy(out->model_used, sizeof(out->model_used),
             json_get_str(doc, "modelVersion"));
    read_usage(json_get(doc, "usageMetadata"), &out->usage);
    candidate = llm_element(json_get(doc, "candidates"), 0);
    if (candidate == NULL) {
        if (json_get(json_get(doc, "promptFeedback"), "blockReason") != NULL)
            llm_fail(out, LLM_E_CONTENT_FILTER,
                     "the provider's content filter blocked the prompt");
        else
            llm_fail(out, LLM_E_BAD_RESPONSE, "the answer has no candidates");
        goto out;
    }
    out->finish = read_finish(json_get_str(candidate, "finishReason"));
    read_parts(json_get(json_get(candidate, "content"), "parts"), out);
    llm_settle(out, q);
out:
    json_object_put(doc);
}

const struct llm_provider llm_gemini = {
    .name = "gemini", .build = build, .parse = parse};
