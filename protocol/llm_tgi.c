/* SPDX-License-Identifier: Apache-2.0 */
/* Classic text generation: Hugging Face's Inference API, its dedicated
 * endpoints and the Text Generation Inference server.  A base URL with
 * "{model}" in it gets the model's name there; without, the server has one
 * model. */
#include <stdlib.h>
#include <string.h>

#include "protocol/llm_codec.h"

static const char placeholder[] = "{model}";

static enum status
set_url(const struct llm_query *q, const struct llm_deployment *d,
        struct llm_http *out, struct error *err)
{
    const char *at = strstr(d->base_url, placeholder);
    char *base = NULL;
    struct buf b;
    enum status st;

    if (at == NULL)
        return llm_http_url(out, d->base_url, err, "/");
    buf_init(&b, 4096);
    buf_add(&b, (struct slice){d->base_url, (size_t)(at - d->base_url)});
    llm_add_escaped(&b, q->model, true);
    buf_add(&b, slice_of(at + strlen(placeholder)));
    st = buf_take(&b, &base, NULL);
    if (st != ST_OK)
        return error_set(err, st, "the model's name is too long");
    st = llm_http_url(out, base, err, "%s", "");
    free(base);
    return st;
}

/* These servers refuse the ends of the ranges: temperature 0 means greedy, and
 * top_p 1 means nothing. */
static void
add_parameters(struct buf *b, const struct llm_query *q,
               const struct llm_deployment *d)
{
    int64_t cap = llm_wire_cap(q, d);

    llm_open(b, "parameters", '{');
    llm_add_bool(b, "return_full_text", false);
    llm_add_bool(b, "details", true);
    if (cap > 0)
        llm_add_int(b, "max_new_tokens", cap);
    if (q->temperature > 0)
        llm_add_num(b, "temperature", q->temperature);
    if (q->temperature <= 0)
        llm_add_bool(b, "do_sample", false);
    else if (q->temperature > 0 || q->top_p < 1 || q->top_k > 0)
        llm_add_bool(b, "do_sample", true);
    if (q->top_p > 0 && q->top_p < 1)
        llm_add_num(b, "top_p", q->top_p);
    if (q->top_k > 0)
        llm_add_int(b, "top_k", q->top_k);
    if (q->seed >= 0)
        llm_add_int(b, "seed", q->seed);
    if (q->stop != NULL)
        llm_add_json(b, "stop", q->stop);
    llm_shut(b, '}');
}

static enum status
build(const struct llm_query *q, const struct llm_deployment *d,
      struct llm_http *out, struct error *err)
{
    struct buf b, text;
    enum status st;

    buf_init(&b, LLM_BODY_MAX);
    buf_init(&text, LLM_BODY_MAX);
    st = set_url(q, d, out, err);
    if (st == ST_OK)
        st = llm_http_header(out, err, "Content-Type: application/json");
    if (st == ST_OK && d->api_key[0] != '\0')
        st = llm_http_header(out, err, "Authorization: Bearer %s", d->api_key);
    if (st != ST_OK)
        goto out;
    llm_add_flat_prompt(&text, q);
    llm_open(&b, NULL, '{');
    llm_add_str(&b, "inputs", (struct slice){text.data, text.len});
    add_parameters(&b, q, d);
    llm_shut(&b, '}');
    b.failed |= text.failed;
    st = llm_http_body(out, &b, err);
out:
    buf_fini(&text);
    buf_fini(&b);
    if (st != ST_OK)
        llm_http_fini(out);
    return st;
}

static void
read_details(struct json_object *details, struct llm_result *out)
{
    struct slice s = json_get_str(details, "finish_reason");
    struct json_object *prefill = json_get(details, "prefill");

    /* Without details there is no reason: a text that came has ended. */
    out->finish = slice_is(s, "length") ? LLM_FIN_LENGTH : LLM_FIN_STOP;
    out->usage.completion_tokens = llm_count(details, "generated_tokens");
    if (json_object_is_type(prefill, json_type_array) &&
        json_object_array_length(prefill) > 0)
        out->usage.prompt_tokens = (int64_t)json_object_array_length(prefill);
}

static void
parse(const struct llm_answer *a, const struct llm_query *q,
      struct llm_result *out)
{
    struct json_object *doc = llm_read(a, out), *one;
    struct slice s;
    struct buf text;

    if (doc == NULL)
        return;
    one = json_object_is_type(doc, json_type_array) ? llm_element(doc, 0) : doc;
    s = json_get_str(one, "generated_text");
    if (s.ptr == NULL) {
        llm_fail(out, LLM_E_BAD_RESPONSE, "the answer has no generated_text");
        goto out;
    }
    buf_init(&text, SIZE_MAX);
    buf_add(&text, s);
    llm_set_text(out, &text);
    read_details(json_get(one, "details"), out);
    llm_settle(out, q);
out:
    json_object_put(doc);
}

const struct llm_provider llm_tgi = {
    .name = "tgi", .build = build, .parse = parse};
