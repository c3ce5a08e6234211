#ifndef WORKER_SERVICES_H
#define WORKER_SERVICES_H

#include "base/config.h"
#include "lovage/task.h"
#include "store/redis/cache.h"
#include "worker/http.h"

/* What a task that runs on the node's loop can use beyond the public API.  Only
 * for tasks that are built in. */
struct services {
    uv_loop_t *loop;
    const struct config *config;
    struct http *http;
    struct cache *cache; /* NULL: none configured */
    const char *nodename;
};

/* The services of the node that runs t.  Only on the loop. */
const struct services *task_services(lovage_task *t);

/* What an LLM task used, for the record; kept with its outcome.  Tokens < 0:
 * unknown. */
void task_usage(lovage_task *t, const char *model, int64_t prompt_tokens,
                int64_t completion_tokens, int64_t total_tokens);

#endif
