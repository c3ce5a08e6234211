/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROTOCOL_LLM_MODELS_H
#define PROTOCOL_LLM_MODELS_H

#include "base/config.h"
#include "protocol/llm.h"

/* The model catalogue: which name goes to which deployment (llm-providers.md
 * 16).  From the models file and from the settings (keys and base URLs).  Read
 * once; used by the worker to route and by the api to list and to check names.
 *
 * The models file (llm_models_file; without one deploy/models.json as it was
 * when the program was built) is one JSON object.  All members are optional;
 * "comment" is allowed in each object:
 *
 *   "providers": {NAME: {"kind": a codec's name ("compatible", "tgi", ...),
 *                        "base_url": ..., "api_key_env": a variable's name,
 *                        "tokens_param": "max_tokens", ...}}
 *   "models":    {NAME: {"provider": NAME, "model": the provider's own name (or
 *                        absent: the same), "reasons": bool,
 *                        "reasoning_allowance": tokens, "tokens_param": ...}}
 *   "prefixes":  {PREFIX: {"provider": ..., "reasons": ..., ...}}
 *   "aliases":   {NAME: NAME}
 *
 * The providers that the settings know ("openai", "compatible", "anthropic",
 * "gemini", "palm", "huggingface", "tgi") need no entry; one of the same name
 * replaces them.  An alias may stand for anything that callers may write,
 * another alias (up to four deep) and echo?... included.
 *
 * A name is looked up as: an alias; a model of the file; echo (llm_echo.h);
 * "provider/model" with a known provider; the longest prefix, of the file or
 * built in (gpt- ... openai, claude anthropic, gemini- gemini, ...); "org/name"
 * at huggingface; the default provider (llm_default_provider). */
struct llm_models;

/* config is borrowed for the life of *out.  The error names the file, the entry
 * and the reason. */
enum status llm_models_load(const struct config *config,
                            struct llm_models **out, struct error *err);
void llm_models_free(struct llm_models *m);

enum { LLM_MODEL_MAX = 127 /* bytes of a name */ };

struct llm_route {
    const struct llm_provider *provider; /* NULL: the built-in echo */
    const struct llm_deployment *deployment;
    char model[LLM_MODEL_MAX + 1]; /* the provider's own name for it; for echo
                                      with its options: llm_echo_parse() */
};
/* ST_NOTFOUND, naming the model, if nothing serves it; the error lists what
 * would. */
enum status llm_models_route(const struct llm_models *m, struct slice name,
                             struct llm_route *out, struct error *err);

/* What callers may name: aliases and listed models whose provider is usable. */
struct llm_model_info {
    const char *name, *provider, *target; /* target: what an alias stands for,
                                             else the provider's own name */
    bool reasons;
};
size_t llm_models_count(const struct llm_models *m);
const struct llm_model_info *llm_models_at(const struct llm_models *m,
                                           size_t i);

#endif
