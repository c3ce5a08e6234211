#ifndef PROTOCOL_LLM_MODELS_H
#define PROTOCOL_LLM_MODELS_H

#include "base/config.h"
#include "protocol/llm.h"

/* The model catalogue: which name goes to which deployment (llm-providers.md
 * 16).  From the models file, if there is one, and from the settings (keys and
 * base URLs).  Read once; used by the worker to route and by the api to list
 * and to check names. */
struct llm_models;

enum status llm_models_load(const struct config *config,
                            struct llm_models **out, struct error *err);
void llm_models_free(struct llm_models *m);

struct llm_route {
    const struct llm_provider *provider; /* NULL: the built-in echo */
    const struct llm_deployment *deployment;
    char model[128]; /* the provider's own name for it */
};
/* ST_NOTFOUND, naming the model, if nothing serves it; the error lists what
 * would. */
enum status llm_models_route(const struct llm_models *m, struct slice name,
                             struct llm_route *out, struct error *err);

/* What callers may name: aliases and listed models whose provider is usable. */
struct llm_model_info {
    const char *name, *provider, *target; /* target: what an alias stands for */
    bool reasons;
};
size_t llm_models_count(const struct llm_models *m);
const struct llm_model_info *llm_models_at(const struct llm_models *m,
                                           size_t i);

#endif
