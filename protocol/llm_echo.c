/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in echo model: see the header for its grammar. */
#include "protocol/llm_echo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/llm_codec.h"

enum { TEXT_MAX = 1 << 20 /* bytes of an answer */ };

bool
llm_echo_names(struct slice model)
{
    return model.len >= 4 && memcmp(model.ptr, "echo", 4) == 0 &&
           (model.len == 4 || model.ptr[4] == '?');
}

/* A plain decimal number, all of s. */
static bool
read_number(const char *s, double *out)
{
    char *end;

    if (*s == '\0' || s[strspn(s, "0123456789.")] != '\0')
        return false;
    *out = strtod(s, &end);
    return *end == '\0';
}

static enum status
set(struct llm_echo *e, const char *key, const char *value, struct error *err)
{
    static const struct {
        const char *key;
        double min, max;
    } numbers[] = {{"latency_ms", 0, 600000},
                   {"tokens", 1, 100000},
                   {"fail_rate", 0, 1},
                   {"retry_after_ms", 0, LLM_WAIT_MAX_MS}};
    double n = 0;
    size_t i = 0;

    if (strcmp(key, "error") == 0) {
        if (!llm_error_class_find(slice_of(value), &e->error) ||
            e->error == LLM_E_NONE)
            return error_set(err, ST_INVALID,
                             "echo: there is no error class \"%s\"", value);
        return ST_OK;
    }
    while (i < 4 && strcmp(key, numbers[i].key) != 0)
        i++;
    if (i == 4)
        return error_set(err, ST_INVALID, "echo: unknown option \"%s\"", key);
    if (!read_number(value, &n) || n < numbers[i].min || n > numbers[i].max)
        return error_set(err, ST_INVALID,
                         "echo: %s must be a number from %g to %g, not \"%s\"",
                         key, numbers[i].min, numbers[i].max, value);
    if (i == 0)
        e->latency_ms = (uint32_t)n;
    else if (i == 1)
        e->tokens = (int64_t)n;
    else if (i == 2)
        e->fail_rate = n;
    else
        e->retry_after_ms = (int64_t)n;
    return ST_OK;
}

enum status
llm_echo_parse(struct slice model, struct llm_echo *out, struct error *err)
{
    char text[128], *pair, *next, *value;
    enum status st = ST_OK;

    *out = (struct llm_echo){.tokens = -1,
                             .fail_rate = -1,
                             .error = LLM_E_NONE,
                             .retry_after_ms = -1};
    if (!llm_echo_names(model) || model.len >= sizeof(text))
        return error_set(err, ST_INVALID, "echo: not an echo model's name");
    memcpy(text, model.ptr, model.len);
    text[model.len] = '\0';
    next = model.len > 5 ? text + 5 : NULL;
    while (st == ST_OK && (pair = next) != NULL) {
        next = strchr(pair, '&');
        if (next != NULL)
            *next++ = '\0';
        value = strchr(pair, '=');
        if (value == NULL)
            return error_set(err, ST_INVALID, "echo: \"%s\" has no value",
                             pair);
        *value++ = '\0';
        st = set(out, pair, value, err);
    }
    if (out->fail_rate < 0)
        out->fail_rate = out->error == LLM_E_NONE ? 0 : 1;
    if (out->error == LLM_E_NONE)
        out->error = LLM_E_SERVER;
    return st;
}

/* The next word of s from *pos; ptr NULL: no more. */
static struct slice
next_word(struct slice s, size_t *pos)
{
    size_t from;

    while (*pos < s.len && strchr(" \t\r\n", s.ptr[*pos]) != NULL)
        ++*pos;
    from = *pos;
    while (*pos < s.len && strchr(" \t\r\n", s.ptr[*pos]) == NULL)
        ++*pos;
    return (struct slice){*pos > from ? s.ptr + from : NULL, *pos - from};
}

static int64_t
count_words(struct slice s)
{
    size_t pos = 0;
    int64_t n = 0;

    while (next_word(s, &pos).ptr != NULL)
        n++;
    return n;
}

/* Writes n words, from the start again when s ends.  Returns how many. */
static int64_t
add_words(struct buf *out, struct slice s, int64_t n)
{
    size_t pos = 0;
    int64_t done = 0;
    struct slice w;

    while (done < n) {
        w = next_word(s, &pos);
        if (w.ptr == NULL) {
            pos = 0;
            w = next_word(s, &pos);
        }
        if (w.ptr == NULL)
            w = slice_of("echo"); /* a prompt without words */
        if (out->len + w.len + 1 > TEXT_MAX)
            break;
        if (done > 0)
            buf_add(out, slice_of(" "));
        buf_add(out, w);
        done++;
    }
    return done;
}

static struct slice
last_user_text(const struct llm_query *q)
{
    for (size_t i = q->turn_count; i > 0; i--)
        if (q->turns[i - 1].role == LLM_USER)
            return q->turns[i - 1].text;
    return q->prompt;
}

static void
fail(const struct llm_echo *e, struct llm_result *out)
{
    snprintf(out->error.message, sizeof(out->error.message),
             "echo fails as asked: %s", llm_error_name(e->error));
    out->error.cls = e->error;
    out->error.retry_after_ms = e->retry_after_ms;
}

void
llm_echo_answer(const struct llm_echo *e, const struct llm_query *q,
                uint32_t roll, struct llm_result *out)
{
    struct slice prompt = last_user_text(q);
    int64_t words = count_words(prompt), n = e->tokens > 0 ? e->tokens : words;
    struct buf text;

    *out = (struct llm_result){.finish = LLM_FIN_STOP,
                               .usage = {-1, -1, -1, -1, -1, false},
                               .error = {.retry_after_ms = -1}};
    llm_copy(out->model_used, sizeof(out->model_used), slice_of("echo"));
    if (roll < e->fail_rate * LLM_ECHO_ROLL) {
        fail(e, out);
        return;
    }
    buf_init(&text, SIZE_MAX);
    if (q->max_tokens > 0 && n > q->max_tokens) {
        n = q->max_tokens;
        out->finish = LLM_FIN_LENGTH;
    }
    /* As it is, blanks included, where nothing asks for other words. */
    if (n == words && prompt.len <= TEXT_MAX)
        buf_add(&text, prompt);
    else
        n = add_words(&text, prompt, n);
    llm_set_text(out, &text);
    out->usage.prompt_tokens = words;
    out->usage.completion_tokens = n;
    out->usage.total_tokens = words + n;
}
