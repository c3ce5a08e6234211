/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORKER_LLM_NODE_H
#define WORKER_LLM_NODE_H

#include "base/map.h"
#include "base/metrics.h"
#include "protocol/llm_models.h"

/* What the LLM tasks of one process share.  Made when they are registered, used
 * on the loop only, kept as long as the process. */

enum {
    LLM_LEARNED_MAX = 64,       /* models whose refusals we remember ... */
    LLM_LEARNED_MS = 60 * 60000 /* ... for so long: vendors change */
};

/* Parameters that a model has refused (enum llm_adaptation). */
struct llm_learned {
    const struct llm_deployment *at;
    char model[LLM_MODEL_MAX + 1];
    unsigned adaptations;
    uint64_t until_us;
};

struct llm_node {
    struct llm_models *models;
    struct map shared; /* struct shared, by key: queries in flight */
    struct llm_learned learned[LLM_LEARNED_MAX];
    size_t next_learned;
    struct metric *calls, *seconds, *tokens, *cache;
};

enum status llm_node_new(const struct config *config, struct llm_node **out,
                         struct error *err);

unsigned llm_node_learned(const struct llm_node *n,
                          const struct llm_deployment *at, const char *model);
void llm_node_learn(struct llm_node *n, const struct llm_deployment *at,
                    const char *model, unsigned adaptations);

#endif
