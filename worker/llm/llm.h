/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORKER_LLM_LLM_H
#define WORKER_LLM_LLM_H

#include "base/config.h"
#include "worker/registry.h"

/* Registers llm.query, tasks.process_llm_query and llm.fan_out and loads the
 * model catalogue, so that a bad models file stops the start and not the first
 * query.  config must outlive the registry. */
enum status llm_tasks_register(struct lovage_registry *r,
                               const struct config *config, struct error *err);

#endif
