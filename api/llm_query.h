#ifndef API_LLM_QUERY_H
#define API_LLM_QUERY_H

#include "api/exchange.h"

/* The body of POST /api/v1/llm/query, checked. */
struct llm_ask {
    struct slice model;         /* ptr NULL: models */
    struct json_object *models; /* borrowed array of strings, or NULL */
    struct slice name;          /* the user's word for it; ptr NULL: none */
    struct slice queue;         /* ptr NULL: by task_routes */
    bool wait;
    double timeout_s;           /* of the wait */
    int priority;               /* -1: none */
    struct json_object *kwargs; /* owned: what the task gets */
};

/* False: answered (422, or 404 for a model that nothing serves). */
bool llm_query_read(struct exchange *x, struct llm_ask *out);
void llm_query_fini(struct llm_ask *a);

#endif
