/* SPDX-License-Identifier: Apache-2.0 */
/* Reading answers: what the provider codecs share. */
#include <stdlib.h>
#include <string.h>

#include "protocol/llm_codec.h"

/* True for the objects with which providers tell an error, whatever the HTTP
 * status: a member "error" that is not null. */
static bool
tells_error(struct json_object *doc)
{
    if (json_object_is_type(doc, json_type_array))
        doc = llm_element(doc, 0);
    return json_get(doc, "error") != NULL;
}

struct json_object *
llm_read(const struct llm_answer *a, struct llm_result *out)
{
    struct json_object *doc = NULL;
    bool good = a->http_status >= 200 && a->http_status < 300;
    enum status st;

    *out = (struct llm_result){
        .usage = {-1, -1, -1, -1, -1, false},
        .finish = LLM_FIN_UNKNOWN,
        .error = {.http_status = a->http_status, .retry_after_ms = -1},
    };
    llm_copy(out->request_id, sizeof(out->request_id), a->request_id);
    st = json_parse(a->body, LLM_JSON_DEPTH, &doc, NULL);
    if (good && st == ST_NOMEM) {
        llm_fail(out, LLM_E_SERVER, "out of memory while reading the answer");
        return NULL;
    }
    if (good && (st != ST_OK || doc == NULL)) {
        llm_fail(out, LLM_E_BAD_RESPONSE, "the answer is not valid JSON");
        return NULL;
    }
    if (good && !tells_error(doc))
        return doc;
    llm_error_read(a, doc, &out->error);
    json_object_put(doc);
    return NULL;
}

void
llm_fail(struct llm_result *out, enum llm_error_class cls, const char *message)
{
    free(out->text);
    out->text = NULL;
    out->text_len = 0;
    out->error.cls = cls;
    llm_copy(out->error.message, sizeof(out->error.message), slice_of(message));
}

void
llm_set_text(struct llm_result *out, struct buf *text)
{
    free(out->text);
    out->text = NULL;
    if (buf_take(text, &out->text, &out->text_len) != ST_OK)
        llm_fail(out, LLM_E_SERVER, "out of memory while reading the answer");
}

struct json_object *
llm_element(struct json_object *arr, size_t i)
{
    if (!json_object_is_type(arr, json_type_array) ||
        i >= json_object_array_length(arr))
        return NULL;
    return json_object_array_get_idx(arr, i);
}

int64_t
llm_count(struct json_object *obj, const char *key)
{
    int64_t n = json_get_int(obj, key, -1);

    /* No model has ever counted a trillion tokens; a wild number must not
     * overflow the sums made of it. */
    return n < 0 || n > 1000000000000 ? -1 : n;
}

void
llm_copy(char *out, size_t size, struct slice s)
{
    size_t n = s.len < size - 1 ? s.len : size - 1;

    /* Not inside a character: 10xxxxxx continues one. */
    while (n > 0 && n < s.len && ((unsigned char)s.ptr[n] & 0xc0) == 0x80)
        n--;
    for (size_t i = 0; i < n; i++)
        out[i] =
            (unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 0x7f ? ' ' : s.ptr[i];
    out[n] = '\0';
}

/* About four bytes a token in ASCII text, fewer elsewhere. */
static int64_t
estimate(struct slice s)
{
    size_t wide = 0;

    if (s.len == 0)
        return 0;
    for (size_t i = 0; i < s.len; i++)
        wide += (unsigned char)s.ptr[i] >= 0x80;
    if (wide * 10 > s.len)
        return (int64_t)((s.len * 2 + 4) / 5);
    return (int64_t)((s.len + 3) / 4);
}

static int64_t
estimate_prompt(const struct llm_query *q)
{
    struct llm_turn one;
    size_t n;
    const struct llm_turn *turn = llm_turns(q, &one, &n);
    int64_t sum = estimate(q->system);

    for (size_t i = 0; i < n; i++)
        sum += estimate(turn[i].text);
    return sum;
}

void
llm_settle_usage(struct llm_result *out, const struct llm_query *q)
{
    struct llm_usage *u = &out->usage;

    if (u->prompt_tokens < 0) {
        u->prompt_tokens = estimate_prompt(q);
        u->estimated = true;
    }
    if (u->completion_tokens < 0 && u->total_tokens >= u->prompt_tokens &&
        !u->estimated) {
        u->completion_tokens = u->total_tokens - u->prompt_tokens;
    } else if (u->completion_tokens < 0) {
        u->completion_tokens =
            estimate((struct slice){out->text, out->text_len});
        u->estimated = true;
    }
    if (u->total_tokens < 0 || u->estimated)
        u->total_tokens = u->prompt_tokens + u->completion_tokens;
}

enum llm_finish
llm_finish_of(const struct llm_ending *table, struct slice name)
{
    for (; table->name != NULL; table++)
        if (slice_is(name, table->name))
            return table->finish;
    return LLM_FIN_UNKNOWN;
}

void
llm_settle(struct llm_result *out, const struct llm_query *q)
{
    struct buf none;

    if (out->error.cls != LLM_E_NONE)
        return;
    if (out->text_len == 0 && out->finish == LLM_FIN_FILTER) {
        llm_fail(out, LLM_E_CONTENT_FILTER,
                 "the provider's content filter blocked the answer");
        return;
    }
    if (out->text == NULL && out->finish == LLM_FIN_UNKNOWN) {
        llm_fail(out, LLM_E_BAD_RESPONSE,
                 "the answer has neither a text nor a finish reason");
        return;
    }
    if (out->text == NULL) {
        buf_init(&none, 1);
        llm_set_text(out, &none);
    }
    llm_settle_usage(out, q);
}
