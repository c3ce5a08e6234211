/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORKER_LLM_TASKS_H
#define WORKER_LLM_TASKS_H

#include "worker/llm/flight.h"

/* What llm.query and llm.fan_out have in common. */

/* When a call that starts now must have ended: the setting, or the task's time
 * limit if that is less. */
uint64_t llm_deadline(lovage_task *t, const struct config *config);
/* v as a model's name.  LOVAGE_FAILED: an error that names the parameter is
 * set. */
lovage_status llm_read_name(lovage_task *t, const char *param,
                            const lovage_value *v, char out[LLM_MODEL_MAX + 1]);
/* What comes of a name that leads nowhere. */
void llm_unroutable(struct llm_outcome *out, enum status st, const char *why);

lovage_run_fn llm_fan_out; /* the task llm.fan_out */

#endif
