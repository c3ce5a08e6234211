/* SPDX-License-Identifier: Apache-2.0 */
/* What the LLM tasks of one process share. */
#include "worker/llm/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum status
llm_node_new(const struct config *config, struct llm_node **out,
             struct error *err)
{
    struct llm_node *n = calloc(1, sizeof(*n));
    enum status st;

    if (n == NULL)
        return error_set(err, ST_NOMEM, "LLM tasks");
    st = llm_models_load(config, &n->models, err);
    if (st != ST_OK) {
        free(n);
        return st;
    }
    map_init(&n->shared);
    n->calls =
        metric_new(METRIC_COUNTER, "llm_calls_total",
                   "Calls to LLM providers, by what came of them.", "outcome");
    n->seconds =
        metric_new(METRIC_HISTOGRAM, "llm_call_seconds",
                   "How long calls to LLM providers took.", "provider");
    n->tokens = metric_new(METRIC_COUNTER, "llm_tokens_total",
                           "Tokens used, as providers counted them.", "kind");
    n->cache = metric_new(METRIC_COUNTER, "llm_cache_total",
                          "Look-ups in the response cache.", "result");
    *out = n;
    return ST_OK;
}

static const struct llm_learned *
find(const struct llm_node *n, const struct llm_deployment *at,
     const char *model)
{
    for (size_t i = 0; i < LLM_LEARNED_MAX; i++)
        if (n->learned[i].at == at && strcmp(n->learned[i].model, model) == 0)
            return &n->learned[i];
    return NULL;
}

unsigned
llm_node_learned(const struct llm_node *n, const struct llm_deployment *at,
                 const char *model)
{
    const struct llm_learned *l = find(n, at, model);

    return l != NULL && l->until_us > clock_mono_us() ? l->adaptations : 0;
}

void
llm_node_learn(struct llm_node *n, const struct llm_deployment *at,
               const char *model, unsigned adaptations)
{
    const struct llm_learned *known = find(n, at, model);
    struct llm_learned *l;

    if (known != NULL)
        l = &n->learned[known - n->learned];
    else
        l = &n->learned[n->next_learned++ % LLM_LEARNED_MAX];
    l->at = at;
    snprintf(l->model, sizeof(l->model), "%s", model);
    l->adaptations = adaptations;
    l->until_us = clock_mono_us() + (uint64_t)LLM_LEARNED_MS * 1000;
}
