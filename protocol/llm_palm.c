/* SPDX-License-Identifier: Apache-2.0 */
/* Google's PaLM API, v1beta2: generateText, and generateMessage when there are
 * turns.  Google has switched it off; servers that speak it remain.  It counts
 * no tokens and gives no finish reason. */
#include <stdlib.h>
#include <string.h>

#include "protocol/llm_codec.h"

static void
add_common(struct buf *b, const struct llm_query *q)
{
    llm_add_num(b, "temperature", llm_clamp(q->temperature, 0, 1));
    llm_add_num(b, "topP", llm_clamp(q->top_p, 0, 1));
    if (q->top_k > 0)
        llm_add_int(b, "topK", q->top_k);
}

static void
add_text_query(struct buf *b, const struct llm_query *q,
               const struct llm_deployment *d)
{
    int64_t cap = llm_wire_cap(q, d);
    struct buf text;

    buf_init(&text, LLM_BODY_MAX);
    llm_add_flat_prompt(&text, q);
    llm_open(b, "prompt", '{');
    llm_add_str(b, "text", (struct slice){text.data, text.len});
    llm_shut(b, '}');
    if (cap > 0)
        llm_add_int(b, "maxOutputTokens", cap);
    add_common(b, q);
    if (q->stop != NULL)
        llm_add_json(b, "stopSequences", q->stop);
    b->failed |= text.failed;
    buf_fini(&text);
}

/* Knows neither a cap nor stop texts. */
static void
add_chat_query(struct buf *b, const struct llm_query *q)
{
    struct buf context;

    buf_init(&context, LLM_BODY_MAX);
    llm_open(b, "prompt", '{');
    if (llm_add_system(&context, q))
        llm_add_str(b, "context", (struct slice){context.data, context.len});
    llm_open(b, "messages", '[');
    for (size_t i = 0; i < q->turn_count; i++) {
        if (q->turns[i].role == LLM_SYSTEM)
            continue;
        llm_open(b, NULL, '{');
        llm_add_str(b, "author",
                    slice_of(q->turns[i].role == LLM_USER ? "0" : "1"));
        llm_add_str(b, "content", q->turns[i].text);
        llm_shut(b, '}');
    }
    llm_shut(b, ']');
    llm_shut(b, '}');
    add_common(b, q);
    b->failed |= context.failed;
    buf_fini(&context);
}

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
    st = llm_http_url(out, d->base_url, err, "/models/%s:%s", name,
                      q->turn_count > 0 ? "generateMessage" : "generateText");
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
    struct buf b;
    enum status st;

    buf_init(&b, LLM_BODY_MAX);
    st = begin(q, d, out, err);
    if (st != ST_OK)
        goto out;
    llm_open(&b, NULL, '{');
    if (q->turn_count > 0)
        add_chat_query(&b, q);
    else
        add_text_query(&b, q, d);
    llm_shut(&b, '}');
    st = llm_http_body(out, &b, err);
out:
    buf_fini(&b);
    if (st != ST_OK)
        llm_http_fini(out);
    return st;
}

static void
parse(const struct llm_answer *a, const struct llm_query *q,
      struct llm_result *out)
{
    struct json_object *doc = llm_read(a, out), *candidate;
    struct slice s;
    struct buf text;

    if (doc == NULL)
        return;
    candidate = llm_element(json_get(doc, "candidates"), 0);
    s = json_get_str(candidate, q->turn_count > 0 ? "content" : "output");
    if (s.ptr == NULL) {
        if (llm_element(json_get(doc, "filters"), 0) != NULL)
            llm_fail(out, LLM_E_CONTENT_FILTER,
                     "the provider's content filter blocked the answer");
        else
            llm_fail(out, LLM_E_BAD_RESPONSE, "the answer has no candidates");
        goto out;
    }
    buf_init(&text, SIZE_MAX);
    buf_add(&text, s);
    llm_set_text(out, &text);
    out->finish = LLM_FIN_STOP;
    llm_settle(out, q);
out:
    json_object_put(doc);
}

const struct llm_provider llm_palm = {
    .name = "palm", .build = build, .parse = parse};
