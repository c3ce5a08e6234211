/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of the LLM tasks, with errors as Python would word them. */
#include "worker/llm/spec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/task.h"
#include "worker/value.h"

enum {
    MODEL,
    PROMPT,
    MAX_TOKENS,
    TEMPERATURE,
    SYSTEM,
    MESSAGES,
    STOP,
    TOP_P,
    SEED,
    CACHE,
    TOP_K,
    PRESENCE_PENALTY,
    FREQUENCY_PENALTY,
    REASONING_EFFORT,
    JSON
};

#define PARAMS_AFTER_THE_FIRST                                           \
    "prompt", "max_tokens", "temperature", "system", "messages", "stop", \
        "top_p", "seed", "cache", "top_k", "presence_penalty",           \
        "frequency_penalty", "reasoning_effort", "json"

const char *const llm_query_params[] = {"model", PARAMS_AFTER_THE_FIRST, NULL};
const char *const llm_fan_out_params[] = {"models", PARAMS_AFTER_THE_FIRST,
                                          NULL};

enum {
    DEFAULT_MAX_TOKENS = 100, /* the original design's */
    MAX_TOKENS_MAX = 1000000,
    MESSAGES_MAX = 1000,
    STOPS_MAX = 4 /* what every provider takes */
};

/* One reading of the arguments. */
struct reader {
    lovage_task *t;
    const struct config *config;
    struct llm_spec *spec;
    size_t bytes; /* of text so far */
};

/* ---- errors ---- */

lovage_status
llm_wrong_type(lovage_task *t, const char *name, const char *want,
               const lovage_value *got)
{
    return lovage_raisef(
        t, "TypeError", "%s() argument '%s' must be %s, not %s",
        task_short_name(t->def), name, want, value_python_type(got));
}

lovage_status
llm_wrong_value(lovage_task *t, const char *name, const char *fmt, ...)
{
    char what[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    return lovage_raisef(t, "ValueError", "%s() argument '%s' %s",
                         task_short_name(t->def), name, what);
}

static lovage_status
no_memory(lovage_task *t)
{
    return lovage_raise(t, "MemoryError", "builtins", NULL);
}

/* ---- single values ---- */

/* The argument, or NULL when it is absent or None. */
static const lovage_value *
given(struct reader *r, size_t i)
{
    const lovage_value *v = lovage_arg(r->t, i, llm_query_params[i]);

    return v == NULL || lovage_typeof(v) == LOVAGE_NULL ? NULL : v;
}

static lovage_status
read_int(struct reader *r, size_t i, int64_t min, int64_t max, int64_t *out)
{
    const char *name = llm_query_params[i];
    const lovage_value *v = given(r, i);
    int64_t n;

    if (v == NULL)
        return LOVAGE_OK;
    if (lovage_typeof(v) != LOVAGE_INT)
        return llm_wrong_type(r->t, name, "int", v);
    n = lovage_as_int(v);
    if (n < min || n > max)
        return llm_wrong_value(r->t, name,
                               "must be from %lld to %lld, not %lld",
                               (long long)min, (long long)max, (long long)n);
    *out = n;
    return LOVAGE_OK;
}

static lovage_status
read_double(struct reader *r, size_t i, double min, double max, double *out)
{
    const char *name = llm_query_params[i];
    const lovage_value *v = given(r, i);
    double d;

    if (v == NULL)
        return LOVAGE_OK;
    if (lovage_typeof(v) != LOVAGE_INT && lovage_typeof(v) != LOVAGE_DOUBLE)
        return llm_wrong_type(r->t, name, "float", v);
    d = lovage_as_double(v);
    if (!(d >= min && d <= max)) /* NaN is neither */
        return llm_wrong_value(r->t, name, "must be from %g to %g, not %g", min,
                               max, d);
    *out = d;
    return LOVAGE_OK;
}

static lovage_status
read_bool(struct reader *r, size_t i, bool *out)
{
    const lovage_value *v = given(r, i);

    if (v == NULL)
        return LOVAGE_OK;
    if (lovage_typeof(v) != LOVAGE_BOOL)
        return llm_wrong_type(r->t, llm_query_params[i], "bool", v);
    *out = lovage_as_bool(v);
    return LOVAGE_OK;
}

/* Counts v, a text, against the limit of the prompt. */
static lovage_status
count(struct reader *r, size_t i, const lovage_value *v)
{
    r->bytes += lovage_length(v);
    if (r->bytes > (size_t)r->config->llm_max_prompt_bytes)
        return llm_wrong_value(r->t, llm_query_params[i],
                               "brings the texts to more than %lld bytes",
                               (long long)r->config->llm_max_prompt_bytes);
    return LOVAGE_OK;
}

/* A copy that lives as long as the spec; NULL without memory. */
static const lovage_value *
hold(struct reader *r, const lovage_value *v)
{
    lovage_value *held = r->spec->held;

    if (lovage_push(held, lovage_copy(v)) != LOVAGE_OK)
        return NULL;
    return lovage_at(held, lovage_length(held) - 1);
}

static struct slice
text_of(const lovage_value *v)
{
    struct slice s;

    s.ptr = lovage_as_string(v, &s.len);
    return s;
}

/* out stays as it is when the text is absent or empty. */
static lovage_status
read_text(struct reader *r, size_t i, struct slice *out)
{
    const lovage_value *v = given(r, i);

    if (v == NULL)
        return LOVAGE_OK;
    if (lovage_typeof(v) != LOVAGE_STRING)
        return llm_wrong_type(r->t, llm_query_params[i], "str", v);
    if (count(r, i, v) != LOVAGE_OK)
        return LOVAGE_FAILED;
    if (lovage_length(v) == 0)
        return LOVAGE_OK;
    v = hold(r, v);
    if (v == NULL)
        return no_memory(r->t);
    *out = text_of(v);
    return LOVAGE_OK;
}

/* ---- lists ---- */

/* A text, or a list of up to four. */
static lovage_status
read_stop(struct reader *r)
{
    const lovage_value *v = given(r, STOP), *s;
    lovage_value *list;

    if (v == NULL)
        return LOVAGE_OK;
    if (lovage_typeof(v) != LOVAGE_STRING && lovage_typeof(v) != LOVAGE_ARRAY)
        return llm_wrong_type(r->t, "stop", "str or list", v);
    list = lovage_typeof(v) == LOVAGE_ARRAY ? lovage_copy(v) : lovage_array();
    if (lovage_typeof(v) == LOVAGE_STRING && list != NULL &&
        lovage_push(list, lovage_copy(v)) != LOVAGE_OK) {
        lovage_free(list);
        list = NULL;
    }
    if (list == NULL || lovage_push(r->spec->held, list) != LOVAGE_OK)
        return no_memory(r->t);
    if (lovage_length(list) > STOPS_MAX)
        return llm_wrong_value(r->t, "stop", "may have %d texts, not %zu",
                               STOPS_MAX, lovage_length(list));
    for (size_t i = 0; (s = lovage_at(list, i)) != NULL; i++) {
        if (lovage_typeof(s) != LOVAGE_STRING)
            return llm_wrong_type(r->t, "stop", "a list of str", s);
        if (lovage_length(s) == 0)
            return llm_wrong_value(r->t, "stop", "has an empty text");
        if (count(r, STOP, s) != LOVAGE_OK)
            return LOVAGE_FAILED;
    }
    if (lovage_length(list) > 0)
        r->spec->query.stop = value_json(list);
    return LOVAGE_OK;
}

static bool
find_role(const lovage_value *v, enum llm_role *out)
{
    static const struct {
        const char *name;
        enum llm_role role;
    } roles[] = {{"user", LLM_USER},
                 {"assistant", LLM_ASSISTANT},
                 {"system", LLM_SYSTEM},
                 {"developer", LLM_SYSTEM}};
    const char *s = v == NULL ? NULL : lovage_as_string(v, NULL);

    for (size_t i = 0; s != NULL && i < sizeof(roles) / sizeof(roles[0]); i++)
        if (strcmp(s, roles[i].name) == 0) {
            *out = roles[i].role;
            return true;
        }
    return false;
}

static lovage_status
read_turn(struct reader *r, const lovage_value *v, struct llm_turn *out)
{
    const lovage_value *content;

    if (lovage_typeof(v) != LOVAGE_OBJECT)
        return llm_wrong_type(r->t, "messages", "a list of dict", v);
    if (!find_role(lovage_member(v, "role"), &out->role))
        return llm_wrong_value(
            r->t, "messages",
            "needs a \"role\" that is user, assistant or system in each");
    content = lovage_member(v, "content");
    if (content == NULL || lovage_typeof(content) != LOVAGE_STRING)
        return llm_wrong_value(r->t, "messages",
                               "needs a text as \"content\" in each");
    out->text = text_of(content);
    return count(r, MESSAGES, content);
}

/* The turns so far; a prompt beside them is the newest turn. */
static lovage_status
read_messages(struct reader *r)
{
    const lovage_value *v = given(r, MESSAGES);
    struct llm_query *q = &r->spec->query;
    size_t n;

    if (v == NULL)
        return LOVAGE_OK;
    if (lovage_typeof(v) != LOVAGE_ARRAY)
        return llm_wrong_type(r->t, "messages", "list", v);
    n = lovage_length(v);
    if (n > MESSAGES_MAX)
        return llm_wrong_value(r->t, "messages", "may have %d turns, not %zu",
                               MESSAGES_MAX, n);
    v = hold(r, v);
    r->spec->turns = calloc(n + 1, sizeof(*r->spec->turns));
    if (v == NULL || r->spec->turns == NULL)
        return no_memory(r->t);
    for (size_t i = 0; i < n; i++)
        if (read_turn(r, lovage_at(v, i), &r->spec->turns[i]) != LOVAGE_OK)
            return LOVAGE_FAILED;
    if (n > 0 && q->prompt.len > 0)
        r->spec->turns[n++] = (struct llm_turn){LLM_USER, q->prompt};
    q->turns = r->spec->turns;
    q->turn_count = n;
    return LOVAGE_OK;
}

/* ---- all ---- */

static bool
asks_something(const struct llm_query *q)
{
    for (size_t i = 0; i < q->turn_count; i++)
        if (q->turns[i].role == LLM_USER)
            return true;
    return q->turn_count == 0 && q->prompt.len > 0;
}

static lovage_status
read_texts(struct reader *r)
{
    struct llm_query *q = &r->spec->query;

    if (given(r, PROMPT) == NULL && given(r, MESSAGES) == NULL)
        return lovage_raisef(
            r->t, "TypeError",
            "%s() missing 1 required positional argument: 'prompt'",
            task_short_name(r->t->def));
    if (read_text(r, PROMPT, &q->prompt) != LOVAGE_OK ||
        read_text(r, SYSTEM, &q->system) != LOVAGE_OK ||
        read_messages(r) != LOVAGE_OK || read_stop(r) != LOVAGE_OK ||
        read_text(r, REASONING_EFFORT, &q->reasoning_effort) != LOVAGE_OK)
        return LOVAGE_FAILED;
    if (!asks_something(q))
        return llm_wrong_value(r->t, "prompt", "must not be empty");
    return LOVAGE_OK;
}

static lovage_status
read_numbers(struct reader *r)
{
    struct llm_query *q = &r->spec->query;

    q->max_tokens = DEFAULT_MAX_TOKENS;
    if (read_int(r, MAX_TOKENS, 1, MAX_TOKENS_MAX, &q->max_tokens) ||
        read_double(r, TEMPERATURE, 0, 2, &q->temperature) ||
        read_double(r, TOP_P, 0, 1, &q->top_p) ||
        read_int(r, SEED, INT64_MIN + 1, INT64_MAX, &q->seed) ||
        read_int(r, TOP_K, 1, MAX_TOKENS_MAX, &q->top_k) ||
        read_double(r, PRESENCE_PENALTY, -2, 2, &q->presence_penalty) ||
        read_double(r, FREQUENCY_PENALTY, -2, 2, &q->frequency_penalty) ||
        read_bool(r, CACHE, &r->spec->cache) ||
        read_bool(r, JSON, &q->want_json))
        return LOVAGE_FAILED;
    return LOVAGE_OK;
}

lovage_status
llm_spec_read(lovage_task *t, const struct config *config,
              struct llm_spec **out)
{
    struct llm_spec *s = calloc(1, sizeof(*s));
    struct reader r = {t, config, s, 0};

    if (s == NULL)
        return no_memory(t);
    s->refs = 1;
    s->cache = true;
    s->query = (struct llm_query)LLM_QUERY_INIT;
    s->held = lovage_array();
    if (s->held == NULL) {
        llm_spec_free(s);
        return no_memory(t);
    }
    if (read_texts(&r) != LOVAGE_OK || read_numbers(&r) != LOVAGE_OK) {
        llm_spec_free(s);
        return LOVAGE_FAILED;
    }
    *out = s;
    return LOVAGE_OK;
}

struct llm_spec *
llm_spec_ref(struct llm_spec *s)
{
    s->refs++;
    return s;
}

void
llm_spec_free(struct llm_spec *s)
{
    if (s == NULL || --s->refs > 0)
        return;
    lovage_free(s->held);
    free(s->turns);
    free(s);
}
