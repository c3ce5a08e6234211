/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong, from a provider's answer.  One reader for the error objects
 * of all providers: they overlap, and compatible servers mix them.  The HTTP
 * status alone does not tell (a 429 may mean "wait two seconds" or "you are out
 * of money"), so the codes in the body are asked first, then phrases, then the
 * status.  Phrases are looked for only in the provider's own message, never in
 * the body: providers echo the prompt, and a prompt may say anything. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/llm_codec.h"

enum { WORDS = 5, WORD_MAX = 64 };

/* The error object, in one shape. */
struct facts {
    char word[WORDS][WORD_MAX]; /* code, type, status ...: lower case */
    size_t words;
    char message[1024], lower[1024];
    int64_t wait_ms; /* -1: none */
    int code;        /* a numeric code; 0: none */
    bool per_day;
};

struct named_class {
    const char *text;
    enum llm_error_class cls;
};

static const struct named_class codes[] = {
    {"context_length_exceeded", LLM_E_CONTEXT_LENGTH},
    {"exceed_context_size_error", LLM_E_CONTEXT_LENGTH},
    {"string_above_max_length", LLM_E_BAD_REQUEST},
    {"unsupported_parameter", LLM_E_UNSUPPORTED_PARAM},
    {"unsupported_value", LLM_E_UNSUPPORTED_PARAM},
    {"content_filter", LLM_E_CONTENT_FILTER},
    {"content_policy_violation", LLM_E_CONTENT_FILTER},
    {"responsibleaipolicyviolation", LLM_E_CONTENT_FILTER},
    {"invalid_prompt", LLM_E_CONTENT_FILTER},
    {"invalid_api_key", LLM_E_AUTH},
    {"api_key_invalid", LLM_E_AUTH},
    {"authentication_error", LLM_E_AUTH},
    {"unauthenticated", LLM_E_AUTH},
    {"permission_error", LLM_E_PERMISSION},
    {"permission_denied", LLM_E_PERMISSION},
    {"failed_precondition", LLM_E_PERMISSION},
    {"model_not_found", LLM_E_MODEL_NOT_FOUND},
    {"model_not_supported", LLM_E_MODEL_NOT_FOUND},
    {"deploymentnotfound", LLM_E_MODEL_NOT_FOUND},
    {"not_found_error", LLM_E_MODEL_NOT_FOUND},
    {"not_found", LLM_E_MODEL_NOT_FOUND},
    {"insufficient_quota", LLM_E_QUOTA},
    {"credit_balance_exhausted", LLM_E_QUOTA},
    {"organization_spend_limit_exceeded", LLM_E_QUOTA},
    {"project_spend_limit_exceeded", LLM_E_QUOTA},
    {"organization_usage_limit_exceeded", LLM_E_QUOTA},
    {"enforced_spend_limit_reached", LLM_E_QUOTA},
    {"billing_error", LLM_E_QUOTA},
    {"slow_down", LLM_E_RAMP},
    {"rate_limit_exceeded", LLM_E_RATE_LIMIT},
    {"rate_limit_error", LLM_E_RATE_LIMIT},
    {"request_too_large", LLM_E_TOO_LARGE},
    {"overloaded", LLM_E_OVERLOADED},
    {"overloaded_error", LLM_E_OVERLOADED},
    {"server_is_overloaded", LLM_E_OVERLOADED},
    {"service_unavailable_error", LLM_E_OVERLOADED},
    {"timeout_error", LLM_E_TIMEOUT},
    {"conflict_error", LLM_E_CONFLICT},
    {"api_error", LLM_E_SERVER},
    {"server_error", LLM_E_SERVER},
};

static const struct named_class phrases[] = {
    {"maximum context length is", LLM_E_CONTEXT_LENGTH},
    {"model's maximum context limit", LLM_E_CONTEXT_LENGTH},
    {"longer than the model's context length", LLM_E_CONTEXT_LENGTH},
    {"prompt is too long", LLM_E_CONTEXT_LENGTH},
    {"exceed context limit", LLM_E_CONTEXT_LENGTH},
    {"exceeds the maximum number of tokens allowed", LLM_E_CONTEXT_LENGTH},
    {"input tokens exceed the configured limit", LLM_E_CONTEXT_LENGTH},
    {"inputs tokens + max_new_tokens must be", LLM_E_CONTEXT_LENGTH},
    {"inputs must have less than", LLM_E_CONTEXT_LENGTH},
    {"exceeds the available context size", LLM_E_CONTEXT_LENGTH},
    {"context size has been exceeded", LLM_E_CONTEXT_LENGTH},
    {"content management policy", LLM_E_CONTENT_FILTER},
    {"rejected as a result of our safety system", LLM_E_CONTENT_FILTER},
    {"violating our usage policy", LLM_E_CONTENT_FILTER},
    {"api usage limits", LLM_E_QUOTA},
    {"is not supported by any provider", LLM_E_MODEL_NOT_FOUND},
    {"is deprecated for this model", LLM_E_UNSUPPORTED_PARAM},
    {"unsupported parameter", LLM_E_UNSUPPORTED_PARAM},
    {"is not supported with this model", LLM_E_UNSUPPORTED_PARAM},
};

static enum llm_error_class
find_class(const struct named_class *table, size_t n, const char *s, bool part)
{
    for (size_t i = 0; i < n; i++)
        if (part ? strstr(s, table[i].text) != NULL
                 : strcmp(s, table[i].text) == 0)
            return table[i].cls;
    return LLM_E_NONE;
}

#define FIND(table, s, part) \
    find_class(table, sizeof(table) / sizeof((table)[0]), s, part)

/* ---- reading the error object ---- */

static void
add_word(struct facts *f, struct slice s)
{
    char *w;

    if (s.ptr == NULL || s.len == 0 || f->words == WORDS)
        return;
    w = f->word[f->words];
    llm_copy(w, WORD_MAX, s);
    for (; *w != '\0'; w++)
        *w = (char)tolower((unsigned char)*w);
    f->words++;
}

static void
add_code(struct facts *f, struct json_object *code)
{
    struct slice s = json_str(code);
    int64_t n;

    add_word(f, s);
    if (!json_object_is_type(code, json_type_int))
        return;
    n = json_object_get_int64(code);
    if (n >= 400 && n < 600)
        f->code = (int)n;
}

/* Google's details: what is exhausted, and when to come back. */
static void
read_details(struct facts *f, struct json_object *details)
{
    struct json_object *d, *v;

    for (size_t i = 0; i < 32 && (d = llm_element(details, i)) != NULL; i++) {
        struct slice wait = json_get_str(d, "retryDelay");

        add_word(f, json_get_str(d, "reason"));
        if (wait.ptr != NULL)
            f->wait_ms = llm_wait_parse(wait, 0);
        v = json_get(d, "violations");
        for (size_t j = 0; j < 32 && llm_element(v, j) != NULL; j++) {
            struct slice id = json_get_str(llm_element(v, j), "quotaId");

            if (id.ptr != NULL && memmem(id.ptr, id.len, "PerDay", 6) != NULL)
                f->per_day = true;
        }
    }
}

static void
set_message(struct facts *f, struct slice s)
{
    if (s.ptr != NULL && f->message[0] == '\0')
        llm_copy(f->message, sizeof(f->message), s);
}

static void
read_object(struct facts *f, struct json_object *e)
{
    set_message(f, json_get_str(e, "message"));
    add_word(f, json_get_str(json_get(e, "details"), "error_code"));
    add_code(f, json_get(e, "code"));
    add_word(f, json_get_str(json_get(e, "innererror"), "code"));
    add_word(f, json_get_str(e, "type"));
    add_word(f, json_get_str(e, "status"));
    read_details(f, json_get(e, "details"));
}

/* {"error": object | text | [text]}, or flat, or the first of an array. */
static void
read_facts(struct facts *f, struct json_object *doc)
{
    struct json_object *e;
    double loading;

    if (json_object_is_type(doc, json_type_array))
        doc = llm_element(doc, 0);
    e = json_get(doc, "error");
    if (json_object_is_type(e, json_type_object)) {
        read_object(f, e);
    } else if (e != NULL) {
        set_message(f, json_str(e));
        set_message(f, json_str(llm_element(e, 0)));
        add_word(f, json_get_str(doc, "error_type"));
    } else {
        read_object(f, doc);
    }
    loading = json_get_double(doc, "estimated_time", -1);
    if (loading >= 0 && f->wait_ms < 0)
        f->wait_ms = loading < 20 ? (int64_t)(loading * 1000) : 20000;
}

/* ---- judging ---- */

static enum llm_error_class
by_words(const struct facts *f)
{
    enum llm_error_class first = LLM_E_NONE, c;

    for (size_t i = 0; i < f->words; i++) {
        c = FIND(codes, f->word[i], false);
        if (c == LLM_E_QUOTA) /* whatever else is said: do not come back */
            return c;
        if (first == LLM_E_NONE)
            first = c;
    }
    return first;
}

static enum llm_error_class
by_status(int status)
{
    switch (status) {
    case 401:
        return LLM_E_AUTH;
    case 402:
        return LLM_E_QUOTA;
    case 403:
        return LLM_E_PERMISSION;
    case 404:
    case 410:
        return LLM_E_MODEL_NOT_FOUND;
    case 408:
    case 504:
        return LLM_E_TIMEOUT;
    case 409:
        return LLM_E_CONFLICT;
    case 413:
        return LLM_E_TOO_LARGE;
    case 424: /* TGI: generation failed */
        return LLM_E_SERVER;
    case 429:
        return LLM_E_RATE_LIMIT;
    case 501:
        return LLM_E_BAD_REQUEST;
    case 503:
    case 529:
        return LLM_E_OVERLOADED;
    default:
        if (status >= 500)
            return LLM_E_SERVER;
        return status >= 400 ? LLM_E_BAD_REQUEST : LLM_E_BAD_RESPONSE;
    }
}

static enum llm_error_class
judge(const struct facts *f, int status)
{
    enum llm_error_class c = by_words(f), p;

    if (status == 429) {
        if (strstr(f->lower, "request too large for") != NULL)
            return LLM_E_TOO_LARGE;
        if (c == LLM_E_QUOTA || f->per_day)
            return LLM_E_QUOTA;
        return c == LLM_E_NONE ? LLM_E_RATE_LIMIT : c;
    }
    if (strstr(f->lower, "currently loading") != NULL ||
        (status == 503 && strstr(f->lower, "loading model") != NULL))
        return LLM_E_LOADING;
    /* A general code may hide what the message says. */
    if (c == LLM_E_NONE || c == LLM_E_SERVER || c == LLM_E_TOO_LARGE) {
        p = FIND(phrases, f->lower, true);
        if (p != LLM_E_NONE && status != 401 && status != 403)
            return p;
    }
    return c != LLM_E_NONE ? c : by_status(status);
}

/* Azure says it only in words: "Please retry after 37 seconds". */
static int64_t
wait_in_words(const struct facts *f)
{
    const char *at = strstr(f->lower, "retry after ");
    char number[16];

    if (at == NULL || sscanf(at, "retry after %15[0-9.]", number) != 1)
        return -1;
    return llm_wait_parse(slice_of(number), 0);
}

static int64_t
wait_hint(const struct llm_answer *a, const struct facts *f)
{
    char text[32];
    int64_t ms = -1;

    if (a->retry_after_ms.len > 0 && a->retry_after_ms.len < 24) {
        llm_copy(text, sizeof(text), a->retry_after_ms);
        snprintf(text + strlen(text), 3, "ms");
        ms = llm_wait_parse(slice_of(text), 0);
    }
    if (ms >= 0)
        return ms;
    ms = llm_wait_parse(a->retry_after, a->now_unix_ms);
    if (ms < 0)
        ms = f->wait_ms;
    return ms >= 0 ? ms : wait_in_words(f);
}

/* Providers quote the key that they refuse, starred or not. */
static void
hide_keys(char *s)
{
    static const char *const starts[] = {"sk-", "AIza", "hf_",  "Bearer ",
                                         "sk_", "xai-", "gsk_", "key="};

    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        char *at = s;

        while ((at = strstr(at, starts[i])) != NULL) {
            bool within = at > s && isalnum((unsigned char)at[-1]);

            at += strlen(starts[i]);
            if (within) /* "task-specific" */
                continue;
            for (; *at != '\0' && !isspace((unsigned char)*at) &&
                   strchr("\"',;)", *at) == NULL;
                 at++)
                *at = '*';
        }
    }
}

/* The parameter that is refused: named, or quoted in the message. */
static void
find_param(struct json_object *doc, const struct facts *f,
           struct llm_error *out)
{
    struct slice s = json_get_str(json_get(doc, "error"), "param");
    const char *from, *to;

    if (s.ptr == NULL)
        s = json_get_str(doc, "param");
    from = strpbrk(f->message, "`'");
    if (s.ptr == NULL && from != NULL) {
        to = strchr(from + 1, *from);
        if (to != NULL)
            s = (struct slice){from + 1, (size_t)(to - from - 1)};
    }
    if (s.ptr != NULL)
        llm_copy(out->param, sizeof(out->param), s);
}

static void
lower_message(struct facts *f)
{
    size_t n = 0;

    for (const char *s = f->message; *s != '\0'; s++)
        if (*s != '`') /* TGI quotes names in its phrases */
            f->lower[n++] = (char)tolower((unsigned char)*s);
    f->lower[n] = '\0';
}

void
llm_error_read(const struct llm_answer *a, struct json_object *doc,
               struct llm_error *out)
{
    struct facts f = {.wait_ms = -1};
    int status = a->http_status;

    read_facts(&f, doc);
    lower_message(&f);
    if (status >= 200 && status < 300) /* told with a 200, as OpenRouter does */
        status = f.code != 0 ? f.code : 500;
    *out = (struct llm_error){.http_status = a->http_status};
    out->cls = judge(&f, status);
    out->retry_after_ms = wait_hint(a, &f);
    if (f.words > 0)
        llm_copy(out->code, sizeof(out->code), slice_of(f.word[0]));
    find_param(doc, &f, out);
    hide_keys(f.message);
    if (f.message[0] != '\0')
        llm_copy(out->message, sizeof(out->message), slice_of(f.message));
    else
        snprintf(out->message, sizeof(out->message),
                 "HTTP %d without an error message", a->http_status);
}
