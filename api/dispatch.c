/* SPDX-License-Identifier: Apache-2.0 */
/* The path of a request: an ordered list of steps, each of which passes it on
 * or answers it.  What else may refuse a request finds its place in this list:
 * CORS before the route (a preflight has no other handler), authentication
 * after the method, rate limits after authentication and before the body is
 * read, so that a refused client costs no more than its head. */
#include "api/dispatch.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/body_scan.h"
#include "api/handlers.h"
#include "api/router.h"
#include "base/id.h"
#include "base/metrics.h"

static const struct route routes[] = {
    {"/healthz", {[HTTP_GET] = health_alive}, true},
    {"/readyz", {[HTTP_GET] = health_ready}, true},
    {"/metrics", {[HTTP_GET] = health_metrics}, true},
    {"/api/v1/llm/query", {[HTTP_POST] = llm_ask}, false},
    {"/api/v1/llm/models", {[HTTP_GET] = llm_list_models}, false},
    {"/api/v1/tasks",
     {[HTTP_GET] = tasks_list, [HTTP_POST] = tasks_create},
     false},
    {"/api/v1/tasks/{task_id}",
     {[HTTP_GET] = tasks_get,
      [HTTP_PUT] = tasks_update,
      [HTTP_DELETE] = tasks_delete},
     false},
    {NULL, {NULL}, false}};

struct passage {
    struct exchange *x;
    body_fn *read_body;
    const struct route *route;
    handler_fn *handler;
    struct buf body;
};

/* ---- steps: false means that the request is answered ---- */

/* Ours, or the client's if it is one that we would write into a log. */
static bool
step_request_id(struct passage *g)
{
    struct slice s = http_header(g->x->rq, "x-request-id");
    bool good = s.len >= 8 && s.len <= REQUEST_ID_MAX;

    for (size_t i = 0; good && i < s.len; i++)
        good = (s.ptr[i] >= '0' && s.ptr[i] <= '9') ||
               (s.ptr[i] >= 'a' && s.ptr[i] <= 'z') ||
               (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z') || s.ptr[i] == '-';
    if (good) {
        memcpy(g->x->request_id, s.ptr, s.len);
        g->x->request_id[s.len] = '\0';
    } else {
        id_new(g->x->request_id);
    }
    return true;
}

/* The same place without the slash; relative, because a Host is not ours to
 * repeat. */
static bool
redirect(struct passage *g)
{
    const struct http_request *rq = g->x->rq;
    struct buf to;
    char *text;

    buf_init(&to, GUARD_HEAD_MAX);
    buf_add(&to, (struct slice){rq->path.ptr, rq->path.len - 1});
    if (rq->query.ptr != NULL) {
        buf_add(&to, (struct slice){"?", 1});
        buf_add(&to, rq->query);
    }
    g->x->rs.status = 307;
    g->x->rs.content_type = NULL;
    if (buf_take(&to, &text, NULL) == ST_OK) {
        response_header(&g->x->rs, "Location", text);
        free(text);
    }
    return false;
}

static bool
step_route(struct passage *g)
{
    struct exchange *x = g->x;

    switch (router_find(routes, x->rq->path, &g->route, x->id)) {
    case ROUTE_FOUND:
        x->route = g->route->pattern;
        return true;
    case ROUTE_SLASH:
        return redirect(g);
    case ROUTE_MISSING:
        response_error(&x->rs, 404, "Not Found");
        return false;
    case ROUTE_BAD:
        break;
    }
    response_error(&x->rs, 400, "Malformed path");
    return false;
}

/* Draining: load balancers must see it, and nothing new is begun. */
static bool
step_draining(struct passage *g)
{
    if (!atomic_load(&g->x->api->draining))
        return true;
    g->x->rs.close = true;
    if (g->route->while_draining)
        return true;
    response_busy(&g->x->rs, "The server is shutting down");
    return false;
}

static bool
step_method(struct passage *g)
{
    struct response *rs = &g->x->rs;
    enum http_method m = g->x->rq->method;
    struct buf allow;
    char *text;

    if (m == HTTP_HEAD)
        m = HTTP_GET; /* the body is left out when it is written */
    if ((int)m < ROUTE_METHODS)
        g->handler = g->route->handlers[m];
    if (g->handler != NULL)
        return true;
    if (m == HTTP_OTHER) {
        response_error(rs, 501, "Method not known");
        return false;
    }
    response_error(rs, 405, "Method Not Allowed");
    buf_init(&allow, 100);
    router_allow(g->route, &allow);
    if (buf_take(&allow, &text, NULL) == ST_OK) {
        response_header(rs, "Allow", text);
        free(text);
    }
    return false;
}

static bool
step_query(struct passage *g)
{
    if (query_parse(&g->x->query, g->x->rq->query))
        return true;
    response_error(&g->x->rs, 400, "Malformed query string");
    return false;
}

static bool
wants_body(const struct passage *g)
{
    return g->x->rq->method == HTTP_POST || g->x->rq->method == HTTP_PUT;
}

/* application/json, application/<something>+json, or not said; parameters do
 * not matter, since JSON is UTF-8. */
static bool
is_json(struct slice type)
{
    const char *semicolon;

    if (type.ptr == NULL)
        return true;
    semicolon = memchr(type.ptr, ';', type.len);
    if (semicolon != NULL)
        type.len = (size_t)(semicolon - type.ptr);
    while (type.len > 0 && type.ptr[type.len - 1] == ' ')
        type.len--;
    if (type.len == 16 && strncasecmp(type.ptr, "application/json", 16) == 0)
        return true;
    return type.len > 17 && strncasecmp(type.ptr, "application/", 12) == 0 &&
           strncasecmp(type.ptr + type.len - 5, "+json", 5) == 0;
}

static bool
step_media_type(struct passage *g)
{
    struct slice coding = http_header(g->x->rq, "content-encoding");

    if (!wants_body(g))
        return true;
    if (is_json(http_header(g->x->rq, "content-type")) &&
        (coding.ptr == NULL ||
         (coding.len == 8 && strncasecmp(coding.ptr, "identity", 8) == 0)))
        return true;
    g->x->rs.close = g->x->rq->chunked || g->x->rq->content_length > 0;
    response_error(&g->x->rs, 415, "Send application/json, not encoded");
    return false;
}

/* Also a body that nobody wants is read: what follows it is a request. */
static bool
step_body(struct passage *g)
{
    struct guard_refusal why = {0, NULL};

    buf_init(&g->body, (size_t)g->x->api->config->api_max_body_bytes);
    if (g->read_body(g->x->arg, &g->body, &why)) {
        g->x->body_text = (struct slice){g->body.data, g->body.len};
        return true;
    }
    g->x->rs.close = true;
    response_error(&g->x->rs, why.status, why.detail);
    return false;
}

static bool
body_missing(struct passage *g)
{
    struct problems p = {NULL, 0};

    problem_missing(&p, (struct loc){"body", NULL, -1, NULL}, NULL);
    problems_answer(&p, &g->x->rs);
    return false;
}

static bool
body_invalid(struct passage *g, const struct body_error *why)
{
    struct problems p = {NULL, 0};

    problem_json(&p, why->at, why->why);
    problems_answer(&p, &g->x->rs);
    return false;
}

static bool
body_unreadable(struct passage *g)
{
    response_error(&g->x->rs, 400, "There was an error parsing the body");
    return false;
}

static bool
step_json(struct passage *g)
{
    struct exchange *x = g->x;
    struct problems p = {NULL, 0};
    struct body_error why;

    if (!wants_body(g))
        return true;
    switch (x->body_text.len == 0 ? BODY_EMPTY
                                  : body_scan(x->body_text, &why)) {
    case BODY_EMPTY:
        return body_missing(g);
    case BODY_INVALID:
        return body_invalid(g, &why);
    case BODY_UNREADABLE:
        return body_unreadable(g);
    case BODY_GOOD:
        break;
    }
    if (json_parse(x->body_text, BODY_DEPTH, &x->body, NULL) != ST_OK)
        return body_unreadable(g);
    if (json_object_is_type(x->body, json_type_object))
        return true;
    problem_add(&p, (struct loc){"body", NULL, -1, NULL},
                &(struct problem){
                    .type = "model_attributes_type",
                    .msg = "Input should be a valid dictionary or object to "
                           "extract fields from",
                    .input = x->body});
    problems_answer(&p, &x->rs);
    return false;
}

static bool
step_handle(struct passage *g)
{
    g->handler(g->x);
    return true;
}

void
dispatch(struct exchange *x, body_fn *read_body)
{
    static bool (*const steps[])(struct passage *) = {
        step_request_id, step_route, step_draining, step_method, step_query,
        step_media_type, step_body,  step_json,     step_handle};
    struct passage g = {.x = x, .read_body = read_body};
    bool unread = x->rq->chunked || x->rq->content_length > 0;

    buf_init(&g.body, 0);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (!steps[i](&g))
            break;
        if (steps[i] == step_body)
            unread = false;
    }
    /* A body that was not read must not be taken for the next request. */
    if (unread)
        x->rs.close = true;
    buf_fini(&g.body);
    json_object_put(x->body);
    x->body = NULL;
}

/* ---- metrics ---- */

static struct metric *requests, *responses, *seconds;

void
dispatch_init(void)
{
    requests = metric_new(METRIC_COUNTER, "api_requests_total",
                          "Requests answered, by route.", "route");
    responses = metric_new(METRIC_COUNTER, "api_responses_total",
                           "Answers, by class of status.", "status");
    seconds = metric_new(METRIC_HISTOGRAM, "api_request_seconds",
                         "Time from a request's head to its answer.", "route");
    health_init();
}

void
dispatch_observe(const char *route, int status, uint64_t took_us)
{
    static const char *const classes[] = {"0xx", "1xx", "2xx",
                                          "3xx", "4xx", "5xx"};

    if (route == NULL)
        route = "none";
    metric_add(requests, route, 1);
    metric_add(responses, classes[status / 100 % 6], 1);
    metric_observe(seconds, route, (double)took_us / 1e6);
}
