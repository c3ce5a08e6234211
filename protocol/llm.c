/* SPDX-License-Identifier: Apache-2.0 */
/* The list of providers, the names of what they answer, and what owns memory.
 */
#include "protocol/llm.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/llm_codec.h"

static const struct llm_provider *const providers[] = {
    &llm_openai, &llm_compatible,  &llm_anthropic, &llm_gemini,
    &llm_palm,   &llm_huggingface, &llm_tgi,
};

struct class_row {
    const char *name;
    bool retryable;
    uint32_t base_ms, cap_ms;
};

static const struct class_row classes[] = {
#define X(name, text, retry, base, cap) {text, retry, base, cap},
    LLM_ERROR_MAP(X)
#undef X
};

const struct llm_provider *
llm_provider_at(size_t i)
{
    return i < sizeof(providers) / sizeof(providers[0]) ? providers[i] : NULL;
}

const struct llm_provider *
llm_provider_find(struct slice name)
{
    const struct llm_provider *p;

    for (size_t i = 0; (p = llm_provider_at(i)) != NULL; i++)
        if (slice_is(name, p->name))
            return p;
    return NULL;
}

const char *
llm_finish_name(enum llm_finish f)
{
    static const char *const names[] = {
        [LLM_FIN_STOP] = "stop",       [LLM_FIN_LENGTH] = "length",
        [LLM_FIN_TOOL] = "tool_calls", [LLM_FIN_FILTER] = "content_filter",
        [LLM_FIN_REFUSAL] = "refusal", [LLM_FIN_UNKNOWN] = "unknown",
    };

    return names[f];
}

const char *
llm_error_name(enum llm_error_class c)
{
    return classes[c].name;
}

bool
llm_error_retryable(enum llm_error_class c)
{
    return classes[c].retryable;
}

void
llm_error_backoff(enum llm_error_class c, uint32_t *base_ms, uint32_t *cap_ms)
{
    *base_ms = classes[c].base_ms;
    *cap_ms = classes[c].cap_ms;
}

bool
llm_error_class_find(struct slice name, enum llm_error_class *out)
{
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (slice_is(name, classes[i].name)) {
            *out = (enum llm_error_class)i;
            return true;
        }
    return false;
}

void
llm_http_fini(struct llm_http *h)
{
    free(h->url);
    for (size_t i = 0; i < LLM_HEADERS_MAX; i++)
        free(h->headers[i]);
    free(h->body);
    *h = (struct llm_http){0};
}

void
llm_result_fini(struct llm_result *r)
{
    free(r->text);
    *r = (struct llm_result){0};
}
