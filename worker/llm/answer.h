/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORKER_LLM_ANSWER_H
#define WORKER_LLM_ANSWER_H

#include "worker/llm/flight.h"

/* What came of a query, as JSON: for the task's result and for the cache. */

/* {"model", "text", "usage", "provider", "model_used", "finish_reason",
 * "latency_ms", "attempts", "cached"[, "warning"]}; NULL without memory. */
lovage_value *llm_answer_value(const char *model, const struct llm_outcome *o);

/* {"model", "error": {"class", "message", "retryable", "http_status"}} */
lovage_value *llm_error_value(const char *model, const struct llm_outcome *o);

/* Raises lovage.llm's exception of the outcome's error class. */
lovage_status llm_raise(lovage_task *t, const struct llm_outcome *o);
/* The name of that exception: "RateLimitError", ... */
const char *llm_exception_name(enum llm_error_class c);
/* "openai: message" */
void llm_error_text(const struct llm_outcome *o, char *out, size_t size);

/* {"prompt_tokens", "completion_tokens", "total_tokens"[, ...]} */
lovage_value *llm_usage_value(const struct llm_usage *u);
/* Adds b to a; what is unknown in both stays so. */
void llm_usage_add(struct llm_usage *a, const struct llm_usage *b);

/* True for what may be given again to whoever asks the same. */
bool llm_answer_cacheable(const struct llm_outcome *o);
/* malloc'd; NULL without memory. */
char *llm_answer_encode(const struct llm_outcome *o);
/* False: text makes no sense.  On true the caller frees out->result. */
bool llm_answer_decode(struct slice text, struct llm_outcome *out);

#endif
