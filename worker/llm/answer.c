/* SPDX-License-Identifier: Apache-2.0 */
/* What came of a query, as JSON. */
#include "worker/llm/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const exceptions[] = {
    [LLM_E_NONE] = "LLMError",
    [LLM_E_BAD_REQUEST] = "BadRequestError",
    [LLM_E_UNSUPPORTED_PARAM] = "UnsupportedParameterError",
    [LLM_E_CONTEXT_LENGTH] = "ContextLengthError",
    [LLM_E_CONTENT_FILTER] = "ContentFilterError",
    [LLM_E_TOO_LARGE] = "TooLargeError",
    [LLM_E_AUTH] = "AuthError",
    [LLM_E_PERMISSION] = "PermissionDeniedError",
    [LLM_E_MODEL_NOT_FOUND] = "ModelNotFoundError",
    [LLM_E_RATE_LIMIT] = "RateLimitError",
    [LLM_E_RAMP] = "RateLimitError",
    [LLM_E_QUOTA] = "QuotaError",
    [LLM_E_OVERLOADED] = "OverloadedError",
    [LLM_E_LOADING] = "ModelLoadingError",
    [LLM_E_TIMEOUT] = "TimeoutError",
    [LLM_E_CONFLICT] = "ConflictError",
    [LLM_E_SERVER] = "ServerError",
    [LLM_E_NETWORK] = "NetworkError",
    [LLM_E_BAD_RESPONSE] = "BadResponseError",
    [LLM_E_CANCELLED] = "CancelledError",
};

/* ---- making ---- */

/* Consumes v; a first failure empties *o for good. */
static void
put(lovage_value **o, const char *key, lovage_value *v)
{
    if (*o == NULL) {
        lovage_free(v);
        return;
    }
    if (lovage_put(*o, key, v) == LOVAGE_OK)
        return;
    lovage_free(*o);
    *o = NULL;
}

lovage_value *
llm_usage_value(const struct llm_usage *u)
{
    lovage_value *v = lovage_object();

    put(&v, "prompt_tokens", lovage_int(u->prompt_tokens));
    put(&v, "completion_tokens", lovage_int(u->completion_tokens));
    put(&v, "total_tokens", lovage_int(u->total_tokens));
    if (u->cached_tokens > 0)
        put(&v, "cached_tokens", lovage_int(u->cached_tokens));
    if (u->reasoning_tokens >= 0)
        put(&v, "reasoning_tokens", lovage_int(u->reasoning_tokens));
    if (u->estimated)
        put(&v, "estimated", lovage_bool(true));
    return v;
}

static void
add_count(int64_t *a, int64_t b)
{
    if (b >= 0)
        *a = (*a > 0 ? *a : 0) + b;
}

void
llm_usage_add(struct llm_usage *a, const struct llm_usage *b)
{
    add_count(&a->prompt_tokens, b->prompt_tokens);
    add_count(&a->completion_tokens, b->completion_tokens);
    add_count(&a->total_tokens, b->total_tokens);
    add_count(&a->cached_tokens, b->cached_tokens);
    add_count(&a->reasoning_tokens, b->reasoning_tokens);
    a->estimated |= b->estimated;
}

/* An empty text must not look like an answer. */
static const char *
find_warning(const struct llm_result *r)
{
    if (r->text_len > 0)
        return NULL;
    if (r->finish == LLM_FIN_LENGTH && r->usage.reasoning_tokens > 0)
        return "the text is empty: the model used up max_tokens for reasoning; "
               "raise max_tokens or llm_reasoning_allowance";
    if (r->finish == LLM_FIN_LENGTH)
        return "the text is empty: max_tokens was reached before it began";
    return "the text is empty: see finish_reason";
}

lovage_value *
llm_answer_value(const char *model, const struct llm_outcome *o)
{
    const struct llm_result *r = &o->result;
    const char *warning = find_warning(r);
    lovage_value *v = lovage_object();

    put(&v, "model", lovage_string(model));
    put(&v, "text", lovage_string_n(r->text, r->text_len));
    put(&v, "usage", llm_usage_value(&r->usage));
    put(&v, "provider", lovage_string(o->provider));
    put(&v, "model_used", lovage_string(r->model_used));
    put(&v, "finish_reason", lovage_string(llm_finish_name(r->finish)));
    put(&v, "latency_ms", lovage_int((int64_t)o->latency_ms));
    put(&v, "attempts", lovage_int(o->attempts));
    put(&v, "cached", lovage_bool(o->cached));
    if (warning != NULL)
        put(&v, "warning", lovage_string(warning));
    return v;
}

void
llm_error_text(const struct llm_outcome *o, char *out, size_t size)
{
    const char *message = o->result.error.message;

    if (o->provider[0] != '\0')
        snprintf(out, size, "%s: %s", o->provider, message);
    else
        snprintf(out, size, "%s", message);
}

lovage_value *
llm_error_value(const char *model, const struct llm_outcome *o)
{
    const struct llm_error *e = &o->result.error;
    lovage_value *v = lovage_object(), *inner = lovage_object();
    char text[640];

    llm_error_text(o, text, sizeof(text));
    put(&inner, "class", lovage_string(llm_error_name(e->cls)));
    put(&inner, "message", lovage_string(text));
    put(&inner, "retryable", lovage_bool(llm_error_retryable(e->cls)));
    put(&inner, "http_status",
        e->http_status > 0 ? lovage_int(e->http_status) : lovage_null());
    put(&v, "model", lovage_string(model));
    put(&v, "error", inner);
    return v;
}

const char *
llm_exception_name(enum llm_error_class c)
{
    return exceptions[c];
}

lovage_status
llm_raise(lovage_task *t, const struct llm_outcome *o)
{
    lovage_value *args = lovage_array();
    char text[640];

    llm_error_text(o, text, sizeof(text));
    if (args != NULL && lovage_push(args, lovage_string(text)) != LOVAGE_OK) {
        lovage_free(args);
        args = NULL;
    }
    return lovage_raise(t, llm_exception_name(o->result.error.cls),
                        "lovage.llm", args);
}

/* ---- the cache ---- */

bool
llm_answer_cacheable(const struct llm_outcome *o)
{
    return o->result.error.cls == LLM_E_NONE &&
           o->result.finish == LLM_FIN_STOP && o->result.text_len > 0;
}

char *
llm_answer_encode(const struct llm_outcome *o)
{
    const struct llm_result *r = &o->result;
    lovage_value *v = lovage_object();
    char *text = NULL;

    put(&v, "text", lovage_string_n(r->text, r->text_len));
    put(&v, "usage", llm_usage_value(&r->usage));
    put(&v, "provider", lovage_string(o->provider));
    put(&v, "model_used", lovage_string(r->model_used));
    if (v != NULL)
        text = lovage_text(v);
    lovage_free(v);
    return text;
}

static void
read_name(struct json_object *doc, const char *key, char *out, size_t size)
{
    struct slice s = json_get_str(doc, key);

    snprintf(out, size, "%.*s", (int)(s.len < size ? s.len : size - 1),
             s.ptr == NULL ? "" : s.ptr);
}

bool
llm_answer_decode(struct slice text, struct llm_outcome *out)
{
    struct json_object *doc = NULL, *u;
    struct llm_result *r = &out->result;
    struct slice s;

    *out = (struct llm_outcome){.retry_in_ms = -1, .cached = true};
    if (json_parse(text, 16, &doc, NULL) != ST_OK)
        return false;
    s = json_get_str(doc, "text");
    u = json_get(doc, "usage");
    r->usage = (struct llm_usage){
        json_get_int(u, "prompt_tokens", -1),
        json_get_int(u, "completion_tokens", -1),
        json_get_int(u, "total_tokens", -1),
        json_get_int(u, "cached_tokens", -1),
        json_get_int(u, "reasoning_tokens", -1),
        json_get_bool(u, "estimated", false),
    };
    read_name(doc, "provider", out->provider, sizeof(out->provider));
    read_name(doc, "model_used", r->model_used, sizeof(r->model_used));
    r->finish = LLM_FIN_STOP; /* nothing else is kept */
    if (s.ptr != NULL && r->usage.total_tokens >= 0)
        r->text = malloc(s.len + 1);
    if (r->text != NULL) {
        memcpy(r->text, s.ptr, s.len);
        r->text[s.len] = '\0';
        r->text_len = s.len;
    }
    json_object_put(doc);
    return r->text != NULL;
}
