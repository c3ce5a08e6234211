/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORKER_LLM_SPEC_H
#define WORKER_LLM_SPEC_H

#include "lovage/task.h"
#include "protocol/llm.h"
#include "worker/services.h"

/* What a task asks, whatever model it asks: its arguments, read and checked.
 * Shared by the calls that come of it, which may outlive the task. */
struct llm_spec {
    unsigned refs;
    struct llm_query query; /* but for the model; points into held and turns */
    bool cache;
    lovage_value *held; /* owned: copies of the arguments */
    struct llm_turn *turns;
};

/* The parameters of llm.query; llm.fan_out's are the same but for the first. */
extern const char *const llm_query_params[], *const llm_fan_out_params[];
enum { LLM_PARAMS = 15 };

/* LOVAGE_FAILED: a TypeError or ValueError that names the parameter is set. */
lovage_status llm_spec_read(lovage_task *t, const struct config *config,
                            struct llm_spec **out);
struct llm_spec *llm_spec_ref(struct llm_spec *s);
void llm_spec_free(struct llm_spec *s); /* drops one reference */

/* For the first parameter, which the tasks read themselves. */
lovage_status llm_wrong_type(lovage_task *t, const char *name, const char *want,
                             const lovage_value *got);
lovage_status llm_wrong_value(lovage_task *t, const char *name, const char *fmt,
                              ...) PRINTF(3, 4);

#endif
