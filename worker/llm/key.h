/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORKER_LLM_KEY_H
#define WORKER_LLM_KEY_H

#include "protocol/llm_models.h"

enum { LLM_KEY_LEN = sizeof("llm:") - 1 + 64 };

/* The cache key of a query to a model: a SHA-256 over everything that can
 * change the answer, each part with its length before it, so that no two
 * queries have one key.  ST_NOMEM without memory. */
enum status llm_key(const struct llm_route *route, const struct llm_query *q,
                    char out[LLM_KEY_LEN + 1]);

#endif
