#ifndef WORKER_LLM_LLM_H
#define WORKER_LLM_LLM_H

#include "worker/registry.h"

/* Registers llm.query, tasks.process_llm_query and llm.fan_out. */
enum status llm_tasks_register(struct lovage_registry *r, struct error *err);

#endif
