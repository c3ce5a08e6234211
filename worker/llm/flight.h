/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORKER_LLM_FLIGHT_H
#define WORKER_LLM_FLIGHT_H

#include "worker/llm/node.h"
#include "worker/llm/spec.h"
#include "worker/services.h"

/* One query to one model: built, sent, adapted, tried again, and in the end
 * answered or failed.  Knows nothing of tasks. */
struct flight;

struct llm_outcome {
    struct llm_result result;
    char provider[32];
    unsigned attempts; /* HTTP calls made */
    uint64_t latency_ms;
    bool cached;
    /* The provider asks us to wait longer than a task should: come back then.
     * -1: no. */
    int64_t retry_in_ms;
};

typedef void flight_fn(void *arg, const struct llm_outcome *o); /* borrowed */

struct flight_plan {
    struct llm_node *node;
    const struct services *services;
    const struct llm_route *route; /* copied */
    struct llm_spec *spec;         /* referenced */
    const char *id;                /* the task's, for the log; copied */
    uint64_t deadline_us;          /* monotonic */
};

/* fn is called once, not before this returns; *out dies with that call. */
enum status flight_start(const struct flight_plan *plan, flight_fn *fn,
                         void *arg, struct flight **out);
void flight_cancel(struct flight *f); /* fn is not called any more */

#endif
