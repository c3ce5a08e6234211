/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters that some models refuse: which can be renamed or left out. */
#include <string.h>

#include "protocol/llm_codec.h"

static const struct {
    const char *param;
    unsigned adaptation;
} refusals[] = {
    {"max_tokens", LLM_ADAPT_TOKENS},
    {"max_completion_tokens", LLM_ADAPT_TOKENS},
    {"temperature", LLM_ADAPT_TEMPERATURE},
    {"top_p", LLM_ADAPT_TOP_P},
    {"top_k", LLM_ADAPT_TOP_K},
    {"presence_penalty", LLM_ADAPT_PENALTIES},
    {"frequency_penalty", LLM_ADAPT_PENALTIES},
    {"seed", LLM_ADAPT_SEED},
    {"reasoning_effort", LLM_ADAPT_EFFORT},
};

/* Those of the query that are set: leaving out an unset one changes nothing.
 * "stop" is not among them, because without it the answer is another one. */
static unsigned
possible(const struct llm_query *q)
{
    unsigned set = 0;

    if (q->max_tokens > 0)
        set |= LLM_ADAPT_TOKENS;
    if (!isnan(q->temperature))
        set |= LLM_ADAPT_TEMPERATURE;
    if (!isnan(q->top_p))
        set |= LLM_ADAPT_TOP_P;
    if (q->top_k > 0)
        set |= LLM_ADAPT_TOP_K;
    if (!isnan(q->presence_penalty) || !isnan(q->frequency_penalty))
        set |= LLM_ADAPT_PENALTIES;
    if (q->seed != INT64_MIN)
        set |= LLM_ADAPT_SEED;
    if (q->reasoning_effort.ptr != NULL)
        set |= LLM_ADAPT_EFFORT;
    return set;
}

unsigned
llm_adaptation(const struct llm_query *q, const struct llm_error *e)
{
    if (e->cls != LLM_E_UNSUPPORTED_PARAM)
        return 0;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        if (strcmp(e->param, refusals[i].param) == 0)
            return refusals[i].adaptation & possible(q);
    return 0;
}

void
llm_adapt(unsigned adaptations, struct llm_query *q, struct llm_deployment *d)
{
    if (adaptations & LLM_ADAPT_TOKENS)
        d->tokens_param = strcmp(llm_tokens_param(d), "max_tokens") == 0
                              ? "max_completion_tokens"
                              : "max_tokens";
    if (adaptations & LLM_ADAPT_TEMPERATURE)
        q->temperature = NAN;
    if (adaptations & LLM_ADAPT_TOP_P)
        q->top_p = NAN;
    if (adaptations & LLM_ADAPT_TOP_K)
        q->top_k = -1;
    if (adaptations & LLM_ADAPT_PENALTIES)
        q->presence_penalty = q->frequency_penalty = NAN;
    if (adaptations & LLM_ADAPT_SEED)
        q->seed = INT64_MIN;
    if (adaptations & LLM_ADAPT_EFFORT)
        q->reasoning_effort = (struct slice){0};
}
