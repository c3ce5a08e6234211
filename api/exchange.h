#ifndef API_EXCHANGE_H
#define API_EXCHANGE_H

#include "api/guard.h"
#include "api/hub.h"
#include "api/problems.h"
#include "api/query.h"
#include "api/response.h"
#include "base/config.h"
#include "protocol/llm_models.h"
#include "protocol/topology.h"

#include <stdatomic.h>

/* What all requests share. */
struct api {
    const struct config *config;
    struct hub *hub;
    struct llm_models *models;
    struct topology *topology; /* only read */
    atomic_bool draining;      /* refuse new requests */
    atomic_bool hurry;         /* answer now what is only waiting */
    atomic_int in_flight;
};

enum { REQUEST_ID_MAX = 64, PATH_ID_MAX = 155 };

/* One request and its answer, on the thread that serves it. */
struct exchange {
    struct api *api;
    const struct http_request *rq;
    struct query query;
    char id[PATH_ID_MAX + 1]; /* {task_id} of the path; "": none */
    struct slice body_text;   /* the JSON text; ptr NULL: none */
    struct json_object *body; /* owned; an object, where one is needed */
    struct response rs;
    char request_id[REQUEST_ID_MAX + 1];
    const char *route; /* its pattern, for the metrics */
    /* True when waiting has no sense any more: the client has gone, or the
     * server is about to. */
    bool (*gone)(void *arg);
    void *arg;
};

typedef void handler_fn(struct exchange *x);

#endif
